import FoundationEssentials
import NorthboundAPI
import NorthboundClient
import Testing
import Topology

@testable import Scenario

private let good = trace(forward: ["h1", "customer", "isp1"])
private let bad = trace(forward: ["h1", "customer", "isp2"])
private let loop = Violation(
  severity: .failure, node: "isp1", prefix: "203.0.113.0/24", path: ["isp1", "isp2", "isp1"], because: "loop",
  detail: "packets come back")

/// One test, carried out once, with a clock that only sleeping moves.
private func pass(
  _ text: String, _ script: FakeLab.Script
) async throws -> (offender: StepReport?, reports: [StepReport], api: FakeLab, clock: SleepClock) {
  let lab = try lab(tests: "tests:\n  - name: t\n" + text)
  let (api, clock) = (FakeLab(script), SleepClock())
  let runner = StepRunner(api: api, lab: lab, clock: clock)
  let offender = try await TestPass(try #require(lab.tests.first), runner).run()
  return (offender, runner.journal.reports, api, clock)
}

/// Tests as they are run, with evidence in a folder of their own.
private func run(
  _ text: String, _ script: FakeLab.Script
) async throws -> (reports: [TestReport], api: FakeLab, evidence: [String: [String]]) {
  let folder = FileManager.default.temporaryDirectory.path() + "/netloom-language-\(UUID().uuidString)"
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: folder) }
  let lab = try lab(tests: "tests:\n" + text)
  let api = FakeLab(script)
  let reports = try await TestRunner(api: api, lab: lab, directory: folder).run(lab.tests, settled: true) { _ in }
  var evidence: [String: [String]] = [:]
  for report in reports {
    guard let kept = report.evidence else { continue }
    evidence[report.name] = try FileManager.default.contentsOfDirectory(atPath: folder + "/" + kept).sorted()
  }
  return (reports, api, evidence)
}

struct TrafficSteps {
  private let beside = """
        steps:
          - traffic: {from: h1, to: isp1, packets-per-second: 1000}
            expect: {lost: {max: 2}}
          - trace: {from: h1, to: isp1}
    """

  @Test func loadIsJudgedWhenTheTestEnds() async throws {
    let done = try await pass(beside, .init(traces: [good], traffic: [load(lost: 2)]))
    #expect(done.offender == nil)
    #expect(done.api.asked == ["traffic h1 isp1 udp", "trace h1 isp1", "stop traffic 7"])
    #expect(done.reports.map(\.summary) == ["traffic h1 → isp1 udp/5202 at 1000 packets/s", "trace h1 → isp1 icmp"])
    #expect(done.reports[0].measured == "1000 packets, 2 lost (0.20 %), 1.00 Mbit/s")
    #expect(done.reports[0].findings.traffic == [load(lost: 2)])
  }

