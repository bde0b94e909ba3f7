import ControlProtocol
import Controller
import Foundation
import NorthboundAPI
import Testing

@Suite("Drift", .timeLimit(.minutes(1)))
struct DriftTests {
  private func item(_ kind: NLDriftItem.Kind, _ what: String) -> NLDriftItem {
    var item = NLDriftItem()
    item.kind = kind
    item.type = "nft"
    item.what = what
    return item
  }

  @Test("is asked of every node at once; who cannot be asked is named")
  func asked() async throws {
    let lab = try await ChangeLab(limits: StepLimits(step: .milliseconds(300)))
    lab.edge.drift([item(.missing, "masquerade out eth1"), item(.excess, "rule 7")])
    await lab.isp.process?.close()
    while await lab.controller.events(since: 0, waitMilliseconds: 100).last?.text != "its agent went away" {}
    let drift = await lab.controller.drift()
    #expect(
      drift.drift == [
        DriftEntry(node: "edge", kind: .missing, type: "nft", what: "masquerade out eth1"),
        DriftEntry(node: "edge", kind: .excess, type: "nft", what: "rule 7"),
      ])
    // The host had no agent: one is asked for, and here nobody starts it.
    #expect(
      drift.unknown == ["isp1: its agent is not connected", "h1: its agent was started but did not come"])
  }

  @Test("is repaired on the nodes that have any, and what is left is told")
  func repaired() async throws {
    let lab = try await ChangeLab()
    let (mended, stuck) = (item(.missing, "masquerade out eth1"), item(.changed, "qdisc of eth1"))
    lab.edge.drift([mended, stuck], afterRepair: [stuck])
    let drift = try await lab.controller.repair()
    #expect(drift.drift.map(\.what) == ["qdisc of eth1"])
    #expect(drift.repaired?.map(\.what) == ["masquerade out eth1"])
    #expect(await lab.isp.process?.received.contains { if case .repair = $0 { true } else { false } } == false)
  }

  @Test("that an agent pushes is an event, each object once")
  func pushed() async throws {
    let lab = try await ChangeLab()
    var report = NLDriftReport()
    report.items = [item(.missing, "a")]
    try await lab.edge.process?.send(.drift(report))
    report.items = [item(.missing, "a"), item(.excess, "b")]
    try await lab.edge.process?.send(.drift(report))
    var told: [String] = []
    while told.count < 2 {
      told = await lab.controller.events(since: 0, waitMilliseconds: 100).filter { $0.kind == "drift" }.map(\.text)
    }
    #expect(told == ["missing: a", "excess: b"])
    #expect(await lab.edge.process?.received.contains { if case .repair = $0 { true } else { false } } == false)
  }

  @Test("is repaired unasked where the file says so")
  func unasked() async throws {
    let lab = try await FakeLab(edgeLab + "\ndrift: repair\n")
    let machine = try await lab.machine()
    let agents = [try await lab.agent("edge"), try await lab.agent("isp1")]
    #expect(await lab.controller.converged(timeoutMilliseconds: 5000).converged)
    var report = NLDriftReport()
    report.items = [item(.missing, "a")]
    try await agents[0].process?.send(.drift(report))
    var told: [String] = []
    while told.count < 2 {
      told = await lab.controller.events(since: 0, waitMilliseconds: 100).filter { $0.kind == "drift" }.map(\.text)
    }
    #expect(told == ["missing: a", "repaired, was missing: a"])
    withExtendedLifetime(machine) {}
  }
}
