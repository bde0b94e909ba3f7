public import NetTypes

/// A lab as it is to be built: names looked up, addresses given out, sessions derived. Every value follows from the
/// file alone, so two readings of one file are equal.
public struct ResolvedLab: Sendable, Equatable {
  public var name: String
  /// The topology file as it was named by the caller, and the absolute directory relative paths start from.
  public var file: String
  public var baseDirectory: String
  public var ipv4: Bool
  public var ipv6: Bool
  /// In the order of the file, like `links` and `tests`.
  public var nodes: [ResolvedNode]
  public var links: [ResolvedLink]
  /// What switches join: one entry per set of switches that are connected with each other.
  public var segments: [Segment]
  /// Every BGP session with at least one netloom router.
  public var sessions: [ResolvedSession]
  public var policies: [Policy]
  public var tests: [LabTest]
  /// Text of /etc/hosts, the same in every node: a host by its first interface's address, a router by its loopback.
  public var hosts: String
  /// `drift: repair`: what others change in nft and tc is put right at once, not only reported.
  public var repairsDrift: Bool
  public var mesh: MeshSettings?

  private var indexes: [String: Int] = [:]

  public init(
    name: String, file: String, baseDirectory: String, ipv4: Bool, ipv6: Bool, nodes: [ResolvedNode],
    links: [ResolvedLink], segments: [Segment], sessions: [ResolvedSession], policies: [Policy], tests: [LabTest],
    hosts: String, repairsDrift: Bool = false, mesh: MeshSettings? = nil
  ) {
    self.name = name
    self.file = file
    self.baseDirectory = baseDirectory
    self.ipv4 = ipv4
    self.ipv6 = ipv6
    self.nodes = nodes
    self.links = links
    self.segments = segments
    self.sessions = sessions
    self.policies = policies
    self.tests = tests
    self.hosts = hosts
    self.repairsDrift = repairsDrift
    self.mesh = mesh
    for (index, node) in nodes.enumerated() { indexes[node.name] = index }
  }

  public func node(_ name: String) -> ResolvedNode? { indexes[name].map { nodes[$0] } }
}

/// What a node is.
public enum NodeKind: String, Hashable, Sendable, CaseIterable {
  case router, host, pod, `switch`, registry, bird, frr, gobgp, openbgpd

  /// A real routing daemon with the user's own configuration.
  public var isDaemon: Bool {
    switch self {
    case .bird, .frr, .gobgp, .openbgpd: true
    case .router, .host, .pod, .switch, .registry: false
    }
  }

  /// Where programs run that send and answer, and nothing passes through.
  public var isHost: Bool { self == .host || self == .pod || self == .registry }

  /// Passes packets between its interfaces by IP.
  public var forwards: Bool { self == .router || isDaemon }
}

public struct ResolvedNode: Sendable, Equatable {
  public var name: String
  public var kind: NodeKind
  public var place: Place
  /// nil: no BGP.
  public var asn: ASNumber?
  /// Of routers with an `asn`: written, else the IPv4 loopback, else in an IPv6-only lab the node's number in the
  /// file counted from 1.
  public var routerID: IPv4Address?
  /// What it originates.
  public var networks: [IPPrefix]
  /// The members of `networks` that no interface covers: each needs an unreachable route in the kernel.
  public var unreachable: [IPPrefix]
  /// Addresses on `lo`, /32 and /128. Written ones first; routers always have one per family of the lab.
  public var loopbacks: [InterfaceAddress]
  /// By ifindex.
  public var interfaces: [ResolvedInterface]
  /// What the file says: `sysctls` and `congestion`. What every lab needs besides is not here.
  public var sysctls: [String: String]
  /// Where `congestion` is written; nil: nowhere.
  public var congestionPlace: Place?
  /// Of a router with an `asn`; nil otherwise.
  public var bgp: BGPSettings?
  /// Static routes, and the default routes of a host with one router.
  public var routes: [StaticRoute]
  public var exec: [String]
  public var commands: [String]
  /// `NAME=VALUE`, sorted by name.
  public var environment: [String]
  public var labels: [String: String]
  /// Absolute path of a daemon's configuration, or of a registry's storage; nil for the other kinds.
  public var config: String?
  /// `neighbor-entries: permanent` (the default).
  public var permanentNeighbors: Bool
  /// NAT, filter, QoS, paths, FlowSpec, published ports.
  public var functions: PacketFunctions
  /// Of pods; nil otherwise.
  public var pod: PodSettings?
  /// nil: it runs no image.
  public var container: ContainerSettings?

  /// The first loopback of the family.
  public func loopback(_ family: AddressFamily) -> IPAddress? {
    loopbacks.first { $0.address.family == family }?.address
  }
}

/// One interface as its node sees it; the same facts stand in `ResolvedLink`.
public struct ResolvedInterface: Sendable, Equatable {
  public var name: String
  /// Fixed, from 2 upward in the order of the file's links (`lo` is 1).
  public var index: UInt32
  public var mac: MACAddress
  public var addresses: [InterfaceAddress]
  /// Index into `ResolvedLab.links`, and which end of it this is.
  public var link: Int
  public var end: LinkSide
  public var mtu: UInt32
  public var cost: UInt32
  /// Index into `ResolvedLab.segments`: the interface stands on a switched segment. nil: point to point.
  public var segment: Int?
  /// The other end, which is a switch port where `segment` is set.
  public var farNode: String
  public var farInterface: String

  public func address(_ family: AddressFamily) -> IPAddress? {
    addresses.first { $0.address.family == family }?.address
  }
}

/// `bgp:` of a node, defaults applied. What belongs to one neighbor is in `SessionEnd`.
public struct BGPSettings: Sendable, Equatable {
  public var multipath: UInt32
  public var routeReflector: Bool
  /// nil: the router id.
  public var clusterID: IPv4Address?
  public var preferCustomer: Bool
  /// Seconds, advertised in capability 64 (RFC 4724): the longest `graceful-restart` of its neighbors; 0: off.
  public var restartTime: UInt32
}

/// A route the file or a rule of the contract gives a node.
public struct StaticRoute: Sendable, Equatable {
  public var to: IPPrefix
  public var gateway: IPAddress
  public var interface: String
  /// The default route that a host with one router gets unasked.
  public var derived: Bool
  /// Of `gateway`, beside `others`.
  public var weight: UInt32 = 1
  /// The further hops of a route over several, each with flows by its weight.
  public var others: [Hop] = []

  public struct Hop: Sendable, Equatable {
    public var gateway: IPAddress
    public var interface: String
    public var weight: UInt32
  }

  /// All of them.
  public var hops: [Hop] { [Hop(gateway: gateway, interface: interface, weight: weight)] + others }
}
