// `netloom test FILE…`: a lab per file, its tests in order, the lab gone again.
//
//   file ─► TopologyFile.load ─► LabStart ─► TestRunner (StepRunner × steps) ─► FileReport ─► lines, JUnit, exit code

internal import Glibc
public import Lab
internal import NorthboundClient
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
    /// Run only the test of this name.
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

  /// Runs every file; throws `LabError.interrupted` after taking the present lab down.
  public func run(_ files: [String]) async throws -> [FileReport] {
    let loaded = files.map { (file: $0, parsed: TopologyFile.load(path: $0)) }
    if let only = options.only {
      let names = loaded.flatMap { $0.parsed.value?.tests.map(\.name) ?? [] }
      if !names.isEmpty, !names.contains(only) {
        throw LabError(.usage, "no test is called \"\(only)\"; there are: \(names.joined(separator: ", "))")
      }
    }
    var reports: [FileReport] = []
    for (file, parsed) in loaded {
      if let report = try await run(file, parsed) { reports.append(report) }
    }
    return reports
  }

  /// 3 could not run over 2 bad file over 1 failed: the first thing to mend.
  public static func exitCode(_ reports: [FileReport]) -> Int32 { reports.map(\.exitCode).max() ?? 2 }

  /// Nil: the file has no test of the name asked for.
  private func run(_ file: String, _ parsed: Parsed<ResolvedLab>) async throws -> FileReport? {
    let start = ContinuousClock.now
    for diagnostic in parsed.diagnostics { note(.diagnostic(diagnostic)) }
    guard let topology = parsed.value else {
      return FileReport(
        file: file, lab: "", tests: [], seconds: 0, problem: (2, parsed.errors.first?.description ?? "bad file"))
    }
    let tests = topology.tests.filter { options.only == nil || $0.name == options.only }
    guard !tests.isEmpty else {
      if options.only != nil { return nil }
      return problem(file, topology.name, LabError(.usage, "\(file): error: there are no tests in it"), since: start)
    }
    do {
      return try await run(tests, of: topology, file, start)
    } catch let error as LabError where error.kind != .interrupted {
      return problem(file, topology.name, LabError(.environment, error.message), since: start, exit: error.kind)
    }
  }

  private func problem(
    _ file: String, _ lab: String, _ error: LabError, since start: ContinuousClock.Instant,
    exit: LabError.Kind? = nil
  ) -> FileReport {
    note(.problem(error.message))
    // Whatever keeps a lab from coming up, the tests could not be run.
    let code: Int32 = error.kind == .usage && exit == nil ? 2 : 3
    return FileReport(
      file: file, lab: lab, tests: [], seconds: (ContinuousClock.now - start).seconds, problem: (code, error.message))
  }

  private func run(
    _ tests: [LabTest], of topology: ResolvedLab, _ file: String, _ start: ContinuousClock.Instant
  ) async throws -> FileReport {
    let lab: Lab
    let settled: Bool
    if let name = options.lab {
      lab = try root.running(named: name)
      note(.starting(lab: lab.name, file: file))
      settled = true
    } else {
      note(.starting(lab: topology.name, file: file))
      (lab, settled) = try await bringUp(topology)
      note(.started(seconds: (ContinuousClock.now - start).seconds))
    }
    let runner = TestRunner(api: lab.client, lab: topology, directory: options.directory)
    let result: Result<[TestReport], any Error>
    do {
      result = .success(try await runner.run(tests, settled: settled) { note(.finished($0)) })
    } catch {
      result = .failure(error)
    }
    let problem = try takeDown(lab, interrupted: Task.isCancelled)
    return FileReport(
      file: file, lab: topology.name, runningAs: lab.name, tests: try result.get(),
      seconds: (ContinuousClock.now - start).seconds, problem: problem.map { (3, $0.message) })
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
