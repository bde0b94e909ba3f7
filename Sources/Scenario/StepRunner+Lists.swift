internal import NorthboundAPI
internal import NorthboundClient
internal import Topology

// Steps one after the other, lists of them at the same time, and what runs beside them.
extension StepRunner {
  /// Carries out steps in order. Nil: all hold; otherwise the report of the first that does not, and the rest are left.
  func run(_ steps: [TestStep]) async throws -> StepReport? {
    let streams = ProbeStream.plan(steps)
    var running: [Int: Result<UInt64, APIError>] = [:]
    for (index, step) in steps.enumerated() {
      try Task.checkCancellation()
      let starting = streams.filter { $0.start == index }
      for stream in starting { running[stream.trace] = try await start(stream) }
      // The stream is there before the fault: what it loses then has a beginning.
      if !starting.isEmpty { try await clock.sleep(until: clock.now.advanced(by: ProbeStream.lead), tolerance: nil) }
      let stream = running.removeValue(forKey: index)
      let report = try await run(step) { report in
        if let stream { try await finish(stream, &report) }
      }
      if !report.outcome.holds { return report }
      if let offender = try await judgeLoad(due: clock.now) { return offender }
    }
    return nil
  }

  /// Lists of steps, at the same time. The first list to fail ends the others.
  func runTogether(_ lists: [[TestStep]]) async throws -> Attempt {
    let offenders = try await withThrowingTaskGroup(of: StepReport?.self) { group in
      for list in lists { group.addTask { try await run(list) } }
      var offenders: [StepReport] = []
      while true {
        do {
          guard let ended = try await group.next() else { break }
          if let offender = ended {
            offenders.append(offender)
            group.cancelAll()
          }
        } catch is CancellationError where !offenders.isEmpty && !Task.isCancelled {
          continue
        }
      }
      return offenders
    }
    return Attempt(outcome: Self.outcome(of: offenders), findings: Self.findings(of: offenders))
  }

  private static func findings(of reports: [StepReport]) -> Findings {
    reports.reduce(into: Findings()) { $0.add($1.findings) }
  }

  /// Every list's failure with its place; undecided only where nothing failed.
  private static func outcome(of offenders: [StepReport]) -> Outcome {
    let failures = offenders.flatMap { report -> [Mismatch] in
      guard case .failed(let mismatches) = report.outcome else { return [] }
      return mismatches.map {
        Mismatch("\(report.summary) (\(report.place)): \($0.subject)", expected: $0.expected, found: $0.found)
      }
    }
    if !failures.isEmpty { return .failed(failures) }
    let reasons = offenders.compactMap { report -> String? in
      guard case .undecided(let reason) = report.outcome else { return nil }
      return "\(report.summary) (\(report.place)): \(reason)"
    }
    return reasons.isEmpty ? .held : .undecided(reasons.joined(separator: "; "))
  }

  // MARK: Traffic steps

  /// The load runs from here on; it is judged when it ends.
  func start(_ traffic: TrafficStep, of step: TestStep, _ number: Int) async throws -> Attempt {
    let state = try await unbroken {
      let state = try await api.startTraffic(traffic.query)
      guard state.error == nil else { return state }
      load.add(
        TestLoad.Entry(
          id: state.id, step: traffic, place: step.place, summary: summary(step), number: number, started: clock.now,
          startedAt: millisecondsSince1970()))
      return state
    }
    return Attempt(outcome: state.error == nil ? .held : traffic.judge(state), findings: Findings(traffic: [state]))
  }

  /// Ends and judges the load whose time is over. Nil: all of it holds; otherwise the report of the first that does not.
  private func judgeLoad(due now: C.Instant) async throws -> StepReport? {
    var offender: StepReport?
    for entry in load.takeDue(now) {
      let report = try await judged(entry, decides: offender == nil)
      if !report.outcome.holds { offender = offender ?? report }
    }
    return offender
  }

  /// At the end of a test that holds so far: each load runs for its time, and what has none ends now.
  func endLoad() async throws -> StepReport? {
    while let entry = load.takeNext() {
      do {
        if let end = entry.end, end > clock.now { try await clock.sleep(until: end, tolerance: nil) }
      } catch {
        load.add(entry)
        throw error
      }
      let report = try await judged(entry, decides: true)
      if !report.outcome.holds { return report }
    }
    return nil
  }

  private func judged(_ entry: TestLoad<C.Instant>.Entry, decides: Bool) async throws -> StepReport {
    let (outcome, findings, measured) = try await ended(entry)
    var report = StepReport(
      place: entry.place, summary: entry.summary, outcome: outcome, heldAfter: nil, withinMilliseconds: nil,
      measured: measured)
    report.findings = findings
    report.startedAt = entry.startedAt
    report.seconds = entry.started.duration(to: clock.now).seconds
    journal.amend(entry.number, report, decides: decides && !outcome.holds)
    return report
  }

  private func ended(_ entry: TestLoad<C.Instant>.Entry) async throws -> (Outcome, Findings, String?) {
    do {
      let state = try await unbroken { try await api.stopTraffic(entry.id) }
      return (entry.step.judge(state), Findings(traffic: [state]), state.result?.measured)
    } catch let refusal as APIError {
      return (.failed([Mismatch("the lab", expected: "an answer", found: refusal.message)]), Findings(), nil)
    } catch ClientError.timedOut(let path, let limit) {
      let reason = "the controller did not answer \(path) within \(limit.components.seconds) s"
      return (.undecided(reason), Findings(), nil)
    }
  }

  /// Whatever still runs ends, on every way out of a test. What can be said of it is said, and decides nothing.
  func dropLoad() async {
    for entry in load.takeAll() { _ = try? await judged(entry, decides: false) }
    for id in load.takeStreams() { _ = try? await unbroken { try await api.stopTraffic(id) } }
  }

  // MARK: Probe streams

  private func start(_ stream: ProbeStream) async throws -> Result<UInt64, APIError> {
    do {
      let state = try await unbroken {
        let state = try await api.startTraffic(stream.query)
        if state.error == nil { load.addStream(state.id) }
        return state
      }
      return state.error.map { .failure(APIError(code: "refused", message: $0)) } ?? .success(state.id)
    } catch let refusal as APIError {
      return .failure(refusal)
    }
  }

  /// Says how long the flow was broken. A stream that could not run is no failure of the trace.
  private func finish(_ stream: Result<UInt64, APIError>, _ report: inout StepReport) async throws {
    let said: String
    do {
      let id = try stream.get()
      guard load.takeStream(id) else { return }
      let state = try await unbroken { try await api.stopTraffic(id) }
      report.findings.traffic.append(state)
      said = ProbeStream.measured(state)
    } catch let refusal as APIError {
      said = "no probe stream: \(refusal.message)"
    } catch ClientError.timedOut {
      said = "no probe stream: the controller did not say what became of it"
    }
    report.measured = (report.heldAfter.map { "held after \(duration($0)); " } ?? "") + said
  }
}
