import FoundationEssentials
import NorthboundAPI
import NorthboundClient
import Synchronization
import Testing
import Topology

@testable import Scenario

struct StepRunnerTests {
  private let good = trace(forward: ["h1", "customer", "isp1"])
  private let bad = trace(forward: ["h1", "customer", "isp2"])

  private func run(_ text: String, _ script: FakeLab.Script) async throws -> (StepReport, FakeLab) {
    let api = FakeLab(script)
    let runner = StepRunner(api: api, lab: try lab(), clock: SleepClock())
    return (try await runner.run(try step(text)), api)
  }

  @Test func withinRetriesUntilItHoldsAndSaysHowLongThatTook() async throws {
    let text = "- trace: {from: h1, to: isp1}\n  within: 2s\n  expect: {forward: [h1, customer, isp1]}"
    let (report, api) = try await run(text, .init(traces: [bad, bad, good]))
    #expect(report.outcome == .held)
    // Two pauses of 25 ms stand between three attempts; nothing else moves the clock.
    #expect(report.heldAfter == 0.05)
    #expect(api.asked.count == 3)
  }

  @Test func withinGivesUpWhenTheTimeIsOver() async throws {
    let text = "- trace: {from: h1, to: isp1}\n  within: 100ms\n  expect: {forward: [h1, customer, isp1]}"
    let (report, api) = try await run(text, .init(traces: [bad]))
    #expect(!report.outcome.holds)
    #expect(report.heldAfter == nil)
    #expect(api.asked.count == 4)
  }

  @Test func withoutWithinThereIsOneAttempt() async throws {
    let (report, api) = try await run(
      "- trace: {from: h1, to: isp1}\n  expect: {forward: [h1, customer, isp1]}", .init(traces: [bad, good]))
    #expect(!report.outcome.holds)
    #expect(api.asked == ["trace h1 isp1"])
  }

  @Test func whatTheControllerRefusesIsAFailureInItsWords() async throws {
    let (report, _) = try await run("- trace: {from: h1, to: isp1}", .init())
    #expect(
      report.outcome == .failed([Mismatch("the lab", expected: "an answer", found: "no trace h1 isp1")]))
  }

  @Test func aRouterWithoutBGPIsNotAskedForItsRIB() async throws {
    let (report, api) = try await run(
      "- route: {node: plain, prefix: 10.9.0.0/24}\n  expect: {present: false}", .init())
    #expect(report.outcome == .held)
    #expect(api.asked == ["routes plain"])
  }

  @Test func faultsGoOutAsTheFileSaysThem() async throws {
    let (report, api) = try await run("- fault: {link-down: [\"customer:eth1\", \"isp1:eth7\"]}", .init())
    #expect(report.outcome == .held)
    #expect(api.asked == ["fault link-down customer:eth1 isp1:eth7"])
  }
}

struct TestRunnerTests {
  private let two = """
    tests:
      - name: break it
        steps:
          - fault: {link-down: ["customer:eth1", "isp1:eth7"]}
          - trace: {from: h1, to: isp1}
      - name: "look / only"
        steps:
          - trace: {from: h1, to: isp1}
    """

  private func run(_ script: FakeLab.Script, settled: Bool = true) async throws -> ([TestReport], FakeLab, String) {
    let folder = NSTemporaryDirectoryPath() + "/netloom-scenario-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let api = FakeLab(script)
    let lab = try lab(tests: two)
    let runner = TestRunner(api: api, lab: lab, directory: folder)
    return (try await runner.run(lab.tests, settled: settled) { _ in }, api, folder)
  }

  private func NSTemporaryDirectoryPath() -> String { FileManager.default.temporaryDirectory.path() }

