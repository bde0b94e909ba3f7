// All nodes, or none.
//
//   start agents ─► PREPARE ─► store: prepared ─► COMMIT ─► store: current ─► SETTLE
//                      │                             │
//                      └── one refuses, is silent, goes away: UNDO on all, what stood stands
//
// Where the mesh changes, its sidecars take it between `prepared` and COMMIT (LabController+MeshChange).
//
// An agent checks everything in PREPARE and touches nothing; it does it in COMMIT, and can go back until SETTLE. The one
// transaction that makes the version `current` is the point of no return: a controller that dies before it leaves
// `prepared` behind, and the next one brings every node back to the version that stands; after it, to the new one. Either
// way by numbers alone: a node that has applied more than we last sent gets what we want under a higher number.
//
// A node that does not confirm an UNDO is treated the same: its number is taken as used, so the old state follows under
// the next, on this connection or on its next one.
//
// Link events and reconnecting agents wait while this is under way (`isHeld`), at most two steps of `StepLimits.step`.

internal import ControlProtocol
internal import Foundation
internal import Intent
internal import Logging
internal import NIOCore
internal import NorthboundAPI
internal import Topology

/// How long a node may take in a change.
public struct StepLimits: Sendable {
  /// PREPARE, COMMIT, and the start of an agent (contract section 6).
  public var step: Duration
  public var undo: Duration

  public init(step: Duration = .seconds(5), undo: Duration = .seconds(1)) {
    self.step = step
    self.undo = undo
  }
}

extension LabController {
  /// A node in a change.
  struct Participant: Sendable {
    /// Every step goes to the process that prepared; another one of the same name has prepared nothing.
    var connection: Connection.ID
    /// Type → what it is to have.
    var resources: [String: SentResource]
    var messages: [NLDesired]
  }

  private enum Answer: Sendable {
    case done(NLChangeReply)
    case failed(String)
  }

  /// Answers whether the transition made a version. Throws `APIError` `refused`, with nothing changed.
  func carryOut(_ transition: Transition, dryRun: Bool) async throws -> Bool {
    do {
      try refuseStopped(transition)
      try await startAgents(for: transition)
      isHeld = true
      let wanted = desiredNodes(of: transition.wanted)
      let participants = try participants(wanted, passesStopped: transition.passesStopped)
      let mesh = meshStep(to: transition.wanted)
      if participants.isEmpty, transition.plan.isEmpty, !transition.isRollback { return false }
      let id = UInt64.random(in: 1...UInt64.max)
      try await prepare(id, participants)
      if dryRun {
        _ = await step(.undo, id, participants, limit: limits.undo)
        return false
      }
      try await commit(id, participants, mesh, transition)
      if let mesh { adoptMesh(mesh) }
      adopt(wanted, participants, transition)
      settle(id, participants)
      return true
    } catch let error as APIError where error.code == "refused" {
      counters.refused += 1
      record(node: "", kind: "change", subject: "refused", text: "\(transition.change): \(error.message)")
      throw error
    }
  }

  private func refuse(_ reasons: [String]) -> APIError {
    APIError(code: "refused", message: reasons.joined(separator: "; ") + "; nothing was changed on any node")
  }

  // MARK: who takes part

  private func refuseStopped(_ transition: Transition) throws {
    guard !transition.passesStopped else { return }
    let stopped = transition.plan.nodes.map(\.node).filter { outage.nodes.contains($0) }
    if !stopped.isEmpty { throw refuse(stopped.map { "\($0) is stopped" }) }
  }

  /// Nodes that are to do something for the first time: netloom-machine starts their agents. For a dry run too, as `drift`
  /// does: nobody but an agent can ask a node's kernel, and an answer without asking all of them would be a guess.
  private func startAgents(for transition: Transition) async throws {
    let failures = await startAgents(on: transition.plan.nodes.map(\.node))
    if !failures.isEmpty { throw refuse(failures.values.sorted()) }
  }