  @Test func loadThatLosesTooMuchFailsTheTestThoughEveryStepHeld() async throws {
    let outage = TrafficOutage(startedAt: 0, ms: 4, lost: 3)
    let done = try await pass(beside, .init(traces: [good], traffic: [load(lost: 3, outages: [outage])]))
    #expect(
      done.offender?.outcome
        == .failed([Mismatch("packets lost", expected: "at most 2", found: "3 of 1000 (0.30 %)")]))
    // Who reads the reports looks at the last for what decided.
    #expect(done.reports.map { $0.outcome.holds } == [true, false])
  }

  @Test func loadOfATestThatHasFailedIsStoppedAndDecidesNothing() async throws {
    let text = beside.replacing("isp1}", with: "isp1}\n        expect: {forward: [h1, isp1]}")
    let done = try await pass(text, .init(traces: [bad], traffic: [load(lost: 900)]))
    #expect(done.offender?.summary == "trace h1 → isp1 icmp")
    #expect(done.api.asked.last == "stop traffic 7")
    #expect(done.reports.last?.summary == "trace h1 → isp1 icmp")
    #expect(done.reports.first?.measured?.contains("900 lost") == true)
  }

  @Test func loadForATimeRunsForThatTime() async throws {
    let done = try await pass(
      "    steps: [{traffic: {from: h1, to: isp1, for: 1500ms}}]", .init(traffic: [load()]))
    #expect(done.offender == nil && done.api.asked.last == "stop traffic 7")
    #expect(done.clock.now.offset == .milliseconds(1500))
  }

  @Test func loadThatIsOverIsJudgedBeforeTheNextStep() async throws {
    let text = """
          steps:
            - traffic: {from: h1, to: isp1, for: 50ms}
            - trace: {from: h1, to: isp1}
              within: 1s
              expect: {forward: [h1, customer, isp1]}
            - exec: {node: h1, command: "true"}
      """
    let done = try await pass(text, .init(traces: [bad, bad, bad, good], traffic: [load(sent: 9, lost: 9)]))
    #expect(done.offender?.summary == "traffic h1 → isp1 udp/5202 for 50 ms")
    #expect(!done.api.asked.contains("exec h1"))
  }

  @Test func loadThatCannotStartIsAFailureInTheLabsWords() async throws {
    let done = try await pass("    steps: [{traffic: {from: h1, to: isp1, for: 1s}}]", .init())
    #expect(
      done.offender?.outcome
        == .failed([Mismatch("the lab", expected: "an answer", found: "no traffic h1 isp1 udp")]))
  }

  @Test func everyBoundIsJudged() throws {
    var step = TrafficStep(from: "h1", to: "isp1")
    func subjects(_ state: TrafficState) -> [String] {
      if case .failed(let mismatches) = step.judge(state) { mismatches.map(\.subject) } else { [] }
    }
    let outage = TrafficOutage(startedAt: 0, ms: 501, lost: 10)
    step.reachable = true
    #expect(subjects(load(sent: 5, lost: 5)) == ["reachable"])
    step = TrafficStep(from: "h1", to: "isp1")
    step.maximumLoss = 1
    #expect(subjects(load(lost: 10)).isEmpty && subjects(load(lost: 11)) == ["loss"])
    step.minimumLoss = 0.5
    #expect(subjects(load(lost: 4)) == ["loss"] && subjects(load(lost: 5)).isEmpty)
    #expect(subjects(load(sent: 0)) == ["packets sent"])
    step = TrafficStep(from: "h1", to: "isp1")
    step.maximumOutage = 500
    #expect(subjects(load(lost: 10, outages: [outage])) == ["outage"] && subjects(load()).isEmpty)
    step = TrafficStep(from: "h1", to: "isp1")
    step.minimum = 2
    #expect(subjects(load(mbit: 1.9)) == ["rate"] && subjects(load(mbit: 2)).isEmpty)
    step = TrafficStep(from: "h1", to: "isp1")
    step.maximumDelay = 5
    #expect(subjects(load(delay: 5.1)) == ["delay"] && subjects(load(delay: 5)).isEmpty)
    step.minimumDelay = 4
    #expect(subjects(load(delay: 3.9)) == ["delay"] && subjects(load(delay: 4)).isEmpty)
    #expect(step.judge(load()) == .undecided("no packet arrived whose delay could be measured"))
  }
}

struct ProbeStreams {
  private let failover = """
        steps:
          - fault: {link-down: ["customer:eth1", "isp1:eth7"]}
          - trace: {from: h1, to: isp1, family: ipv4}
            within: 2s
            expect: {forward: [h1, customer, isp1]}
    """

  @Test func anOutageIsMeasuredFromBeforeTheFaultUntilTheTraceHolds() async throws {
    let outage = TrafficOutage(startedAt: 0, ms: 287, lost: 287)
    let script = FakeLab.Script(traces: [bad, good], traffic: [load(lost: 287, outages: [outage])])
    let done = try await pass(failover, script)
    #expect(
      done.api.asked == [
        "traffic h1 isp1 udp", "fault link-down customer:eth1 isp1:eth7", "trace h1 isp1", "trace h1 isp1",
        "stop traffic 7",
      ])
    #expect(done.reports.last?.measured == "held after 25 ms; 287 ms without a packet, 287 lost")
    #expect(done.reports.last?.findings.traffic.count == 1)
    #expect(done.reports.map(\.isFault) == [true, false])
  }

  @Test func aStreamThatCannotRunIsSaidAndFailsNothing() async throws {
    let done = try await pass(failover, .init(traces: [good]))
    #expect(done.offender == nil)
    #expect(done.reports.last?.measured == "held after 0 ms; no probe stream: no traffic h1 isp1 udp")
  }

  @Test func aStreamOfATraceThatNeverHoldsIsStoppedToo() async throws {
    let done = try await pass(failover, .init(traces: [bad], traffic: [load(lost: 1000)]))
    #expect(done.offender?.measured == "no probe stream: none of its 1000 datagrams to udp/0 arrived")
    #expect(done.api.asked.last == "stop traffic 7")
  }

  @Test func eachFlowHasOneStreamAfterEachGroupOfFaults() throws {
    let lab = try lab(
      tests: """
        tests:
          - name: t
            steps:
              - trace: {from: h1, to: isp1}
                within: 1s
              - fault: {kill: isp2}
              - fault: {kill: plain}
              - trace: {from: h1, to: isp1}
                within: 1s
              - trace: {from: h1, to: isp1, proto: tcp, port: 80}
                within: 1s
              - trace: {from: isp1, to: h1}
                within: 1s
              - trace: {from: h1, to: isp2}
                within: 1s
                expect: {reachable: false}
              - fault: {start: isp2}
              - trace: {from: h1, to: isp1}
                within: 1s
              - trace: {from: h1, to: isp2}
        """)
    let streams = ProbeStream.plan(lab.tests[0].steps)
    #expect(streams.map(\.start) == [1, 1, 7])
    #expect(streams.map(\.trace) == [3, 5, 8])
    #expect(Set(streams.map(\.query.port)).count == 3)
    #expect(streams.allSatisfy { $0.query.packetsPerSecond == 1000 && $0.query.proto == "udp" })
  }
}

