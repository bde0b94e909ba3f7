/// `GET /v1/nodes/NODE/nat` and `/filter`: what stands in the kernel, in the order packets meet it.
public struct NodeRules: Codable, Sendable, Equatable {
  public var node: String
  public var rules: [RuleEntry]
  public init(node: String, rules: [RuleEntry]) {
    self.node = node
    self.rules = rules
  }
}

public struct RuleEntry: Codable, Sendable, Equatable {
  public var chain: String
  /// As the file writes it in one line; nft's words where nobody's file did.
  public var rule: String
  public var packets: UInt64
  public var bytes: UInt64
  /// Of the kernel, for `nft`.
  public var handle: UInt64
  /// FILE:LINE:COL; nil: no rule of ours.
  public var place: String?
  public init(chain: String, rule: String, packets: UInt64, bytes: UInt64, handle: UInt64, place: String?) {
    self.chain = chain
    self.rule = rule
    self.packets = packets
    self.bytes = bytes
    self.handle = handle
    self.place = place
  }
}

/// `GET /v1/nodes/NODE/conntrack?limit=&offset=`
public struct NodeConnections: Codable, Sendable, Equatable {
  public var node: String
  public var connections: [ConnectionEntry]
  /// How many there are, and how many there may be.
  public var total: UInt64
  public var limit: UInt64
  public init(node: String, connections: [ConnectionEntry], total: UInt64, limit: UInt64) {
    self.node = node
    self.connections = connections
    self.total = total
    self.limit = limit
  }
}

public struct ConnectionEntry: Codable, Sendable, Equatable {
  /// tcp, udp, icmp, icmpv6, or the number
  public var proto: String
  /// TCP: as conntrack(8) writes it, e.g. ESTABLISHED.
  public var state: String?
  public var status: [String]
  public var original: ConnectionTuple
  /// What answers look like on the wire before they are translated back.
  public var reply: ConnectionTuple
  /// As in a trace's hops; nil: untouched.
  public var nat: TracedRewrite?
  public var timeout: UInt32
  public var zone: UInt32?
  public var mark: UInt32?
  public init(
    proto: String, state: String?, status: [String], original: ConnectionTuple, reply: ConnectionTuple,
    nat: TracedRewrite?, timeout: UInt32, zone: UInt32?, mark: UInt32?
  ) {
    self.proto = proto
    self.state = state
    self.status = status
    self.original = original
    self.reply = reply
    self.nat = nat
    self.timeout = timeout
    self.zone = zone
    self.mark = mark
  }
}

public struct ConnectionTuple: Codable, Sendable, Equatable {
  public var source: String
  public var destination: String
  /// Ports; ICMP: nil.
  public var sourcePort: UInt32?
  public var destinationPort: UInt32?
  public var packets: UInt64
  public var bytes: UInt64
  public init(
    source: String, destination: String, sourcePort: UInt32?, destinationPort: UInt32?, packets: UInt64, bytes: UInt64
  ) {
    self.source = source
    self.destination = destination
    self.sourcePort = sourcePort
    self.destinationPort = destinationPort
    self.packets = packets
    self.bytes = bytes
  }
}

/// `GET /v1/nodes/NODE/qos`: read from the kernel.
public struct NodeQoS: Codable, Sendable, Equatable {
  public var node: String
  public var interfaces: [InterfaceQoS]
  public init(node: String, interfaces: [InterfaceQoS]) {
    self.node = node
    self.interfaces = interfaces
  }
}

public struct InterfaceQoS: Codable, Sendable, Equatable {
  public var interface: String
  public var qdiscs: [QdiscEntry]
  public var classes: [ClassEntry]
  /// Policers and markings.
  public var rules: [RuleEntry]
  public init(interface: String, qdiscs: [QdiscEntry], classes: [ClassEntry], rules: [RuleEntry]) {
    self.interface = interface
    self.qdiscs = qdiscs
    self.classes = classes
    self.rules = rules
  }
}

public struct QdiscEntry: Codable, Sendable, Equatable {
  public var kind: String
  public var handle: String
  /// `root` or a class.
  public var parent: String
  /// As tc writes them.
  public var options: String
  public var counters: QueueCounters
  public init(kind: String, handle: String, parent: String, options: String, counters: QueueCounters) {
    self.kind = kind
    self.handle = handle
    self.parent = parent
    self.options = options
    self.counters = counters
  }
}

public struct ClassEntry: Codable, Sendable, Equatable {
  public var handle: String
  public var parent: String
  /// Of the file; `default`: what no class matches; nil: nobody's.
  public var name: String?
  /// bit/s
  public var rate: UInt64
  public var ceil: UInt64
  public var burst: UInt32
  public var priority: UInt32
  public var counters: QueueCounters
  public var lends: UInt64
  public var borrows: UInt64
  public init(
    handle: String, parent: String, name: String?, rate: UInt64, ceil: UInt64, burst: UInt32, priority: UInt32,
    counters: QueueCounters, lends: UInt64, borrows: UInt64
  ) {
    self.handle = handle
    self.parent = parent
    self.name = name
    self.rate = rate
    self.ceil = ceil
    self.burst = burst
    self.priority = priority
    self.counters = counters
    self.lends = lends
    self.borrows = borrows
  }
}

public struct QueueCounters: Codable, Sendable, Equatable {
  public var bytes: UInt64
  public var packets: UInt64
  public var drops: UInt64
  public var overlimits: UInt64
  public var backlogBytes: UInt64
  public var backlogPackets: UInt64
  public init(
    bytes: UInt64, packets: UInt64, drops: UInt64, overlimits: UInt64, backlogBytes: UInt64, backlogPackets: UInt64
  ) {
    self.bytes = bytes
    self.packets = packets
    self.drops = drops
    self.overlimits = overlimits
    self.backlogBytes = backlogBytes
    self.backlogPackets = backlogPackets
  }
}

/// `GET /v1/nodes/NODE/flowspec`
public struct NodeFlowSpecs: Codable, Sendable, Equatable {
  public var node: String
  public var rules: [FlowSpecEntry]
  public init(node: String, rules: [FlowSpecEntry]) {
    self.node = node
    self.rules = rules
  }
}

public struct FlowSpecEntry: Codable, Sendable, Equatable {
  public var family: String
  public var rule: String
  public var actions: [String]
  /// nil: originated here.
  public var neighbor: String?
  /// Valid, best, and in the kernel.
  public var active: Bool
  public var inactiveBecause: String?
  public var asPath: [UInt32]
  public var packets: UInt64
  public var bytes: UInt64
  public init(
    family: String, rule: String, actions: [String], neighbor: String?, active: Bool, inactiveBecause: String?,
    asPath: [UInt32], packets: UInt64, bytes: UInt64
  ) {
    self.family = family
    self.rule = rule
    self.actions = actions
    self.neighbor = neighbor
    self.active = active
    self.inactiveBecause = inactiveBecause
    self.asPath = asPath
    self.packets = packets
    self.bytes = bytes
  }
}
