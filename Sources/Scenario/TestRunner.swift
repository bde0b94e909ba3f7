internal import NorthboundAPI
public import NorthboundClient
internal import Synchronization
public import Topology

/// Runs the tests of one file, in order, on a lab that runs.
///
/// Before each test the lab must have converged, after each the controller mends what its faults broke and goes back to
/// the version that the test found. A step that does not hold ends its test and keeps evidence while the lab still shows
/// what was wrong, before anything is mended.
public struct TestRunner: Sendable {
  let api: any LabAPI
  let lab: ResolvedLab
  /// Where `evidence/` is made.
  let directory: String
  /// The running lab's name, for the evidence.
  let labName: String
  let folders: EvidenceFolders
  /// How long the lab may take to converge again after a test.
  let patience: Duration
  let clock = ContinuousClock()
  /// The lab's last event that is known.
  private let newest = EventNumber()

  /// `folders` are those of the run that these tests belong to; `labName`: nil, the file's.
  public init(
    api: any LabAPI, lab: ResolvedLab, directory: String, labName: String? = nil,
    folders: EvidenceFolders = EvidenceFolders(), patience: Duration = .seconds(30)
  ) {
    self.api = api
    self.lab = lab
    self.directory = directory
    self.labName = labName ?? lab.name
    self.folders = folders
    self.patience = patience
  }

  /// `settled`: the lab has converged before; one that never did is tested as it is. `report` is told each test's end.
  /// Throws `CancellationError` only; a lab that cannot be asked any more is an error of the tests that are left.
  public func run(
    _ tests: [LabTest], settled: Bool, report: @Sendable (TestReport) -> Void
  ) async throws -> [TestReport] {
    var reports: [TestReport] = []
    // What a test left behind and could not be taken back: no later test says anything about the file's lab.
    var left: String?
    for test in tests {
      let start = clock.now
      var done: TestReport
      do {
        if let left {
          done = try await unsettled(test, [left], start)
        } else {
          (done, left) = try await run(test, settled: settled, start)
        }
      } catch let error as ClientError {
        done = TestReport(name: test.name, seconds: seconds(since: start), steps: [], error: "\(error)")
      }
      try Task.checkCancellation()
      reports.append(done)
      report(done)
    }
    return reports
  }

  /// The rounds of a test. Each finds the lab as the file has it: what the one before broke is mended.
  private func run(
    _ test: LabTest, settled: Bool, _ start: ContinuousClock.Instant
  ) async throws -> (TestReport, left: String?) {
    let startedAt = millisecondsSince1970()
    var steps: [StepReport] = []
    var events: [LabEvent] = []
    var last = Round()
    for round in 1...max(1, test.times) {
      if settled, let reasons = try await whyNotConverged() {
        let unsettled = try await self.unsettled(test, reasons, start)
        if round == 1 { return (unsettled, nil) }
        last = Round(steps: unsettled.steps, evidence: unsettled.evidence, problem: unsettled.evidenceProblem)
      } else {
        last = try await self.round(test, test.times > 1 ? "\(round) of \(test.times)" : nil)
      }
      events += last.events
      // Packets of rounds that held are of no use to anybody, and there may be very many.
      let isOver = round == test.times || !last.holds || last.left != nil
      steps += last.steps.map { step in
        var step = step
        if !isOver { step.findings = Findings() }
        return step
      }
      if isOver { break }
    }
    var report = TestReport(
      name: test.name, seconds: seconds(since: start), steps: steps, evidence: last.evidence,
      evidenceProblem: last.problem)
    report.startedAt = startedAt
    report.events = events
    return (report, last.left)
  }

  private struct Round {
    var steps: [StepReport] = []
    var evidence: String?
    var problem: String?
    var events: [LabEvent] = []
    /// What could not be taken back.
    var left: String?

    var holds: Bool { steps.last.map { $0.outcome.holds } ?? true }
  }

  private func round(_ test: LabTest, _ name: String?) async throws -> Round {
    let all = (test.steps + test.always).flatMap(\.all)
    let changes = all.contains(where: \.changesVersion)
    let version = changes ? try await currentVersion() : nil
    let newest = try await newestEvent()
    let captures = !test.always.isEmpty || all.contains(where: \.capturesPackets) ? try TemporaryFolder() : nil
    defer { captures?.remove() }
    let runner = StepRunner(api: api, lab: lab, captures: captures?.path, round: name)
    var round = Round()
    var failure: (any Error)?
    do {
      let offender = try await TestPass(test, runner).run()
      round.steps = runner.journal.reports
      if let offender {
        let evidence = try await keepEvidence(of: test, round.steps, offender)
        (round.evidence, round.problem) = (try? evidence.get(), evidence.problem)
      }
      round.events = try await events(after: newest)
    } catch {
      failure = error
    }
    // First the nodes: a version is committed on those that run.
    let unmended = runner.journal.broke ? try await mend() : nil
    let unapplied = changes ? try await goBack(to: version) : nil
    let left = [unmended, unapplied].compactMap(\.self)
    round.left = left.isEmpty ? nil : left.joined(separator: "; ")
    if let failure { throw failure }
    if let left = round.left, round.holds { round.steps.append(Self.leftover(test, left)) }
    return round
  }

