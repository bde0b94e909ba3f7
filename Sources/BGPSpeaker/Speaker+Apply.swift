public import BGPCore
import BGPWire
import EventLoop
import NetTypes

extension Speaker {
  /// Reconciles with `configuration`: neighbors that did not change keep their sessions, a changed policy evaluates
  /// routes again without a reset, a changed transport resets that session alone. The same again changes nothing.
  /// On an error nothing of it was applied.
  public func apply(_ configuration: SpeakerConfiguration) throws(SpeakerError) {
    guard configuration != self.configuration else { return }
    try Self.check(configuration)
    try openListeners(configuration)
    try setKeys(configuration)
    let old = self.configuration
    self.configuration = configuration
    if old == nil { beginRestart(configuration) }
    let wanted = Dictionary(
      configuration.neighbors.map { ($0.peer.session, $0) }, uniquingKeysWith: { first, _ in first })
    for (session, neighbor) in neighbors.sorted(by: { $0.value.index < $1.value.index }) where wanted[session] == nil {
      remove(session, neighbor)
    }
    let resets = configuration.neighbors.filter { wanted in
      guard let neighbor = neighbors[wanted.peer.session] else { return false }
      return mustReset(neighbor, wanted, configuration)
    }
    for wanted in resets {
      neighbors[wanted.peer.session]?.deliver(.stop(Notification(.configurationChange)))
    }
    table.reconfigure(configuration.table)
    for wanted in configuration.neighbors { reconcile(wanted, configuration) }
    for wanted in configuration.neighbors { start(wanted.peer.session) }
    scheduleRound()
  }

  private func remove(_ session: String, _ neighbor: Neighbor) {
    neighbor.deliver(.stop(Notification(.peerDeconfigured)))
    neighbor.vanish()
    table.removePeer(neighbor.index)
    neighbors[session] = nil
    noteSessionChange()
  }

  /// Whether the change cannot be made under the session that stands.
  private func mustReset(
    _ neighbor: Neighbor, _ wanted: NeighborConfiguration, _ speaker: SpeakerConfiguration
  ) -> Bool {
    let old = neighbor.configuration
    return neighbor.session.parameters != SessionParameters(speaker, wanted) || old.transport != wanted.transport
      || old.peer.address != wanted.peer.address || old.peer.multihop != wanted.peer.multihop
  }

  /// New neighbors are added, changed ones told the table; a session that was stopped gets a new machine.
  private func reconcile(_ wanted: NeighborConfiguration, _ speaker: SpeakerConfiguration) {
    let parameters = SessionParameters(speaker, wanted)
    guard let neighbor = neighbors[wanted.peer.session] else {
      let index = table.addPeer(wanted.peer)
      neighbors[wanted.peer.session] = Neighbor(self, wanted, index, Session(parameters, restart: announcement))
      return
    }
    let isReset = mustReset(neighbor, wanted, speaker)
    let lifted = wanted.peer.maxPrefix != neighbor.configuration.peer.maxPrefix && neighbor.session.isHeldDown
    neighbor.update(wanted)
    if isReset { neighbor.replace(Session(parameters, restart: announcement)) }
    if lifted { neighbor.deliver(.start) }
    neighbor.enforceMaxPrefix()
  }

  /// A new machine starts; one that runs, or that is held down, hears nothing.
  private func start(_ session: String) {
    guard let neighbor = neighbors[session], neighbor.session.isStopped else { return }
    if let interface = neighbor.interface, downInterfaces.contains(interface) { neighbor.deliver(.linkDown) }
    neighbor.deliver(.start)
  }

  // MARK: Checks

  private static func check(_ configuration: SpeakerConfiguration) throws(SpeakerError) {
    guard configuration.table.asn.rawValue != 0 else { throw SpeakerError(offender: "", reason: "AS number 0") }
    guard configuration.table.routerID != 0 else { throw SpeakerError(offender: "", reason: "router id 0.0.0.0") }
    guard configuration.neighbors.count < Int(UInt16.max) else {
      throw SpeakerError(offender: "", reason: "\(configuration.neighbors.count) neighbors: more than 65534")
    }
    let policies = Set(configuration.table.policies.map(\.name))
    var sessions: Set<String> = []
    for neighbor in configuration.neighbors {
      guard let reason = fault(neighbor, policies) ?? duplicate(neighbor, &sessions) else { continue }
      throw SpeakerError(offender: "neighbor \(neighbor.peer.name)", reason: reason)
    }
  }

  private static func duplicate(_ neighbor: NeighborConfiguration, _ sessions: inout Set<String>) -> String? {
    sessions.insert(neighbor.peer.session).inserted ? nil : "a second session \(neighbor.peer.session)"
  }

  private static func fault(_ neighbor: NeighborConfiguration, _ policies: Set<String>) -> String? {
    let peer = neighbor.peer
    if peer.asn.rawValue == 0 { return "AS number 0" }
    if peer.address.isUnspecified || peer.address.isMulticast { return "\(peer.address) is no neighbor's address" }
    if neighbor.families.isEmpty { return "no address family" }
    if (1...2).contains(neighbor.timers.holdSeconds) { return "hold time under 3 s (RFC 4271 section 4.2)" }
    if let local = neighbor.transport.localAddress, local.family != peer.address.family {
      return "local address \(local) and \(peer.address) are of different families"
    }
    if let key = neighbor.transport.md5Key, !(1...80).contains(key.utf8.count) {
      return "MD5 key of \(key.utf8.count) bytes: 1 to 80 (RFC 2385)"
    }
    for case .named(let name) in [peer.importPolicy, peer.exportPolicy] where !policies.contains(name) {
      return "no policy \(name)"
    }
    return nil
  }
}