  /// Gives an agent to those of the nodes that run and have none. Answers the reason for each that got none.
  func startAgents(on names: [String]) async -> [String: String] {
    let lacking = names.filter { agents[$0] == nil && !outage.nodes.contains($0) }
    guard !lacking.isEmpty else { return [:] }
    for name in lacking { agents[name] = Agent() }
    state.startedAgents.formUnion(lacking)
    saveState()
    computeDesired()
    var failures: [String: String] = [:]
    await withTaskGroup(of: (String, String?).self) { group in
      for name in lacking { group.addTask { (name, await self.startAgent(name)) } }
      for await (name, failure) in group { failures[name] = failure }
    }
    guard !failures.isEmpty else { return [:] }
    for name in lacking where agents[name]?.connection == nil {
      agents[name] = nil
      state.startedAgents.remove(name)
      desired[name] = nil
      unready.remove(name)
    }
    saveState()
    return failures
  }

  /// nil: it runs and has said Hello.
  private func startAgent(_ name: String) async -> String? {
    let deadline = Instant.now + limits.step
    var start = NLStartAgent()
    start.node = name
    do {
      try await command(.startAgent(start), timeout: .nanoseconds(limits.step.nanoseconds))
    } catch {
      return "\(name): its agent could not be started: \((error as? APIError)?.message ?? "\(error)")"
    }
    while agents[name]?.connection == nil, Instant.now < deadline { await wait(for: .agent, until: deadline) }
    return agents[name]?.connection == nil ? "\(name): its agent was started but did not come" : nil
  }

  /// Every node that is to have something else than now.
  private func participants(
    _ wanted: [String: DesiredNode], passesStopped: Bool
  ) throws -> [String: Participant] {
    var found: [String: Participant] = [:]
    var missing: [String] = []
    for (name, node) in wanted.sorted(by: { $0.key < $1.key }) {
      let changed = node.digests.filter { desired[name]?.digests[$0.key] != $0.value }
      if changed.isEmpty || (passesStopped && outage.nodes.contains(name)) { continue }
      guard let agent = agents[name], let connection = agent.connection else {
        missing.append(outage.nodes.contains(name) ? "\(name) is stopped" : "\(name): its agent is not connected")
        continue
      }
      var own = Participant(connection: connection, resources: [:], messages: [])
      for (type, digest) in changed.sorted(by: { $0.key < $1.key }) {
        // Above everything that it was sent: what it has not acknowledged yet comes first on the same stream.
        let version = max(agent.applied[type] ?? 0, state.nodes[name]?[type]?.version ?? 0) + 1
        own.resources[type] = SentResource(version: version, digest: digest)
        if let message = node.resource(type, version: version) { own.messages.append(message) }
      }
      found[name] = own
    }
    if !missing.isEmpty { throw refuse(missing) }
    return found
  }

  // MARK: steps

  private func prepare(_ id: UInt64, _ participants: [String: Participant]) async throws {
    let failures = failures(of: await step(.prepare, id, participants, limit: limits.step))
    guard !failures.isEmpty else { return }
    // Those that refused have nothing to forget, but may have been slow instead.
    _ = await step(.undo, id, participants, limit: limits.undo)
    throw refuse(failures)
  }

  private func commit(
    _ id: UInt64, _ participants: [String: Participant], _ mesh: MeshStep?, _ transition: Transition
  ) async throws {
    let prepared: StoredVersion
    do {
      prepared = try stored {
        try store.prepare(
          change: transition.change, author: transition.author, diff: transition.plan.lines, layers: transition.layers,
          adding: transition.adding, at: wallClockMilliseconds())
      }
    } catch {
      _ = await step(.undo, id, participants, limit: limits.undo)
      throw error
    }
    if let mesh {
      let failures = await carryOutMesh(mesh)
      if !failures.isEmpty {
        try? stored { try store.abandon(prepared) }
        _ = await step(.undo, id, participants, limit: limits.undo)
        throw refuse(failures)
      }
    }
    let failures = failures(of: await step(.commit, id, participants, limit: limits.step))
    do {
      if !failures.isEmpty { throw refuse(failures) }
      current = try stored {
        try store.commit(prepared, at: wallClockMilliseconds(), confirmWithin: transition.confirmWithin)
      }
    } catch {
      try? stored { try store.abandon(prepared) }
      await undo(id, participants)
      if let mesh { await takeBackMesh(mesh) }
      throw error
    }
  }

