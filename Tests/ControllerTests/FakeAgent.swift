import ControlProtocol
import Foundation
import Synchronization

/// A netloom-node that applies what it is told and reports the sample the test gives it. It takes part in changes as the
/// real one does: prepares, commits, goes back; or does what `behave` says in one of the steps.
final class FakeAgent: Sendable {
  enum Behaviour: Sendable {
    case obey
    case refuse(String, offender: String, place: String)
    case silence
    /// Does the step, and ends before it can say so.
    case obeyAndLeave
    case leave
  }

  let name: String
  private let state: Mutex<State>

  /// One for each message of the controller that has been answered.
  private let signals: AsyncStream<Void>
  private let signal: AsyncStream<Void>.Continuation

  private struct State {
    var sample: NLSample
    var holds: [String: NLDesired.OneOf_Resource] = [:]
    var refusal: String?
    var answers: [NLQuery.Kind: NLQueryReply] = [:]
    var drift = NLDriftReport()
    var repaired = NLDriftReport()
    var process: FakeProcess?
    /// Consumed one per sample asked for.
    var script: [NLSample] = []
    var behaviours: [NLChange.Step: Behaviour] = [:]
    var prepared: [NLDesired] = []
    var before: (applied: [String: UInt64], holds: [String: NLDesired.OneOf_Resource])?
  }

  init(name: String, applied: [String: UInt64], sample: NLSample) {
    self.name = name
    var sample = sample
    sample.applied = applied
    state = Mutex(State(sample: sample))
    (signals, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  /// Waits until what the agent was told makes the fact true; the test's time limit ends it.
  func told(_ fact: () -> Bool) async -> Bool {
    if fact() { return true }
    for await _ in signals where fact() { return true }
    return false
  }

  func connect(to directory: RunDirectory) async throws {
    var hello = NLHello()
    hello.role = .node
    hello.name = name
    hello.pid = 7
    hello.applied = state.withLock { $0.sample.applied }
    let process = try await FakeProcess.connect(to: directory.controllerSocket, hello: hello) { message in
      defer { self.signal.yield() }
      return self.answer(message)
    }
    state.withLock { $0.process = process }
    try await push()
  }

  private func answer(_ message: NLFromController) -> [NLToController.OneOf_Body] {
    state.withLock { state in
      switch message.body {
      case .desired(let desired): return [Self.apply(desired, &state)]
      case .change(let change): return take(change, &state)
      case .sampleRequest(let request):
        var sample = state.script.isEmpty ? state.sample : state.script.removeFirst()
        sample.applied = state.sample.applied
        sample.wave = request.wave
        return [.sample(sample)]
      case .query(let query):
        var reply = state.answers[query.kind] ?? NLQueryReply()
        if query.kind == .drift { reply.drift = state.drift }
        return [.queryReply(reply)]
      case .repair:
        state.drift = state.repaired
        return [.drift(state.drift)]
      case .speakerCommand:
        var ack = NLAck()
        ack.type = "command"
        return [.ack(ack)]
      default: return []
      }
    }
  }

  private static func apply(_ desired: NLDesired, _ state: inout State) -> NLToController.OneOf_Body {
    var ack = NLAck()
    ack.type = desired.type
    ack.version = desired.version
    if let refusal = state.refusal {
      ack.error = refusal
      ack.offender = "neighbor isp1"
      state.sample.failed[ack.type] = desired.version
    } else {
      state.sample.applied[ack.type] = desired.version
      state.holds[ack.type] = desired.resource
    }
    return .ack(ack)
  }

  private func take(_ change: NLChange, _ state: inout State) -> [NLToController.OneOf_Body] {
    var reply = NLChangeReply()
    reply.id = change.id
    reply.step = change.step
    let behaviour = state.behaviours[change.step] ?? .obey
    switch behaviour {
    case .refuse(let error, let offender, let place):
      reply.error = error
      reply.offender = offender
      reply.place = place
    case .silence: return []
    case .leave: break
    case .obey, .obeyAndLeave: Self.carryOut(change, &state)
    }
    switch behaviour {
    case .leave, .obeyAndLeave:
      let process = state.process
      Task { await process?.close() }
      return []
    default:
      reply.applied = state.sample.applied
      return [.changeReply(reply)]
    }
  }

  private static func carryOut(_ change: NLChange, _ state: inout State) {
    switch change.step {
    case .prepare: state.prepared = change.resources
    case .commit:
      state.before = (state.sample.applied, state.holds)
      for resource in state.prepared {
        state.sample.applied[resource.type] = resource.version
        state.holds[resource.type] = resource.resource
      }
    case .undo:
      if let before = state.before { (state.sample.applied, state.holds) = before }
      state.before = nil
      state.prepared = []
    default:
      state.before = nil
      state.prepared = []
    }
  }

  func change(_ edit: (inout NLSample) -> Void) { state.withLock { edit(&$0.sample) } }
  func refuse(_ reason: String) { state.withLock { $0.refusal = reason } }
  func answer(_ kind: NLQuery.Kind, _ reply: NLQueryReply) { state.withLock { $0.answers[kind] = reply } }
  func behave(_ behaviour: Behaviour, in step: NLChange.Step) { state.withLock { $0.behaviours[step] = behaviour } }
  /// What it finds in its kernel, and what a repair leaves.
  func drift(_ items: [NLDriftItem], afterRepair left: [NLDriftItem] = []) {
    state.withLock { state in
      state.drift.items = items
      state.repaired.items = left
    }
  }
  /// The next samples asked for, before the steady one counts again.
  func next(_ samples: [NLSample]) { state.withLock { $0.script = samples } }
  var sample: NLSample { state.withLock { $0.sample } }
  var process: FakeProcess? { state.withLock { $0.process } }
  /// By resource type: what its kernel and its speaker have.
  var holds: [String: NLDesired.OneOf_Resource] { state.withLock { $0.holds } }
  var dataPlane: NLDataPlane? {
    if case .dataPlane(let plane) = holds["data-plane"] { plane } else { nil }
  }

  /// Pushes the present sample, as a node does when it connected and whenever it becomes idle.
  func push() async throws { try await process?.send(.sample(sample)) }

  /// All versions of a resource type that the controller sent on this connection.
  func desired(_ type: String) async -> [NLDesired] {
    await process?.received.compactMap { body in
      guard case .desired(let desired) = body, desired.type == type else { return nil }
      return desired
    } ?? []
  }

  /// The steps of changes that it was told on this connection, in order.
  func steps() async -> [NLChange.Step] {
    await process?.received.compactMap { if case .change(let change) = $0 { change.step } else { nil } } ?? []
  }
}

extension NLDesired {
  var type: String {
    switch resource {
    case .speaker: "speaker"
    case .routes: "routes"
    case .dataPlane: "data-plane"
    case nil: ""
    }
  }
}
