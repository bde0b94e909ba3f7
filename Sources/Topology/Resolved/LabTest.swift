public import NetTypes

/// One entry of `tests:`.
public struct LabTest: Sendable, Equatable {
  public var name: String
  public var place: Place
  public var steps: [TestStep]
  /// What must hold from the first step to the last, whatever the steps break: trace, route, session, no-transit and
  /// check steps, asked again and again, and traffic steps, which run all the time.
  public var always: [TestStep] = []
  /// How often the steps are carried out, one after the other; the first time that does not hold ends the test.
  public var times: Int = 1
}

public struct TestStep: Sendable, Equatable {
  public var place: Place
  /// Retried until it holds or this many milliseconds are over; nil: once. Never on a fault.
  public var withinMilliseconds: UInt32?
  public var action: TestAction
}

public enum TestAction: Sendable, Equatable {
  case trace(TraceStep)
  case noTransit(NoTransitStep)
  case route(RouteStep)
  case session(SessionStep)
  case exec(ExecStep)
  case fault(FaultStep)
  case nat(NATStep)
  case rate(RateStep)
  case plan(ChangeStep)
  case apply(ChangeStep)
  case rollback(RollbackStep)
  case traffic(TrafficStep)
  case check(CheckStep)
  /// Lists of steps, carried out at the same time.
  case parallel([[TestStep]])
}

/// Expectations: a nil member is not checked. A step without `expect:` gets what its name promises: reachable,
/// present, established, exit 0.
public struct TraceStep: Sendable, Equatable {
  public enum Transport: String, Hashable, Sendable, CaseIterable { case icmp, tcp, udp }

  /// A node.
  public var from: String
  /// A node, `NODE:IFACE` or an address, as written.
  public var to: String
  public var transport: Transport
  /// Always there for tcp and udp.
  public var port: UInt16?
  public var family: AddressFamily?
  public var count: UInt32?
  public var reachable: Bool?
  /// Node names.
  public var forward: [String]?
  public var back: [String]?
  public var symmetric: Bool?

  public init(
    from: String, to: String, transport: Transport = .icmp, port: UInt16? = nil, family: AddressFamily? = nil,
    count: UInt32? = nil, reachable: Bool? = nil, forward: [String]? = nil, back: [String]? = nil,
    symmetric: Bool? = nil
  ) {
    self.from = from
    self.to = to
    self.transport = transport
    self.port = port
    self.family = family
    self.count = count
    self.reachable = reachable
    self.forward = forward
    self.back = back
    self.symmetric = symmetric
  }
}

public struct NoTransitStep: Sendable, Equatable {
  public var node: String
  /// `except: customers`: a provider carries its customers' traffic.
  public var exceptCustomers: Bool

  public init(node: String, exceptCustomers: Bool) {
    self.node = node
    self.exceptCustomers = exceptCustomers
  }
}

public struct RouteStep: Sendable, Equatable {
  public var node: String
  /// Exactly this prefix.
  public var prefix: IPPrefix
  /// Best in Loc-RIB and in the kernel.
  public var present: Bool?
  public var asPath: [ASNumber]?
  /// Node names or addresses, as written; `next-hop` gives one, `next-hops` all of a multipath.
  public var nextHops: [String]?
  /// A word of `RouteStep.reasons`.
  public var bestBecause: String?

  /// The words of the decision process, in its order.
  public static let reasons = [
    "only-path", "weight", "local-pref", "local-origin", "as-path-length", "origin", "med", "ebgp-over-ibgp",
    "igp-cost", "router-id", "cluster-list-length", "neighbor-address",
  ]
}

public struct SessionStep: Sendable, Equatable {
  public enum State: String, Hashable, Sendable, CaseIterable {
    case idle, connect, active, openSent = "opensent", openConfirm = "openconfirm", established
  }

  public var node: String
  public var neighbor: String
  /// The far end's interface, where `NODE:IFACE` was written.
  public var neighborInterface: String?
  public var state: State?
}

public struct ExecStep: Sendable, Equatable {
  public enum Output: Sendable, Equatable {
    /// stdout contains it.
    case text(String)
    /// A regular expression, found in stdout.
    case pattern(String)
  }

  public var node: String
  /// For `/bin/sh -c`.
  public var command: String
  public var exit: Int32?
  public var output: Output?
}

/// The words of `fault:`; members as `POST /v1/faults` takes them.
public struct FaultStep: Sendable, Equatable {
  public enum Kind: String, Hashable, Sendable, CaseIterable {
    case linkDown = "link-down"
    case linkUp = "link-up"
    case flap, loss, delay, jitter, rate
    case kill, start
    case killSpeaker = "kill-speaker"
    case killController = "kill-controller"
    case resetSession = "reset-session"
    case partition
  }

  public var kind: Kind
  /// link-down, link-up, flap, loss, delay, jitter, rate: both ends, `NODE:IFACE`. kill, start, kill-speaker: the node.
  /// reset-session: node and neighbor. kill-controller, partition: none.
  public var targets: [String]
  /// loss, delay, jitter, rate: only what this end's node sends; nil: both directions.
  public var from: String?
  /// loss: 0 to 100.
  public var percent: Double?
  /// delay, jitter: each way.
  public var microseconds: UInt32?
  /// rate
  public var bitsPerSecond: UInt64?
  /// flap: how often; nil: until it is mended.
  public var times: Int?
  /// flap
  public var downMilliseconds: UInt32?
  public var upMilliseconds: UInt32?
  /// partition: node names.
  public var groups: [[String]]?

