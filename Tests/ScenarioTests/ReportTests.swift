import Testing
import Topology

@testable import Scenario

private let place = Place(file: "lab.yaml", line: 9, column: 7)

private func failing(_ outcome: Outcome, evidence: String? = "evidence/small/t/") -> TestReport {
  TestReport(
    name: "a <b> & \"c\"", seconds: 1.25,
    steps: [
      StepReport(
        place: place, summary: "trace h1 → isp1 icmp", outcome: .held, heldAfter: 0.31, withinMilliseconds: 2000),
      StepReport(
        place: place, summary: "trace h1 → isp2 icmp", outcome: outcome, heldAfter: nil, withinMilliseconds: nil),
    ], evidence: evidence)
}

private let wrongWay = Outcome.failed([
  Mismatch("forward path", expected: "h1 → customer → isp1", found: "h1 → customer → isp2")
])

struct ReportTextTests {
  @Test func aFailureShowsWhatWasExpectedAndWhatWasFound() {
    #expect(
      ReportStyle(color: false).lines(failing(wrongWay)) == [
        "✘ a <b> & \"c\" (1.25 s)",
        "    trace h1 → isp1 icmp: held after 0.31 s (within 2.00 s)",
        "    trace h1 → isp2 icmp   (lab.yaml:9:7)",
        "      forward path",
        "        expected: h1 → customer → isp1",
        "        found:    h1 → customer → isp2",
        "evidence: evidence/small/t/",
      ])
  }

  @Test func anUndecidedTestIsCalledThat() {
    let lines = ReportStyle(color: false).lines(failing(.undecided("3 packets dropped by the kernel")))
    #expect(lines[0] == "✘ a <b> & \"c\" undecided (1.25 s)")
    #expect(lines.contains("      undecided: 3 packets dropped by the kernel"))
  }

  @Test func theSummaryCountsEveryKind() {
    let reports = [
      FileReport(file: "a", lab: "a", tests: [TestReport(name: "x", seconds: 1, steps: [])], seconds: 1),
      FileReport(file: "b", lab: "b", tests: [failing(wrongWay), failing(.undecided("?"))], seconds: 1),
      FileReport(file: "c", lab: "", tests: [], seconds: 0, problem: (2, "bad")),
    ]
    #expect(
      ReportStyle(color: false).summary(reports)
        == "1 of 3 tests hold, 1 failed, 1 undecided, 1 file could not be run (2.00 s)")
    #expect(ScenarioRun.exitCode(reports) == 2)
    #expect(ScenarioRun.exitCode(Array(reports.prefix(2))) == 1)
    #expect(ScenarioRun.exitCode(Array(reports.prefix(1))) == 0)
  }

  @Test func folderNamesAreEasyToType() {
    #expect(Evidence.folderName("The way back: 100 % isp2!") == "the-way-back-100-isp2")
    #expect(Evidence.folderName("../../etc/passwd") == "etc-passwd")
    #expect(Evidence.folderName("…") == "test")
  }
}
