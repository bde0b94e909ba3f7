/// `POST /v1/faults`: one fault. The words are those of the contract; this version knows link-down, link-up, kill,
/// start, kill-speaker, kill-controller and reset-session.
public struct FaultCommand: Codable, Sendable, Equatable {
  public var kind: String
  /// link-down, link-up: both ends, "NODE:IFACE". kill, start, kill-speaker: the node. reset-session: node and neighbor.
  public var targets: [String]
  public init(kind: String, targets: [String]) {
    self.kind = kind
    self.targets = targets
  }
}

/// Answer to a fault or another command that only succeeds or fails.
public struct Done: Codable, Sendable, Equatable {
  public var done: Bool
  public init(done: Bool = true) { self.done = done }
}

/// `POST /v1/nodes/NODE/exec`: runs to completion, output captured (the `exec` step of tests).
public struct ExecCommand: Codable, Sendable, Equatable {
  public var argv: [String]
  public var timeoutMs: UInt32
  public init(argv: [String], timeoutMs: UInt32) {
    self.argv = argv
    self.timeoutMs = timeoutMs
  }
}

public struct ExecResult: Codable, Sendable, Equatable {
  public var exit: Int32
  public var output: String
  public var errorOutput: String
  public var timedOut: Bool
  public init(exit: Int32, output: String, errorOutput: String, timedOut: Bool) {
    self.exit = exit
    self.output = output
    self.errorOutput = errorOutput
    self.timedOut = timedOut
  }
}

/// `POST /v1/checks/no-transit`
public struct NoTransitQuery: Codable, Sendable, Equatable {
  public var node: String
  /// `customers`: a provider may carry its customers' traffic.
  public var except: String?
  /// Absolute directory for the pcapng of the proving traces.
  public var directory: String?
  public init(node: String, except: String? = nil, directory: String? = nil) {
    self.node = node
    self.except = except
    self.directory = directory
  }
}

/// What no-transit found: routes through the node's AS between two other ASes, and packets that took them.
public struct NoTransitResult: Codable, Sendable, Equatable {
  public var holds: Bool
  public var undecided: String?
  public var asn: UInt32
  public var leaks: [LeakedRoute]
  /// Traces whose forward or return path crosses the AS between two others.
  public var transits: [Trace]
  /// How many flows were traced.
  public var traced: Int
  public init(
    holds: Bool, undecided: String?, asn: UInt32, leaks: [LeakedRoute], transits: [Trace], traced: Int
  ) {
    self.holds = holds
    self.undecided = undecided
    self.asn = asn
    self.leaks = leaks
    self.transits = transits
    self.traced = traced
  }
}

public struct LeakedRoute: Codable, Sendable, Equatable {
  /// Whose RIB holds it.
  public var node: String
  public var prefix: String
  public var asPath: [UInt32]
  /// It is that node's best path.
  public var best: Bool
  public init(node: String, prefix: String, asPath: [UInt32], best: Bool) {
    self.node = node
    self.prefix = prefix
    self.asPath = asPath
    self.best = best
  }
}
