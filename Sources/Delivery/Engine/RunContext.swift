internal import FoundationEssentials
internal import Synchronization
public import Topology

/// What a stage works with: the pipeline, the run's folder and facts, its log.
public final class RunContext: Sendable {
  public let pipeline: Pipeline
  public let number: Int
  /// The run's own folder.
  public let folder: String
  /// Where the command was given.
  public let directory: String
  public let ref: String
  public let startedBy: String
  let isRollback: Bool
  let store: PipelineStore
  let report: @Sendable (RunEvent) -> Void

  private struct Changing {
    var facts: RunFacts
    var log: StageLog?
    var stage: Stage = .source
    var artifacts: [String] = []
  }

  private let changing: Mutex<Changing>

  init(
    pipeline: Pipeline, run: RunRecord, folder: String, store: PipelineStore,
    report: @escaping @Sendable (RunEvent) -> Void
  ) {
    self.pipeline = pipeline
    number = run.number
    self.folder = folder
    directory = run.directory
    ref = run.ref
    startedBy = run.startedBy
    isRollback = run.kind == .rollback
    self.store = store
    self.report = report
    changing = Mutex(Changing(facts: run.facts))
  }

  public var facts: RunFacts { changing.withLock { $0.facts } }

  /// Changes what is known, and keeps it.
  public func update(_ change: (inout RunFacts) -> Void) throws {
    let facts = changing.withLock { state in
      change(&state.facts)
      return state.facts
    }
    try store.set(facts, of: number)
  }

  // MARK: the stage under way

  func begin(_ stage: Stage, log: StageLog) {
    changing.withLock {
      $0.log = log
      $0.stage = stage
      $0.artifacts = []
    }
  }

  var log: StageLog? { changing.withLock { $0.log } }
  var artifacts: [String] { changing.withLock { $0.artifacts } }

  /// A line in the stage's log, and for whoever watches.
  public func say(_ text: String) {
    let (log, stage) = changing.withLock { ($0.log, $0.stage) }
    log?.line(text)
    report(.said(stage, text))
  }

  /// Only in the log.
  public func note(_ text: String) { log?.line(text) }

  /// What the stage leaves behind.
  public func leave(_ artifact: String) {
    changing.withLock { if !$0.artifacts.contains(artifact) { $0.artifacts.append(artifact) } }
  }

  /// For commands of the repository: whatever ref is delivered, the notices' secrets are not its business.
  /// A path of the file that is not the commit's: relative to where the run was begun.
  func outside(_ path: String) -> String { path.hasPrefix("/") ? path : directory + "/" + path }

  func shell(in directory: String, _ environment: [String] = []) -> Shell {
    let secrets = pipeline.notifications.compactMap { notification in
      if case .environment(let name) = notification.secret { name } else { nil }
    }
    return Shell(
      directory: directory, environment: environment, withheld: Set(secrets), log: log,
      processFile: folder + "/process")
  }

  /// Where commands of the pipeline run.
  var workingFolder: String {
    get throws {
      guard let commit = facts.commit else { throw StageFailure(.stopped, "there is no commit; run from source") }
      return pipeline.source.path == "." ? commit.folder : commit.folder + "/" + pipeline.source.path
    }
  }

  /// A path of the file, relative to the root of the commit.
  func path(_ relative: String) throws -> String {
    guard let commit = facts.commit else { throw StageFailure(.stopped, "there is no commit; run from source") }
    return commit.folder + "/" + relative
  }
}

/// What there is to say while a run goes on.
public enum RunEvent: Sendable {
  case started(Int, ref: String)
  case begun(Stage, attempt: Int)
  case said(Stage, String)
  case ended(Stage, StageRecord.State, seconds: Double, reason: String?)
  case waiting(Int, expiresIn: Double?)
  case undelivered(String)
}

/// Milliseconds since 1970.
func millisecondsNow() -> Int64 { Int64((Date().timeIntervalSince1970 * 1000).rounded()) }
