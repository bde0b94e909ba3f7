internal import ControlProtocol
internal import Intent

/// What the controller knows of one node that has an agent, at the time of a judgement.
struct NodeView: Sendable {
  var connected: Bool
  /// Newest version per resource type that was sent to it.
  var desired: [String: UInt64]
  /// Newest version acknowledged, which a sample taken before cannot show.
  var applied: [String: UInt64]
  /// Why a version was refused, per resource type; gone when a later one is applied.
  var refused: [String: String]
  var sample: NLSample?
}

/// Says whether samples prove that the lab has converged, and why they do not.
///
/// A pure value: the samples of one wave in, reasons out. `ConvergenceTracker` decides when to ask.
struct ConvergenceJudge: Sendable {
  /// Expected sessions by the node that reports them.
  var sessions: [String: [ExpectedSession]] = [:]
  /// Sessions that cannot stand, by node: one that is still Established has not noticed yet.
  var broken: [String: [ExpectedSession]] = [:]
  /// Ends of links whose state was changed from here and not yet confirmed by a sample: node -> interface -> up.
  var awaitedLinks: [String: [String: Bool]] = [:]

  /// The counters of two nodes can be compared only within one wave; what arrived at different times tells states.
  enum Depth { case states, counters }

  /// Every reason why `nodes` are not converged, in words for people; stops near `limit`.
  func reasons(_ nodes: [String: NodeView], depth: Depth, limit: Int = .max) -> [String] {
    var found: [String] = []
    let ordered = nodes.sorted { $0.key < $1.key }
    for (name, view) in ordered where found.count < limit {
      if let reason = ownReason(of: name, view, depth) { found.append(reason) }
    }
    for name in awaitedLinks.keys.sorted() where nodes[name] == nil && found.count < limit {
      if let reason = awaitedLink(of: name) { found.append(reason) }
    }
    guard found.count < limit else { return found }
    let index = SessionIndex(nodes)
    for (name, _) in ordered where found.count < limit {
      for session in sessions[name] ?? [] {
        if let reason = reason(of: session, index, depth) { found.append(reason) }
      }
      for session in broken[name] ?? [] where index[name, session.key]?.state == .established {
        found.append("\(name) ↔ \(session.neighbor): still established, though nothing carries it")
      }
    }
    return found
  }

  /// Whether a whole wave is a proof.
  func holds(_ nodes: [String: NodeView]) -> Bool {
    for (name, view) in nodes where ownReason(of: name, view, .counters) != nil { return false }
    // Nodes without an agent are in no wave; what is awaited of them is told by netloom-machine.
    guard awaitedLinks.keys.allSatisfy({ nodes[$0] != nil }) else { return false }
    let index = SessionIndex(nodes)
    return sessions.values.allSatisfy { $0.allSatisfy { reason(of: $0, index, .counters) == nil } }
      && broken.values.allSatisfy { $0.allSatisfy { index[$0.node, $0.key]?.state != .established } }
  }

  /// What one node's newest sample tells without its neighbors': cheap enough for every push.
  func isDone(_ name: String, _ view: NodeView) -> Bool {
    guard ownReason(of: name, view, .states) == nil, let sample = view.sample else { return false }
    let expected = sessions[name] ?? []
    let barred = broken[name] ?? []
    if expected.isEmpty, barred.isEmpty { return true }
    let states = Dictionary(sample.sessions.map { ($0.key, $0) }) { first, _ in first }
    if barred.contains(where: { states[$0.key]?.state == .established }) { return false }
    return expected.allSatisfy { session in
      guard let near = states[session.key], near.state == .established else { return false }
      return Self.endOfRIB(session, near) == nil
    }
  }