  private static func leftover(_ test: LabTest, _ left: String) -> StepReport {
    StepReport(
      place: test.place, summary: "take back what the test did",
      outcome: .failed([Mismatch("the lab", expected: "as the test found it", found: left)]), heldAfter: nil,
      withinMilliseconds: nil)
  }

  /// The number of the lab's last event; 0: it cannot say.
  private func newestEvent() async throws -> UInt64 {
    try await events(after: newest.value).last?.number ?? newest.value
  }

  /// What the lab said since; a report without it is still a report.
  private func events(after number: UInt64) async throws -> [LabEvent] {
    do {
      let events = try await api.events(since: number)
      if let last = events.last { newest.value = last.number }
      return events
    } catch is APIError {
      return []
    } catch ClientError.timedOut {
      return []
    }
  }

  private func currentVersion() async throws -> Int? {
    do {
      return try await api.history(limit: 20, offset: 0).first(where: \.current)?.version
    } catch is APIError {
      // The step that changes something will say what is wrong.
      return nil
    }
  }

  /// To the version that the test found. Nil: it is there; otherwise why not. An automatic rollback that happens to run
  /// at this moment refuses another one until it is done.
  private func goBack(to version: Int?) async throws -> String? {
    guard let version else { return nil }
    let deadline = clock.now + .seconds(10)
    while true {
      do {
        if try await currentVersion() == version { return nil }
        _ = try await api.rollback(RollbackRequest(version: version, author: ChangeStep.author))
        return nil
      } catch let refusal as APIError {
        guard refusal.code == "conflict", clock.now < deadline else {
          return "version \(version) cannot be had again: \(refusal.message)"
        }
        try await clock.sleep(for: .milliseconds(50))  // poll: until the other change is over
      }
    }
  }

  /// What could not be mended; nil: nothing. A link that still loses or delays lets the lab converge all the same, so no
  /// later test would notice.
  private func mend() async throws -> String? {
    do {
      try await unbroken { try await api.mend() }
      return nil
    } catch let refusal as APIError {
      return refusal.message
    }
  }

  /// Nil: it has converged.
  private func whyNotConverged() async throws -> [String]? {
    do {
      let convergence = try await api.converged(within: patience)
      return convergence.converged ? nil : convergence.reasons
    } catch let refusal as APIError {
      return [refusal.message]
    }
  }

  private func unsettled(
    _ test: LabTest, _ reasons: [String], _ start: ContinuousClock.Instant
  ) async throws -> TestReport {
    let reason = "the lab was not converged when the test began: " + reasons.prefix(5).joined(separator: "; ")
    let step = StepReport(
      place: test.place, summary: "converged", outcome: .undecided(reason), heldAfter: nil, withinMilliseconds: nil)
    let evidence = try await keepEvidence(of: test, [], nil)
    return TestReport(
      name: test.name, seconds: seconds(since: start), steps: [step], evidence: try? evidence.get(),
      evidenceProblem: evidence.problem)
  }

  /// The folder, or why it could not be written: the verdict stands without it.
  private func keepEvidence(
    of test: LabTest, _ steps: [StepReport], _ offender: StepReport?
  ) async throws -> Result<String, Unkept> {
    let evidence = Evidence(base: directory, folder: folders.claim(lab: labName, test: test.name))
    var findings = offender?.findings ?? Findings()
    // Load is evidence of the test, whichever step failed.
    findings.traffic = steps.flatMap(\.findings.traffic).filter { $0.result != nil || $0.error != nil }
    do {
      return .success(
        try await evidence.keep(
          findings, from: api, nodes: lab.nodes, concerned: offender.map { concerned(test, $0) } ?? []))
    } catch is CancellationError {
      throw CancellationError()
    } catch {
      return .failure(Unkept(reason: Evidence.reason(error)))
    }
  }

  /// The nodes whose kernels tell why a step did not hold: those it names, and those that its packets met.
  private func concerned(_ test: LabTest, _ offender: StepReport) -> Set<String> {
    let step = (test.steps + test.always).flatMap(\.all).first { $0.place == offender.place }
    var nodes = (step?.nodes ?? []).union(offender.findings.nodes)
    for trace in offender.findings.traces { nodes.formUnion(trace.forward.path + trace.return.path) }
    for check in offender.findings.checks { nodes.formUnion(check.violations.map(\.node)) }
    return nodes
  }

  private func seconds(since start: ContinuousClock.Instant) -> Double { (clock.now - start).seconds }
}

/// Shared by the tests of one run.
private final class EventNumber: Sendable {
  private let number = Mutex<UInt64>(0)
  var value: UInt64 {
    get { number.withLock { $0 } }
    set { number.withLock { $0 = newValue } }
  }
}

/// Evidence that could not be written.
private struct Unkept: Error {
  let reason: String
}

extension Result where Failure == Unkept {
  fileprivate var problem: String? {
    switch self {
    case .success: nil
    case .failure(let unkept): unkept.reason
    }
  }
}
