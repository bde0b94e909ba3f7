// What people do with pipelines: run, resume, approve, reject, cancel, roll back. One process at a time runs a pipeline (its
// lock); the others leave word in the store.

internal import EventLoop
internal import Lab
public import Topology

public struct Pipelines: Sendable {
  public let root: PipelineRoot
  let work: any StageWork
  let report: @Sendable (RunEvent) -> Void

  public init(
    root: PipelineRoot, work: any StageWork, report: @escaping @Sendable (RunEvent) -> Void = { _ in }
  ) {
    self.root = root
    self.work = work
    self.report = report
  }

  /// What a run is started with.
  public struct Request: Sendable {
    public var pipeline: Pipeline
    /// The file as it is.
    public var text: String
    /// nil: as the file says.
    public var ref: String?
    /// Go on with the last run from here.
    public var from: Stage?
    public var directory: String
    public var by: String

    public init(
      pipeline: Pipeline, text: String, ref: String? = nil, from: Stage? = nil, directory: String, by: String
    ) {
      self.pipeline = pipeline
      self.text = text
      self.ref = ref
      self.from = from
      self.directory = directory
      self.by = by
    }
  }

  /// Starts a run and returns when it is over or interrupted.
  public func run(_ request: Request) async throws -> RunRecord {
    let folder = root.folder(of: request.pipeline.name)
    let store = try PipelineStore(folder)
    let record = RunRecord(
      number: 0, kind: .delivery, text: request.text, file: request.pipeline.file, directory: request.directory,
      ref: request.ref ?? request.pipeline.source.ref, startedBy: request.by, state: .running, reason: nil, exit: nil,
      startedAt: millisecondsNow(), endedAt: nil, facts: RunFacts())
    if request.pipeline.concurrency == .queue, request.from == nil {
      return try await queued(record, request.pipeline, folder, store)
    }
    let lock = try await lock(folder, store, request.pipeline)
    defer { _ = lock }
    try await prepare(folder, store, request.pipeline.name)
    if let from = request.from { return try await again(request, from, folder, store) }
    try checkProduction(store, request.pipeline.name)
    return try await begin(record, request.pipeline, folder, store)
  }

  /// So many of the newest runs keep their logs.
  public static let runsWithLogs = Pruning.runsWithLogs

  /// What others have left is put in order first.
  func prepare(_ folder: PipelineFolder, _ store: PipelineStore, _ name: String) async throws {
    try await settle(folder, store, name)
    try await Pruning(folder: folder, store: store, work: work, pipeline: name).perform()
  }

  private func begin(
    _ record: RunRecord, _ pipeline: Pipeline, _ folder: PipelineFolder, _ store: PipelineStore
  ) async throws -> RunRecord {
    var record = record
    record.number = try store.begin(record)
    return try await engine(folder, store).run(record, pipeline)
  }

  func engine(_ folder: PipelineFolder, _ store: PipelineStore) -> PipelineEngine {
    PipelineEngine(folder: folder, store: store, work: work, report: report)
  }

  /// The last run once more from a stage on.
  private func again(
    _ request: Request, _ from: Stage, _ folder: PipelineFolder, _ store: PipelineStore
  ) async throws -> RunRecord {
    guard let last = try store.runs().first(where: { $0.kind == .delivery && $0.state != .queued }) else {
      throw LabError(.didNotHold, "pipeline \(request.pipeline.name) has not run yet; leave --from out")
    }
    if let ref = request.ref, ref != last.ref {
      throw LabError(
        .didNotHold, "run \(last.number) was of \(last.ref), not of \(ref); leave --from out for a run of \(ref)")
    }
    let needed = PipelineEngine.stages(of: request.pipeline, .delivery)
    guard needed.contains(from) else {
      throw LabError(.usage, "the file has no stage \(from.rawValue); it has \(Self.list(needed))")
    }
    let done = Set(try store.stages(of: last.number).filter { $0.state == .done }.map(\.stage))
    if let missing = needed.prefix(while: { $0 != from }).first(where: { !done.contains($0) }) {
      throw LabError(
        .didNotHold, "run \(last.number) has not done \(missing.rawValue); go on from there: --from \(missing.rawValue)"
      )
    }
    try checkProduction(store, request.pipeline.name, but: last.number)
    var facts = last.facts
    try Self.prepare(&facts, from: from, last.number)
    try store.forget(from: from, of: last.number)
    // Somebody approved what was there then.
    if from.reaches(.approve) { try store.forgetDecision(of: last.number) }
    try store.forgetCancellation(of: last.number)
    try store.set(facts, of: last.number)
    try store.set(text: request.text, file: request.pipeline.file, of: last.number)
    guard let record = try store.run(last.number) else { return last }
    return try await engine(folder, store).run(record, request.pipeline)
  }

