import BGPCore
import BGPWire
import NetTypes

extension Speaker {
  /// The state between two events of the loop.
  public func sample() -> SpeakerSample {
    let reason = busyBecause
    return SpeakerSample(
      isIdle: reason == nil, busyBecause: reason, activity: table.activity &+ sessionChanges,
      ribVersion: table.version, ribRoutes: table.bestCount, sessions: sorted.map(sample))
  }

  private var busyBecause: String? {
    if table.isDeferring { return "deferral" }
    if heldSince != nil { return "coalescing" }
    if table.hasWork || hasNewInput { return "input" }
    for neighbor in neighbors.values {
      if neighbor.hasPartialInput { return "input" }
      if neighbor.hasOutput { return "output" }
      if !neighbor.session.staleFamilies.isEmpty { return "stale" }
    }
    return nil
  }

  private func sample(_ neighbor: Neighbor) -> SessionSample {
    let peer = neighbor.configuration.peer
    var sample = SessionSample(session: peer.session, neighbor: peer.name, state: neighbor.session.state)
    if let connection = neighbor.current {
      sample.local = connection.local
      sample.remote = connection.remote
      sample.bytesIn = connection.bytesIn
      sample.bytesOut = connection.bytesOut
    }
    sample.updatesSent = neighbor.updatesSent
    sample.updatesProcessed = neighbor.updatesProcessed
    sample.lastError = neighbor.lastError
    sample.isDaemon = neighbor.configuration.isDaemon
    sample.establishedAtMilliseconds = neighbor.establishedAt
    sample.flaps = neighbor.session.flaps
    if let agreement = neighbor.session.agreement {
      sample.remoteASN = agreement.remoteASN
      sample.remoteID = agreement.remoteID
      sample.holdSeconds = agreement.holdSeconds
      sample.keepaliveSeconds = agreement.keepaliveSeconds
      sample.capabilities = agreement.capabilities
      sample.peerSendsEndOfRIB = agreement.peerSendsEndOfRIB
    }
    // What both ends speak, once that is known: nothing is to come of the rest.
    let families = neighbor.session.agreement?.families ?? neighbor.configuration.families
    sample.families = Family.allCases.filter(families.contains).map {
      FamilySample(family: $0, table.counters(neighbor.index, $0))
    }
    return sample
  }
}

extension FamilySample {
  init(family: Family, _ counters: FamilyCounters) {
    self.init(family: family)
    endOfRIBReceived = counters.endOfRIBReceived
    endOfRIBSent = counters.endOfRIBSent
    prefixesReceived = counters.received
    prefixesAccepted = counters.accepted
    prefixesSent = counters.sent
    stale = counters.stale
  }
}
