/// The file of `netloom pipeline` (contract section 8): the way of a commit from its repository into a lab that serves.
public struct Pipeline: Sendable, Equatable {
  /// What happens to a run that is started while another one is under way.
  public enum Concurrency: String, Sendable, CaseIterable { case refuse, queue }

  public var name: String
  public var file: String
  public var concurrency: Concurrency
  public var source: PipelineSource
  public var build: PipelineCommand?
  public var test: PipelineTest?
  /// The branch that the commit becomes the head of when its tests have passed.
  public var mergeInto: String?
  public var package: PipelinePackage?
  public var tag: PipelineTag?
  /// `NODE:PORT`
  public var registry: String?
  /// The lab that the registry's node is in.
  public var registryLab: String?
  /// The topology that is brought up with the image, relative to the checked-out commit.
  public var verify: String?
  public var approval: PipelineApproval
  public var deploy: PipelineDeploy?
  public var release: PipelineRelease?
  public var notifications: [PipelineNotification]
}

public struct PipelineSource: Sendable, Equatable {
  /// A path relative to the current directory, or what `git clone` takes.
  public var repository: String
  public var ref: String
  /// Where commands run, relative to the checked-out commit.
  public var path: String
  /// A shell command that makes the repository, run in the current directory first.
  public var prepare: String?
}

public struct PipelineCommand: Sendable, Equatable {
  public var run: String
  public var seconds: Double
}

public struct PipelineTest: Sendable, Equatable {
  public var command: PipelineCommand
  /// Relative to `source.path`.
  public var junit: String?
  /// How often a failed run is repeated; nothing is repeated unasked.
  public var retries: Int
}

public struct PipelinePackage: Sendable, Equatable {
  public var image: String
  /// Path under `source.path` to absolute path in the image, in the order of the file.
  public var files: [PipelineFileCopy]
  public var entrypoint: [String]
  /// KEY=VALUE
  public var environment: [String]
  /// Where the image is written as an archive too.
  public var archive: String?
}

public struct PipelineFileCopy: Sendable, Equatable {
  public var from: String
  public var to: String
}

public enum PipelineTag: String, Sendable, CaseIterable { case commit, version }

public enum PipelineApproval: Sendable, Equatable {
  case automatic
  /// Refused by itself after so many seconds.
  case manual(expires: Double?)
}

public struct PipelineDeploy: Sendable, Equatable {
  public var lab: String
  public var service: String
  /// Brought up first where the lab does not run, relative to the checked-out commit.
  public var topology: String?
  /// What it serves when it is brought up before anything was released; nil: the version that is being delivered.
  public var initial: String?
  public var ready: PipelineReadiness
}

/// When a pod with a new image may get requests.
public struct PipelineReadiness: Sendable, Equatable {
  /// Asked of the service's target port by HTTP; any status below 500 will do. Services of other protocols: a connection.
  public var path: String
  public var seconds: Double
}

public struct PipelineRelease: Sendable, Equatable {
  public enum Strategy: String, Sendable, CaseIterable {
    case canary
    case blueGreen = "blue-green"
  }

  public var strategy: Strategy
  /// Per cent of the requests, rising, the last one 100.
  public var steps: [Int]
  /// Seconds at each step before it is judged.
  public var hold: Double
  public var analysis: PipelineAnalysis
  public var load: PipelineLoad?

  /// Everything at once, and nothing judged: what there is without `release`.
  public static let atOnce = PipelineRelease(
    strategy: .blueGreen, steps: [100], hold: 0,
    analysis: PipelineAnalysis(
      minimumRequests: 1, successRate: nil, p99: nil, regression: PipelineRegression(successRate: 100, p99: 1000),
      network: nil), load: nil)
}

/// Requests that the pipeline sends itself while it judges.
public struct PipelineLoad: Sendable, Equatable {
  /// Requests per second.
  public var rate: Int
  /// A pod; nil: the first one that may call the service.
  public var from: String?
  public var path: String
}

public struct PipelineAnalysis: Sendable, Equatable {
  /// Fewer requests than this in a window are no data.
  public var minimumRequests: Int
  /// Per cent.
  public var successRate: PipelineThreshold?
  /// Milliseconds.
  public var p99: PipelineThreshold?
  /// How much worse than the running version the new one may be.
  public var regression: PipelineRegression
  public var network: PipelineNetworkAnalysis?
  /// The file asks for the comparison with the running version, whether or not it has a threshold too.
  public var comparesSuccessRate = false
  public var comparesP99 = false

  public var judges: Bool {
    successRate != nil || p99 != nil || comparesSuccessRate || comparesP99 || network?.judges == true
  }
}

public struct PipelineRegression: Sendable, Equatable {
  /// Percentage points of success rate.
  public var successRate: Double
  /// Times the running version's p99; differences below 50 ms do not count.
  public var p99: Double
}

public struct PipelineNetworkAnalysis: Sendable, Equatable {
  public var pathUnchanged: Bool
  /// Per cent of packets.
  public var loss: PipelineThreshold?
  /// Per cent of TCP segments.
  public var retransmissions: PipelineThreshold?
  /// Milliseconds that the slowest one of a hundred packets takes longer than the fastest.
  public var queueing: PipelineThreshold?

  public var judges: Bool { pathUnchanged || loss != nil || retransmissions != nil || queueing != nil }
}

/// `>= 99%`, `<= 200ms`
public struct PipelineThreshold: Sendable, Equatable, CustomStringConvertible {
  public enum Bound: String, Sendable { case atLeast = ">=", atMost = "<=" }
  public enum Unit: String, Sendable { case percent = "%", milliseconds = "ms" }

  public var bound: Bound
  public var value: Double
  public var unit: Unit

  public init(_ bound: Bound, _ value: Double, _ unit: Unit) {
    self.bound = bound
    self.value = value
    self.unit = unit
  }

  public func holds(_ measured: Double) -> Bool { bound == .atLeast ? measured >= value : measured <= value }

  public var description: String {
    "\(bound.rawValue) \(value == value.rounded() ? "\(Int(value))" : "\(value)")\(unit.rawValue)"
  }
}

/// Where a run says what became of it.
public struct PipelineNotification: Sendable, Equatable {
  public enum Target: Sendable, Equatable {
    case webhook(String)
    /// A file that gets a line of JSON, relative to the current directory.
    case file(String)
    /// A shell command that gets the JSON on its standard input, run in the current directory.
    case command(String)
    case console
  }

  /// What a webhook's body is signed with.
  public enum Secret: Sendable, Equatable {
    case text(String)
    /// A variable of the environment.
    case environment(String)
  }

  public var target: Target
  public var secret: Secret?
  /// Attempts after the first, of a webhook.
  public var retries: Int
}
