// `netloom test FILE…`: a lab per file, its tests in order, the lab gone again.
//
//   file ─► TopologyFile.load ─► LabStart ─► TestRunner (StepRunner × steps) ─► FileReport ─► lines, JUnit, exit code

internal import Glibc
public import Lab
internal import NorthboundAPI
internal import NorthboundClient
internal import Synchronization
public import Topology

public struct ScenarioRun: Sendable {
  /// What there is to say while it runs, in order.
  public enum Note: Sendable {
    case diagnostic(Diagnostic)
    case starting(lab: String, file: String)
    case started(seconds: Double)
    case warning(String)
    case finished(TestReport)
    case problem(String)
  }

  public struct Options: Sendable {
    /// Run only the test of this name: with a matrix, all its combinations, or the one that is named whole.
    public var only: String?
    /// Leave the labs running.
    public var keep: Bool
    /// Test on this running lab.
    public var lab: String?
    /// For the labs' processes: KEY=VALUE.
    public var environment: [String]
    /// Where `evidence/` is made.
    public var directory: String

    public init(only: String?, keep: Bool, lab: String?, environment: [String], directory: String) {
      self.only = only
      self.keep = keep
      self.lab = lab
      self.environment = environment
      self.directory = directory
    }
  }

  let root: RunRoot
  let options: Options
  let note: @Sendable (Note) -> Void

  public init(root: RunRoot, options: Options, note: @escaping @Sendable (Note) -> Void) {
    self.root = root
    self.options = options
    self.note = note
  }

  /// Runs every file; throws `InterruptedRun` after taking the present lab down.
  public func run(_ files: [String]) async throws -> [FileReport] {
    let loaded = files.map { (file: $0, parsed: TopologyFile.load(path: $0)) }
    let names = loaded.flatMap { $0.parsed.value?.tests.map(\.name) ?? [] }
    if let only = options.only, !names.isEmpty, !names.contains(where: { Self.isMeant($0, by: only) }) {
      throw LabError(.usage, "no test is called \"\(only)\"; there are: \(names.joined(separator: ", "))")
    }
    let folders = EvidenceFolders()
    var reports: [FileReport] = []
    for (place, (file, parsed)) in loaded.enumerated() {
      // Another file has the test that was asked for.
      if let topology = parsed.value, let only = options.only, !names.isEmpty,
        !topology.tests.contains(where: { Self.isMeant($0.name, by: only) })
      {
        note(.warning("\(file): no test of that name"))
        reports.append(FileReport(file: file, lab: topology.name, tests: [], seconds: 0))
      } else {
        let diary = RunDiary()
        do {
          var report = try await run(file, parsed, folders, diary)
          report.topology = parsed.value
          reports.append(report)
        } catch  where Self.isInterruption(error) {
          reports.append(interrupted(file, parsed, diary))
          reports += loaded[(place + 1)...].map { interrupted($0.file, $0.parsed, nil) }
          throw InterruptedRun(reports: reports, cause: error)
        }
      }
    }
    return reports
  }

  private static func isInterruption(_ error: any Error) -> Bool {
    error is CancellationError || (error as? LabError)?.kind == .interrupted
  }

  /// What can be said of a file whose tests were broken off; `diary` nil: they were not begun.
  private func interrupted(_ file: String, _ parsed: Parsed<ResolvedLab>, _ diary: RunDiary?) -> FileReport {
    var tests = diary?.finished ?? []
    let seconds = diary?.seconds ?? 0
    for test in meant(parsed.value?.tests ?? []).dropFirst(tests.count) {
      if diary?.labStands == true, tests.count == diary?.finished.count {
        let rest = seconds - tests.map(\.seconds).reduce(diary?.startSeconds ?? 0, +)
        tests.append(TestReport(name: test.name, seconds: max(0, rest), steps: [], error: "interrupted"))
      } else {
        tests.append(.notRun(test.name, because: "the run was interrupted"))
      }
    }
    // A lab that was still coming up, or a file that nobody had looked at yet: then no test says what happened.
    let problem =
      diary != nil && !tests.contains { $0.verdict == .error } ? (exit: Int32(3), message: "interrupted") : nil
    var report = FileReport(file: file, lab: parsed.value?.name ?? "", tests: tests, seconds: seconds, problem: problem)
    report.topology = parsed.value
    return report
  }

  private func meant(_ tests: [LabTest]) -> [LabTest] {
    tests.filter { test in options.only.map { Self.isMeant(test.name, by: $0) } ?? true }
  }

  static func isMeant(_ test: String, by only: String) -> Bool { test == only || test.hasPrefix("\(only) [") }

  /// 3 could not run over 2 bad file over 1 failed: the first thing to mend.
  public static func exitCode(_ reports: [FileReport]) -> Int32 { reports.map(\.exitCode).max() ?? 2 }

  private func run(
    _ file: String, _ parsed: Parsed<ResolvedLab>, _ folders: EvidenceFolders, _ diary: RunDiary
  ) async throws -> FileReport {
    let start = ContinuousClock.now
    for diagnostic in parsed.diagnostics { note(.diagnostic(diagnostic)) }
    guard let topology = parsed.value else {
      return FileReport(
        file: file, lab: "", tests: [], seconds: 0, problem: (2, parsed.errors.first?.description ?? "bad file"))
    }
    let tests = meant(topology.tests)
    guard !tests.isEmpty else {
      return problem(file, topology.name, "\(file): error: there are no tests in it", exit: 2, since: start)
    }
    do {
      return try await run(tests, of: topology, file, folders, start, diary)
    } catch let error as Misfit {
      return problem(file, topology.name, "\(file): error: \(error.reason)", exit: 2, since: start)
    } catch let error as LabError where error.kind != .interrupted {
      // Whatever keeps a lab from coming up, the tests could not be run.
      return problem(file, topology.name, error.message, exit: 3, since: start)
    }
  }

