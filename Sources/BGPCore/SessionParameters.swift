public import BGPWire
public import NetTypes

/// What a session machine is told once; a change of any field is a new session.
public struct SessionParameters: Sendable, Hashable {
  public var localASN: ASNumber
  public var localID: UInt32
  public var remoteASN: ASNumber
  public var families: FamilySet
  public var timers: TimerConfiguration
  public var isPassive: Bool
  /// Sent and compared on eBGP (RFC 9234); nil: none.
  public var role: Role?
  /// Seconds: what we ask of the peer, and the most that we keep its routes; nil: no graceful restart.
  public var gracefulRestart: GracefulRestart?

  public struct GracefulRestart: Sendable, Hashable {
    /// Announced: how long the peer should keep our routes.
    public var restartTime: UInt16
    /// How long we keep the peer's at most.
    public var staleTime: UInt16

    public init(restartTime: UInt16, staleTime: UInt16) {
      self.restartTime = restartTime
      self.staleTime = staleTime
    }
  }

  public init(_ speaker: SpeakerConfiguration, _ neighbor: NeighborConfiguration) {
    localASN = speaker.table.asn
    localID = speaker.table.routerID
    remoteASN = neighbor.peer.asn
    families = neighbor.families
    timers = neighbor.timers
    isPassive = neighbor.transport.isPassive
    role = neighbor.peer.roles && localASN != remoteASN ? neighbor.peer.relation.role : nil
    gracefulRestart =
      neighbor.gracefulRestart == 0
      ? nil : GracefulRestart(restartTime: min(speaker.restartTime, 4095), staleTime: neighbor.gracefulRestart)
  }

  public var isExternal: Bool { localASN != remoteASN }

  /// Our OPEN.
  /// - Parameter restart: what is said about our own restart (RFC 4724 section 3).
  func open(restart: RestartAnnouncement) -> Open {
    var capabilities: [Capability] = []
    let families = Family.allCases.filter { self.families.contains($0) }
    capabilities += families.map { .multiprotocol($0.afi, $0.safi) }
    capabilities += [.routeRefresh, .fourOctetAS(localASN.rawValue)]
    if let gracefulRestart {
      capabilities.append(
        .gracefulRestart(
          Capability.GracefulRestart(
            isRestarting: restart.isRestarting, restartTime: gracefulRestart.restartTime,
            entries: families.map {
              Capability.GracefulRestart.Entry(
                afi: $0.afi, safi: $0.safi, isForwardingPreserved: restart.preserved.contains($0))
            })))
    }
    if let role { capabilities.append(.role(role)) }
    return Open(asn: localASN, holdTime: timers.holdSeconds, identifier: localID, capabilities: capabilities)
  }
}

/// What the next OPEN says about our own restart (RFC 4724 section 3).
public struct RestartAnnouncement: Sendable, Hashable {
  /// R: we have restarted and wait for End-of-RIB before we select routes.
  public var isRestarting: Bool
  /// F: families whose routes the kernel kept.
  public var preserved: FamilySet

  public init(isRestarting: Bool, preserved: FamilySet) {
    self.isRestarting = isRestarting
    self.preserved = preserved
  }

  /// No restart; whatever ends a connection, the kernel keeps forwarding.
  public static let none = RestartAnnouncement(isRestarting: false, preserved: .all)
}
