/// A verdict on the whole lab, from its RIBs and, where the word says so, from packets.
public enum CheckWord: String, Codable, Sendable, CaseIterable {
  /// Forwarding by the kernels' tables never comes back to a node it has left.
  case noLoops = "no-loops"
  /// Every AS path in use goes up, across once, and down (RFC 7908), by the relations of the file.
  case valleyFree = "valley-free"
  /// No stub AS carries traffic between two others.
  case noTransit = "no-transit"
  /// Every node reaches every prefix that is originated: a packet says so.
  case reachability
  /// No router sends what it has a route for into nothing.
  case noBlackhole = "no-blackhole"
  /// What the speaker calls best is what its kernel has, and nothing else of BGP's.
  case fibEqualsRIB = "fib-equals-rib"
  /// The way back uses the links of the way there, for every pair that is traced.
  case symmetric
}

/// `POST /v1/check`
public struct CheckQuery: Codable, Sendable, Equatable {
  /// Words of `CheckWord`.
  public var words: [String]
  /// Absolute directory for the pcapng of the proving traces; nil: none is written.
  public var directory: String?
  public init(words: [String], directory: String? = nil) {
    self.words = words
    self.directory = directory
  }
}

public struct CheckReport: Codable, Sendable, Equatable {
  /// In the order asked.
  public var checks: [CheckResult]
  public init(checks: [CheckResult]) { self.checks = checks }
}

public struct CheckResult: Codable, Sendable, Equatable {
  public var check: String
  /// No violation of severity `failure`, and decided.
  public var holds: Bool
  /// Why there is no verdict; an undecided check never holds.
  public var undecided: String?
  public var violations: [Violation]
  /// How much was looked at: routes, pairs or flows, as the word has it.
  public var examined: Int
  /// Flows that show it.
  public var traces: [Trace]
  public init(
    check: String, holds: Bool, undecided: String?, violations: [Violation], examined: Int, traces: [Trace] = []
  ) {
    self.check = check
    self.holds = holds
    self.undecided = undecided
    self.violations = violations
    self.examined = examined
    self.traces = traces
  }
}

public struct Violation: Codable, Sendable, Equatable {
  /// A leaked route that attracts no traffic is a warning, one that does is a failure.
  public enum Severity: String, Codable, Sendable { case warning, failure }

  public var severity: Severity
  /// The router that decided.
  public var node: String
  public var prefix: String?
  /// Node names, where there is a way through the lab.
  public var path: [String]?
  public var asPath: [UInt32]?
  /// A word of `best-because`, or of the check.
  public var because: String
  /// A sentence.
  public var detail: String
  public init(
    severity: Severity, node: String, prefix: String? = nil, path: [String]? = nil, asPath: [UInt32]? = nil,
    because: String, detail: String
  ) {
    self.severity = severity
    self.node = node
    self.prefix = prefix
    self.path = path
    self.asPath = asPath
    self.because = because
    self.detail = detail
  }
}
