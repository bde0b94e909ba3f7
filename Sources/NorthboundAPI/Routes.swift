/// `GET /v1/nodes/NODE/routes?prefix=`: the kernel's table main, read at the time of the question.
public struct KernelRoute: Codable, Sendable, Equatable {
  public var prefix: String
  /// unicast | unreachable | blackhole
  public var kind: String
  public var nextHops: [RouteNextHop]
  /// kernel | static | igp | bgp | other
  public var proto: String
  public var metric: UInt32
  public init(prefix: String, kind: String, nextHops: [RouteNextHop], proto: String, metric: UInt32) {
    self.prefix = prefix
    self.kind = kind
    self.nextHops = nextHops
    self.proto = proto
    self.metric = metric
  }
}

public struct RouteNextHop: Codable, Sendable, Equatable {
  public var address: String?
  public var interface: String?
  /// The node that owns the address, or the node across the interface's link.
  public var node: String?
  public var weight: UInt32
  public init(address: String?, interface: String?, node: String?, weight: UInt32) {
    self.address = address
    self.interface = interface
    self.node = node
    self.weight = weight
  }
}

/// `GET /v1/nodes/NODE/bgp?prefix=&neighbor=&limit=&offset=`
public struct BGPTable: Codable, Sendable, Equatable {
  public var node: String
  public var total: UInt64
  public var routes: [BGPRoute]
  public init(node: String, total: UInt64, routes: [BGPRoute]) {
    self.node = node
    self.total = total
    self.routes = routes
  }
}

public struct BGPRoute: Codable, Sendable, Equatable {
  public var prefix: String
  public var best: Bool
  public var multipath: Bool
  public var usable: Bool
  public var unusableBecause: String?
  /// nil: originated by this node.
  public var neighbor: String?
  public var nextHop: String?
  /// The node that owns the next hop's address.
  public var nextHopNode: String?
  /// AS_SEQUENCE as numbers; `asPathText` also shows sets and confederations.
  public var asPath: [UInt32]
  public var asPathText: String
  /// igp | egp | incomplete
  public var origin: String
  public var med: UInt32?
  public var localPref: UInt32?
  public var weight: UInt32
  public var communities: [String]
  public var largeCommunities: [String]
  public var otc: UInt32?
  /// The rule that decided (best), or that it lost by (others).
  public var because: String?
  public var igpCost: UInt32?
  public var stale: Bool
  public var rejected: Bool
  public var originatorID: String?
  public var clusterList: [String]

  public init(
    prefix: String, best: Bool, multipath: Bool, usable: Bool, unusableBecause: String?, neighbor: String?,
    nextHop: String?, nextHopNode: String?, asPath: [UInt32], asPathText: String, origin: String, med: UInt32?,
    localPref: UInt32?, weight: UInt32, communities: [String], largeCommunities: [String], otc: UInt32?,
    because: String?, igpCost: UInt32?, stale: Bool, rejected: Bool, originatorID: String?, clusterList: [String]
  ) {
    self.prefix = prefix
    self.best = best
    self.multipath = multipath
    self.usable = usable
    self.unusableBecause = unusableBecause
    self.neighbor = neighbor
    self.nextHop = nextHop
    self.nextHopNode = nextHopNode
    self.asPath = asPath
    self.asPathText = asPathText
    self.origin = origin
    self.med = med
    self.localPref = localPref
    self.weight = weight
    self.communities = communities
    self.largeCommunities = largeCommunities
    self.otc = otc
    self.because = because
    self.igpCost = igpCost
    self.stale = stale
    self.rejected = rejected
    self.originatorID = originatorID
    self.clusterList = clusterList
  }
}

