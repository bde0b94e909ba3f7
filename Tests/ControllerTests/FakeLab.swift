import ControlProtocol
import Controller
import Foundation
import Intent
import Logging
import NIOCore
import NIOPosix
import NetTypes
import NorthboundAPI
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

  init(
    _ yaml: String, in existing: RunDirectory? = nil, limits: StepLimits = StepLimits()
  ) async throws {
    directory = existing ?? RunDirectory(path: "/tmp/nlc-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(atPath: directory.path, withIntermediateDirectories: true)
    try Data("router id 10.9.0.2;\n".utf8).write(to: URL(fileURLWithPath: directory.path + "/bird.conf"))
    try Data(yaml.utf8).write(to: URL(fileURLWithPath: directory.topology))
    let parsed = TopologyFile.parse(text: yaml, file: "lab.yaml", baseDirectory: directory.path)
    resolved = try #require(parsed.value, "\(parsed.diagnostics)")
    plan = machinePlan(
      of: resolved,
      in: PlanContext(environment: [], machine: "here", programs: "/nowhere", topology: directory.topology))
    loop = MultiThreadedEventLoopGroup.singleton.next()
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    controller = try LabController(plan: plan, run: directory, loop: loop, logger: logger, limits: limits)
    try await controller.start()
  }

  deinit { try? FileManager.default.removeItem(atPath: directory.path) }

  /// Waits until the lab is not converged for these reasons; on a busy machine others come before. The last answer.
  func notConverged(because reasons: [String]) async -> Convergence {
    let deadline = ContinuousClock.now + .seconds(20)
    var answer = await controller.converged(timeoutMilliseconds: 100)
    while answer.reasons != reasons, ContinuousClock.now < deadline {
      answer = await controller.converged(timeoutMilliseconds: 100)  // poll
    }
    return answer
  }

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
