import ControlProtocol
import Controller
import Foundation
import NorthboundAPI
import Synchronization
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

  /// The lab with `drift: repair`, in which nobody has drifted yet.
  private func repairing() async throws -> (lab: FakeLab, machine: FakeProcess, edge: FakeAgent, isp: FakeAgent) {
    let lab = try await FakeLab(edgeLab + "\ndrift: repair\n")
    let machine = try await lab.machine()
    let (edge, isp) = (try await lab.agent("edge"), try await lab.agent("isp1"))
    #expect(await lab.controller.converged(timeoutMilliseconds: 5000).converged)
    return (lab, machine, edge, isp)
  }

  private func report(_ items: NLDriftItem..., error: String = "") -> NLDriftReport {
    var report = NLDriftReport()
    report.items = items
    report.error = error
    return report
  }

  /// Texts of events, once there are so many of drift and of what went wrong with it.
  private func told(_ count: Int, by controller: LabController) async -> [String] {
    var told: [String] = []
    while told.count < count {
      told = await controller.events(since: 0, waitMilliseconds: 100)
        .filter { $0.kind == "drift" || $0.subject == "drift" }.map(\.text)
    }
    return told
  }

  @Test("that a restarted controller hears of while it adopts is repaired when it has adopted")
  func adopted() async throws {
    let (first, machine, edge, isp) = try await repairing()
    while !FileManager.default.fileExists(atPath: first.directory.controllerState) { await Task.yield() }  // poll
    for agent in [edge, isp] { await agent.process?.close() }
    await machine.close()
    let second = try await FakeLab(edgeLab + "\ndrift: repair\n", in: first.directory)
    let again = try await second.machine()
    let adopted = try await second.agent("edge", applied: edge.sample.applied, sample: edge.sample)
    // What an agent found while nobody was there it tells once, right behind its Hello.
    try await adopted.process?.send(.drift(report(item(.missing, "a"))))
    #expect(await told(1, by: second.controller) == ["missing: a"])
    let last = try await second.agent("isp1", applied: isp.sample.applied, sample: isp.sample)
    #expect(await told(2, by: second.controller) == ["missing: a", "repaired, was missing: a"])
    withExtendedLifetime((first, again, last)) {}
  }

  @Test("that a node could not repair, or did not say so, is tried again")
  func failedRepair() async throws {
    let (lab, machine, edge, isp) = try await repairing()
    let repairs = Mutex(0)
    let busy = report(error: "nft: EBUSY")
    await edge.process?.setScript { message in
      guard case .repair = message.body else { return [] }
      let number = repairs.withLock { count in
        count += 1
        return count
      }
      return [.drift(number == 1 ? busy : NLDriftReport())]
    }
    try await edge.process?.send(.drift(report(item(.missing, "a"))))
    #expect(
      await told(3, by: lab.controller) == [
        "missing: a", "not repaired: edge: nft: EBUSY", "repaired, was missing: a",
      ])
    withExtendedLifetime((machine, isp)) {}
  }

  @Test("that comes up during a repair is repaired after it; what a repair leaves is not tried for ever")
  func meanwhile() async throws {
    let (lab, machine, edge, isp) = try await repairing()
    let stuck = report(item(.missing, "stuck"))
    let requests = Mutex<[UInt64]>([])
    await edge.process?.setScript { message in
      guard case .repair = message.body else { return [] }
      let number = requests.withLock { all in
        all.append(message.request)
        return all.count
      }
      return number == 1 ? [] : [.drift(stuck)]
    }
    func repairs(_ count: Int) async {
      await edge.process?.wait { $0.count { if case .repair = $0 { true } else { false } } == count }
    }
    try await edge.process?.send(.drift(report(item(.missing, "a"))))
    await repairs(1)
    // The answer, and behind it on the same stream what happened since.
    try await edge.process?.send(.drift(NLDriftReport()), request: requests.withLock { $0[0] })
    try await edge.process?.send(.drift(report(item(.excess, "b"))))
    await repairs(2)
    // Whether `b` is seen before or after the first answer is taken up says nothing.
    #expect(
      await told(5, by: lab.controller).sorted() == [
        "excess: b", "missing: a", "not repaired: missing stuck", "repaired, was excess: b",
        "repaired, was missing: a",
      ])
    // It is told once more, and nothing follows; something else does.
    try await edge.process?.send(.drift(stuck))
    try await edge.process?.send(.drift(report(item(.missing, "stuck"), item(.missing, "c"))))
    await repairs(3)
    #expect(requests.withLock(\.count) == 3)
    withExtendedLifetime((machine, isp)) {}
  }
}
