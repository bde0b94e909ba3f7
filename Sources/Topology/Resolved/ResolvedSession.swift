public import NetTypes

/// One BGP session: a TCP connection between two speakers of the lab.
public struct ResolvedSession: Sendable, Equatable {
  public enum Kind: Hashable, Sendable { case external, `internal` }

  public var kind: Kind
  /// The family its TCP runs over.
  public var transport: AddressFamily
  /// What it carries.
  public var families: [AddressFamily]
  /// Index into `ResolvedLab.links` of a session over a point-to-point link; nil for iBGP and on a switch.
  public var link: Int?
  public var a: SessionEnd
  public var b: SessionEnd
}

/// One end, with everything its speaker must know. The far end's address and AS are those of the other `SessionEnd`.
public struct SessionEnd: Sendable, Equatable {
  public var node: String
  public var asn: ASNumber
  /// A real daemon: its own configuration rules, `settings` says only what netloom assumes of it.
  public var daemon: Bool
  public var address: IPAddress
  /// The local interface of an eBGP session; nil for iBGP between loopbacks.
  public var interface: String?
  /// Unique among the sessions of this node: `FARNODE:IFACE/ipv4`, `FARNODE/ipv4` between loopbacks.
  public var key: String
  /// The interface's (or loopback's) address of each family, for next hops of the family TCP does not run over.
  public var nextHopIPv4: IPAddress?
  public var nextHopIPv6: IPAddress?
  public var settings: NeighborSettings
}

/// What is written, or follows, for one neighbor.
public struct NeighborSettings: Sendable, Equatable {
  public var importPolicy: PolicyChoice
  public var exportPolicy: PolicyChoice
  /// What we are to the neighbor's AS; nil: nothing said, RFC 8212 applies on eBGP.
  public var role: Role?
  /// Send and enforce the role and OTC (RFC 9234).
  public var roles: Bool
  public var nextHopSelf: Bool
  /// The neighbor is our route-reflector client (RFC 4456).
  public var client: Bool
  /// At most 80 bytes (RFC 2385 as Linux does it).
  public var md5: String?
  public var ttlSecurity: Bool
  /// 0: no limit.
  public var maxPrefix: UInt32
  /// Seconds; 0: off.
  public var gracefulRestart: UInt32
  public var removePrivateAS: RemovePrivateAS
  public var allowOwnAS: UInt32
  public var sendCommunities: Bool
  /// Flow rules (RFC 8955) are exchanged; nil: not written, so between netloom routers of a lab only.
  public var flowSpec: Bool?
  public var passive: Bool
  public var multihop: Bool
  /// TCP port of the neighbor.
  public var port: UInt16
  public var timers: BGPTimers
}

/// `import:` and `export:`.
public enum PolicyChoice: Hashable, Sendable {
  /// Not written: the relation's filter, RFC 8212 without one, accept on iBGP.
  case unset
  case accept, reject
  case policy(String)
}

public enum RemovePrivateAS: String, Hashable, Sendable {
  /// `keep`: off. `remove`: only from paths that hold nothing else. `all`: wherever they stand. `replace`: by our own.
  case keep, remove, all, replace
}

public struct BGPTimers: Hashable, Sendable {
  /// Seconds; 0 with `hold` 0.
  public var keepalive: UInt32
  /// Seconds; 0: none.
  public var hold: UInt32
  /// Milliseconds between attempts to connect.
  public var connectMilliseconds: UInt32

  public init(keepalive: UInt32, hold: UInt32, connectMilliseconds: UInt32) {
    self.keepalive = keepalive
    self.hold = hold
    self.connectMilliseconds = connectMilliseconds
  }
}
