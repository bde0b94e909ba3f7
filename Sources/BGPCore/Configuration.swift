// What a speaker is told to be. The core owns these types; whoever reads a file or a message lowers it to them once,
// at the edge, and nothing below ever sees where a value came from.
//
//   SpeakerConfiguration ─┬─ TableSettings            for RoutingTable: who we are, networks, policies
//                         └─ NeighborConfiguration ─┬─ PeerSettings             for RoutingTable
//                                                   ├─ TimerConfiguration       for Session
//                                                   └─ TransportConfiguration   for the sockets; a change resets

public import BGPWire
public import NetTypes

/// One BGP speaker: everything `Speaker.apply` needs.
public struct SpeakerConfiguration: Sendable, Hashable {
  public var table: TableSettings
  /// In any order; `PeerSettings.session` is unique among them and is the identity of a session across `apply`.
  public var neighbors: [NeighborConfiguration] = []
  /// Seconds a peer should keep our routes while we restart (RFC 4724 section 3), at most 4095.
  public var restartTime: UInt16 = 120
  /// TCP port to listen on; 0: 179.
  public var listenPort: UInt16 = 0
  /// Open the listening sockets here; false: they are passed to `Speaker`.
  public var opensListener = false
  /// What to listen on then; empty: every address of both families.
  public var listenAddresses: [IPAddress] = []

  public init(table: TableSettings) { self.table = table }
}

/// One session of the speaker. Two sessions with one far node (one per family, or one per link) are two of these.
public struct NeighborConfiguration: Sendable, Hashable {
  /// Names, address, AS number and everything that routes depend on.
  public var peer: PeerSettings
  /// What we offer; the session carries the families that both ends offer.
  public var families: FamilySet = .unicast
  public var transport = TransportConfiguration()
  public var timers = TimerConfiguration()
  /// Seconds we keep the neighbor's routes while it restarts at most; 0: no graceful restart in either role (RFC 4724).
  public var gracefulRestart: UInt16 = 120
  /// The far end is a real daemon, not a netloom speaker.
  public var isDaemon = false

  public init(peer: PeerSettings) { self.peer = peer }
}

/// How the TCP connection is made. A change of any field resets the session.
public struct TransportConfiguration: Sendable, Hashable {
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

  public init() {}
}

/// Timers as configured; hold and keepalive are negotiated down (RFC 4271 section 4.2).
public struct TimerConfiguration: Sendable, Hashable {
  /// 0: no hold timer and no keepalives; otherwise at least 3.
  public var holdSeconds: UInt16 = 90
  /// 0: a third of the negotiated hold time; never more than that third.
  public var keepaliveSeconds: UInt16 = 0
  /// The longest pause between attempts to connect; after a loss they begin much sooner.
  public var connectRetryMilliseconds: UInt32 = 1000

  public init() {}
}

extension Relation {
  /// The role we announce; nil where RFC 9234 has none.
  public var role: Role? {
    switch self {
    case .provider: .provider
    case .customer: .customer
    case .peer: .peer
    case .routeServer: .routeServer
    case .routeServerClient: .routeServerClient
    case .none, .sibling, .open: nil
    }
  }
}
