public import BGPWire
public import NetTypes

/// The index of a neighbor in its `RoutingTable`, stable from `addPeer` to `removePeer`; 0 is the speaker itself.
public struct PeerIndex: Hashable, Comparable, Sendable {
  public let rawValue: UInt16
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
  @inlinable public static func < (a: PeerIndex, b: PeerIndex) -> Bool { a.rawValue < b.rawValue }

  /// The pseudo neighbor that our own `networks` come from.
  public static let local = PeerIndex(rawValue: 0)
}

/// Our place in the relation with a neighbor: RFC 9234 role names, and what those do not cover.
public enum Relation: UInt8, Hashable, Sendable {
  /// Nothing written: RFC 8212 applies on eBGP.
  case none
  /// We are the neighbor's provider; it is our customer.
  case provider
  /// We are the neighbor's customer.
  case customer
  case peer
  case routeServer
  case routeServerClient
  /// Everything passes, no role.
  case sibling
  /// Everything passes, said on purpose, no role.
  case open
}

/// What a neighbor's `import:` or `export:` says.
public enum PolicyReference: Hashable, Sendable {
  /// Nothing written: the relation's filter; without a relation nothing passes on eBGP (RFC 8212), all on iBGP.
  case byRelation
  case accept
  case reject
  /// A policy of `TableSettings.policies`. A name that is not there rejects everything.
  case named(String)
}

/// What to do with private AS numbers (RFC 6996) in paths sent over eBGP.
public enum PrivateASRemoval: UInt8, Hashable, Sendable {
  case keep
  /// Take them away where the whole path is private.
  case remove
  /// Take every one away.
  case all
  /// Write our own number in place of every one.
  case replace
}

/// What the table has to know about a neighbor before it has a session.
public struct PeerSettings: Hashable, Sendable {
  /// For people, policies (`match: {neighbor}`) and queries; several sessions may share it.
  public var name: String
  /// Unique within the speaker.
  public var session: String
  public var asn: ASNumber
  public var address: IPAddress
  public var relation: Relation = .none
  /// RFC 9234 procedures for OTC are in force.
  public var roles = false
  public var importPolicy: PolicyReference = .byRelation
  public var exportPolicy: PolicyReference = .byRelation
  public var nextHopSelf = false
  /// RFC 4456, meaningful on iBGP.
  public var routeReflectorClient = false
  public var privateASRemoval: PrivateASRemoval = .keep
  /// How often our own AS number may stand in a path that is accepted from this neighbor.
  public var allowOwnAS = 0
  /// COMMUNITIES, LARGE_COMMUNITY and extended communities are sent.
  public var sendCommunities = true
  /// Per family; 0: no limit. One more than this ends the session with Cease/1 (RFC 4486).
  public var maxPrefix: UInt32 = 0
  /// Our own addresses to write as next hop; nil: the session's local address if of the family, otherwise no route of
  /// the family can be sent with ourselves as next hop.
  public var nextHopIPv4: IPv4Address?
  public var nextHopIPv6: IPv6Address?
  /// eBGP over more than one link: never keep a third party's next hop.
  public var multihop = false

  public init(name: String, session: String, asn: ASNumber, address: IPAddress) {
    self.name = name
    self.session = session
    self.asn = asn
    self.address = address
  }
}

/// What OPEN messages agreed on, as far as routes are concerned.
public struct Negotiated: Hashable, Sendable {
  public var families: FamilySet
  /// Both sides sent capability 65 (RFC 6793).
  public var fourOctetAS: Bool
  public var peerRouterID: UInt32
  /// Of the TCP connection; the next hop of the session's own family unless the settings name one.
  public var localAddress: IPAddress
  /// Largest message the peer takes, header included.
  public var maxMessageSize: Int

  public init(
    families: FamilySet, fourOctetAS: Bool, peerRouterID: UInt32, localAddress: IPAddress,
    maxMessageSize: Int = MessageHeader.maximumLength
  ) {
    self.families = families
    self.fourOctetAS = fourOctetAS
    self.peerRouterID = peerRouterID
    self.localAddress = localAddress
    self.maxMessageSize = maxMessageSize
  }
}
