import ArgumentParser
import Lab
import Scenario
import Synchronization

struct TestCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "test",
    abstract: "Run the tests of topology files, each in a lab of its own.",
    discussion: """
      EXAMPLES:
        netloom test topologies/dual-isp.yaml
        netloom test topologies/*.yaml --junit report.xml --html report.html
        netloom test lab.yaml --sarif leaks.sarif --tap report.tap
        netloom test lab.yaml --only "the way back is the other ISP" --keep
        netloom test checks.yaml --lab dual-isp         on a lab that runs

      A step that does not hold keeps its evidence in evidence/LAB/TEST/. Reports are written whatever the tests came
      to. In GitHub Actions, issues are also shown beside the lines of a change and a summary on the page of the run.
      Exit codes: 0 all hold; 1 some fail or are undecided; 2 bad file, or no tests in it; 3 could not run.
      """)

  @Argument(help: "Topology files, or files of tests ({topology: FILE, tests: [...]}).", completion: .file())
  var files: [String]

  @OptionGroup(title: "Reports") var reports: ReportOptions

  @Flag(help: "Leave the lab running.")
  var keep = false

  @Option(help: ArgumentHelp("Only the test of this name.", valueName: "name"))
  var only: String?

  @Option(help: ArgumentHelp("Test on this running lab.", valueName: "lab"))
  var lab: String?

  @Option(name: .shortAndLong, help: "table or json.")
  var output: OutputFormat = .table

  @OptionGroup var appearance: AppearanceOptions

  func run() async throws {
    try Self.check(lab)
    let outputs = try reports.prepared(jsonOnStdout: output == .json)
    let root = RunRoot.ofThisUser()
    root.sweep()
    let quiet = output == .json
    let style = ReportStyle(color: quiet ? appearance.errorColor : appearance.color)
    let options = ScenarioRun.Options(
      only: only, keep: keep, lab: lab, environment: Output.environment, directory: Output.currentDirectory)
    let verbose = appearance.verbose
    let run = ScenarioRun(root: root, options: options) { note in
      Self.show(note, style, quiet: quiet, verbose: verbose)
    }
    let files = self.files
    let partial = PartialReports()
    let results: [FileReport]
    do {
      results = try await outputs.guarding {
        try await cancelledBySignals { try await partial.keeping { try await run.run(files) } }
      }
    } catch {
      // What is known goes into the reports that were asked for; how the command ends is the signal's.
      if let reports = partial.reports {
        if quiet { try Output.json(reports.map(FileResult.init)) }
        _ = outputs.write(reports)
      }
      throw error
    }
    if quiet {
      try Output.json(results.map(FileResult.init))
    } else {
      Output.line("\n" + style.summary(results))
      for report in results where keep && lab == nil && !report.tests.isEmpty {
        Output.line("lab \(report.runningAs) stays; take it down with: netloom down \(report.runningAs)")
      }
    }
    let code = outputs.write(results) ? ScenarioRun.exitCode(results) : LabError.Kind.environment.rawValue
    if code != 0 { throw Exit(code: code) }
  }

  /// A lab that does not run: the tests could not be run, whatever its absence means elsewhere.
  private static func check(_ lab: String?) throws {
    guard let lab else { return }
    do {
      _ = try Labs.find(lab)
    } catch {
      throw LabError(.environment, error.message)
    }
  }

  @Sendable private static func show(_ note: ScenarioRun.Note, _ style: ReportStyle, quiet: Bool, verbose: Bool) {
    switch note {
    case .diagnostic(let diagnostic): Output.note("\(diagnostic)")
    case .warning(let text): Output.note("warning: \(text)")
    case .problem(let text): Output.error(text)
    case .starting(let lab, let file):
      if !quiet { Output.line("\n\(lab)  (\(file))") }
    case .started(let seconds):
      if !quiet, verbose { Output.line("converged after \(spoken(seconds: seconds))") }
    case .finished(let report):
      if !quiet { style.lines(report).forEach(Output.line) }
    }
  }
}

/// What tests came to before a signal ended the run.
private final class PartialReports: Sendable {
  private let kept = Mutex<[FileReport]?>(nil)
  var reports: [FileReport]? { kept.withLock { $0 } }

  func keeping<Value: Sendable>(_ work: () async throws -> Value) async throws -> Value {
    do {
      return try await work()
    } catch let interruption as InterruptedRun {
      kept.withLock { $0 = interruption.reports }
      throw interruption.cause
    }
  }
}

/// `-o json`: one entry per file.
private struct FileResult: Encodable {
  struct Test: Encodable {
    let name: String
    let verdict: String
    let seconds: Double
    let message: String?
    let evidence: String?
    /// Why there is none.
    let evidenceProblem: String?
  }

  let file: String
  let lab: String
  let exit: Int32
  let problem: String?
  let tests: [Test]

  init(_ report: FileReport) {
    file = report.file
    lab = report.lab
    exit = report.exitCode
    problem = report.problem?.message
    tests = report.tests.map {
      Test(
        name: $0.name, verdict: $0.verdict.rawValue, seconds: $0.seconds,
        message: $0.verdict == .passed ? nil : $0.message, evidence: $0.evidence,
        evidenceProblem: $0.evidenceProblem)
    }
  }
}
