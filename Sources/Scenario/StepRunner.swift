public import NorthboundAPI
public import NorthboundClient
internal import NetTypes
public import Topology

/// Carries out one step after the other against a running lab.
public struct StepRunner<C: Clock<Duration>>: Sendable {
  let api: any LabAPI
  let lab: ResolvedLab
  let clock: C
  /// Between two attempts of a step with `within:`.
  let pause: Duration = .milliseconds(25)

  public init(api: any LabAPI, lab: ResolvedLab, clock: C = ContinuousClock()) {
    self.api = api
    self.lab = lab
    self.clock = clock
  }

  /// What the step came to, and the captures it made.
  ///
  /// With `within:` it is tried until it holds or the time is up: an attempt that ends later counts as failed, and a
  /// command is ended when the time is up. Throws `ClientError` when the lab cannot be asked any more, and
  /// `CancellationError`.
  public func run(_ step: TestStep) async throws -> (report: StepReport, traces: [Trace]) {
    let start = clock.now
    let limit = step.withinMilliseconds.map { Duration.milliseconds(Int64($0)) }
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
    let report = StepReport(
      place: step.place, summary: step.summary, outcome: attempt.outcome,
      heldAfter: attempt.outcome.holds && limit != nil ? elapsed.seconds : nil,
      withinMilliseconds: step.withinMilliseconds)
    return (report, attempt.traces)
  }

  private func late(_ elapsed: Duration) -> Outcome {
    .failed([Mismatch("time", expected: "held when the time is up", found: "held after \(elapsed.seconds) s")])
  }

  /// - Parameter limit: what is left of `within:`.
  private func perform(_ action: TestAction, _ limit: Duration?) async throws -> (outcome: Outcome, traces: [Trace]) {
    do {
      switch action {
      case .trace(let step):
        let trace = try await api.trace(step.query)
        return (step.judge(trace), [trace])
      case .noTransit(let step):
        let query = NoTransitQuery(node: step.node, except: step.exceptCustomers ? "customers" : nil)
        let result = try await api.noTransit(query)
        return (step.judge(result), result.transits)
      case .route(let step): return (try await judge(step), [])
      case .session(let step):
        return (step.judge(try await api.status(), localInterface: localInterface(step)), [])
      case .exec(let step):
        let command = ExecCommand(argv: ["/bin/sh", "-c", step.command], timeoutMs: milliseconds(limit))
        return (step.judge(try await api.exec(command, in: step.node)), [])
      case .fault(let step):
        try await api.fault(FaultCommand(kind: step.kind.rawValue, targets: step.targets))
        return (.held, [])
      }
    } catch let refusal as APIError {
      return (.failed([Mismatch("the lab", expected: "an answer", found: refusal.message)]), [])
    } catch ClientError.timedOut(let path, let limit) {
      return (.undecided("the controller did not answer \(path) within \(limit.components.seconds) s"), [])
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
