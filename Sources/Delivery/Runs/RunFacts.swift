/// What a run has found out and done so far. Kept in the store each time it changes, so that a run that was killed goes
/// on with what it knew: nothing in it is worked out a second time.
public struct RunFacts: Codable, Sendable, Equatable {
  public var commit: CommitFacts?
  public var tests: TestFacts?
  /// Where the branch stood that the commit was merged into.
  public var mergedFrom: String?
  public var image: ImageFacts?
  /// Since when it waits for approval, milliseconds since 1970.
  public var approvalAsked: Int64?
  public var approval: ApprovalFacts?
  public var deployment: DeploymentFacts?
  public var judgements: [StepJudgement] = []
  /// What the run has come to, from before anybody is told.
  public var outcome: OutcomeFacts?

  public init() {}
}

public struct OutcomeFacts: Codable, Sendable, Equatable {
  public var state: RunRecord.State
  public var stage: Stage?
  public var reason: String?
  public var exit: Int32
}

public struct CommitFacts: Codable, Sendable, Equatable {
  /// 40 hexadecimal digits.
  public var id: String
  public var author: String
  public var email: String
  public var subject: String
  /// Seconds since 1970.
  public var time: Int64
  /// The root of the checked-out commit.
  public var folder: String
}

public struct TestFacts: Codable, Sendable, Equatable {
  /// nil: there is no report to count in.
  public var total: Int?
  public var failed: [FailedTest]
  /// Test runs, the first one among them.
  public var attempts: Int
}

public struct FailedTest: Codable, Sendable, Equatable {
  public var name: String
  public var message: String
}

public struct ImageFacts: Codable, Sendable, Equatable {
  public var name: String
  /// `sha256:…`
  public var digest: String
  public var tag: String?
  /// `registry:5000/web@sha256:…`, once it is there.
  public var pushed: String?

  /// In the machine's image store.
  public var local: String { "\(name)@\(digest)" }
}

public struct ApprovalFacts: Codable, Sendable, Equatable {
  public var approved: Bool
  public var by: String
  public var reason: String
  /// Milliseconds since 1970.
  public var at: Int64

  public init(approved: Bool, by: String, reason: String, at: Int64) {
    self.approved = approved
    self.by = by
    self.reason = reason
    self.at = at
  }
}

/// How far production has been changed.
public struct DeploymentFacts: Codable, Sendable, Equatable {
  public enum Phase: String, Codable, Sendable {
    /// Pods without requests get the image.
    case deploying
    /// They have it and are ready.
    case ready
    /// Requests move.
    case moving
    /// Requests go back; then the pods get their old image.
    case returning
    case returned
    case released
  }

  public var lab: String
  public var service: String
  /// The version that gets all requests before the release.
  public var serving: String
  /// The version whose pods get the image.
  public var slot: String
  /// `registry:5000/web@sha256:…`
  public var image: String
  /// What the pods of `serving` run; nil: not known. A rollback goes there.
  public var servingImage: String?
  public var pods: [PodDeployment]
  public var phase: Phase
  /// Index into the release's steps of the one under way.
  public var step: Int
  /// Per cent of the requests that go to `slot`, as far as the sidecars have acknowledged it.
  public var weight: Int
  /// Why it goes back.
  public var failure: String?

  /// Production would have to be put back. A rollback that is planned only has touched nothing.
  public var isHalfWay: Bool {
    phase != .returned && phase != .released && !(phase == .deploying && pods.isEmpty)
  }

  /// The images that somebody may want to run again.
  var images: [String] { [image] + [servingImage].compactMap(\.self) + pods.compactMap(\.previous) }
}

public struct PodDeployment: Codable, Sendable, Equatable {
  public var pod: String
  /// What it ran before; nil: not known.
  public var previous: String?
  public var done: Bool
}

/// What was measured at one step of a release.
public struct StepJudgement: Codable, Sendable, Equatable {
  /// Per cent of the requests that went to the new version; 0: before the first step.
  public var weight: Int
  public var seconds: Double
  public var measures: [Measure]
  public var verdict: Verdict { measures.map(\.verdict).max() ?? .holds }

  public enum Verdict: String, Codable, Sendable, Comparable {
    case holds
    case noData = "no data"
    case violated

    public static func < (a: Verdict, b: Verdict) -> Bool { a.rank < b.rank }
    private var rank: Int { self == .holds ? 0 : self == .noData ? 1 : 2 }
  }

  /// One line of the judgement: what was asked beside what was found.
  public struct Measure: Codable, Sendable, Equatable {
    /// success-rate | p99 | path | loss | retransmissions | queueing
    public var name: String
    /// Of the new version; `no data` where there was too little.
    public var measured: String
    /// `<= 200ms`
    public var threshold: String
    /// Of the running version.
    public var running: String?
    public var verdict: Verdict
    /// Why it does not hold.
    public var detail: String?
  }
}
