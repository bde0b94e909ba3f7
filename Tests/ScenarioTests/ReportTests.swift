import NorthboundAPI
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

struct ImpairmentReportTests {
  private static func link(_ interface: String, _ peer: String, _ detail: ImpairmentDetail?) -> LinkDetail {
    LinkDetail(
      interface: interface, state: "up", carrier: true, mtu: 1500, mac: "", addresses: [], peer: peer, rxPackets: 0,
      txPackets: 0, rxBytes: 0, txBytes: 0, rxDropped: 0, txDropped: 0, impairment: detail)
  }

  private static let slow = ImpairmentDetail(
    delayMs: 20, jitterMs: 2.5, lossPercent: 0.1, rate: 1_500_000,
    achieved: AchievedImpairment(
      packets: 1042, dropped: 3, lateMedianMs: 0.0123, lateP99Ms: 0.25, lateMaxMs: 12, offered: 1040, lost: 10,
      rateDropped: 4))

  @Test func bothDirectionsOfALinkThatDeclaresSomethingAreAskedForAndNoOther() async throws {
    let parsed = TopologyFile.parse(
      text: """
        name: t
        topology:
          nodes: {a: {kind: host}, b: {kind: host}, c: {kind: host}}
          links:
            - {endpoints: ["a:eth1", "b:eth1"], delay: 20ms}
            - {endpoints: ["b:eth2", "c:eth1"]}
        """, file: "t.yaml", baseDirectory: "/")
    let lab = try #require(parsed.value)
    var script = FakeLab.Script()
    script.links["a"] = [Self.link("eth1", "b:eth1", Self.slow)]
    script.links["b"] = [Self.link("eth1", "a:eth1", Self.slow), Self.link("eth2", "c:eth1", nil)]
    let api = FakeLab(script)
    let found = await TestRunner(api: api, lab: lab, directory: "/").impairments()
    #expect(found.map(\.from) == ["a:eth1", "b:eth1"] && found.map(\.to) == ["b:eth1", "a:eth1"])
    #expect(api.asked == ["links a", "links b"])
    let gone = await TestRunner(api: FakeLab(.init(isGone: true)), lab: lab, directory: "/").impairments()
    #expect(gone.isEmpty, "a lab that does not answer costs no report")
  }

  @Test func whatWasAskedAndWhatWasAchievedReadAsTheFileWritesThem() {
    #expect(Self.slow.asked == "delay 20 ms, jitter 2.5 ms, loss 0.1 %, rate 1.5 Mbit/s")
    #expect(
      Self.slow.achieved.text
        == "1042 packets, 3 dropped, late 0.012 ms (median), 0.250 ms (p99), 12.000 ms (most); "
        + "lost 10 of 1040 (0.96 %); 4 dropped at the rate")
    #expect(AchievedImpairment(offered: 0, lost: 0).text == "lost 0 of 0")
    #expect(AchievedImpairment().text == "not counted")
  }

  @Test func aTestWhoseTurnNeverCameIsNeitherHeldNorFailed() {
    let test = TestReport.notRun("x", because: "the run was interrupted")
    #expect(test.verdict == .notRun && test.message == "not run: the run was interrupted")
    let report = FileReport(file: "a", lab: "a", tests: [test], seconds: 0)
    #expect(report.exitCode == 1)
    let summary = ReportStyle(color: false).summary([report])
    #expect(summary.hasPrefix("0 of 1 test holds, 1 not run"), "\(summary)")
  }
}
