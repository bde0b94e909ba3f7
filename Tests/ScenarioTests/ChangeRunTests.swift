import FoundationEssentials
import NorthboundAPI
import NorthboundClient
import Testing

@testable import Scenario
@testable import Topology

/// What a test changes in the lab is taken back before the next one.
struct ChangeRunTests {
  private let place = Place(file: "small.yaml", line: 20, column: 9)

  private func test(_ name: String, _ actions: TestAction...) -> LabTest {
    LabTest(
      name: name, place: place,
      steps: actions.map { TestStep(place: place, withinMilliseconds: nil, action: $0) })
  }

  private func run(_ tests: [LabTest], _ script: FakeLab.Script) async throws -> ([TestReport], FakeLab, String) {
    let folder = FileManager.default.temporaryDirectory.path() + "/netloom-changes-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let api = FakeLab(script)
    let runner = TestRunner(api: api, lab: try lab(), directory: folder)
    return (try await runner.run(tests, settled: true) { _ in }, api, folder)
  }

  private var change: ChangeStep {
    var step = ChangeStep(file: "change.yaml", text: "{}")
    step.confirmWithinMilliseconds = 5000
    return step
  }

  private let look = TestAction.trace(TraceStep(from: "h1", to: "isp1", reachable: true))

  @Test func whatATestAppliedIsRolledBackToTheVersionThatItFound() async throws {
    let script = FakeLab.Script(
      traces: [trace(forward: ["h1"])], result: changed(version: 4, nodes: "customer"), versions: [3, 4])
    let (reports, api, folder) = try await run([test("changes", .apply(change)), test("looks", look)], script)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    #expect(reports.map(\.verdict) == [.passed, .passed])
    #expect(
      api.asked == [
        "converged", "history", "events", "apply change.yaml within 5000 by netloom test", "events", "history",
        "rollback 3", "converged", "events", "trace h1 isp1", "events",
      ])
  }

  @Test func aLabThatIsWhereItWasIsLeftAlone() async throws {
    var refused = change
    refused.applied = false
    let script = FakeLab.Script(refusal: APIError(code: "refused", message: "customer: no"), versions: [3])
    let (reports, api, folder) = try await run([test("refused", .apply(refused))], script)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    #expect(reports.map(\.verdict) == [.passed])
    #expect(!api.asked.contains { $0.hasPrefix("rollback") })
  }

  @Test func aRollbackThatMeetsAnotherIsTriedAgain() async throws {
    let script = FakeLab.Script(
      result: changed(version: 4, nodes: "customer"), versions: [3, 4],
      rollbackRefusals: [APIError(code: "conflict", message: "another change is under way")])
    let (reports, api, folder) = try await run([test("changes", .apply(change))], script)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    #expect(reports.map(\.verdict) == [.passed])
    #expect(api.asked.count { $0 == "rollback 3" } == 2)
  }

  @Test func whatCannotBeTakenBackFailsItsTestAndLeavesTheOthersUndecided() async throws {
    let script = FakeLab.Script(
      traces: [trace(forward: ["h1"])], result: changed(version: 4, nodes: "customer"), versions: [3, 4],
      rollbackRefusals: [APIError(code: "refused", message: "isp1 does not answer")])
    let (reports, api, folder) = try await run([test("changes", .apply(change)), test("looks", look)], script)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    #expect(reports.map(\.verdict) == [.failed, .undecided])
    #expect(reports[0].message.contains("version 3 cannot be had again: isp1 does not answer"))
    #expect(!api.asked.contains("trace h1 isp1"))
  }

  @Test func evidenceHoldsWhatTheNodesThatChangedDoWithPackets() async throws {
    let script = FakeLab.Script(
      traces: [trace(forward: ["h1"], reachable: false)], result: changed(version: 4, nodes: "customer"),
      versions: [3, 4])
    var wrong = change
    wrong.nodes = ["isp1"]
    let (reports, _, folder) = try await run([test("changes", .apply(wrong))], script)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    #expect(reports.map(\.verdict) == [.failed])
    let files = Set(try FileManager.default.contentsOfDirectory(atPath: folder + "/evidence/small/changes"))
    #expect(files.isSuperset(of: ["history.json", "drift.json", "customer.nat.json", "customer.conntrack.json"]))
    #expect(!files.contains("h1.nat.json"))
  }

  @Test func aMeasuredRateStandsInTheReport() async throws {
    let step = RateStep(from: "h1", to: "isp1", transport: .tcp, milliseconds: 2000)
    let (reports, api, folder) = try await run([test("rates", .rate(step))], .init(rate: measured(9.61, delay: 41)))
    defer { try? FileManager.default.removeItem(atPath: folder) }
    #expect(api.asked == ["converged", "events", "rate h1 isp1 2000 ms", "events"])
    #expect(
      ReportStyle(color: false).lines(reports[0]).last
        == "    rate h1 → isp1 tcp/5201 for 2.00 s: 9.61 Mbit/s, limited by shaping at customer:eth1, delay 41.0 ms, "
        + "2 packets lost")
  }

  @Test func aTranslationIsLookedForAgainWithinItsTimeButAChangeIsMadeOnce() async throws {
    let plain = NATResult(
      reachable: true, source: nil, destination: nil, connection: nil, trace: trace(forward: ["h1", "customer"]))
    var translated = plain
    translated.source = Rewrite(from: "192.168.1.2", to: "203.0.113.10")
    let api = FakeLab(
      .init(refusal: APIError(code: "refused", message: "customer: no"), translations: [plain, translated]))
    let runner = StepRunner(api: api, lab: try lab(), clock: SleepClock())
    let nat = TestStep(
      place: place, withinMilliseconds: 1000, action: .nat(NATStep(node: "customer", from: "h1", to: "isp1")))
    #expect(try await runner.run(nat).outcome == .held)
    let apply = TestStep(place: place, withinMilliseconds: 1000, action: .apply(change))
    #expect(try await !runner.run(apply).outcome.holds)
    #expect(api.asked.count { $0.hasPrefix("translation") } == 2)
    #expect(api.asked.count { $0.hasPrefix("apply") } == 1)
  }
}
