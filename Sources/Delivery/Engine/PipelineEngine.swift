// The machine of a run: stages in order, each begun and ended in the store.
//
//     queued ─► running ─► … ─► released
//                 │  ▲   └────► stopped | rolled-back        (a stage said why)
//                 │  └── waiting                             (a manual gate)
//                 ├────► interrupted ─► running              (killed, Ctrl-C, production not put back: `resume`)
//                 └────► cancelled                           (`cancel`, `reject`)
//
// A stage is done or it is not: what is marked done is passed over by whoever resumes, and everything else is performed
// again from what the facts say. What the run has come to is kept before anybody is told, so a run that is killed while it
// tells has one outcome. The engine decides nothing about stages but their order; `StageWork` does the rest.

internal import Lab
internal import Synchronization
internal import Topology

public struct PipelineEngine: Sendable {
  let folder: PipelineFolder
  let store: PipelineStore
  let work: any StageWork
  let report: @Sendable (RunEvent) -> Void

  /// Runs it to an end, or to an interruption. The caller holds the pipeline's lock.
  func run(_ record: RunRecord, _ pipeline: Pipeline) async throws -> RunRecord {
    let number = record.number
    let context = RunContext(
      pipeline: pipeline, run: record, folder: folder.run(number), store: store, report: report)
    Shell.endLeftover(context.folder + "/process")
    try PipelineFolder.make(context.folder)
    try store.set(.running, of: number)
    report(.started(number, ref: record.ref))
    let outcome = try await known(context, pipeline, record.kind)
    if outcome.state == .interrupted {
      try store.set(
        .interrupted, reason: outcome.reason, exit: outcome.exit == 130 ? nil : outcome.exit, of: number)
    } else {
      if !isDone(.notify, context) { await tell(outcome, context) }
      try store.set(
        outcome.state, reason: outcome.reason, exit: outcome.exit, endedAt: millisecondsNow(), of: number)
      try store.forgetCancellation(of: number)
    }
    guard let ended = try store.run(number) else {
      throw LabError(.environment, "run \(number) is gone from \(folder.database)")
    }
    return ended
  }

  // MARK: the stages

  private typealias Outcome = OutcomeFacts

  /// What it came to before its process was killed, or what it comes to now.
  private func known(_ context: RunContext, _ pipeline: Pipeline, _ kind: RunRecord.Kind) async throws -> Outcome {
    if let outcome = context.facts.outcome { return outcome }
    let production = ServiceLock(folder)
    let outcome = stranded(await outcome(of: pipeline, kind, context, production), context)
    if outcome.state != .interrupted { try context.update { $0.outcome = outcome } }
    return outcome
  }

  /// A run that could not put production back is not over: it can be resumed and aborted.
  private func stranded(_ outcome: Outcome, _ context: RunContext) -> Outcome {
    guard outcome.state.isOver, outcome.state != .released, context.facts.deployment?.isHalfWay == true else {
      return outcome
    }
    try? store.forgetCancellation(of: context.number)
    let name = "\(context.pipeline.name)/\(context.number)"
    return Outcome(
      state: .interrupted, stage: outcome.stage,
      reason:
        "\(outcome.reason ?? outcome.state.rawValue); production is between two versions: netloom pipeline resume "
        + "\(name), or netloom pipeline abort \(name)", exit: 3)
  }

  private func outcome(
    of pipeline: Pipeline, _ kind: RunRecord.Kind, _ context: RunContext, _ production: ServiceLock
  ) async -> Outcome {
    let watch = CancellationWatch(store: store, run: context.number)
    if let reason = watch.look() {
      let stage = Self.stages(of: pipeline, kind).first { !isDone($0, context) } ?? .notify
      return await cancelled(stage, context, reason, nil, production)
    }
    let task = Task { () -> Outcome in
      for stage in Self.stages(of: pipeline, kind) {
        if let outcome = await perform(stage, context, watch, production) { return outcome }
      }
      return Outcome(state: .released, stage: nil, reason: nil, exit: 0)
    }
    let watching = Task { await watch.wait(then: task.cancel) }
    defer { watching.cancel() }
    return await withTaskCancellationHandler {
      await task.value
    } onCancel: {
      task.cancel()
    }
  }

  /// The stages that the file asks for. Merging, testing and the rest have their place whether or not their neighbours exist.
  static func stages(of pipeline: Pipeline, _ kind: RunRecord.Kind) -> [Stage] {
    Stage.allCases.filter { stage in
      switch stage {
      case .source: kind == .delivery
      case .build: kind == .delivery && pipeline.build != nil
      case .test: kind == .delivery && pipeline.test != nil
      case .merge: kind == .delivery && pipeline.mergeInto != nil
      case .package, .tag: kind == .delivery && pipeline.package != nil
      case .push: kind == .delivery && pipeline.registry != nil
      case .verify: kind == .delivery && pipeline.verify != nil
      case .approve: kind == .delivery && pipeline.approval != .automatic
      case .deploy: pipeline.deploy != nil
      case .release: pipeline.deploy != nil
      case .notify: false  // at the end of every run, however it ends
      }
    }
  }

