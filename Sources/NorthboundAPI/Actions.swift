/// `POST /v1/faults`: one fault, in the words of the contract.
public struct FaultCommand: Codable, Sendable, Equatable {
  /// link-down, link-up, flap, loss, delay, jitter, rate, kill, start, kill-speaker, reset-session, kill-controller,
  /// partition.
  public var kind: String
  /// link-down, link-up, flap, loss, delay, jitter, rate: both ends, "NODE:IFACE". kill, start, kill-speaker: the node.
  /// reset-session: node and neighbor. partition: none, see `groups`.
  public var targets: [String]
  /// loss, delay, jitter, rate: only packets that this end's node sends; nil: both directions.
  public var from: String?
  /// loss: of the packets, 0 to 100; 0 takes the fault away.
  public var percent: Double?
  /// delay, jitter: each way, beside what the link declares; 0 takes the fault away.
  public var microseconds: UInt32?
  /// rate: bit/s; 0 takes the fault away.
  public var bitsPerSecond: UInt64?
  /// flap: how often the link goes down; nil: until it is mended or a link-up says so.
  public var times: Int?
  public var downMs: Int64?
  public var upMs: Int64?
  /// partition: every link between nodes of different groups goes down. A node in no group belongs to the first group.
  public var groups: [[String]]?

  public init(kind: String, targets: [String] = []) {
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
