import ControlProtocol
import Controller
import Foundation
import Intent
import Logging
import NIOCore
import NIOPosix
import NetTypes
import Synchronization
import Testing
import Topology

/// A controller on real sockets in a run directory of its own, with fake processes around it. No namespace, no kernel.
final class FakeLab: Sendable {
  let directory: RunDirectory
  let resolved: ResolvedLab
  let plan: NLMachinePlan
  let controller: LabController
  let loop: any EventLoop

  init(_ yaml: String, in existing: RunDirectory? = nil) async throws {
    directory = existing ?? RunDirectory(path: "/tmp/nlc-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(atPath: directory.path, withIntermediateDirectories: true)
    try Data("router id 10.9.0.2;\n".utf8).write(to: URL(fileURLWithPath: directory.path + "/bird.conf"))
    let parsed = TopologyFile.parse(text: yaml, file: "lab.yaml", baseDirectory: directory.path)
    resolved = try #require(parsed.value, "\(parsed.diagnostics)")
    plan = machinePlan(
      of: resolved,
      in: PlanContext(environment: [], machine: "here", programs: "/nowhere", topology: directory.topology))
    loop = MultiThreadedEventLoopGroup.singleton.next()
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    controller = LabController(lab: resolved, plan: plan, run: directory, loop: loop, logger: logger)
    try await controller.start()
  }

  deinit { try? FileManager.default.removeItem(atPath: directory.path) }

  /// A machine whose nodes all run; commands succeed unless `answer` says otherwise.
  func machine(
    answer: @escaping @Sendable (NLMachineCommand) -> NLMachineReply = { _ in NLMachineReply() }
  ) async throws -> FakeProcess {
    var hello = NLHello()
    hello.role = .machine
    hello.name = "here"
    let process = try await FakeProcess.connect(to: directory.controllerSocket, hello: hello) { message in
      guard case .machineCommand(let command) = message.body else { return [] }
      return [.machineReply(answer(command))]
    }
    try await process.send(.machineState(machineState()))
    return process
  }

  func machineState(stopped: Set<String> = []) -> NLMachineState {
    var state = NLMachineState()
    state.initPid = 4000
    state.built = true
    state.execDone = true
    for (index, node) in resolved.nodes.enumerated() {
      var observed = NLNodeState()
      observed.name = node.name
      observed.pid = Int32(100 + index)
      observed.outerPid = Int32(5000 + index)
      observed.state = stopped.contains(node.name) ? "stopped" : "running"
      state.nodes.append(observed)
    }
    return state
  }

  func agent(_ name: String, applied: [String: UInt64] = [:], sample: NLSample? = nil) async throws -> FakeAgent {
    let agent = FakeAgent(name: name, applied: applied, sample: sample ?? quietSample(of: name))
    try await agent.connect(to: directory)
    return agent
  }

  /// What a node reports when all is well: every expected session Established, nothing under way.
  func quietSample(of name: String) -> NLSample {
    let intent = LabIntent(resolved)
    var sample = NLSample()
    sample.idle = true
    sample.activity = 10
    sample.ribVersion = 3
    sample.fibVersion = 3
    sample.sessions = intent.expectedSessions(during: .none).filter { $0.node == name }.map { expected in
      let session = resolved.sessions.first {
        ($0.a.node == name && $0.a.key == expected.key) || ($0.b.node == name && $0.b.key == expected.key)
      }
      return established(expected, session)
    }
    sample.links = (resolved.node(name)?.interfaces ?? []).map { link($0.name, up: true) }
    return sample
  }

  private func established(_ expected: ExpectedSession, _ session: ResolvedSession?) -> NLSessionSample {
    var sample = NLSessionSample()
    sample.key = expected.key
    sample.neighbor = expected.neighbor
    sample.state = .established
    sample.daemon = expected.isDaemon
    sample.updatesSent = 5
    sample.updatesProcessed = 5
    guard let session else { return sample }
    let isA = session.a.node == expected.node && session.a.key == expected.key
    let (near, far) = isA ? (session.a, session.b) : (session.b, session.a)
    sample.localAddress = Data(near.address.bytes)
    sample.remoteAddress = Data(far.address.bytes)
    // The end named second in the file opened the connection.
    sample.localPort = isA ? 179 : 40_000
    sample.remotePort = isA ? 40_000 : 179
    return sample
  }
}

func link(_ name: String, up: Bool) -> NLLinkState {
  var state = NLLinkState()
  state.interface = name
  state.up = up
  state.carrier = up
  return state
}

/// A netloom-node that applies what it is told and reports the sample the test gives it.
final class FakeAgent: Sendable {
  let name: String
  private let state: Mutex<State>

  private struct State {
    var sample: NLSample
    var refusal: String?
    var answers: [NLQuery.Kind: NLQueryReply] = [:]
    var process: FakeProcess?
    /// Consumed one per sample asked for.
    var script: [NLSample] = []
  }

  init(name: String, applied: [String: UInt64], sample: NLSample) {
    self.name = name
    var sample = sample
    sample.applied = applied
    state = Mutex(State(sample: sample))
  }

  func connect(to directory: RunDirectory) async throws {
    var hello = NLHello()
    hello.role = .node
    hello.name = name
    hello.pid = 7
    hello.applied = state.withLock { $0.sample.applied }
    let process = try await FakeProcess.connect(to: directory.controllerSocket, hello: hello) { self.answer($0) }
    state.withLock { $0.process = process }
    try await push()
  }

  private func answer(_ message: NLFromController) -> [NLToController.OneOf_Body] {
    state.withLock { state in
      switch message.body {
      case .desired(let desired): return [Self.apply(desired, &state)]
      case .sampleRequest(let request):
        var sample = state.script.isEmpty ? state.sample : state.script.removeFirst()
        sample.applied = state.sample.applied
        sample.wave = request.wave
        return [.sample(sample)]
      case .query(let query): return [.queryReply(state.answers[query.kind] ?? NLQueryReply())]
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
    if case .speaker = desired.resource { ack.type = "speaker" } else { ack.type = "routes" }
    ack.version = desired.version
    if let refusal = state.refusal {
      ack.error = refusal
      ack.offender = "neighbor isp1"
      state.sample.failed[ack.type] = desired.version
    } else {
      state.sample.applied[ack.type] = desired.version
    }
    return .ack(ack)
  }

  func change(_ edit: (inout NLSample) -> Void) { state.withLock { edit(&$0.sample) } }
  func refuse(_ reason: String) { state.withLock { $0.refusal = reason } }
  func answer(_ kind: NLQuery.Kind, _ reply: NLQueryReply) { state.withLock { $0.answers[kind] = reply } }
  /// The next samples asked for, before the steady one counts again.
  func next(_ samples: [NLSample]) { state.withLock { $0.script = samples } }
  var sample: NLSample { state.withLock { $0.sample } }
  var process: FakeProcess? { state.withLock { $0.process } }

  /// Pushes the present sample, as a node does when it connected and whenever it becomes idle.
  func push() async throws { try await process?.send(.sample(sample)) }

  /// All versions of a resource type that the controller sent on this connection.
  func desired(_ type: String) async -> [NLDesired] {
    await process?.received.compactMap { body in
      guard case .desired(let desired) = body else { return nil }
      if case .speaker = desired.resource { return type == "speaker" ? desired : nil }
      return type == "routes" ? desired : nil
    } ?? []
  }
}