  public init(kind: Kind, targets: [String] = []) {
    self.kind = kind
    self.targets = targets
  }
}

/// What a fault may ask for: as a step, on the command line and by the API.
public enum FaultLimits {
  /// How long a flapping link stays down, and up. Each turn is two orders to each of its ends.
  public static let flapMilliseconds: ClosedRange<UInt64> = 10...3_600_000
  public static let flapTimes = 1...100_000
  /// 10 s: a packet of a link that is slower than this is lost to every protocol.
  public static let delayMicroseconds: ClosedRange<UInt32> = 0...10_000_000
  /// bit/s
  public static let rate: ClosedRange<UInt64> = 8000...1_000_000_000_000
}

/// Background load. As a step it runs from there to the end of the test, or for `milliseconds`, and is judged when it
/// ends; under `always` it runs all the time.
public struct TrafficStep: Sendable, Equatable {
  public var from: String
  /// A node, `NODE:IFACE` or an address.
  public var to: String
  public var transport: TraceStep.Transport
  /// 5202 unless written; nil for icmp.
  public var port: UInt16?
  public var family: AddressFamily?
  /// bit/s of payload.
  public var rate: UInt64?
  public var packetsPerSecond: UInt32?
  /// Bytes of a datagram.
  public var payload: UInt32?
  public var dscp: UInt8?
  /// nil: until the test ends.
  public var milliseconds: UInt32?
  public var reachable: Bool?
  /// Packets lost at most.
  public var maximumLost: UInt64?
  /// Percent lost.
  public var minimumLoss: Double?
  public var maximumLoss: Double?
  /// Milliseconds without a packet at most.
  public var maximumOutage: Double?
  /// Mbit/s of payload received.
  public var minimum: Double?
  public var maximum: Double?
  /// Milliseconds one way that the median packet takes.
  public var minimumDelay: Double?
  public var maximumDelay: Double?

  public init(from: String, to: String, transport: TraceStep.Transport = .udp) {
    self.from = from
    self.to = to
    self.transport = transport
  }
}

/// A verdict on the whole lab.
public struct CheckStep: Sendable, Equatable {
  /// As `POST /v1/check` takes them.
  public var words: [String]
  /// no-loops valley-free no-transit reachability no-blackhole fib-equals-rib symmetric
  public static let known = [
    "no-loops", "valley-free", "no-transit", "reachability", "no-blackhole", "fib-equals-rib", "symmetric",
  ]

  public init(words: [String]) { self.words = words }
}

/// Sends a flow and reads what `node` made of it from its conntrack table.
public struct NATStep: Sendable, Equatable {
  public var node: String
  public var from: String
  /// A node, `NODE:IFACE` or an address.
  public var to: String
  public var transport: TraceStep.Transport
  public var port: UInt16?
  public var family: AddressFamily?
  public var reachable: Bool?
  /// The address written instead, whichever end it replaced.
  public var translated: IPAddress?
  public var source: IPAddress?
  public var destination: IPAddress?
  /// `translated: false`: the flow passes untouched.
  public var untouched: Bool

  public init(node: String, from: String, to: String, transport: TraceStep.Transport = .icmp) {
    self.node = node
    self.from = from
    self.to = to
    self.transport = transport
    port = nil
    family = nil
    reachable = nil
    translated = nil
    source = nil
    destination = nil
    untouched = false
  }
}

/// Sends for a time and judges from the packets what limited it.
public struct RateStep: Sendable, Equatable {
  public enum Transport: String, Hashable, Sendable, CaseIterable { case tcp, udp }
  public enum LimitedBy: String, Hashable, Sendable, CaseIterable { case shaping, policing, none }

  public var from: String
  public var to: String
  public var transport: Transport
  /// 5201 unless written.
  public var port: UInt16
  public var family: AddressFamily?
  public var milliseconds: UInt32
  /// bit/s offered; udp must say it.
  public var offered: UInt64?
  public var dscp: UInt8?
  /// Mbit/s of payload received.
  public var minimum: Double?
  public var maximum: Double?
  public var limitedBy: LimitedBy?
  /// Milliseconds one way that the median packet takes.
  public var minimumDelay: Double?
  public var maximumDelay: Double?

  public init(from: String, to: String, transport: Transport, milliseconds: UInt32) {
    self.from = from
    self.to = to
    self.transport = transport
    self.milliseconds = milliseconds
    port = 5201
    family = nil
    offered = nil
    dscp = nil
    minimum = nil
    maximum = nil
    limitedBy = nil
    minimumDelay = nil
    maximumDelay = nil
  }
}

/// A CHANGE, in a file of its own or written in the step.
public struct ChangeStep: Sendable, Equatable {
  /// What diagnostics call it.
  public var file: String
  /// YAML (or JSON, which is YAML too).
  public var text: String
  public var confirmWithinMilliseconds: UInt32?
  /// apply: refused is expected where false.
  public var applied: Bool?
  /// Found in the refusal, e.g. the node or the line.
  public var refusal: String?
  /// plan and apply: exactly these nodes change.
  public var nodes: [String]?

  public init(file: String, text: String) {
    self.file = file
    self.text = text
    confirmWithinMilliseconds = nil
    applied = nil
    refusal = nil
    nodes = nil
  }
}

public struct RollbackStep: Sendable, Equatable {
  /// nil: the version before the current.
  public var version: Int?

  public init(version: Int?) { self.version = version }
}
