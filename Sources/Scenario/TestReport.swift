public import NorthboundAPI
public import Topology

/// What a step showed: for its evidence and for reports.
public struct Findings: Sendable {
  public var traces: [Trace] = []
  public var rates: [RateResult] = []
  public var traffic: [TrafficState] = []
  public var checks: [CheckResult] = []
  /// Nodes that the step was about.
  public var nodes: Set<String> = []

  public init(
    traces: [Trace] = [], rates: [RateResult] = [], traffic: [TrafficState] = [], checks: [CheckResult] = [],
    nodes: Set<String> = []
  ) {
    self.traces = traces
    self.rates = rates
    self.traffic = traffic
    self.checks = checks
    self.nodes = nodes
  }
}

/// What became of one step.
public struct StepReport: Sendable {
  public let place: Place
  /// `trace h1 → web tcp/80`
  public let summary: String
  public let outcome: Outcome
  /// Seconds until it held, where `within:` was written.
  public let heldAfter: Double?
  public let withinMilliseconds: UInt32?
  /// `9.61 Mbit/s, limited by shaping at customer:eth1`, where the step measures.
  public var measured: String?
  public var findings = Findings()
  /// When it began, milliseconds since 1970.
  public var startedAt: Double = 0
  public var seconds: Double = 0
  public var isFault = false

  public init(
    place: Place, summary: String, outcome: Outcome, heldAfter: Double? = nil, withinMilliseconds: UInt32? = nil,
    measured: String? = nil, findings: Findings = Findings(), startedAt: Double = 0, seconds: Double = 0,
    isFault: Bool = false
  ) {
    self.place = place
    self.summary = summary
    self.outcome = outcome
    self.heldAfter = heldAfter
    self.withinMilliseconds = withinMilliseconds
    self.measured = measured
    self.findings = findings
    self.startedAt = startedAt
    self.seconds = seconds
    self.isFault = isFault
  }

  /// What the step is called in the file, the first word of its summary: `trace`, `no-transit`.
  public var word: String { summary.prefix { $0 != " " }.description }
}

/// What became of one test: its steps up to the first that did not hold.
public struct TestReport: Sendable {
  public let name: String
  public let seconds: Double
  public let steps: [StepReport]
  /// The test could not be carried out: why.
  public let error: String?
  /// Relative to the current directory, with a trailing slash; nil: nothing was kept.
  public let evidence: String?
  /// Why evidence could not be kept.
  public let evidenceProblem: String?
  /// Why its turn never came; nil: it was carried out, or that was begun.
  public var notRun: String?
  /// When it began, milliseconds since 1970.
  public var startedAt: Double = 0
  /// What the lab said during the test, oldest first.
  public var events: [LabEvent] = []

  public init(
    name: String, seconds: Double, steps: [StepReport], error: String? = nil, evidence: String? = nil,
    evidenceProblem: String? = nil
  ) {
    self.name = name
    self.seconds = seconds
    self.steps = steps
    self.error = error
    self.evidence = evidence
    self.evidenceProblem = evidenceProblem
  }

  /// The step that decided against it.
  public var offender: StepReport? { steps.last.flatMap { $0.outcome.holds ? nil : $0 } }

  public var verdict: Verdict {
    if notRun != nil { return .notRun }
    if error != nil { return .error }
    switch offender?.outcome {
    case nil, .held: return .passed
    case .failed: return .failed
    case .undecided: return .undecided
    }
  }

  public enum Verdict: String, Sendable {
    case passed, failed, undecided, error
    case notRun = "not-run"
  }

  /// A test whose turn never came.
  static func notRun(_ name: String, because reason: String) -> TestReport {
    var report = TestReport(name: name, seconds: 0, steps: [])
    report.notRun = reason
    return report
  }
}

/// What became of one file.
public struct FileReport: Sendable {
  public let file: String
  /// The lab's name in the file.
  public let lab: String
  /// The name it ran under: another one where that was taken.
  public let runningAs: String
  public let tests: [TestReport]
  public let seconds: Double
  /// Why the file was not run, or not to its end; the exit code says whose matter it is.
  public let problem: (exit: Int32, message: String)?
  /// What was tested, for drawings and places; nil: the file could not be read.
  public var topology: ResolvedLab?
  /// What links that declare an impairment did, when the tests were over.
  public var impairments: [ImpairedDirection] = []

  public init(
    file: String, lab: String, runningAs: String? = nil, tests: [TestReport], seconds: Double,
    problem: (exit: Int32, message: String)? = nil, topology: ResolvedLab? = nil
  ) {
    self.file = file
    self.lab = lab
    self.runningAs = runningAs ?? lab
    self.tests = tests
    self.seconds = seconds
    self.problem = problem
    self.topology = topology
  }

  /// 0 all hold, 1 some fail or are undecided, 2 bad file or no tests, 3 could not run.
  public var exitCode: Int32 {
    if let problem { return problem.exit }
    if tests.contains(where: { $0.verdict == .error }) { return 3 }
    return tests.allSatisfy { $0.verdict == .passed } ? 0 : 1
  }
}
