internal import ControlProtocol
internal import Intent
internal import NIOCore
public import NorthboundAPI
internal import Topology

/// Drives the ConvergenceTracker and tells those who wait.
extension LabController {
  func disturb(fault: Bool = false) {
    disturbances += 1
    tracker.disturb(now: .now, fault: fault)
    if fault { events.forgetChanges() }
    progressed()
  }

  func refreshReadiness(_ name: String) {
    guard agents[name] != nil, !outage.nodes.contains(name), let view = view(of: name) else {
      unready.remove(name)
      return
    }
    if judge.isDone(name, view) { unready.remove(name) } else { unready.insert(name) }
  }

  /// Begins a wave if it could be a proof.
  func look() {
    guard isBuilt, !adopting else { return }
    perform(
      tracker.evaluate(
        views(), plausible: unready.isEmpty, judge: judge, hasDaemons: hasDaemonSessions, now: .now))
  }

  func perform(_ actions: [ConvergenceTracker.Action]) {
    for action in actions {
      switch action {
      case .beginWave(let number): askForSamples(number)
      case .wake(let at): wake(at)
      case .converged: settleConvergence()
      }
    }
  }

  private func askForSamples(_ wave: UInt64) {
    var request = NLSampleRequest()
    request.wave = wave
    for (name, agent) in agents where !outage.nodes.contains(name) {
      guard let id = agent.connection else { continue }
      connections[id]?.send(.sampleRequest(request), request: unawaited())
    }
  }

  /// A request number for a message whose answer is recognized by its kind.
  func unawaited() -> UInt64 {
    nextRequest += 1
    return nextRequest
  }

  private func wake(_ at: Instant) {
    if let planned = wakeAt, planned.at <= at { return }
    wakeAt?.task.cancel()
    let delay = at - .now
    let task = loop.scheduleTask(in: .nanoseconds(max(0, delay.nanoseconds))) {
      self.assumeIsolated { controller in
        controller.wakeAt = nil
        controller.look()
      }
    }
    wakeAt = (at, task)
  }

  /// The network has converged, and the mesh over it has what that calls for.
  var isConverged: Bool { tracker.converged && isMeshSettled }

  /// Says so once both are: the mesh learns how far everything is when the network stands still.
  func settleConvergence() {
    guard tracker.converged else { return }
    if let mesh, mesh.measuredFor != tracker.disturbedAt { return measurePathCosts() }
    guard isMeshSettled else { return }
    guard announcedProof != tracker.proofs else { return wakeAll(.convergence) }
    announcedProof = tracker.proofs
    announceConverged()
  }

  private func announceConverged() {
    wakeAt?.task.cancel()
    wakeAt = nil
    events.forgetChanges()
    // One that only confirms an earlier proof is no news.
    if announced != tracker.disturbedAt {
      announced = tracker.disturbedAt
      settledAfter = mesh == nil ? tracker.convergedAfter : .now - tracker.disturbedAt
      record(node: "", kind: "converged", subject: "lab", text: "after \(Int64(convergedAfterMs ?? 0)) ms")
    }
    proofs += 1
    lastProof = Convergence(
      converged: true, convergedBy: tracker.convergedBy, afterMs: convergedAfterMs, reasons: [])
    wakeAll(.convergence)
    progressed(atOnce: true)
  }

  private func view(of name: String) -> NodeView? {
    guard let agent = agents[name] else { return nil }
    return NodeView(
      connected: agent.connection != nil, desired: (state.nodes[name] ?? [:]).mapValues(\.version),
      applied: agent.applied, refused: agent.refused, sample: agent.sample)
  }

  /// Every agent that should be there, with its newest sample.
  func views() -> [String: NodeView] {
    var all: [String: NodeView] = [:]
    for name in agents.keys where !outage.nodes.contains(name) { all[name] = view(of: name) }
    return all
  }