  /// What must not be known any more when a stage is done once more.
  private static func prepare(_ facts: inout RunFacts, from stage: Stage, _ run: Int) throws {
    let isHalfWay = facts.deployment?.isHalfWay ?? false
    if isHalfWay, stage != .deploy, stage != .release {
      throw LabError(
        .didNotHold,
        "run \(run) stands between two versions in production; resume or abort it: netloom pipeline resume")
    }
    if stage == .release, !isHalfWay {
      throw LabError(.didNotHold, "nothing of run \(run) waits to be released; go on from there: --from deploy")
    }
    if !isHalfWay { facts.deployment = nil }
    facts.judgements = []
    facts.outcome = nil
    if stage.reaches(.approve) { (facts.approval, facts.approvalAsked) = (nil, nil) }
    switch stage {
    case .source: facts = RunFacts()
    case .build, .test, .merge: (facts.tests, facts.image) = (nil, nil)
    case .package: facts.image = nil
    case .tag, .push, .verify, .approve, .deploy, .release, .notify: break
    }
  }

  private static func list(_ stages: [Stage]) -> String { stages.map(\.rawValue).joined(separator: ", ") }

  /// Goes on where a run was interrupted.
  public func resume(_ run: RunReference) async throws -> RunRecord {
    let store = try PipelineStore(run.folder)
    guard let lock = try RunLock.take(run.folder) else { throw try busy(run.folder, store) }
    defer { _ = lock }
    try await settle(run.folder, store, run.pipeline)
    guard let record = try store.run(run.number) else { throw run.missing }
    guard record.state == .interrupted else {
      if record.state == .queued { throw LabError(.didNotHold, "run \(run.number) waits for its turn by itself") }
      throw LabError(
        .didNotHold, "run \(run.number) is over: \(record.state.rawValue)\(record.reason.map { ", \($0)" } ?? "")")
    }
    return try await engine(run.folder, store).run(record, try pipeline(of: record))
  }

  /// Says yes or no to a run that waits. nil: the process that waits goes on; otherwise this one did.
  public func decide(_ run: RunReference, approved: Bool, by: String, reason: String) async throws -> RunRecord? {
    let store = try PipelineStore(run.folder)
    guard let record = try store.run(run.number) else { throw run.missing }
    let stages = try store.stages(of: run.number)
    guard !record.state.isOver, stages.last?.stage == .approve, stages.last?.state != .done else {
      throw LabError(.didNotHold, "run \(run.number) does not wait for approval; it is \(record.state.rawValue)")
    }
    try store.decide(ApprovalFacts(approved: approved, by: by, reason: reason, at: millisecondsNow()), of: run.number)
    if RunLock.isHeld(run.folder) { return nil }
    return try await resume(run)
  }

  /// Ends a run; production goes back where it stands between two versions.
  public func cancel(_ run: RunReference, by: String, reason: String) async throws -> RunRecord {
    let store = try PipelineStore(run.folder)
    guard var record = try store.run(run.number) else { throw run.missing }
    if record.state.isOver { throw LabError(.didNotHold, "run \(run.number) is over: \(record.state.rawValue)") }
    let why = "cancelled by \(by)\(reason.isEmpty ? "" : ": \(reason)")"
    try store.cancel(run.number, because: why)
    while !record.state.isOver {
      if let lock = try RunLock.take(run.folder) {
        defer { _ = lock }
        record = try store.run(run.number) ?? record
        if record.state.isOver { break }
        // Its process may have tried, and failed, to put production back.
        try store.cancel(run.number, because: why)
        return try await engine(run.folder, store).run(record, try pipeline(of: record))
      }
      try await Task.sleep(for: .milliseconds(100))
      record = try store.run(run.number) ?? record
    }
    return record
  }

  /// All requests to the version that served before the last release, with the image that it had.
  public func rollback(_ pipeline: String, by: String, directory: String) async throws -> RunRecord {
    let folder = root.folder(of: pipeline)
    let store = try PipelineStore(folder)
    guard let lock = try RunLock.take(folder) else { throw try busy(folder, store) }
    defer { _ = lock }
    try await settle(folder, store, pipeline)
    try checkProduction(store, pipeline)
    guard let last = try store.runs().first(where: { $0.state == .released && $0.facts.deployment != nil }),
      let released = last.facts.deployment
    else { throw LabError(.didNotHold, "nothing of pipeline \(pipeline) is released; there is nothing to roll back") }
    guard let image = released.servingImage else {
      throw LabError(.didNotHold, "it is not known what \(released.serving) ran before run \(last.number)")
    }
    var facts = RunFacts()
    facts.commit = last.facts.commit
    facts.deployment = DeploymentFacts(
      lab: released.lab, service: released.service, serving: released.slot, slot: released.serving, image: image,
      servingImage: released.image, pods: [], phase: .deploying, step: 0, weight: 0)
    return try await begin(
      RunRecord(
        number: 0, kind: .rollback, text: last.text, file: last.file, directory: directory, ref: last.ref,
        startedBy: by,
        state: .running, reason: nil, exit: nil, startedAt: millisecondsNow(), endedAt: nil, facts: facts),
      try self.pipeline(of: last), folder, store)
  }

  private func pipeline(of record: RunRecord) throws -> Pipeline {
    let parsed = PipelineFile.parse(text: record.text, file: record.file)
    guard let pipeline = parsed.value else {
      throw LabError(.usage, parsed.errors.first?.description ?? "\(record.file) cannot be read any more")
    }
    return pipeline
  }
}
