internal import EventLoop
internal import Glibc
internal import Lab
internal import Topology

/// Whose turn it is: one run of a pipeline at a time, queued ones in the order in which they were started.
extension Pipelines {
  func lock(_ folder: PipelineFolder, _ store: PipelineStore, _ pipeline: Pipeline) async throws -> RunLock {
    var said = false
    while true {
      if let lock = try RunLock.take(folder) { return lock }
      guard pipeline.concurrency == .queue else { throw try busy(folder, store) }
      if !said { report(.said(.source, "\(try busy(folder, store).message.prefix { $0 != ";" }); this one is queued")) }
      said = true
      try await Task.sleep(for: .milliseconds(200))
    }
  }

  /// The run is there from the beginning, so that others see it, and can abort it. It waits for every older one that
  /// somebody waits for.
  func queued(
    _ record: RunRecord, _ pipeline: Pipeline, _ folder: PipelineFolder, _ store: PipelineStore
  ) async throws -> RunRecord {
    var record = record
    record.state = .queued
    var waiter: Int32 = -1
    defer { if waiter >= 0 { close(waiter) } }
    record.number = try store.begin(record) { number in
      try PipelineFolder.make(folder.run(number))
      waiter = try RunLock.take(path: folder.waiter(number))?.release() ?? -1
    }
    do {
      guard let lock = try await turn(of: record.number, folder, store) else {
        return try store.run(record.number) ?? record
      }
      defer { _ = lock }
      try await prepare(folder, store, pipeline.name)
      try checkProduction(store, pipeline.name)
      guard let record = try store.run(record.number) else { return record }
      return try await engine(folder, store).run(record, pipeline)
    } catch {
      // It has not begun.
      if try store.run(record.number)?.state == .queued {
        let reason =
          error is CancellationError ? "told to stop while it was queued" : PipelineEngine.failure(error).reason
        try store.set(.cancelled, reason: reason, exit: 1, endedAt: millisecondsNow(), of: record.number)
      }
      throw error
    }
  }

  /// nil: somebody has aborted it meanwhile.
  private func turn(of number: Int, _ folder: PipelineFolder, _ store: PipelineStore) async throws -> RunLock? {
    var said = false
    while true {
      guard let run = try store.run(number), !run.state.isOver else { return nil }
      if let reason = try store.cancellation(of: number), run.state == .queued {
        try store.set(.cancelled, reason: reason, exit: 1, endedAt: millisecondsNow(), of: number)
        return nil
      }
      let isFirst = try store.runs().allSatisfy {
        $0.state != .queued || $0.number >= number || !folder.isAwaited($0.number)
      }
      if isFirst, let lock = try RunLock.take(folder) { return lock }
      if !said { report(.said(.source, "\(try underWay(store)); run \(number) is queued")) }
      said = true
      try await Task.sleep(for: .milliseconds(200))
    }
  }

  func busy(_ folder: PipelineFolder, _ store: PipelineStore) throws -> LabError {
    LabError(
      .didNotHold,
      "\(try underWay(store)); wait for it, abort it, or write `concurrency: queue` into the file")
  }

  private func underWay(_ store: PipelineStore) throws -> String {
    let run = try store.runs().first { $0.state == .running || $0.state == .waiting }
    return run.map { "run \($0.number) of \($0.ref) is under way" } ?? "another run is under way"
  }

  /// Runs that are marked as under way while this process has the lock were killed. What they left goes now: they may never
  /// be resumed.
  func settle(_ folder: PipelineFolder, _ store: PipelineStore, _ pipeline: String) async throws {
    for run in try store.runs() {
      switch run.state {
      case .running, .waiting: break
      case .queued: if folder.isAwaited(run.number) { continue }
      default: continue
      }
      let stage = try store.stages(of: run.number).last { $0.state == .running }?.stage
      try store.set(
        .interrupted, reason: "its process ended\(stage.map { " in \($0.rawValue)" } ?? "")", of: run.number)
      Shell.endLeftover(folder.run(run.number) + "/process")
      await work.tidy(run.number, of: pipeline)
    }
  }

  /// Production between two versions belongs to one run until that is resumed or cancelled.
  func checkProduction(_ store: PipelineStore, _ pipeline: String, but own: Int? = nil) throws {
    let open = try store.runs().first {
      $0.state == .interrupted && $0.number != own && ($0.facts.deployment?.isHalfWay ?? false)
    }
    guard let open else { return }
    throw LabError(
      .didNotHold,
      "run \(open.number) stopped while production was between two versions; go on with it: netloom pipeline resume "
        + "\(pipeline)/\(open.number), or put production back: netloom pipeline abort \(pipeline)/\(open.number)")
  }
}