struct Checks {
  @Test func aViolationNamesItsRouterAndAWarningFailsNothing() async throws {
    let warning = Violation(severity: .warning, node: "isp2", because: "leak", detail: "a leak without traffic")
    let check = try step("- check: [no-loops, valley-free]")
    let api = FakeLab(.init(check: CheckReport(checks: [verdict("no-loops", loop), verdict("valley-free", warning)])))
    let report = try await StepRunner(api: api, lab: try lab(), clock: SleepClock()).run(check)
    #expect(api.asked == ["check no-loops valley-free"])
    #expect(
      report.outcome
        == .failed([
          Mismatch(
            "no-loops at isp1, 203.0.113.0/24", expected: "none",
            found: "packets come back: isp1 → isp2 → isp1")
        ]))
    #expect(
      report.measured
        == "no-loops: 3 examined; valley-free: 3 examined, 1 warning: isp2: a leak without traffic")
    #expect(CheckStep(words: ["valley-free"]).judge(CheckReport(checks: [verdict("valley-free", warning)])) == .held)
  }

  @Test func whatHasNoVerdictNeverHolds() {
    let step = CheckStep(words: ["no-loops", "symmetric"])
    let half = CheckReport(checks: [verdict("no-loops")])
    #expect(step.judge(half) == .undecided("symmetric: there is no verdict"))
    let open = CheckReport(checks: [verdict("no-loops"), verdict("symmetric", undecided: "a capture lost packets")])
    #expect(step.judge(open) == .undecided("symmetric: a capture lost packets"))
    let unnamed = CheckReport(
      checks: [
        verdict("no-loops"),
        CheckResult(check: "symmetric", holds: false, undecided: nil, violations: [], examined: 1),
      ])
    #expect(!step.judge(unnamed).holds)
  }
}

struct ListsAtTheSameTime {
  @Test func everyFailureStandsWithItsPlaceAndTheListsOwnReportIsTheLast() async throws {
    let text = """
          steps:
            - parallel:
                - [{trace: {from: h1, to: isp1}, expect: {forward: [h1, isp1]}}]
                - [{exec: {node: h1, command: "true"}}]
      """
    let done = try await pass(
      text, .init(traces: [good], exec: ExecResult(exit: 0, output: "", errorOutput: "", timedOut: false)))
    #expect(
      done.offender?.outcome
        == .failed([
          Mismatch(
            "trace h1 → isp1 icmp (small.yaml:18:14): forward path", expected: "h1 → isp1",
            found: "h1 → customer → isp1")
        ]))
    #expect(done.reports.last?.summary == "2 lists of steps at the same time")
  }

  /// The second list would go on for an hour.
  @Test(.timeLimit(.minutes(1)))
  func theFirstListToFailEndsTheOthers() async throws {
    let (reports, _, _) = try await run(
      """
        - name: x
          steps:
            - parallel:
                - [{exec: {node: h1, command: "true"}}]
                - [{trace: {from: h1, to: isp1}, within: 60m, expect: {forward: [h1, isp1]}}, {fault: {kill: isp1}}]
      """, .init(traces: [good]))
    #expect(reports.map(\.verdict) == [.failed])
    #expect(reports[0].message.contains("exec in h1: true (small.yaml:18:14): the lab"))
  }
}

struct WhatHoldsAllTheTime {
  private let whole = CheckReport(checks: [verdict("no-loops")])
  private let looping = CheckReport(checks: [verdict("no-loops", loop)])

  @Test func itIsAskedOnceMoreWhenTheStepsAreOver() async throws {
    let (reports, api, _) = try await run(
      "  - {name: x, always: [{check: no-loops}], steps: [{trace: {from: h1, to: isp1}}]}",
      .init(traces: [good], check: whole))
    #expect(reports.map(\.verdict) == [.passed])
    let trace = try #require(api.asked.firstIndex(of: "trace h1 isp1"))
    let check = try #require(api.asked.lastIndex(of: "check no-loops"))
    #expect(check > trace)
    #expect(reports[0].steps.contains { $0.summary == "always: check no-loops" && $0.outcome.holds })
  }