  private func problem(
    _ file: String, _ lab: String, _ message: String, exit code: Int32, since start: ContinuousClock.Instant
  ) -> FileReport {
    note(.problem(message))
    return FileReport(
      file: file, lab: lab, tests: [], seconds: (ContinuousClock.now - start).seconds, problem: (code, message))
  }

  private func run(
    _ tests: [LabTest], of topology: ResolvedLab, _ file: String, _ folders: EvidenceFolders,
    _ start: ContinuousClock.Instant, _ diary: RunDiary
  ) async throws -> FileReport {
    let lab: Lab
    let settled: Bool
    if let name = options.lab {
      lab = try root.running(named: name)
      if let misfit = try await misfit(of: topology, in: lab) { throw misfit }
      note(.starting(lab: lab.name, file: file))
      settled = true
    } else {
      note(.starting(lab: topology.name, file: file))
      (lab, settled) = try await bringUp(topology)
      note(.started(seconds: (ContinuousClock.now - start).seconds))
    }
    diary.begin()
    let runner = TestRunner(
      api: lab.client, lab: topology, directory: options.directory,
      labName: options.lab == nil ? topology.name : lab.name, folders: folders)
    let result: Result<[TestReport], any Error>
    do {
      result = .success(
        try await runner.run(tests, settled: settled) {
          diary.add($0)
          note(.finished($0))
        })
    } catch {
      result = .failure(error)
    }
    let impairments = await runner.impairments()
    let problem = try takeDown(lab, interrupted: Task.isCancelled)
    var report = FileReport(
      file: file, lab: topology.name, runningAs: lab.name, tests: try result.get(),
      seconds: (ContinuousClock.now - start).seconds, problem: problem.map { (3, $0.message) })
    report.impairments = impairments
    return report
  }

  /// Why tests of this topology say nothing about that lab; nil: it has every node and every link end.
  private func misfit(of topology: ResolvedLab, in lab: Lab) async throws -> Misfit? {
    let running: LabTopology
    do {
      running = try await lab.client.topology()
    } catch let error as ClientError {
      throw LabError(.environment, "\(error)")
    } catch let error as APIError {
      throw LabError(.environment, error.message)
    }
    let nodes = Set(running.nodes.map(\.name))
    if let node = topology.nodes.first(where: { !nodes.contains($0.name) }) {
      return Misfit(reason: "lab \(lab.name) has no node \(node.name)")
    }
    let ends = Set(running.links.flatMap(\.endpoints))
    let missing = topology.links.flatMap { [$0.a.name, $0.b.name] }.first { !ends.contains($0) }
    return missing.map { Misfit(reason: "lab \(lab.name) has no link at \($0)") }
  }

  /// A lab that does not end is a problem of its own, beside what its tests said.
  private func takeDown(_ lab: Lab, interrupted: Bool) throws(LabError) -> LabError? {
    do {
      if options.lab == nil, interrupted || !options.keep { try lab.stop() }
    } catch {
      note(.problem(error.message))
      return error
    }
    if interrupted {
      throw LabError(
        .interrupted, options.lab == nil ? "interrupted; lab \(lab.name) was taken down" : "interrupted")
    }
    return nil
  }

  /// Brings the lab up under its name, or under one of its own where that is taken. A lab that does not converge is
  /// tested as it is (a test may be about a session that must not come up), and a warning says so.
  private func bringUp(_ topology: ResolvedLab) async throws -> (Lab, settled: Bool) {
    var topology = topology
    if root.lab(named: topology.name)?.state == .running { topology.name = ownName(topology.name) }
    let start = LabStart(
      topology: topology, replace: false, timeout: .seconds(60), environment: options.environment)
    do {
      return (try await start.run(in: root), true)
    } catch let error as NotConverged {
      note(.warning("the lab did not converge within 60 s: " + error.reasons.prefix(5).joined(separator: "; ")))
      return (error.lab, false)
    }
  }

  private func ownName(_ name: String) -> String {
    let suffix = "-test-\(getpid())"
    return name.prefix(32 - suffix.count) + suffix
  }
}

/// A signal ended the run. Tests that were over have their reports, the one under way is an error, the others were not run.
public struct InterruptedRun: Error {
  public let reports: [FileReport]
  /// `LabError.interrupted`, which says what became of the lab.
  public let cause: any Error
}

/// What is known of a file's tests while they run.
private final class RunDiary: Sendable {
  private struct Entries {
    var finished: [TestReport] = []
    /// The lab stood after so many seconds.
    var startSeconds: Double?
  }

  private let start = ContinuousClock.now
  private let entries = Mutex(Entries())

  func begin() { entries.withLock { $0.startSeconds = seconds } }
  func add(_ report: TestReport) { entries.withLock { $0.finished.append(report) } }

  var finished: [TestReport] { entries.withLock { $0.finished } }
  var startSeconds: Double { entries.withLock { $0.startSeconds ?? 0 } }
  var labStands: Bool { entries.withLock { $0.startSeconds != nil } }
  var seconds: Double { (ContinuousClock.now - start).seconds }
}

/// The tests are of another lab than the one they were to run on.
private struct Misfit: Error {
  let reason: String
}
