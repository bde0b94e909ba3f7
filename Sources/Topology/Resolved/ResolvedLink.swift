public import NetTypes

public enum LinkSide: UInt8, Hashable, Sendable { case a, b }

/// A veth pair.
public struct ResolvedLink: Sendable, Equatable {
  public var a: LinkEnd
  public var b: LinkEnd
  public var mtu: UInt32
  /// For the shortest paths inside an AS; 1 unless written.
  public var cost: UInt32
  public var relation: LinkRelation?
  /// `roles: false` keeps the relation without RFC 9234.
  public var roles: Bool
  /// Point to point, and both ends want permanent neighbour entries.
  public var permanentNeighbors: Bool
  /// What the file lets it do to packets; nil: a veth pair and nothing more.
  public var impairment: LinkImpairment?
  public var place: Place

  public subscript(side: LinkSide) -> LinkEnd { side == .a ? a : b }
}

/// `delay`, `jitter`, `loss` and `rate` of a link, each way.
public struct LinkImpairment: Sendable, Equatable {
  /// `delay:` is written, 0 included: the link can delay.
  public var canDelay: Bool
  public var delayMicroseconds: UInt32
  public var jitterMicroseconds: UInt32
  /// Of 1,000,000 packets.
  public var lossPPM: UInt32
  /// bit/s; nil: no limit.
  public var rate: UInt64?
  public var place: Place

  public init(
    canDelay: Bool = false, delayMicroseconds: UInt32 = 0, jitterMicroseconds: UInt32 = 0, lossPPM: UInt32 = 0,
    rate: UInt64? = nil, place: Place
  ) {
    self.canDelay = canDelay
    self.delayMicroseconds = delayMicroseconds
    self.jitterMicroseconds = jitterMicroseconds
    self.lossPPM = lossPPM
    self.rate = rate
    self.place = place
  }
}

public struct LinkEnd: Sendable, Equatable {
  public var node: String
  public var interface: String
  /// Fixed, unique in its node.
  public var ifindex: UInt32
  /// Locally administered, unique in the lab.
  public var mac: MACAddress
  /// None on a switch port.
  public var addresses: [InterfaceAddress]

  /// `NODE:IFACE`, as tests and commands write it.
  public var name: String { "\(node):\(interface)" }

  public func address(_ family: AddressFamily) -> IPAddress? {
    addresses.first { $0.address.family == family }?.address
  }
}

/// `relation:` of a link: the first end's place is named first.
public enum LinkRelation: String, Hashable, Sendable, CaseIterable {
  case customerProvider = "customer-provider"
  case peerPeer = "peer-peer"
  case sibling
  case routeServer = "route-server"
  case open
}

/// What an end is to the AS at the far end: RFC 9234 section 3.1 names, and two that have no role there.
public enum Role: Hashable, Sendable {
  case provider, customer, peer, routeServer, routeServerClient, sibling, open

  /// Seen from the other end.
  public var mirrored: Role {
    switch self {
    case .provider: .customer
    case .customer: .provider
    case .routeServer: .routeServerClient
    case .routeServerClient: .routeServer
    case .peer, .sibling, .open: self
    }
  }

  /// Has a role of RFC 9234.
  public var isRFC9234: Bool { self != .sibling && self != .open }
}

extension LinkRelation {
  /// Of the first end.
  public var role: Role {
    switch self {
    case .customerProvider: .customer
    case .peerPeer: .peer
    case .sibling: .sibling
    case .routeServer: .routeServerClient
    case .open: .open
    }
  }
}

/// One Ethernet that switches make: every interface on it sees every other.
public struct Segment: Sendable, Equatable {
  /// Node names.
  public var switches: [String]
  /// At most one per family.
  public var subnets: [IPPrefix]
  /// The ends that are no switch ports, in the order of the file.
  public var members: [SegmentMember]
}

public struct SegmentMember: Sendable, Equatable {
  /// Index into `ResolvedLab.links`.
  public var link: Int
  public var side: LinkSide
  public var node: String
  public var interface: String
}
