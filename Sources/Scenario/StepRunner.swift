internal import FoundationEssentials
internal import NorthboundAPI
public import NorthboundClient
internal import NetTypes
public import Topology

/// Carries out the steps of one test against a running lab, and writes into its journal what they came to.
public struct StepRunner<C: Clock<Duration>>: Sendable {
  let api: any LabAPI
  let lab: ResolvedLab
  /// Where steps leave their captures; nil: traces in the run directory of the lab, others leave none.
  let captures: String?
  let clock: C
  /// `2 of 5`, of a test that is repeated.
  let round: String?
  let journal = TestJournal()
  let load = TestLoad<C.Instant>()
  /// Between two attempts of a step with `within:`.
  let pause: Duration = .milliseconds(25)

  public init(
    api: any LabAPI, lab: ResolvedLab, captures: String? = nil, round: String? = nil, clock: C = ContinuousClock()
  ) {
    self.api = api
    self.lab = lab
    self.captures = captures
    self.round = round
    self.clock = clock
  }

  struct Attempt {
    var outcome: Outcome
    var findings = Findings()
    /// What a step that measures has measured.
    var measured: String?
  }

  /// What the step came to.
  ///
  /// With `within:` it is tried until it holds or the time is up: an attempt that ends later counts as failed, and a
  /// command is ended when the time is up. `finish` has a word in the report before others see it. Throws `ClientError`
  /// when the lab cannot be asked any more, and `CancellationError`.
  @discardableResult
  func run(
    _ step: TestStep, finish: @Sendable (inout StepReport) async throws -> Void = { _ in }
  ) async throws -> StepReport {
    let number = journal.begin(step, summary(step))
    do {
      var report = try await attempts(step, number)
      try await finish(&report)
      journal.end(number, report)
      return report
    } catch {
      journal.end(number, nil)
      throw error
    }
  }

  /// The same, without a word in the journal.
  func attempts(_ step: TestStep, _ number: Int) async throws -> StepReport {
    let start = clock.now
    let startedAt = millisecondsSince1970()
    let limit = step.isRepeatable ? step.withinMilliseconds.map { Duration.milliseconds(Int64($0)) } : nil
    var attempt = try await perform(step, limit, number)
    var elapsed = start.duration(to: clock.now)
    if let limit, attempt.outcome.holds, elapsed > limit { attempt.outcome = late(elapsed) }
    while !attempt.outcome.holds, let limit, elapsed + pause < limit {
      try await clock.sleep(until: clock.now.advanced(by: pause), tolerance: nil)
      let next = try await perform(step, limit - elapsed, number)
      elapsed = start.duration(to: clock.now)
      attempt = next
      if next.outcome.holds, elapsed > limit { attempt.outcome = late(elapsed) }
    }
    var report = StepReport(
      place: step.place, summary: summary(step), outcome: attempt.outcome,
      heldAfter: attempt.outcome.holds && limit != nil ? elapsed.seconds : nil,
      withinMilliseconds: limit == nil ? nil : step.withinMilliseconds, measured: attempt.measured)
    report.findings = attempt.findings
    report.startedAt = startedAt
    report.seconds = elapsed.seconds
    report.isFault = step.isFault
    return report
  }

  /// Captures of what held and is asked again would pile up.
  func discardCaptures(of findings: Findings) {
    guard let captures else { return }
    for trace in findings.traces + findings.checks.flatMap(\.traces) {
      guard let capture = trace.capture, capture.hasPrefix(captures + "/") else { continue }
      try? FileManager.default.removeItem(atPath: capture)
    }
  }

  func summary(_ step: TestStep) -> String { step.summary + (round.map { " (\($0))" } ?? "") }

  private func late(_ elapsed: Duration) -> Outcome {
    .failed([Mismatch("time", expected: "held when the time is up", found: "held after \(elapsed.seconds) s")])
  }

