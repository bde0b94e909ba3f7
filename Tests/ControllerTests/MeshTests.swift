import ControlProtocol
import Foundation
import NorthboundAPI
import Testing

@testable import Controller

//  client ── edge ── web        edge announces the address of web's service; no sidecar runs in any of these tests

private let meshLab = """
  name: mesh-lab
  addressing: {ipv6: false}
  topology:
    nodes:
      client: {kind: pod}
      edge: {kind: router, asn: 64500}
      web-1: {kind: pod, service: web, version: v1, cmd: ["serve"]}
    links:
      - {endpoints: ["client:eth1", "edge:eth1"], addresses: [[10.1.0.2/24], [10.1.0.1/24]]}
      - {endpoints: ["edge:eth2", "web-1:eth1"], addresses: [[10.2.0.1/24], [10.2.0.2/24]]}
  mesh:
    services: {web: {port: 80, target: 8080, protocol: http, announce: [edge], health: {}}}
  """

@Suite(.timeLimit(.minutes(1))) struct MeshTests {
  private func start(_ lab: FakeLab) async throws -> (FakeProcess, [String: FakeAgent]) {
    let machine = try await lab.machine()
    var agents: [String: FakeAgent] = [:]
    for name in ["client", "edge", "web-1"] { agents[name] = try await lab.agent(name) }
    return (machine, agents)
  }

  /// Whether the router originates the service's address, as it was told last.
  private func announces(_ edge: FakeAgent) -> Bool {
    guard case .speaker(let speaker)? = edge.holds["speaker"] else { return false }
    return speaker.networks.contains { $0.address == Data([10, 254, 0, 1]) }
  }

  @Test func aLabIsNotConvergedWithoutItsSidecars() async throws {
    let lab = try await FakeLab(meshLab)
    let (machine, _) = try await start(lab)
    let reasons = ["client: its sidecar is not connected", "web-1: its sidecar is not connected"]
    let answer = await lab.notConverged(because: reasons)
    #expect(!answer.converged && answer.reasons == reasons)
    let status = await lab.controller.status()
    let mesh = try #require(status.mesh)
    #expect(!status.converged && status.convergedBy == nil && status.convergedAfterMs == nil)
    #expect(mesh.sidecars == 2 && mesh.current == 0 && mesh.lagging == reasons && !mesh.converged)
    // One that is stopped has none to wait for.
    try await machine.send(.machineState(lab.machineState(stopped: ["web-1"])))
    #expect(await lab.notConverged(because: [reasons[0]]).reasons == [reasons[0]])
  }

  @Test func aProgramThatEndsTakesTheAddressOutOfBGP() async throws {
    let lab = try await FakeLab(meshLab)
    let (machine, agents) = try await start(lab)
    let edge = try #require(agents["edge"])
    #expect(await edge.told { announces(edge) })
    var state = lab.machineState()
    var process = NLProcessState()
    (process.node, process.name, process.lastExit) = ("web-1", "cmd1", "exit 1")
    state.processes = [process]
    try await machine.send(.machineState(state))
    #expect(await edge.told { !announces(edge) })
    #expect(await lab.controller.status().mesh?.services[0].pods.map(\.healthy) == [false])
    state.processes[0].running = true
    try await machine.send(.machineState(state))
    #expect(await edge.told { announces(edge) })
    #expect(await lab.controller.status().mesh?.services[0].pods.map(\.healthy) == [true])
  }

  @Test func soDoesAHealthCheckThatFails() async throws {
    let lab = try await FakeLab(meshLab)
    let (_, agents) = try await start(lab)
    let (edge, web) = (try #require(agents["edge"]), try #require(agents["web-1"]))
    #expect(await edge.told { announces(edge) })
    #expect(await web.told { web.dataPlane?.health.port == 8080 && web.dataPlane?.health.intervalMs == 1000 })
    web.change { $0.health = .ill }
    try await web.push()
    #expect(await edge.told { !announces(edge) })
    web.change { $0.health = .well }
    try await web.push()
    #expect(await edge.told { announces(edge) })
  }

  @Test func aChangeThatNoSidecarHearsOfIsRefusedAndNothingIsMade() async throws {
    let lab = try await FakeLab(meshLab, limits: StepLimits(step: .seconds(2), undo: .milliseconds(100)))
    _ = try await start(lab)
    let request = ChangeRequest(file: "c.yaml", text: "mesh: {mtls: strict}", author: "ada")
    let plan = try await lab.controller.plan(request)
    #expect(plan.nodes.isEmpty && plan.mesh.map(\.what) == ["strict"] && plan.mesh[0].was == "permissive")
    do {
      _ = try await lab.controller.apply(request)
      Issue.record("it was applied")
    } catch let error as APIError {
      #expect(error.code == "refused")
      #expect(
        error.message
          == "the sidecar of client is not connected; the sidecar of web-1 is not connected; "
          + "nothing was changed on any node")
    }
    #expect(try await lab.controller.history(limit: 5, offset: 0).map(\.version) == [1])
    #expect(await lab.controller.status().mesh?.mtls == "permissive")
  }
}
