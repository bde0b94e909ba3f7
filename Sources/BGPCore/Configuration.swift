// What a speaker is told to be. The core owns these types; whoever reads a file or a message lowers it to them once,
// at the edge, and nothing below ever sees where a value came from.
//
//   SpeakerConfiguration ─┬─ networks            what we originate, and nothing else
//                         ├─ policies            by name, compiled by RoutingTable
//                         └─ neighbors ── NeighborConfiguration ── TransportConfiguration (a change resets the session)

public import BGPWire
public import NetTypes

/// One BGP speaker: everything `Speaker.apply` and `RoutingTable.apply` need.
public struct SpeakerConfiguration: Sendable, Equatable {
  public var asn: ASNumber
  /// The BGP Identifier (RFC 6286): any non-zero number, unique within the AS.
  public var routerID: UInt32
  /// What it originates, and nothing else.
  public var networks: [IPPrefix] = []
  /// In any order; `NeighborConfiguration.session` is unique among them.
  public var neighbors: [NeighborConfiguration] = []
  public var policies: [Policy] = []
  /// Most next hops of one route; 0 and 1: no multipath.
  public var multipath = 1
  /// Reflect routes between iBGP clients (RFC 4456).
  public var routeReflector = false
  /// RFC 4456 section 7; 0: the router id.
  public var clusterID: UInt32 = 0
  /// Set LOCAL_PREF by relation: customers over peers over providers.
  public var preferCustomer = false
  /// Seconds a peer should keep our routes while we restart (RFC 4724 section 3), at most 4095.
  public var restartTime: UInt16 = 120
  /// TCP port to listen on; 0: 179.
  public var listenPort: UInt16 = 0
  /// Open the listening sockets here; false: they are passed to `Speaker`.
  public var opensListener = false

  public init(asn: ASNumber, routerID: UInt32) {
    self.asn = asn
    self.routerID = routerID
  }
}

/// One session of the speaker. Two sessions with one far node (one per family, or one per link) are two of these.
public struct NeighborConfiguration: Sendable, Equatable {
  /// The far node's name, or its address as text: what policies and people call it.
  public var name: String
  /// Unique within the speaker, e.g. `isp1:eth1/ipv4`; the identity of the session across `apply`.
  public var session: String
  public var address: IPAddress
  public var asn: ASNumber
  /// The far end's families as asked for; a session carries those that both ends have.
  public var families: FamilySet = .all
  public var transport = TransportConfiguration()
  public var timers = TimerConfiguration()
  public var importPolicy: PolicyReference = .default
  public var exportPolicy: PolicyReference = .default
  /// What we are to the far end's AS; nil: nothing written, RFC 8212 applies.
  public var relation: Relation?
  /// Send the role capability and obey OTC (RFC 9234).
  public var usesRoles = true
  public var nextHopSelf = false
  /// The neighbor is our route-reflector client.
  public var isClient = false
  /// Most prefixes the neighbor may send, per family; 0: no limit. More of them end the session (RFC 4486 subcode 1).
  public var maxPrefixes = 0
  /// Seconds we keep the neighbor's routes while it restarts at most; 0: no graceful restart in either role (RFC 4724).
  public var gracefulRestart: UInt16 = 120
  public var removePrivateAS = PrivateASRemoval.keep
  /// How often our own AS number may stand in a received path.
  public var allowOwnAS = 0
  /// Send communities and large communities.
  public var sendsCommunities = true
  /// Next hops for routes of the other family than the session's; nil: the session's own local address, where it fits.
  public var nextHopIPv4: IPv4Address?
  public var nextHopIPv6: IPv6Address?
  /// The far end is a real daemon, not a netloom speaker.
  public var isDaemon = false

  public init(name: String, session: String? = nil, address: IPAddress, asn: ASNumber) {
    self.name = name
    self.session = session ?? name
    self.address = address
    self.asn = asn
  }
}

/// How the TCP connection is made. A change of any field resets the session.
public struct TransportConfiguration: Sendable, Equatable {
  /// nil: by route lookup.
  public var localAddress: IPAddress?
  /// The local interface of an eBGP session on a link: its loss ends the session at once. nil for iBGP and multihop.
  public var interface: String?
  /// Never connect, only accept.
  public var isPassive = false
  /// The far end's port; 0: 179.
  public var port: UInt16 = 0
  /// RFC 2385 key, 1 to 80 bytes; nil: none.
  public var md5Key: String?
  /// RFC 5082: send with 255, take only 255.
  public var ttlSecurity = false
  /// eBGP over more than one link: no TTL 1.
  public var isMultihop = false

  public init() {}
}

/// Seconds and milliseconds as configured; hold and keepalive are negotiated down (RFC 4271 section 4.2).
public struct TimerConfiguration: Sendable, Equatable {
  /// 0: no hold timer and no keepalives; otherwise at least 3.
  public var holdSeconds: UInt16 = 90
  /// 0: a third of the negotiated hold time; never more than that third.
  public var keepaliveSeconds: UInt16 = 0
  public var connectRetryMilliseconds: UInt32 = 1000

  public init() {}
}

/// Our place in the relation with the neighbor: RFC 9234 role names, plus what it does not cover.
public enum Relation: Sendable, Equatable, Hashable {
  /// We are the neighbor's provider (it is our customer).
  case provider
  /// We are the neighbor's customer.
  case customer
  case peer
  /// We are the route server.
  case routeServer
  case routeServerClient
  /// Everything passes, no role.
  case sibling
  /// Everything passes, said on purpose, no role.
  case open

  /// The role we announce; nil where RFC 9234 has none.
  public var role: Role? {
    switch self {
    case .provider: .provider
    case .customer: .customer
    case .peer: .peer
    case .routeServer: .routeServer
    case .routeServerClient: .routeServerClient
    case .sibling, .open: nil
    }
  }
}

/// Which policy stands at one end of a session.
public enum PolicyReference: Sendable, Equatable, Hashable {
  /// The relation's filter; without a relation RFC 8212 on eBGP and accept on iBGP.
  case `default`
  case accept
  case reject
  /// A policy of `SpeakerConfiguration.policies`.
  case named(String)
}

/// What happens to private AS numbers (RFC 6996) of paths sent over eBGP.
public enum PrivateASRemoval: Sendable, Equatable, Hashable {
  case keep
  /// Only where the whole path is private.
  case remove
  /// Every private number.
  case all
  /// Every private number becomes our own.
  case replace
}
