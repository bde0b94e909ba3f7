internal import NorthboundAPI
internal import NorthboundClient
internal import Topology

/// A test carried out once: its steps, and beside them what holds all the time.
///
///   steps ───► load that ends with the test ───► over
///   watch of an `always` step: asked, asked, asked, …, asked once more after that
///
/// The first that does not hold ends the others, and whatever load runs is stopped on every way out.
struct TestPass<C: Clock<Duration>>: Sendable {
  let runner: StepRunner<C>
  let test: LabTest
  /// Between two questions of an `always` step.
  private let pause: Duration = .milliseconds(100)

  init(_ test: LabTest, _ runner: StepRunner<C>) {
    self.test = test
    self.runner = runner
  }

  private enum Ended: Sendable {
    case steps(offender: StepReport?)
    case watch(StepReport)
  }

  /// The report that decided against the test; nil: it holds. All reports are in the runner's journal.
  func run() async throws -> StepReport? {
    do {
      let offender = try await together()
      await runner.dropLoad()
      return offender
    } catch {
      await runner.dropLoad()
      throw error
    }
  }

  private func together() async throws -> StepReport? {
    let traffic = test.always.filter { if case .traffic = $0.action { true } else { false } }
    let conditions = test.always.filter { if case .traffic = $0.action { false } else { true } }
    for step in traffic {
      let report = try await runner.run(step)
      if !report.outcome.holds { return report }
    }
    let start = runner.clock.now
    return try await withThrowingTaskGroup(of: Ended.self) { group in
      group.addTask {
        defer { runner.journal.close() }
        if let offender = try await runner.run(test.steps) { return .steps(offender: offender) }
        return .steps(offender: try await runner.endLoad())
      }
      for step in conditions {
        group.addTask { .watch(try await watch(step, since: start)) }
      }
      var offender: StepReport?
      // Written down when nobody writes any more: the report that decides is the last one.
      var violation: StepReport?
      while true {
        do {
          switch try await group.next() {
          case nil:
            if let violation { runner.journal.add(violation, decides: true) }
            return offender
          case .steps(let report): offender = offender ?? report
          case .watch(let report):
            // Steps that have failed already, or a violation before this one, have decided the test.
            guard !report.outcome.holds, offender == nil else {
              runner.journal.add(report, decides: offender == nil)
              continue
            }
            (offender, violation) = (report, report)
            group.cancelAll()
          }
        } catch is CancellationError where offender != nil && !Task.isCancelled {
          continue
        }
      }
    }
  }

  /// Asks until it does not hold, and once more when the steps are over.
  private func watch(_ step: TestStep, since start: C.Instant) async throws -> StepReport {
    let startedAt = millisecondsSince1970()
    var asked = 0
    while true {
      let isLast = runner.journal.isOver
      let (began, mark) = (runner.journal.whereabouts, runner.journal.faultMark)
      var report = try await runner.attempts(step, 0)
      if case .undecided = report.outcome, !isLast, mark == nil || mark != runner.journal.faultMark {
        // What fell into the middle of a fault could not be judged, and says nothing.
        runner.discardCaptures(of: report.findings)
        try await runner.clock.sleep(until: runner.clock.now.advanced(by: pause), tolerance: nil)
        continue
      }
      asked += 1
      let seen = start.duration(to: runner.clock.now).seconds
      report.startedAt = startedAt
      report.seconds = seen
      if !report.outcome.holds {
        report.measured = "seen \(duration(seen)) after the test began, \(began)"
        return Self.named(report, outcome: Self.with(report.outcome, seen: duration(seen), began))
      }
      runner.discardCaptures(of: report.findings)
      if isLast {
        report.measured = "held each of \(asked) times"
        report.findings = Findings()
        return Self.named(report, outcome: .held)
      }
      try await runner.clock.sleep(until: runner.clock.now.advanced(by: pause), tolerance: nil)
    }
  }

  /// When it was seen, in every line that tells of it.
  private static func with(_ outcome: Outcome, seen: String, _ whereabouts: String) -> Outcome {
    let when = " (\(seen) after the test began, \(whereabouts))"
    switch outcome {
    case .held: return outcome
    case .undecided(let reason): return .undecided(reason + when)
    case .failed(let mismatches):
      return .failed(mismatches.map { Mismatch($0.subject, expected: $0.expected, found: $0.found + when) })
    }
  }

  private static func named(_ report: StepReport, outcome: Outcome) -> StepReport {
    var named = StepReport(
      place: report.place, summary: "always: \(report.summary)", outcome: outcome, heldAfter: nil,
      withinMilliseconds: nil, measured: report.measured)
    named.findings = report.findings
    named.startedAt = report.startedAt
    named.seconds = report.seconds
    return named
  }
}