/// `GET /v1/nodes/NODE/neighbors`
public struct NeighborDetail: Codable, Sendable, Equatable {
  public var node: String
  public var neighbor: String
  public var session: String
  public var state: String
  public var asn: UInt32
  public var localAddress: String
  public var address: String
  public var routerID: String?
  public var hold: UInt32
  public var keepalive: UInt32
  public var capabilities: [String]
  public var families: [FamilyDetail]
  public var updatesSent: UInt64
  public var updatesProcessed: UInt64
  public var flaps: UInt64
  public var upForMs: UInt64?
  public var lastError: String?
  public init(
    node: String, neighbor: String, session: String, state: String, asn: UInt32, localAddress: String, address: String,
    routerID: String?, hold: UInt32, keepalive: UInt32, capabilities: [String], families: [FamilyDetail],
    updatesSent: UInt64, updatesProcessed: UInt64, flaps: UInt64, upForMs: UInt64?, lastError: String?
  ) {
    self.node = node
    self.neighbor = neighbor
    self.session = session
    self.state = state
    self.asn = asn
    self.localAddress = localAddress
    self.address = address
    self.routerID = routerID
    self.hold = hold
    self.keepalive = keepalive
    self.capabilities = capabilities
    self.families = families
    self.updatesSent = updatesSent
    self.updatesProcessed = updatesProcessed
    self.flaps = flaps
    self.upForMs = upForMs
    self.lastError = lastError
  }
}

public struct FamilyDetail: Codable, Sendable, Equatable {
  /// ipv4 | ipv6
  public var family: String
  public var received: UInt64
  public var accepted: UInt64
  public var sent: UInt64
  public var stale: UInt64
  public var endOfRIBReceived: Bool
  public var endOfRIBSent: Bool
  public init(
    family: String, received: UInt64, accepted: UInt64, sent: UInt64, stale: UInt64, endOfRIBReceived: Bool,
    endOfRIBSent: Bool
  ) {
    self.family = family
    self.received = received
    self.accepted = accepted
    self.sent = sent
    self.stale = stale
    self.endOfRIBReceived = endOfRIBReceived
    self.endOfRIBSent = endOfRIBSent
  }
}

/// `GET /v1/nodes/NODE/links`
public struct LinkDetail: Codable, Sendable, Equatable {
  public var interface: String
  public var state: String
  public var carrier: Bool
  public var mtu: UInt32
  public var mac: String
  public var addresses: [String]
  /// "NODE:IFACE" of the far end.
  public var peer: String?
  public var rxPackets: UInt64
  public var txPackets: UInt64
  public var rxBytes: UInt64
  public var txBytes: UInt64
  public var rxDropped: UInt64
  public var txDropped: UInt64
  /// What the link does to what leaves here; nil: a veth pair and nothing more.
  public var impairment: ImpairmentDetail?
  public init(
    interface: String, state: String, carrier: Bool, mtu: UInt32, mac: String, addresses: [String], peer: String?,
    rxPackets: UInt64, txPackets: UInt64, rxBytes: UInt64, txBytes: UInt64, rxDropped: UInt64, txDropped: UInt64,
    impairment: ImpairmentDetail? = nil
  ) {
    self.interface = interface
    self.state = state
    self.carrier = carrier
    self.mtu = mtu
    self.mac = mac
    self.addresses = addresses
    self.peer = peer
    self.rxPackets = rxPackets
    self.txPackets = txPackets
    self.rxBytes = rxBytes
    self.txBytes = txBytes
    self.rxDropped = rxDropped
    self.txDropped = txDropped
    self.impairment = impairment
  }
}

/// `GET /v1/nodes/NODE/explain?prefix=`
public struct RouteExplanation: Codable, Sendable, Equatable {
  public var node: String
  /// The longest match, "" when nothing covers the question.
  public var prefix: String
  /// Best first.
  public var candidates: [BGPRoute]
  public var comparisons: [RouteComparison]
  public var kernel: KernelRoute?
  public init(
    node: String, prefix: String, candidates: [BGPRoute], comparisons: [RouteComparison], kernel: KernelRoute?
  ) {
    self.node = node
    self.prefix = prefix
    self.candidates = candidates
    self.comparisons = comparisons
    self.kernel = kernel
  }
}

public struct RouteComparison: Codable, Sendable, Equatable {
  /// Indexes into `candidates`.
  public var winner: Int
  public var loser: Int
  public var because: String
  public var detail: String
  public init(winner: Int, loser: Int, because: String, detail: String) {
    self.winner = winner
    self.loser = loser
    self.because = because
    self.detail = detail
  }
}
