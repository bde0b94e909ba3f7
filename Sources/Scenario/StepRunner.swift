internal import NorthboundAPI
public import NorthboundClient
internal import NetTypes
public import Topology

/// Carries out one step after the other against a running lab.
public struct StepRunner<C: Clock<Duration>>: Sendable {
  let api: any LabAPI
  let lab: ResolvedLab
  /// Where rate steps leave their captures; nil: they leave none.
  let captures: String?
  let clock: C
  /// Between two attempts of a step with `within:`.
  let pause: Duration = .milliseconds(25)

  public init(api: any LabAPI, lab: ResolvedLab, captures: String? = nil, clock: C = ContinuousClock()) {
    self.api = api
    self.lab = lab
    self.captures = captures
    self.clock = clock
  }

  private struct Attempt {
    var outcome: Outcome
    var findings = Findings()
    /// What a step that measures has measured.
    var measured: String?
  }

  /// What the step came to, and what it found.
  ///
  /// With `within:` it is tried until it holds or the time is up: an attempt that ends later counts as failed, and a
  /// command is ended when the time is up. Throws `ClientError` when the lab cannot be asked any more, and
  /// `CancellationError`.
  func run(_ step: TestStep) async throws -> (report: StepReport, findings: Findings) {
    let start = clock.now
    let limit = step.isRepeatable ? step.withinMilliseconds.map { Duration.milliseconds(Int64($0)) } : nil
    var attempt = try await perform(step.action, limit)
    var elapsed = start.duration(to: clock.now)
    if let limit, attempt.outcome.holds, elapsed > limit { attempt.outcome = late(elapsed) }
    while !attempt.outcome.holds, let limit, elapsed + pause < limit {
      try await clock.sleep(until: clock.now.advanced(by: pause), tolerance: nil)
      let next = try await perform(step.action, limit - elapsed)
      elapsed = start.duration(to: clock.now)
      attempt = next
      if next.outcome.holds, elapsed > limit { attempt.outcome = late(elapsed) }
    }
    var report = StepReport(
      place: step.place, summary: step.summary, outcome: attempt.outcome,
      heldAfter: attempt.outcome.holds && limit != nil ? elapsed.seconds : nil,
      withinMilliseconds: limit == nil ? nil : step.withinMilliseconds, measured: attempt.measured)
    report.findings = attempt.findings
    return (report, attempt.findings)
  }

  private func late(_ elapsed: Duration) -> Outcome {
    .failed([Mismatch("time", expected: "held when the time is up", found: "held after \(elapsed.seconds) s")])
  }

  /// - Parameter limit: what is left of `within:`.
  private func perform(_ action: TestAction, _ limit: Duration?) async throws -> Attempt {
    do {
      switch action {
      case .trace(let step):
        let trace = try await api.trace(step.query)
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
        try await api.fault(step.command)
        return Attempt(outcome: .held)
      case .traffic, .check, .parallel: return Attempt(outcome: .undecided("not there yet"))
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
          let result = try await api.apply($0)
          return Attempt(outcome: step.judge(result), findings: Findings(nodes: Set(result.plan.nodes.map(\.node))))
        }
      case .rollback(let step):
        let result = try await api.rollback(RollbackRequest(version: step.version, author: ChangeStep.author))
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
