public import BGPWire
public import NetTypes

/// What the two OPENs of a connection agree on.
public struct Agreement: Sendable, Hashable {
  public var remoteASN: ASNumber
  public var remoteID: UInt32
  public var families: FamilySet
  /// Seconds; 0: neither hold timer nor keepalives (RFC 4271 section 4.2).
  public var holdSeconds: UInt16
  public var keepaliveSeconds: UInt16
  public var hasFourOctetAS: Bool
  public var hasRouteRefresh: Bool
  /// Both ends sent roles, and they fit.
  public var hasRoles: Bool
  /// The peer's capability 64, when both ends sent one.
  public var gracefulRestart: PeerRestart?
  /// The peer sent capability 64: it will send End-of-RIB.
  public var peerSendsEndOfRIB: Bool
  /// Registry names of the capabilities that both ends sent.
  public var capabilities: [String]

  public struct PeerRestart: Sendable, Hashable {
    public var isRestarting: Bool
    /// How long to keep the peer's routes when its connection is lost.
    public var restartTime: UInt16
    /// Families, of ours, whose routes the peer wants kept.
    public var families: FamilySet
    /// Those of them for which it kept its own forwarding state.
    public var preserved: FamilySet
  }

  /// - Parameters:
  ///   - ours: the OPEN that we sent on this connection.
  ///   - theirs: the OPEN that came.
  public init(_ parameters: SessionParameters, ours: Open, theirs: Open) throws(MessageError) {
    guard theirs.asn == parameters.remoteASN else { throw .badPeerAS }
    // RFC 6286 section 2.2: the identifier has to differ inside an AS only.
    guard parameters.isExternal || theirs.identifier != parameters.localID else { throw .badIdentifier }
    hasRoles = try Self.rolesAgree(parameters, theirs)
    families = parameters.families.intersection(theirs.families)
    guard !families.isEmpty else {
      throw .unsupportedCapability(ours.capabilities.filter { $0.code == .multiprotocol })
    }
    remoteASN = theirs.asn
    remoteID = theirs.identifier
    holdSeconds = min(ours.holdTime, theirs.holdTime)
    keepaliveSeconds = Self.keepalive(parameters.timers, hold: holdSeconds)
    hasFourOctetAS = ours.hasFourOctetAS && theirs.hasFourOctetAS
    hasRouteRefresh = ours.hasRouteRefresh && theirs.hasRouteRefresh
    peerSendsEndOfRIB = theirs.gracefulRestart != nil
    gracefulRestart = parameters.gracefulRestart == nil ? nil : Self.restart(theirs, families)
    capabilities = Self.common(ours.capabilities, theirs.capabilities)
  }

  /// RFC 9234 section 4.2. Roles are for eBGP; a peer without one is taken as it is (no strict mode).
  private static func rolesAgree(_ parameters: SessionParameters, _ theirs: Open) throws(MessageError) -> Bool {
    guard let role = parameters.role else { return false }
    let roles = theirs.roles
    guard let theirRole = roles.first else { return false }
    guard roles.count == 1, role.agrees(with: theirRole) else { throw .roleMismatch }
    return true
  }

  /// A third of the hold time unless less is configured (RFC 4271 section 4.4), at least a second.
  private static func keepalive(_ timers: TimerConfiguration, hold: UInt16) -> UInt16 {
    guard hold > 0 else { return 0 }
    let third = max(hold / 3, 1)
    return timers.keepaliveSeconds == 0 ? third : min(timers.keepaliveSeconds, third)
  }

  private static func restart(_ theirs: Open, _ families: FamilySet) -> PeerRestart? {
    guard let capability = theirs.gracefulRestart else { return nil }
    var restart = PeerRestart(
      isRestarting: capability.isRestarting, restartTime: capability.restartTime, families: [], preserved: [])
    for entry in capability.entries {
      guard let family = Family(afi: entry.afi, safi: entry.safi), families.contains(family) else { continue }
      restart.families.insert(FamilySet(family))
      if entry.isForwardingPreserved { restart.preserved.insert(FamilySet(family)) }
    }
    return restart
  }

  private static func common(_ ours: [Capability], _ theirs: [Capability]) -> [String] {
    ours.filter { capability in
      theirs.contains { other in
        if case .multiprotocol = capability { return other == capability }
        return other.code == capability.code
      }
    }.map(\.name)
  }
}
