public import NetTypes

/// What a node does with packets beside routing them: `nat`, `filter`, `qos`, `path`, `flowspec`, `publish`. Lists are
/// in the order of the file, the first that matches wins. Rates are in bit/s, sizes in bytes.
public struct PacketFunctions: Sendable, Equatable {
  public var nat: [NATRule] = []
  public var filter: [FilterRule] = []
  /// By interface, in the order of the file.
  public var qos: [InterfaceQoS] = []
  public var paths: [PathRule] = []
  public var flowSpecs: [FlowSpecRule] = []
  public var published: [PublishedPort] = []

  public init() {}

  /// Nothing that needs an agent.
  public var isEmpty: Bool { nat.isEmpty && filter.isEmpty && qos.isEmpty && paths.isEmpty && flowSpecs.isEmpty }
}

/// Where a rule was written and how people read it: one line in the words of the file, e.g.
/// `snat out eth1 from 192.168.1.0/24 to 203.0.113.10`.
public struct RuleOrigin: Sendable, Equatable {
  public var text: String
  public var place: Place

  public init(text: String, place: Place) {
    self.text = text
    self.place = place
  }
}

public enum TransportProtocol: String, Hashable, Sendable, CaseIterable {
  case icmp, tcp, udp

  /// Of IPv4; ICMP of IPv6 is another number there.
  public var number: UInt8 {
    switch self {
    case .icmp: 1
    case .tcp: 6
    case .udp: 17
    }
  }
}

/// All that is not empty must hold; a list means any.
public struct PacketMatch: Sendable, Equatable {
  public enum State: String, Hashable, Sendable, CaseIterable { case new, established, related, invalid, untracked }

  /// Interface names.
  public var incoming: [String] = []
  public var outgoing: [String] = []
  public var from: [IPPrefix] = []
  public var to: [IPPrefix] = []
  public var transport: TransportProtocol?
  /// Of the destination.
  public var ports: [ClosedRange<UInt16>] = []
  public var sourcePorts: [ClosedRange<UInt16>] = []
  public var states: [State] = []
  public var connectionsOver: UInt32?
  /// Code points.
  public var dscp: [UInt8] = []

  public init() {}
}

public struct NATRule: Sendable, Equatable {
  public enum Translation: Sendable, Equatable {
    case masquerade(ports: ClosedRange<UInt16>?, random: Bool)
    case source(ClosedRange<IPAddress>, ports: ClosedRange<UInt16>?, persistent: Bool, random: Bool)
    /// `hairpin`: also for clients on the server's own side; `inside`: their subnets.
    case destination(ClosedRange<IPAddress>, ports: ClosedRange<UInt16>?, hairpin: Bool, inside: [IPPrefix])
    /// 1:1; equal lengths and families.
    case prefix(inside: IPPrefix, outside: IPPrefix)
    /// Connections that came in by `match.incoming` are told apart from equal addresses elsewhere.
    case zone(UInt16)
  }

  public var origin: RuleOrigin
  /// `destination`: `to` holds the addresses that are translated, resolved where none was written.
  public var match: PacketMatch
  public var translation: Translation

  public init(origin: RuleOrigin, match: PacketMatch, translation: Translation) {
    self.origin = origin
    self.match = match
    self.translation = translation
  }
}

public struct FilterRule: Sendable, Equatable {
  public enum Verdict: String, Hashable, Sendable, CaseIterable { case accept, drop, reject }

  public var origin: RuleOrigin
  /// nil: `otherwise`.
  public var match: PacketMatch?
  public var then: Verdict

  public init(origin: RuleOrigin, match: PacketMatch?, then: Verdict) {
    self.origin = origin
    self.match = match
    self.then = then
  }
}

public struct InterfaceQoS: Sendable, Equatable {
  public var interface: String
  public var shaper: Shaper?
  public var policers: [Policer]
  public var markings: [Marking]

  public init(interface: String, shaper: Shaper?, policers: [Policer], markings: [Marking]) {
    self.interface = interface
    self.shaper = shaper
    self.policers = policers
    self.markings = markings
  }
}

public struct Shaper: Sendable, Equatable {
  public struct Class: Sendable, Equatable {
    public var origin: RuleOrigin
    public var name: String
    /// All that match any of these.
    public var match: PacketMatch
    public var rate: UInt64
    /// nil: the shaper's rate.
    public var ceil: UInt64?
    /// 0 goes first, 7 last.
    public var priority: UInt32
    public var limit: UInt32?

    public init(
      origin: RuleOrigin, name: String, match: PacketMatch, rate: UInt64, ceil: UInt64?, priority: UInt32,
      limit: UInt32?
    ) {
      self.origin = origin
      self.name = name
      self.match = match
      self.rate = rate
      self.ceil = ceil
      self.priority = priority
      self.limit = limit
    }
  }

