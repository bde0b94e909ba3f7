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

@Suite("A change of 10,000 rules", .timeLimit(.minutes(10)), .serialized)
struct ManyRulesTests {
  private func filter(_ network: Int) -> String {
    let rules = (0..<10_000).map { number in
      "          - {match: {from: \(network).\(number / 256).\(number % 256).0/24}, then: drop}"
    }
    return (["topology:", "  nodes:", "    edge:", "        filter:"] + rules).joined(separator: "\n")
  }

  /// KiB: what the process had at most since it was asked last.
  private func peak() throws -> Int {
    let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") })
    try "5".write(toFile: "/proc/self/clear_refs", atomically: false, encoding: .utf8)
    return try #require(line.split(separator: " ").dropFirst().first.flatMap { Int($0) })
  }

  @Test("into 10,000 others lists each of them once, and takes memory for as many, not for each with each")
  func replaced() async throws {
    let lab = try await ChangeLab(limits: StepLimits(step: .seconds(300)))
    #expect(try await lab.apply(filter(10)).applied)
    let other = filter(11)
    _ = try peak()
    let result = try await lab.apply(other)
    let used = try peak()
    let changes = try #require(result.plan.nodes.first).changes
    #expect(changes.map(\.action) == [_](repeating: .remove, count: 10_000) + [_](repeating: .add, count: 10_000))
    #expect(changes.first?.what.contains("10.0.0.0/24") == true)
    #expect(changes.last?.place == "CHANGE.yaml:10004:13")
    #expect(lab.edge.dataPlane?.filter.count == 10_000)
    // A pair of lists of which nothing stays would be 1,600,000 KiB by the square.
    #expect(used < 1_000_000, "\(used) KiB")
  }
}