  /// Why the lab is not converged; empty when it is.
  func notConverged(limit: Int = .max) -> [String] {
    guard !isConverged else { return [] }
    if !machine.state.error.isEmpty { return [machine.state.error] }
    guard machine.state.built else { return ["the machine is still building the lab"] }
    if adopting { return ["the controller was restarted and is adopting the nodes"] }
    var reasons = machine.nodes.values.filter { $0.state == "failed" }.map { failure(of: $0.name) }.sorted()
    if tracker.converged {
      reasons += meshLag
      return reasons.isEmpty ? ["the mesh follows the paths that BGP has chosen"] : Array(reasons.prefix(limit))
    }
    reasons += judge.reasons(views(), depth: .states, limit: limit)
    if reasons.isEmpty, let failed = tracker.failedWave {
      reasons = judge.reasons(failed, depth: .counters, limit: limit)
    }
    if reasons.isEmpty {
      reasons = tracker.silentNodes.map { "\($0): its agent does not answer" }
    }
    if reasons.isEmpty {
      reasons = tracker.movedNodes.map { "\($0): still changing" }
    }
    if reasons.isEmpty {
      reasons = [hasDaemonSessions ? "waiting until it was quiet for 1 s" : "being confirmed"]
    }
    return Array(reasons.prefix(limit))
  }

  /// Why a node counts as failed: the program of it that keeps ending, and where its words are.
  private func failure(of name: String) -> String {
    guard let process = machine.state.processes.first(where: { $0.node == name && !$0.running && !$0.lastExit.isEmpty })
    else { return "\(name): failed" }
    let log =
      process.name == "agent" ? name : process.name.hasPrefix("cmd") ? "\(name).\(process.name)" : "\(name).daemon"
    return "\(name): its \(process.name) keeps ending (\(process.lastExit)); see \(run.log(log))"
  }

  // MARK: waiting

  /// Waits at most `milliseconds` for a converged lab.
  public func converged(timeoutMilliseconds: Int64) async -> Convergence {
    let deadline = Instant.now + .milliseconds(timeoutMilliseconds)
    let before = proofs
    look()
    while !isConverged, proofs == before, Instant.now < deadline {
      await wait(for: .convergence, until: deadline)
    }
    // A proof counts even if something has moved again by the time the one who waited is told.
    if isConverged || proofs > before, let lastProof { return lastProof }
    let reasons = notConverged(limit: 100) + events.oscillating(limit: 10)
    return Convergence(converged: false, convergedBy: nil, afterMs: nil, reasons: reasons)
  }

  /// What an API request can wait for.
  enum Wait: Hashable, Sendable { case convergence, progress, events, probe, agent, traffic }

  func wait(for what: Wait, until deadline: Instant) async {
    nextWaiter += 1
    let id = nextWaiter
    let delay = max(0, (deadline - .now).nanoseconds)
    await withCheckedContinuation { continuation in
      let timer = loop.scheduleTask(in: .nanoseconds(delay)) {
        self.assumeIsolated { controller in
          if let late = controller.waiters.removeValue(forKey: id) { late.continuation.resume() }
        }
      }
      waiters[id] = Waiter(what: what, continuation: continuation, timer: timer)
    }
  }

  func wakeAll(_ what: Wait) {
    for (id, waiter) in waiters where waiter.what == what {
      waiters[id] = nil
      waiter.timer.cancel()
      waiter.continuation.resume()
    }
  }

  /// Something that `progress` shows changed. Told in bursts: nobody reads 200 steps in a second.
  func progressed(atOnce: Bool = false) {
    revision += 1
    if atOnce { return wakeAll(.progress) }
    guard !progressScheduled, waiters.values.contains(where: { $0.what == .progress }) else { return }
    progressScheduled = true
    schedule(in: .milliseconds(25)) { controller in
      controller.progressScheduled = false
      controller.wakeAll(.progress)
    }
  }
}

extension Duration {
  var nanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }

  /// "5 s", "300 ms"
  var words: String {
    let milliseconds = nanoseconds / 1_000_000
    return milliseconds < 1000 ? "\(milliseconds) ms" : "\((milliseconds + 500) / 1000) s"
  }
}
