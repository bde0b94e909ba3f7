internal import ControlProtocol
internal import Intent
internal import Logging
internal import NIOCore
internal import NetTypes
internal import NorthboundAPI
internal import Topology

/// Desired state out, observed state in.
extension LabController {
  func agentJoined(_ hello: NLHello, _ connection: Connection) {
    if let old = agents[hello.name]?.connection, old != connection.id {
      roles[old] = nil
      connections[old]?.close()
    }
    agents[hello.name] = Agent(connection: connection.id, applied: hello.applied)
    if desired[hello.name] == nil, !isHeld {
      state.startedAgents.insert(hello.name)
      saveStateSoon()
      computeDesired()
    }
    disturb()
    wakeAll(.agent)
    if adopting { connection.send(.sampleRequest(NLSampleRequest()), request: unawaited()) }
    reconcile(hello.name)
    refreshReadiness(hello.name)
    look()
  }

  func agentLeft(_ name: String) {
    agents[name] = Agent()
    record(node: name, kind: "process", subject: "agent", text: "its agent went away")
    disturb()
    refreshReadiness(name)
    look()
  }

  func acknowledged(_ ack: NLAck, by name: String) {
    if ack.error.isEmpty {
      agents[name]?.applied[ack.type] = ack.version
      agents[name]?.refused[ack.type] = nil
    } else {
      let offender = ack.offender.isEmpty ? "" : ", \(ack.offender)"
      let text = "\(ack.type) version \(ack.version) refused\(offender): \(ack.error)"
      agents[name]?.refused[ack.type] = text
      record(node: name, kind: "error", subject: ack.type, text: text)
    }
    tracker.hint()
    refreshReadiness(name)
    look()
  }

  func sampled(_ sample: NLSample, by name: String) {
    guard let place = agents.index(forKey: name) else { return }
    let flapped = sessionsChanged(from: agents.values[place].sample, to: sample)
    let isHealthNews = agents.values[place].sample?.health ?? .unknown != sample.health
    agents.values[place].sample = sample
    for (type, version) in sample.applied { agents.values[place].applied[type] = version }
    if noteLinks(sample.links, of: name) { observeOutage() }
    if isHealthNews { observeHealth() }
    var actions: [ConvergenceTracker.Action] = []
    if sample.wave == 0 {
      let ended = tracker.pushed(sample, from: name, now: .now)
      if flapped { disturb() } else if ended { progressed() }
    } else {
      actions = tracker.answered(
        sample, from: name, judge: judge, hasDaemons: hasDaemonSessions, now: .now)
    }
    refreshReadiness(name)
    if adopting, agents.allSatisfy({ $0.value.sample != nil || outage.nodes.contains($0.key) }) { endAdoption() }
    perform(actions)
    look()
    progressed()
  }

  private func sessionsChanged(from old: NLSample?, to new: NLSample) -> Bool {
    guard let old else { return false }
    return old.sessions.count != new.sessions.count
      || zip(old.sessions, new.sessions).contains { $0.key != $1.key || $0.state != $1.state }
  }

  func happened(_ event: NLEvent, at name: String) {
    record(event, from: name)
    // The state itself is in a sample: ask for one at once, so that routes are repaired without waiting for a push.
    if event.kind == "link", let id = agents[name]?.connection {
      connections[id]?.send(.sampleRequest(NLSampleRequest()), request: unawaited())
    }
  }

  // MARK: desired state

  /// Sends what a node has not got; nothing when it has it already.
  func reconcile(_ name: String) {
    guard !adopting, !isHeld, let wanted = desired[name], let agent = agents[name] else { return }
    for (type, digest) in wanted.digests.sorted(by: { $0.key < $1.key }) {
      let applied = agent.applied[type] ?? 0
      let version = nextVersion(of: type, on: name, digest)
      let resource = SentResource(version: version, digest: digest)
      if state.nodes[name]?[type] != resource {
        state.nodes[name, default: [:]][type] = resource
        saveStateSoon()
      }
      guard let id = agent.connection, applied != version, agent.sent[type] != version else { continue }
      guard let message = wanted.resource(type, version: version) else { continue }
      agents[name]?.sent[type] = version
      connections[id]?.send(.desired(message), request: unawaited())
    }
  }

  /// The version under which a node has, or is to get, what has this digest.
  func nextVersion(of type: String, on name: String, _ digest: UInt64) -> UInt64 {
    let applied = agents[name]?.applied[type] ?? 0
    guard let last = state.nodes[name]?[type], applied <= last.version else { return applied + 1 }
    return last.digest == digest ? last.version : last.version + 1
  }

  func endAdoption() {
    guard adopting else { return }
    adopting = false
    observeOutage()
    computeDesired()
    for name in agents.keys.sorted() { reconcile(name) }
    repairWhatDrifted()
    tracker.hint()
    look()
  }

  // MARK: links

  /// Remembers which ends are down; answers whether that changed anything.
  func noteLinks(_ links: [NLLinkState], of name: String) -> Bool {
    var changed = false
    for link in links where link.interface != "lo" {
      let up = link.up && link.carrier
      if up, downEnds[name]?.remove(link.interface) != nil { changed = true }
      if !up, downEnds[name, default: []].insert(link.interface).inserted { changed = true }
      if judge.awaitedLinks[name]?[link.interface] == up {
        judge.awaitedLinks[name]?[link.interface] = nil
        tracker.hint()
      }
    }
    if downEnds[name]?.isEmpty == true { downEnds[name] = nil }
    if judge.awaitedLinks[name]?.isEmpty == true { judge.awaitedLinks[name] = nil }
    return changed
  }

  /// Compares what is seen with what desired state was made for; a difference is repaired at once.
  func observeOutage() {
    // A change under way was computed for the outage as it is; `endChange` looks again.
    guard !isHeld else { return }
    var seen = Outage(links: state.faults.downLinks, nodes: stoppedNodes, pods: state.unwell)
    if !downEnds.isEmpty || !seen.nodes.isEmpty {
      for (index, link) in lab.links.enumerated() {
        for end in [link.a, link.b] {
          if downEnds[end.node]?.contains(end.interface) == true || seen.nodes.contains(end.node) {
            seen.links.insert(index)
          }
        }
      }
    }
    guard seen != outage else { return }
    let changed = seen.links.symmetricDifference(outage.links)
    for index in changed.sorted() {
      let link = lab.links[index]
      let text = seen.links.contains(index) ? "down" : "up"
      record(node: link.a.node, kind: "link", subject: "\(link.a.name) \(link.b.name)", text: text)
    }
    outage = seen
    guard !adopting else { return }
    disturb()
    computeDesired()
    for name in agents.keys.sorted() { reconcile(name) }
  }

  private var stoppedNodes: Set<String> {
    let stopped = machine.nodes.values.filter { $0.state == "stopped" && machine.ran.contains($0.name) }
    return state.faults.killedNodes.union(stopped.map(\.name))
  }

  // MARK: state file

  /// Once per burst of changes, on the next turn of the loop.
  func saveStateSoon() {
    guard !stateSaveScheduled else { return }
    stateSaveScheduled = true
    schedule(in: .milliseconds(20)) { controller in
      controller.stateSaveScheduled = false
      controller.saveState()
    }
  }

  func saveState() {
    do {
      try state.save(run.controllerState)
    } catch {
      logger.error("controller.state cannot be written: \(error)")
    }
  }
}
