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
    let lock = try await lock(folder, store, request.pipeline)
    defer { _ = lock }
    try settle(store)
    if let from = request.from { return try await again(request, from, folder, store) }
    try checkProduction(store, request.pipeline.name)
    return try await begin(
      RunRecord(
        number: 0, kind: .delivery, text: request.text, file: request.pipeline.file, directory: request.directory,
        ref: request.ref ?? request.pipeline.source.ref, startedBy: request.by, state: .running, reason: nil, exit: nil,
        startedAt: millisecondsNow(), endedAt: nil, facts: RunFacts()), request.pipeline, folder, store)
  }

  private func begin(
    _ record: RunRecord, _ pipeline: Pipeline, _ folder: PipelineFolder, _ store: PipelineStore
  ) async throws -> RunRecord {
    var record = record
    record.number = try store.begin(record)
    return try await engine(folder, store).run(record, pipeline)
  }

  private func engine(_ folder: PipelineFolder, _ store: PipelineStore) -> PipelineEngine {
    PipelineEngine(folder: folder, store: store, work: work, report: report)
  }

  /// The last run once more from a stage on.
  private func again(
    _ request: Request, _ from: Stage, _ folder: PipelineFolder, _ store: PipelineStore
  ) async throws -> RunRecord {
    guard let last = try store.runs().first(where: { $0.kind == .delivery }) else {
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
    var facts = last.facts
    try Self.prepare(&facts, from: from, last.number)
    try store.forget(from: from, of: last.number)
    if from == .approve { try store.forgetDecision(of: last.number) }
    try store.set(facts, of: last.number)
    guard let record = try store.run(last.number) else { return last }
    return try await engine(folder, store).run(record, request.pipeline)
  }

  /// What must not be known any more when a stage is done once more.
  private static func prepare(_ facts: inout RunFacts, from stage: Stage, _ run: Int) throws {
    let isHalfWay = facts.deployment?.isHalfWay ?? false
    if isHalfWay, stage != .deploy, stage != .release {
      throw LabError(
        .didNotHold,
        "run \(run) stands between two versions in production; resume or cancel it: netloom pipeline resume")
    }
    if stage == .release, !isHalfWay {
      throw LabError(.didNotHold, "nothing of run \(run) waits to be released; go on from there: --from deploy")
    }
    if !isHalfWay { facts.deployment = nil }
    facts.judgements = []
    switch stage {
    case .source: facts = RunFacts()
    case .build, .test, .merge: (facts.tests, facts.image, facts.approval) = (nil, nil, nil)
    case .package: (facts.image, facts.approval) = (nil, nil)
    case .tag, .push, .verify, .approve: facts.approval = nil
    case .deploy, .release, .notify: break
    }
  }

  private static func list(_ stages: [Stage]) -> String { stages.map(\.rawValue).joined(separator: ", ") }

  /// Goes on where a run was interrupted.
  public func resume(_ run: RunReference) async throws -> RunRecord {
    let store = try PipelineStore(run.folder)
    guard let lock = try RunLock.take(run.folder) else { throw try busy(run.folder, store) }
    defer { _ = lock }
    try settle(store)
    guard let record = try store.run(run.number) else { throw run.missing }
    guard record.state == .interrupted else {
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
    try store.cancel(run.number, because: "cancelled by \(by)\(reason.isEmpty ? "" : ": \(reason)")")
    while !record.state.isOver {
      if let lock = try RunLock.take(run.folder) {
        defer { _ = lock }
        record = try store.run(run.number) ?? record
        if record.state.isOver { break }
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
    try settle(store)
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

  // MARK: who may run

  private func lock(_ folder: PipelineFolder, _ store: PipelineStore, _ pipeline: Pipeline) async throws -> RunLock {
    var said = false
    while true {
      if let lock = try RunLock.take(folder) { return lock }
      guard pipeline.concurrency == .queue else { throw try busy(folder, store) }
      if !said { report(.said(.source, "\(try busy(folder, store).message.prefix { $0 != ";" }); this one is queued")) }
      said = true
      try await Task.sleep(for: .milliseconds(200))
    }
  }

  private func busy(_ folder: PipelineFolder, _ store: PipelineStore) throws -> LabError {
    let run = try store.runs().first { $0.state == .running || $0.state == .waiting }
    let what = run.map { "run \($0.number) of \($0.ref) is under way" } ?? "another run is under way"
    return LabError(
      .didNotHold, "\(what); wait for it, cancel it, or write `concurrency: queue` into the file")
  }

  /// Runs that are marked as under way while this process has the lock were killed.
  private func settle(_ store: PipelineStore) throws {
    for run in try store.runs() where run.state == .running || run.state == .waiting {
      let stage = try store.stages(of: run.number).last { $0.state == .running }?.stage
      try store.set(
        .interrupted, reason: "its process ended\(stage.map { " in \($0.rawValue)" } ?? "")", of: run.number)
    }
  }

  /// Production between two versions belongs to one run until that is resumed or cancelled.
  private func checkProduction(_ store: PipelineStore, _ pipeline: String) throws {
    let open = try store.runs().first { $0.state == .interrupted && ($0.facts.deployment?.isHalfWay ?? false) }
    guard let open else { return }
    throw LabError(
      .didNotHold,
      "run \(open.number) stopped while production was between two versions; go on with it: netloom pipeline resume "
        + "\(pipeline)/\(open.number), or put production back: netloom pipeline cancel \(pipeline)/\(open.number)")
  }

  private func pipeline(of record: RunRecord) throws -> Pipeline {
    let parsed = PipelineFile.parse(text: record.text, file: record.file)
    guard let pipeline = parsed.value else {
      throw LabError(.usage, parsed.errors.first?.description ?? "\(record.file) cannot be read any more")
    }
    return pipeline
  }
}

/// A run of a pipeline: `NAME/NUMBER` as people write it.
public struct RunReference: Sendable {
  public let pipeline: String
  public let number: Int
  public let folder: PipelineFolder

  var missing: LabError { LabError(.didNotHold, "pipeline \(pipeline) has no run \(number)") }
}

extension PipelineRoot {
  /// `NAME/NUMBER`, `NAME` (its last run), a number where one pipeline has run, or nil: the last run of the only pipeline.
  public func find(_ text: String?, where matches: (RunRecord) -> Bool = { _ in true }) throws -> RunReference {
    let parts = text?.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init) ?? []
    let all = names()
    if all.isEmpty { throw LabError(.didNotHold, "no pipeline has run; start one with: netloom pipeline run FILE") }
    let number = parts.last.flatMap { Int($0) }
    let name = parts.count == 2 ? parts[0] : number == nil ? parts.first : nil
    if parts.count == 2, number == nil {
      throw LabError(.usage, "\(text ?? "") is no run; expected NAME/NUMBER")
    }
    if let name, !all.contains(name) {
      throw LabError(.didNotHold, "no pipeline \(name) has run; there are: \(all.joined(separator: ", "))")
    }
    let candidates = name.map { [$0] } ?? all
    if candidates.count > 1 {
      throw LabError(
        .usage, "\(candidates.count) pipelines have run (\(candidates.joined(separator: ", "))); say NAME/NUMBER")
    }
    let pipeline = candidates[0]
    let folder = folder(of: pipeline)
    let store = try PipelineStore(folder)
    if let number {
      let reference = RunReference(pipeline: pipeline, number: number, folder: folder)
      if try store.run(number) == nil { throw reference.missing }
      return reference
    }
    let runs = try store.runs()
    guard let run = runs.first(where: matches) ?? runs.first else {
      throw LabError(.didNotHold, "pipeline \(pipeline) has no runs")
    }
    return RunReference(pipeline: pipeline, number: run.number, folder: folder)
  }
}
