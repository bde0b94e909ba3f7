internal import NorthboundAPI
public import NorthboundClient
public import Topology

/// Runs the tests of one file, in order, on a lab that runs.
///
/// Before each test the lab must have converged, after each the controller mends what its faults broke. A step that
/// does not hold ends its test and keeps evidence while the lab still shows what was wrong, before anything is mended.
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
    for test in tests {
      let start = clock.now
      var done: TestReport
      do {
        done = try await run(test, settled: settled, start)
      } catch let error as ClientError {
        done = TestReport(name: test.name, seconds: seconds(since: start), steps: [], error: "\(error)")
      }
      try Task.checkCancellation()
      reports.append(done)
      report(done)
    }
    return reports
  }

  private func run(_ test: LabTest, settled: Bool, _ start: ContinuousClock.Instant) async throws -> TestReport {
    if settled, let reasons = try await whyNotConverged() {
      return try await unsettled(test, reasons, start)
    }
    let runner = StepRunner(api: api, lab: lab)
    var steps: [StepReport] = []
    var broke = false
    var evidence: Result<String, Unkept>?
    var failure: (any Error)?
    for step in test.steps {
      broke = broke || step.isFault
      do {
        let (report, traces) = try await runner.run(step)
        steps.append(report)
        if report.outcome.holds { continue }
        evidence = try await keepEvidence(of: test, traces)
      } catch {
        failure = error
      }
      break
    }
    let taken = seconds(since: start)
    if broke { try await mend() }
    if let failure { throw failure }
    return TestReport(
      name: test.name, seconds: taken, steps: steps, evidence: try? evidence?.get(), evidenceProblem: evidence?.problem)
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
    let evidence = try await keepEvidence(of: test, [])
    return TestReport(
      name: test.name, seconds: seconds(since: start), steps: [step], evidence: try? evidence.get(),
      evidenceProblem: evidence.problem)
  }

  /// The folder, or why it could not be written: the verdict stands without it.
  private func keepEvidence(of test: LabTest, _ traces: [Trace]) async throws -> Result<String, Unkept> {
    let evidence = Evidence(base: directory, folder: folders.claim(lab: labName, test: test.name))
    do {
      return .success(try await evidence.keep(traces, from: api, nodes: lab.nodes))
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