  @Test func whatTheLastStepBreaksIsSeen() async throws {
    let (reports, api, evidence) = try await run(
      "  - {name: x, always: [{check: no-loops}], steps: [{fault: {kill: isp1}}]}",
      .init(check: whole, checkOfBroken: looping))
    #expect(reports.map(\.verdict) == [.failed])
    #expect(reports[0].offender?.summary == "always: check no-loops")
    #expect(reports[0].message.contains("after the test began"), "\(reports[0].message)")
    #expect(evidence["x"]?.contains("check-1.json") == true)
    #expect(api.asked.contains("mend"))
  }

  /// The step would go on for an hour.
  @Test(.timeLimit(.minutes(1)))
  func aViolationEndsTheStepsAndSaysWhereTheyWere() async throws {
    let (reports, _, _) = try await run(
      """
        - name: x
          always: [{check: no-loops}]
          steps:
            - fault: {kill: isp1}
            - trace: {from: h1, to: isp1}
              within: 60m
              expect: {forward: [h1, isp1]}
      """, .init(traces: [good], check: whole, checkOfBroken: looping, traffic: [load()]))
    #expect(reports.map(\.verdict) == [.failed])
    let message = reports[0].message
    #expect(message.contains("always: check no-loops"), "\(message)")
    #expect(message.contains("during") || message.contains("after fault kill isp1"), "\(message)")
  }

  @Test func loadAllTheTimeRunsFromBeforeTheFirstStepUntilAfterTheLast() async throws {
    let (reports, api, evidence) = try await run(
      """
        - name: x
          always: [{traffic: {from: h1, to: isp1}, expect: {lost: {max: 0}}}]
          steps: [{trace: {from: h1, to: isp1}}]
      """, .init(traces: [good], traffic: [load(lost: 1)]))
    #expect(
      Array(api.asked.prefix(5)) == ["converged", "events", "traffic h1 isp1 udp", "trace h1 isp1", "stop traffic 7"])
    #expect(reports[0].message.contains("packets lost: expected at most 0, found 1 of 1000"))
    #expect(evidence["x"]?.contains("traffic-1.json") == true)
  }
}

struct RoundsAndReports {
  @Test func eachRoundFindsAMendedLabAndTheFirstThatFailsIsTheLast() async throws {
    let (reports, api, _) = try await run(
      """
        - name: x
          repeat: 3
          steps: [{fault: {kill: isp1}}, {trace: {from: h1, to: isp1}, expect: {forward: [h1, customer, isp1]}}]
      """, .init(traces: [good, bad]))
    #expect(api.asked.count { $0 == "mend" } == 2 && api.asked.count { $0 == "converged" } == 2)
    #expect(reports[0].steps.count == 4)
    #expect(reports[0].offender?.summary == "trace h1 → isp1 icmp (2 of 3)")
  }

  @Test func aReportHasItsTimesAndWhatTheLabSaidSince() async throws {
    let before = LabEvent(number: 4, at: "", node: "isp1", kind: "session", subject: "", text: "up")
    let script = FakeLab.Script(traces: [good], events: [before])
    let begun = Date().timeIntervalSince1970 * 1000
    let (reports, _, _) = try await run("  - {name: x, steps: [{trace: {from: h1, to: isp1}}]}", script)
    #expect(reports[0].events.isEmpty, "what was said before the test is none of its events")
    #expect(reports[0].startedAt >= begun.rounded(.down) && reports[0].steps[0].startedAt >= reports[0].startedAt)
    #expect(reports[0].steps[0].findings.traces.count == 1)
  }

  @Test func aTestIsMeantByItsNameAndByThatOfItsCombination() {
    let test = "reach [proto=tcp, port=80]"
    #expect(ScenarioRun.isMeant(test, by: "reach") && ScenarioRun.isMeant(test, by: test))
    #expect(!ScenarioRun.isMeant(test, by: "reach [proto=tcp") && !ScenarioRun.isMeant("reach it", by: "reach"))
  }

  @Test func theKernelsOfTheNodesConcernedAreKept() async throws {
    let said = ExecResult(exit: 1, output: "said\n", errorOutput: "nft: not found", timedOut: false)
    let (_, _, evidence) = try await run(
      "  - {name: x, steps: [{route: {node: plain, prefix: 10.9.0.0/24}}]}", .init(exec: said))
    #expect(
      evidence["x"]?.filter { $0.hasSuffix(".txt") } == [
        "missing.txt", "plain.qdiscs.txt", "plain.routes.txt", "plain.ruleset.txt",
      ])
  }
}