  /// nil: the stage is done, go on.
  private func perform(
    _ stage: Stage, _ context: RunContext, _ watch: CancellationWatch, _ production: ServiceLock
  ) async -> Outcome? {
    let start = ContinuousClock.now
    var begun = false
    do {
      if isDone(stage, context) { return nil }
      try Task.checkCancellation()
      try begin(stage, context)
      begun = true
      if stage.touchesProduction { try await production.take(for: context) }
      try await work.perform(stage, context)
      try end(stage, context, .done, start, nil)
      return nil
    } catch {
      return await ended(stage, context, watch, error, begun ? start : nil, production)
    }
  }

  private func isDone(_ stage: Stage, _ context: RunContext) -> Bool {
    (try? store.stages(of: context.number))?.contains { $0.stage == stage && $0.state == .done } ?? false
  }

  private func begin(_ stage: Stage, _ context: RunContext) throws {
    let path = folder.log(stage, of: context.number)
    let log = try StageLog(path: path)
    try store.begin(stage, of: context.number, log: path, at: millisecondsNow())
    context.begin(stage, log: log)
    let attempt = try store.stages(of: context.number).first { $0.stage == stage }?.attempt ?? 1
    log.line("attempt \(attempt)")
    report(.begun(stage, attempt: attempt))
  }

  private func end(
    _ stage: Stage, _ context: RunContext, _ state: StageRecord.State, _ start: ContinuousClock.Instant,
    _ reason: String?
  ) throws {
    let seconds = (ContinuousClock.now - start).seconds
    context.note(reason.map { "\(state.rawValue): \($0)" } ?? state.rawValue)
    try store.end(
      stage, of: context.number, state, seconds: seconds, reason: reason, artifacts: context.artifacts)
    report(.ended(stage, state, seconds: seconds, reason: reason))
  }

  /// What the run has come to when a stage threw.
  private func ended(
    _ stage: Stage, _ context: RunContext, _ watch: CancellationWatch, _ error: any Error,
    _ start: ContinuousClock.Instant?, _ production: ServiceLock
  ) async -> Outcome {
    let failure = Self.failure(error)
    // A rollback that is done is what happened, whoever asked for something else meanwhile.
    if failure.ending != .rolledBack, error is CancellationError || Task.isCancelled {
      if let reason = watch.reason {
        return await cancelled(stage, context, reason, start, production)
      }
      let reason =
        "interrupted in \(stage.rawValue); go on with: netloom pipeline resume \(context.pipeline.name)/\(context.number)"
      if let start { try? end(stage, context, .interrupted, start, "interrupted") }
      return Outcome(state: .interrupted, stage: stage, reason: reason, exit: 130)
    }
    if let start { try? end(stage, context, .failed, start, failure.reason) }
    let reason = "\(stage.rawValue): \(failure.reason)"
    switch failure.ending {
    case .stopped: return Outcome(state: .stopped, stage: stage, reason: reason, exit: 1)
    case .rolledBack: return Outcome(state: .rolledBack, stage: stage, reason: reason, exit: 1)
    case .cancelled: return Outcome(state: .cancelled, stage: stage, reason: reason, exit: 1)
    case .environment: return Outcome(state: .stopped, stage: stage, reason: reason, exit: 3)
    }
  }

  private func cancelled(
    _ stage: Stage, _ context: RunContext, _ reason: String, _ start: ContinuousClock.Instant?,
    _ production: ServiceLock
  ) async -> Outcome {
    var text = "\(stage.rawValue): \(reason)"
    let isHalfWay = context.facts.deployment?.isHalfWay ?? false
    if isHalfWay {
      do {
        try await Task {
          try await production.take(for: context)
          try await work.returnProduction(context)
        }.value
      } catch {
        text += "; production could not be returned: \(Self.failure(error).reason)"
      }
    }
    await work.tidy(context.number, of: context.pipeline.name)
    if let start { try? end(stage, context, .failed, start, reason) }
    return Outcome(state: .cancelled, stage: stage, reason: text, exit: 1)
  }

  static func failure(_ error: any Error) -> StageFailure {
    switch error {
    case let error as StageFailure: error
    case let error as LabError: StageFailure(error.kind == .didNotHold ? .stopped : .environment, error.message)
    default: StageFailure(.environment, "\(error)")
    }
  }

  // MARK: notices

  private func tell(_ outcome: Outcome, _ context: RunContext) async {
    let start = ContinuousClock.now
    let begun = (try? begin(.notify, context)) != nil
    // Also of a run that was told to stop: whoever waits for word of it shall get it.
    await Task {
      await work.notify(RunOutcome(state: outcome.state, stage: outcome.stage, reason: outcome.reason), context)
    }.value
    if begun { try? end(.notify, context, .done, start, nil) }
  }
}

/// Looks whether somebody has asked for the run to stop.
private final class CancellationWatch: Sendable {
  private let store: PipelineStore
  private let run: Int
  private let found = Mutex<String?>(nil)

  init(store: PipelineStore, run: Int) {
    self.store = store
    self.run = run
  }

  var reason: String? { found.withLock { $0 } }

  func look() -> String? {
    guard let reason = (try? store.cancellation(of: run)) ?? nil else { return nil }
    found.withLock { $0 = reason }
    return reason
  }

  func wait(then stop: @Sendable () -> Void) async {
    while !Task.isCancelled {
      if look() != nil { return stop() }
      try? await Task.sleep(for: .milliseconds(250))
    }
  }
}

extension Duration {
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