  /// - Parameter limit: what is left of `within:`.
  private func perform(_ step: TestStep, _ limit: Duration?, _ number: Int) async throws -> Attempt {
    do {
      switch step.action {
      case .trace(let step):
        var query = step.query
        query.directory = captures
        let trace = try await api.trace(query)
        return Attempt(outcome: step.judge(trace), findings: Findings(traces: [trace]))
      case .noTransit(let step):
        let query = NoTransitQuery(node: step.node, except: step.exceptCustomers ? "customers" : nil)
        let result = try await api.noTransit(query)
        return Attempt(outcome: step.judge(result), findings: Findings(traces: result.transits))
      case .route(let step): return Attempt(outcome: try await judge(step))
      case .session(let step):
        return Attempt(outcome: step.judge(try await api.status(), localInterface: localInterface(step)))
      case .exec(let step):
        let command = ExecCommand(argv: ["/bin/sh", "-c", step.command], timeoutMs: milliseconds(limit))
        return Attempt(outcome: step.judge(try await api.exec(command, in: step.node)))
      case .fault(let step):
        try await unbroken { try await api.fault(step.command) }
        return Attempt(outcome: .held)
      case .traffic(let traffic): return try await start(traffic, of: step, number)
      case .check(let step):
        let report = try await api.check(CheckQuery(words: step.words, directory: captures))
        return Attempt(
          outcome: step.judge(report), findings: Findings(checks: report.checks), measured: report.measured)
      case .parallel(let lists): return try await runTogether(lists)
      case .nat(let step):
        let result = try await api.translation(step.query)
        return Attempt(outcome: step.judge(result), findings: Findings(traces: [result.trace], nodes: [step.node]))
      case .rate(let step):
        let result = try await api.rate(step.query(directory: captures))
        return Attempt(
          outcome: step.judge(result), findings: Findings(rates: [result]),
          measured: result.reachable ? result.measured : nil)
      case .plan(let step):
        return try await judge(step) {
          let plan = try await api.plan($0)
          return Attempt(outcome: step.judge(plan), findings: Findings(nodes: Set(plan.nodes.map(\.node))))
        }
      case .apply(let step):
        return try await judge(step) {
          let request = $0
          let result = try await unbroken { try await api.apply(request) }
          return Attempt(outcome: step.judge(result), findings: Findings(nodes: Set(result.plan.nodes.map(\.node))))
        }
      case .rollback(let step):
        let request = RollbackRequest(version: step.version, author: ChangeStep.author)
        let result = try await unbroken { try await api.rollback(request) }
        return Attempt(outcome: .held, findings: Findings(nodes: Set(result.plan.nodes.map(\.node))))
      }
    } catch let refusal as APIError {
      let found = ([refusal.message] + (refusal.diagnostics ?? [])).joined(separator: "; ")
      return Attempt(outcome: .failed([Mismatch("the lab", expected: "an answer", found: found)]))
    } catch ClientError.timedOut(let path, let limit) {
      return Attempt(
        outcome: .undecided("the controller did not answer \(path) within \(limit.components.seconds) s"))
    }
  }

  /// A refusal may be what the step wants.
  private func judge(_ step: ChangeStep, _ ask: (ChangeRequest) async throws -> Attempt) async throws -> Attempt {
    do {
      return try await ask(step.request)
    } catch let refusal as APIError {
      guard let outcome = step.judge(refusal) else { throw refusal }
      return Attempt(outcome: outcome)
    }
  }

  /// How long a command may take: what is left of `within:`, a minute without it.
  private func milliseconds(_ limit: Duration?) -> UInt32 {
    guard let limit else { return 60_000 }
    return UInt32(clamping: Int64(max(1, min(limit.seconds, 3600) * 1000)))
  }

  private func judge(_ step: RouteStep) async throws -> Outcome {
    let prefix = step.prefix.description
    let speaks = lab.node(step.node).map { $0.asn != nil && $0.kind == .router } ?? false
    async let kernel = api.routes(of: step.node, prefix: prefix)
    let table = speaks ? try await api.allBGP(of: step.node, prefix: prefix) : nil
    return step.judge(table: table, kernel: try await kernel)
  }

  /// This node's interface towards the far end that the step names: across the link, or on the same switched segment.
  private func localInterface(_ step: SessionStep) -> String? {
    guard let name = step.neighborInterface,
      let far = lab.node(step.neighbor)?.interfaces.first(where: { $0.name == name })
    else { return nil }
    if far.segment == nil, far.farNode == step.node { return far.farInterface }
    return lab.node(step.node)?.interfaces.first { $0.segment != nil && $0.segment == far.segment }?.name
  }
}

/// What changes the lab is carried through even if nobody waits for it any more: broken off, nobody would know whether it
/// was done, and it could still happen after the test was mended.
func unbroken<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) async throws -> Value {
  try await Task(operation: body).value
}

func millisecondsSince1970() -> Double { Date().timeIntervalSince1970 * 1000 }

extension FaultStep {
  var command: FaultCommand {
    var command = FaultCommand(kind: kind.rawValue, targets: targets)
    command.from = from
    command.percent = percent
    command.microseconds = microseconds
    command.bitsPerSecond = bitsPerSecond
    command.times = times
    command.downMs = downMilliseconds.map(Int64.init)
    command.upMs = upMilliseconds.map(Int64.init)
    command.groups = groups
    return command
  }
}

extension TraceStep {
  var query: TraceQuery {
    TraceQuery(
      from: from, to: to, proto: transport.rawValue, port: port,
      family: family.map { $0 == .ipv4 ? "ipv4" : "ipv6" }, count: count)
  }
}

extension Duration {
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