  private func ownReason(of name: String, _ view: NodeView, _ depth: Depth) -> String? {
    guard view.connected else { return "\(name): its agent is not connected" }
    for (_, text) in view.refused.sorted(by: { $0.key < $1.key }) { return "\(name): \(text)" }
    guard let sample = view.sample else { return "\(name): no sample yet" }
    for (type, version) in view.desired.sorted(by: { $0.key < $1.key }) {
      let applied = (depth == .counters ? sample.applied : view.applied)[type] ?? 0
      if applied != version { return "\(name): \(type) version \(version) not applied yet (has \(applied))" }
    }
    if !sample.idle {
      return "\(name): busy (\(sample.busyBecause.isEmpty ? "unknown" : sample.busyBecause))"
    }
    if sample.fibVersion != sample.ribVersion {
      return "\(name): the kernel has acknowledged RIB version \(sample.fibVersion) of \(sample.ribVersion)"
    }
    return awaitedLink(of: name)
  }

  private func awaitedLink(of name: String) -> String? {
    (awaitedLinks[name] ?? [:]).min { $0.key < $1.key }
      .map { interface, up in "\(name):\(interface): not yet seen \(up ? "up" : "down")" }
  }

  private func reason(of session: ExpectedSession, _ index: SessionIndex, _ depth: Depth) -> String? {
    guard let near = index[session.node, session.key] else {
      return "\(session.node) ↔ \(session.neighbor): the speaker does not know this session yet"
    }
    guard near.state == .established else { return Self.down(session, near) }
    if let reason = Self.endOfRIB(session, near) { return reason }
    guard let farKey = session.farKey else { return nil }
    guard let far = index[session.neighbor, farKey] else {
      return "\(session.node) ↔ \(session.neighbor): the far end does not know this session yet"
    }
    // The far end has an entry of its own that says why it is down.
    guard far.state == .established else { return nil }
    guard near.matches(far) else {
      return "\(session.node) ↔ \(session.neighbor): the two ends hold different TCP connections"
    }
    guard depth == .counters, near.updatesSent != far.updatesProcessed else { return nil }
    return "\(session.node) → \(session.neighbor): \(near.updatesSent) UPDATEs sent, \(far.updatesProcessed) processed"
  }

  private static func down(_ session: ExpectedSession, _ sample: NLSessionSample) -> String {
    let cause = sample.lastError.isEmpty ? "" : ", \(sample.lastError)"
    return "\(session.node) ↔ \(session.neighbor): \(sample.state.word)\(cause)"
  }

  /// RFC 4724 section 2: only a peer that sent capability 64 promises an End-of-RIB.
  private static func endOfRIB(_ session: ExpectedSession, _ sample: NLSessionSample) -> String? {
    guard sample.peerSendsEor, sample.families.contains(where: { !$0.eorReceived }) else { return nil }
    return "\(session.node) ↔ \(session.neighbor): End-of-RIB not received yet"
  }
}

/// Sessions of all samples by node and key.
private struct SessionIndex {
  private var entries: [String: [String: NLSessionSample]] = [:]

  init(_ nodes: [String: NodeView]) {
    entries.reserveCapacity(nodes.count)
    for (name, view) in nodes {
      guard let sample = view.sample, view.connected else { continue }
      entries[name] = Dictionary(sample.sessions.map { ($0.key, $0) }) { first, _ in first }
    }
  }

  subscript(node: String, key: String) -> NLSessionSample? { entries[node]?[key] }
}

extension NLSessionSample {
  /// The same TCP connection seen from both ends: the 4-tuple is the session's incarnation.
  func matches(_ far: NLSessionSample) -> Bool {
    localAddress == far.remoteAddress && remoteAddress == far.localAddress && localPort == far.remotePort
      && remotePort == far.localPort
  }
}

extension NLSessionState {
  /// The word of the contract.
  var word: String {
    switch self {
    case .idle: "idle"
    case .connect: "connect"
    case .active: "active"
    case .openSent: "opensent"
    case .openConfirm: "openconfirm"
    case .established: "established"
    case .UNRECOGNIZED(let number): "state-\(number)"
    }
  }
}
