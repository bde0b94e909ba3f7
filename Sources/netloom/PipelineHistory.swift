import ArgumentParser
import Delivery
import Lab

struct PipelineStatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "A run: its stages, what was judged, who was told.",
    discussion: """
      EXAMPLES:
        netloom pipeline status
        netloom pipeline status web/7 -o json | jq .stages

      Exit codes: 0 released, or still under way; 1 stopped, rolled back, cancelled or interrupted.
      """)

  @OptionGroup var options: RunOptions

  func run() throws {
    let reference = try options.find()
    guard let record = try PipelineStore(reference.folder).run(reference.number) else { return }
    let document = try RunDocument(record, of: reference)
    if options.output == .json {
      try Output.json(document)
    } else {
      RunText(palette: Palette(color: options.appearance.color)).lines(document).forEach(Output.line)
    }
    if !["released", "running", "waiting", "queued"].contains(document.state) { throw Exit(code: 1) }
  }
}

struct PipelineHistoryCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "history",
    abstract: "The runs of a pipeline, newest first.",
    discussion: """
      EXAMPLES:
        netloom pipeline history
        netloom pipeline history web -o json | jq '.[0].reason'
      """)

  @Argument(help: "The pipeline; may be left out while one has run.")
  var pipeline: String?

  @Option(help: "At most so many runs.")
  var limit = 20

  @Option(name: .shortAndLong, help: "table or json.")
  var output: OutputFormat = .table

  @OptionGroup var appearance: AppearanceOptions

  func run() throws {
    let root = try PipelineRoot.ofThisUser()
    let names = try pipeline.map { [try root.find($0).pipeline] } ?? root.names()
    var documents: [RunDocument] = []
    for name in names {
      let folder = root.folder(of: name)
      for run in try PipelineStore(folder).runs(limit: max(1, limit)) {
        documents.append(try RunDocument(run, of: try root.find("\(name)/\(run.number)")))
      }
    }
    if output == .json { return try Output.json(documents) }
    if documents.isEmpty { return Output.line("no pipeline has run") }
    RunText(palette: Palette(color: appearance.color)).table(documents).forEach(Output.line)
  }
}

/// A run as `-o json` shows it.
struct RunDocument: Encodable {
  struct StageDocument: Encodable {
    let stage: String
    let state: String
    let attempt: Int
    let startedAt: Int64
    let seconds: Double?
    let reason: String?
    let log: String
    let artifacts: [String]
  }

  struct NoticeDocument: Encodable {
    let event: String
    let target: String
    let delivered: Bool
    let attempts: Int
    let error: String?
  }

  let pipeline: String
  let run: Int
  let kind: String
  let ref: String
  let commit: String?
  let author: String?
  let image: String?
  let state: String
  /// Where it stands or stopped.
  let stage: String?
  let reason: String?
  let exit: Int32?
  let startedBy: String
  let startedAt: Int64
  let endedAt: Int64?
  let failedTests: [FailedTest]
  let approval: ApprovalFacts?
  let deployment: DeploymentFacts?
  let judgements: [StepJudgement]
  let stages: [StageDocument]
  let notices: [NoticeDocument]

  init(_ record: RunRecord, of reference: RunReference) throws {
    let store = try PipelineStore(reference.folder)
    let facts = record.facts
    pipeline = reference.pipeline
    run = record.number
    kind = record.kind.rawValue
    ref = record.ref
    commit = facts.commit?.id
    author = facts.commit.map { "\($0.author) <\($0.email)>" }
    image = facts.image.map { $0.pushed ?? $0.local } ?? facts.deployment?.image
    let isKilled =
      record.state == .queued
      ? !reference.folder.isAwaited(record.number)
      : (record.state == .running || record.state == .waiting) && !reference.folder.isRunning
    state = (isKilled ? .interrupted : record.state).rawValue
    let known = try store.stages(of: record.number)
    stage = record.state == .released ? nil : known.last { $0.stage != .notify }?.stage.rawValue
    reason =
      isKilled ? "its process ended; go on with: netloom pipeline resume \(reference.pipeline)/\(run)" : record.reason
    exit = record.state == .released ? 0 : record.exit
    startedBy = record.startedBy
    startedAt = record.startedAt
    endedAt = record.endedAt
    failedTests = facts.tests?.failed ?? []
    approval = facts.approval
    deployment = facts.deployment
    judgements = facts.judgements
    stages = known.map {
      StageDocument(
        stage: $0.stage.rawValue, state: isKilled && $0.state == .running ? "interrupted" : $0.state.rawValue,
        attempt: $0.attempt, startedAt: $0.startedAt, seconds: $0.seconds, reason: $0.reason, log: $0.log,
        artifacts: $0.artifacts)
    }
    notices = try store.notices(of: record.number).map {
      NoticeDocument(
        event: $0.event, target: $0.target, delivered: $0.delivered, attempts: $0.attempts, error: $0.error)
    }
  }
}