  private func undo(_ id: UInt64, _ participants: [String: Participant]) async {
    let answers = await step(.undo, id, participants, limit: limits.undo)
    for (name, participant) in participants {
      if case .done(let reply) = answers[name], agents[name]?.connection == participant.connection {
        if !reply.applied.isEmpty { agents[name]?.applied = reply.applied }
        continue
      }
      for (type, resource) in participant.resources {
        state.nodes[name, default: [:]][type] = SentResource(version: resource.version, digest: SentResource.unknown)
      }
      record(node: name, kind: "error", subject: "change", text: "did not say that it has undone; it is told again")
    }
    // Something stood for a moment on some of them.
    disturb()
    saveState()
  }

  /// From here on this is what every node should have.
  private func adopt(
    _ wanted: [String: DesiredNode], _ participants: [String: Participant], _ transition: Transition
  ) {
    for (name, participant) in participants {
      for (type, resource) in participant.resources {
        state.nodes[name, default: [:]][type] = resource
        guard agents[name]?.connection == participant.connection else { continue }
        agents[name]?.sent[type] = resource.version
        agents[name]?.applied[type] = resource.version
        agents[name]?.refused[type] = nil
      }
    }
    intent = transition.wanted
    desired = wanted
    saveState()
    awaitConfirmation()
    let nodes = participants.count == 1 ? "1 node" : "\(participants.count) nodes"
    record(
      node: "", kind: "change", subject: "version \(current.version)",
      text: "\(transition.change) by \(transition.author), \(nodes)")
    logger.info("version \(current.version): \(transition.change)")
    disturb(fault: true)
    computeDesired()
  }

  private func settle(_ id: UInt64, _ participants: [String: Participant]) {
    var change = NLChange()
    change.id = id
    change.step = .settle
    for participant in participants.values {
      connections[participant.connection]?.send(.change(change), request: unawaited())
    }
  }

  /// One step on all nodes at once.
  private func step(
    _ step: NLChange.Step, _ id: UInt64, _ participants: [String: Participant], limit: Duration
  ) async -> [String: Answer] {
    await withTaskGroup(of: (String, Answer).self) { group in
      for (name, participant) in participants {
        group.addTask { (name, await self.answer(of: name, participant, step, id, limit)) }
      }
      var answers: [String: Answer] = [:]
      for await (name, answer) in group { answers[name] = answer }
      return answers
    }
  }

  private func answer(
    of name: String, _ participant: Participant, _ step: NLChange.Step, _ id: UInt64, _ limit: Duration
  ) async -> Answer {
    var change = NLChange()
    change.id = id
    change.step = step
    if step == .prepare { change.resources = participant.messages }
    do {
      let answer = try await ask(
        participant.connection, .change(change), timeout: .nanoseconds(limit.nanoseconds), whom: name)
      guard case .changeReply(let reply) = answer, reply.id == id, reply.step == step else {
        return .failed("\(name) answered something else")
      }
      guard reply.error.isEmpty else { return .failed(Self.refusal(reply, by: name)) }
      return .done(reply)
    } catch let error as APIError where error.code == "timeout" {
      return .failed("\(name) did not answer within \(limit.words)")
    } catch {
      return .failed("\(name): its agent went away")
    }
  }

  /// `CHANGE.yaml:4:9: edge refuses snat out eth1 to 203.0.113.10: no such address`
  private static func refusal(_ reply: NLChangeReply, by name: String) -> String {
    let place = reply.place.isEmpty ? "" : "\(reply.place): "
    let offender = reply.offender.isEmpty ? "" : " \(reply.offender)"
    return "\(place)\(name) refuses\(offender): \(reply.error)"
  }

  private func failures(of answers: [String: Answer]) -> [String] {
    answers.sorted { $0.key < $1.key }.compactMap { if case .failed(let reason) = $0.value { reason } else { nil } }
  }
}