  @Test func whatATestBrokeIsMendedBeforeTheNextBegins() async throws {
    let (reports, api, folder) = try await run(.init(traces: [trace(forward: ["h1"])]))
    defer { try? FileManager.default.removeItem(atPath: folder) }
    #expect(reports.map(\.verdict) == [.passed, .passed])
    #expect(
      api.asked == [
        "converged", "events", "fault link-down customer:eth1 isp1:eth7", "trace h1 isp1", "events", "mend",
        "converged", "events", "trace h1 isp1", "events",
      ])
  }

  @Test func evidenceIsKeptWhileTheLabIsStillBroken() async throws {
    let (reports, api, folder) = try await run(.init(traces: [trace(forward: ["h1"], reachable: false)]))
    defer { try? FileManager.default.removeItem(atPath: folder) }
    #expect(reports.map(\.verdict) == [.failed, .failed])
    #expect(reports.map(\.evidence) == ["evidence/small/break-it/", "evidence/small/look-only/"])
    let events = try #require(api.asked.firstIndex(of: "status"))
    let mend = try #require(api.asked.firstIndex(of: "mend"))
    #expect(events < mend)
    let files = try FileManager.default.contentsOfDirectory(atPath: folder + "/evidence/small/break-it").sorted()
    #expect(
      files == [
        "customer.bgp.json", "customer.routes.json", "events.json", "h1.routes.json", "isp1.bgp.json",
        "isp1.routes.json", "isp2.bgp.json", "isp2.routes.json", "missing.txt", "plain.routes.json", "trace-1.json",
      ])
  }

  @Test func testsWhoseNamesMakeTheSameFolderKeepEvidenceApart() {
    let folders = EvidenceFolders()
    #expect(folders.claim(lab: "small", test: "fails x") == "evidence/small/fails-x/")
    #expect(folders.claim(lab: "small", test: "fails  x!") == "evidence/small/fails-x-2/")
    #expect(folders.claim(lab: "other", test: "fails x") == "evidence/other/fails-x/")
  }

  @Test func evidenceThatCannotBeWrittenIsSaidInTheFailure() async throws {
    let file = NSTemporaryDirectoryPath() + "/netloom-scenario-\(UUID().uuidString)"
    try "not a folder".write(toFile: file, atomically: false, encoding: .utf8)
    defer { try? FileManager.default.removeItem(atPath: file) }
    let lab = try lab(tests: two)
    let runner = TestRunner(
      api: FakeLab(.init(traces: [trace(forward: ["h1"], reachable: false)])), lab: lab, directory: file)
    let reports = try await runner.run(lab.tests, settled: true) { _ in }
    #expect(reports.allSatisfy { $0.evidence == nil && $0.verdict == .failed })
    #expect(
      reports[0].explanation.contains {
        $0.hasPrefix("  evidence could not be kept: Not a directory (\(file)/evidence")
      }, "\(reports[0].explanation)")
  }

  @Test func evidenceOfARunningLabGoesUnderItsOwnName() async throws {
    let folder = NSTemporaryDirectoryPath() + "/netloom-scenario-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let lab = try lab(tests: two)
    let runner = TestRunner(
      api: FakeLab(.init(traces: [trace(forward: ["h1"], reachable: false)])), lab: lab, directory: folder,
      labName: "second")
    let reports = try await runner.run(lab.tests, settled: true) { _ in }
    #expect(reports.map(\.evidence) == ["evidence/second/break-it/", "evidence/second/look-only/"])
  }

  @Test func aLabThatDoesNotConvergeAgainLeavesTheNextTestUndecided() async throws {
    let converged = Convergence(converged: true, convergedBy: .counters, afterMs: 1, reasons: [])
    let stuck = Convergence(converged: false, convergedBy: nil, afterMs: nil, reasons: ["isp1: busy: fib"])
    let (reports, _, folder) = try await run(.init(traces: [trace(forward: ["h1"])], convergence: [converged, stuck]))
    defer { try? FileManager.default.removeItem(atPath: folder) }
    #expect(reports.map(\.verdict) == [.passed, .undecided])
    #expect(reports[1].message.contains("isp1: busy: fib"))
  }

  @Test func aLabThatIsGoneIsAnErrorOfEveryTestThatIsLeft() async throws {
    let (reports, _, folder) = try await run(.init(isGone: true))
    defer { try? FileManager.default.removeItem(atPath: folder) }
    #expect(reports.map(\.verdict) == [.error, .error])
    #expect(FileReport(file: "f", lab: "small", tests: reports, seconds: 0).exitCode == 3)
  }
}
