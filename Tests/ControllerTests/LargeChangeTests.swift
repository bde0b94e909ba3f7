import ControlProtocol
import Controller
import Foundation
import NorthboundAPI
import Testing

@Suite("A change of 50 nodes", .timeLimit(.minutes(1)))
struct LargeChangeTests {
  private static let count = 50

  private var topology: String {
    let nodes = (1...Self.count).map { "    r\($0): {kind: router, asn: \(64511 + $0)}" }
    let links = (1..<Self.count).map {
      "    - {endpoints: [\"r\($0):eth1\", \"r\($0 + 1):eth2\"], relation: customer-provider}"
    }
    return (["name: fifty", "topology:", "  nodes:"] + nodes + ["  links:"] + links).joined(separator: "\n")
  }

  private func change() -> String {
    let nodes = (1...Self.count).map { "    r\($0): {filter: [{match: {proto: tcp, port: 22}, then: drop}]}" }
    return (["topology:", "  nodes:"] + nodes).joined(separator: "\n")
  }

  @Test("with one that refuses leaves the other 49 as they were; without, it is on all of them")
  func allOrNothing() async throws {
    let lab = try await FakeLab(topology)
    let machine = try await lab.machine()
    var agents: [FakeAgent] = []
    for number in 1...Self.count { agents.append(try await lab.agent("r\(number)")) }
    #expect(await lab.controller.converged(timeoutMilliseconds: 30_000).converged)
    let before = agents.map(\.holds)
    agents[36].behave(.refuse("no", offender: "filter drop", place: "C.yaml:39:10"), in: .prepare)
    let request = ChangeRequest(file: "C.yaml", text: change())
    await #expect(throws: APIError.self) { _ = try await lab.controller.apply(request) }
    #expect(agents.map(\.holds) == before)
    agents[36].behave(.obey, in: .prepare)
    let result = try await lab.controller.apply(request)
    #expect(result.plan.nodes.count == Self.count)
    #expect(agents.allSatisfy { $0.dataPlane?.filter.count == 1 })
    withExtendedLifetime(machine) {}
  }
}