  public var origin: RuleOrigin
  public var rate: UInt64
  /// nil: computed from the rate.
  public var burst: UInt32?
  public var limit: UInt32?
  /// Queues mark instead of dropping (RFC 3168).
  public var ecn: Bool
  public var classes: [Class]

  public init(
    origin: RuleOrigin, rate: UInt64, burst: UInt32?, limit: UInt32?, ecn: Bool = false, classes: [Class]
  ) {
    self.origin = origin
    self.rate = rate
    self.burst = burst
    self.limit = limit
    self.ecn = ecn
    self.classes = classes
  }
}

public struct Policer: Sendable, Equatable {
  public enum Per: String, Hashable, Sendable, CaseIterable { case all, source, flow }
  public enum Limit: Sendable, Equatable {
    /// bit/s
    case rate(UInt64)
    /// packets/s
    case packets(UInt64)
  }

  public var origin: RuleOrigin
  public var match: PacketMatch
  public var limit: Limit
  /// Bytes, or packets; nil: computed.
  public var burst: UInt32?
  public var per: Per

  public init(origin: RuleOrigin, match: PacketMatch, limit: Limit, burst: UInt32?, per: Per) {
    self.origin = origin
    self.match = match
    self.limit = limit
    self.burst = burst
    self.per = per
  }
}

/// Writes a DSCP into packets that leave by the interface.
public struct Marking: Sendable, Equatable {
  public var origin: RuleOrigin
  public var match: PacketMatch
  public var dscp: UInt8

  public init(origin: RuleOrigin, match: PacketMatch, dscp: UInt8) {
    self.origin = origin
    self.match = match
    self.dscp = dscp
  }
}

/// `path:` of a node: packets that match go by the nodes of `via`, hop by hop.
public struct PathRule: Sendable, Equatable {
  /// One hop: how the node before reaches this one.
  public struct Hop: Sendable, Equatable {
    public var node: String
    /// The interfaces between them: of the node before, and of this one. Several links: several hops of equal weight.
    public var links: [Link]

    public init(node: String, links: [Link]) {
      self.node = node
      self.links = links
    }
  }
  public struct Link: Sendable, Equatable {
    /// Of the node before.
    public var interface: String
    /// Of this hop.
    public var farInterface: String
    /// This hop's addresses on the link, at most one per family.
    public var gateways: [IPAddress]
    public var weight: UInt32

    public init(interface: String, farInterface: String, gateways: [IPAddress], weight: UInt32) {
      self.interface = interface
      self.farInterface = farInterface
      self.gateways = gateways
      self.weight = weight
    }
  }

  public var origin: RuleOrigin
  public var match: PacketMatch
  /// At least one. The first is a neighbor of the node, each other one of the one before.
  public var via: [Hop]

  public init(origin: RuleOrigin, match: PacketMatch, via: [Hop]) {
    self.origin = origin
    self.match = match
    self.via = via
  }
}

/// `flowspec:` of a router: a rule of RFC 8955 (IPv4) or RFC 8956 (IPv6) that it originates and obeys itself.
public struct FlowSpecRule: Sendable, Equatable {
  public enum Action: Sendable, Equatable {
    case drop
    /// bytes/s (the file says bit/s).
    case rate(Float)
    case packets(Float)
    case mark(UInt8)
    case redirect(IPAddress)
  }

  public var origin: RuleOrigin
  public var family: AddressFamily
  public var source: IPPrefix?
  public var destination: IPPrefix?
  /// IP protocol numbers.
  public var protocols: [UInt8]
  /// Either end's, the destination's, the source's.
  public var ports: [ClosedRange<UInt16>]
  public var destinationPorts: [ClosedRange<UInt16>]
  public var sourcePorts: [ClosedRange<UInt16>]
  public var icmpTypes: [UInt8]
  public var icmpCodes: [UInt8]
  /// All of these set.
  public var tcpFlags: UInt8?
  public var lengths: [ClosedRange<UInt16>]
  public var dscp: [UInt8]
  /// Any fragment.
  public var fragments: Bool?
  public var actions: [Action]

  public init(origin: RuleOrigin, family: AddressFamily) {
    self.origin = origin
    self.family = family
    source = nil
    destination = nil
    protocols = []
    ports = []
    destinationPorts = []
    sourcePorts = []
    icmpTypes = []
    icmpCodes = []
    tcpFlags = nil
    lengths = []
    dscp = []
    fragments = nil
    actions = []
  }
}

/// `publish: ["8080:80"]`: TCP.
public struct PublishedPort: Sendable, Equatable {
  /// Of the machine's loopback.
  public var outer: UInt16
  /// Of the node.
  public var inner: UInt16
  public var place: Place

  public init(outer: UInt16, inner: UInt16, place: Place) {
    self.outer = outer
    self.inner = inner
    self.place = place
  }
}
