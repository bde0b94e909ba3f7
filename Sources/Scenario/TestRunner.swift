internal import NorthboundAPI
public import NorthboundClient
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

  private func run(
    _ test: LabTest, settled: Bool, _ start: ContinuousClock.Instant
  ) async throws -> (TestReport, left: String?) {
    if settled, let reasons = try await whyNotConverged() {
      return (try await unsettled(test, reasons, start), nil)
    }
    let changes = test.steps.contains(where: \.changesVersion)
    let version = changes ? try await currentVersion() : nil
    let captures = test.steps.contains(where: \.measuresRate) ? try TemporaryFolder() : nil
    defer { captures?.remove() }
    let runner = StepRunner(api: api, lab: lab, captures: captures?.path)
    var steps: [StepReport] = []
    var broke = false
    var evidence: Result<String, Unkept>?
    var failure: (any Error)?
    for step in test.steps {
      broke = broke || step.isFault
      do {
        let (report, findings) = try await runner.run(step)
        steps.append(report)
        if report.outcome.holds { continue }
        evidence = try await keepEvidence(of: test, findings)
      } catch {
        failure = error
      }
      break
    }
    let taken = seconds(since: start)
    // First the nodes: a version is committed on those that run.
    if broke { try await mend() }
    let left = changes ? try await goBack(to: version) : nil
    if let failure { throw failure }
    if let left, steps.last?.outcome.holds != false {
      steps.append(
        StepReport(
          place: test.place, summary: "take back what the test applied",
          outcome: .failed([Mismatch("the lab", expected: "as the test found it", found: left)]), heldAfter: nil,
          withinMilliseconds: nil))
    }
    let report = TestReport(
      name: test.name, seconds: taken, steps: steps, evidence: try? evidence?.get(), evidenceProblem: evidence?.problem)
    return (report, left)
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

  /// A refusal to mend shows in the next test: the lab has not converged before it.
  private func mend() async throws {
    do {
      try await api.mend()
    } catch is APIError {}
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
    let evidence = try await keepEvidence(of: test, Findings())
    return TestReport(
      name: test.name, seconds: seconds(since: start), steps: [step], evidence: try? evidence.get(),
      evidenceProblem: evidence.problem)
  }

  /// The folder, or why it could not be written: the verdict stands without it.
  private func keepEvidence(of test: LabTest, _ findings: Findings) async throws -> Result<String, Unkept> {
    let evidence = Evidence(base: directory, folder: folders.claim(lab: labName, test: test.name))
    do {
      return .success(try await evidence.keep(findings, from: api, nodes: lab.nodes))
    } catch is CancellationError {
      throw CancellationError()
    } catch {
      return .failure(Unkept(reason: Evidence.reason(error)))
    }
  }

  private func seconds(since start: ContinuousClock.Instant) -> Double { (clock.now - start).seconds }
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
