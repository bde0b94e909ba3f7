import ArgumentParser
import Delivery
import Glibc
import Images
import Lab
import Topology

struct PipelineCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pipeline",
    abstract:
      "Delivery: a commit, built, tested, packaged and released into a lab that serves, judged by its network too.",
    subcommands: [
      PipelineRunCommand.self, PipelineStatusCommand.self, PipelineHistoryCommand.self, PipelineApproveCommand.self,
      PipelineRejectCommand.self, PipelineResumeCommand.self, PipelineCancelCommand.self, PipelineRollbackCommand.self,
      PipelineLoadCommand.self,
    ])

  /// Of the file's stages, whoever carries them out on this machine.
  static func pipelines(_ view: RunView) throws -> Pipelines {
    let images: ImageStore
    do {
      images = try ImageStore.ofThisMachine()
    } catch {
      throw LabError(.environment, error.message)
    }
    let work = DeliveryStages(images: images, labs: RunRoot.ofThisUser(), environment: Output.environment)
    return Pipelines(root: try PipelineRoot.ofThisUser(), work: work) { view.show($0) }
  }

  /// Carries a run out, ends it properly at Ctrl-C, and says what it came to.
  static func follow(
    _ json: Bool, _ appearance: AppearanceOptions, _ work: @escaping @Sendable (Pipelines) async throws -> RunRecord?
  ) async throws {
    let view = RunView(quiet: json, palette: Palette(color: appearance.color), verbose: appearance.verbose)
    let pipelines = try pipelines(view)
    RunRoot.ofThisUser().sweep()
    guard let run = try await cancelledBySignals({ try await work(pipelines) }) else { return }
    if json {
      let reference = try pipelines.root.find("\(try Self.name(of: run))/\(run.number)")
      try Output.json(try RunDocument(run, of: reference))
    }
    try end(run)
  }

  static func name(of run: RunRecord) throws -> String {
    PipelineFile.parse(text: run.text, file: run.file).value?.name ?? "pipeline"
  }

  private static func end(_ run: RunRecord) throws {
    switch run.state {
    case .released: return
    case .interrupted:
      Output.error(run.reason ?? "interrupted")
      throw Exit(code: run.exit ?? 130)
    default:
      Output.error("run \(run.number) \(run.state.rawValue)\(run.reason.map { ": \($0)" } ?? "")")
      throw Exit(code: run.exit ?? 1)
    }
  }
}

struct PipelineRunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Run a pipeline, from the source or from a stage of the last run.",
    discussion: """
      EXAMPLES:
        netloom pipeline run ci/pipeline.yaml
        netloom pipeline run ci/pipeline.yaml --ref v2
        netloom pipeline run ci/pipeline.yaml --from verify      the last run once more from there
        netloom pipeline run ci/pipeline.yaml -o json | jq .state

      A manual gate waits for `netloom pipeline approve` in another terminal. Ctrl-C ends the stage, returns requests
      to the version that served, and leaves a run that `netloom pipeline resume` goes on with.
      Exit codes: 0 released; 1 stopped or rolled back; 2 bad file; 3 this machine.
      """)

  @Argument(help: "The pipeline file.", completion: .file(extensions: ["yaml", "yml"]))
  var file: String

  @Option(help: "The branch, tag or commit instead of the file's.")
  var ref: String?

  @Option(help: ArgumentHelp("Go on with the last run from this stage.", valueName: "stage"))
  var from: StageArgument?

  @Option(name: .shortAndLong, help: "table or json.")
  var output: OutputFormat = .table

  @OptionGroup var appearance: AppearanceOptions

  func validate() throws {
    if let ref, ref.hasPrefix("-") || ref.isEmpty { throw ValidationError("\(ref): expected a branch, tag or commit") }
  }

  func run() async throws {
    let pipeline = try Files.value(of: PipelineFile.load(path: file))
    let request = Pipelines.Request(
      pipeline: pipeline, text: try Files.text(file), ref: ref, from: from?.stage, directory: Output.currentDirectory,
      by: Author.name)
    try await PipelineCommand.follow(output == .json, appearance) { try await $0.run(request) }
  }
}

/// A stage that a run can begin with.
struct StageArgument: ExpressibleByArgument {
  let stage: Stage

  init?(argument: String) {
    guard let stage = Stage(rawValue: argument), stage != .notify else { return nil }
    self.stage = stage
  }

  static var allValueStrings: [String] { Stage.allCases.filter { $0 != .notify }.map(\.rawValue) }
}

/// What commands about a run take.
struct RunOptions: ParsableArguments {
  @Argument(help: ArgumentHelp("NAME/NUMBER; may be left out while one pipeline has run.", valueName: "run"))
  var run: String?

  @Option(name: .shortAndLong, help: "table or json.")
  var output: OutputFormat = .table

  @OptionGroup var appearance: AppearanceOptions

  func find(where matches: (RunRecord) -> Bool = { _ in true }) throws -> RunReference {
    try PipelineRoot.ofThisUser().find(run, where: matches)
  }
}

struct PipelineApproveCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "approve",
    abstract: "Let a run that waits go on.",
    discussion: """
      EXAMPLES:
        netloom pipeline approve --reason "tried it in staging"
        netloom pipeline approve web/7 --reason "ticket 812"

      Who said it and why is kept with the run. Where no process waits for it, this one goes on with the run.
      """)

  @OptionGroup var options: RunOptions

  @Option(help: "Why.")
  var reason = ""

  func run() async throws { try await Decision.say(true, reason, options) }
}

struct PipelineRejectCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reject", abstract: "Stop a run that waits for approval.",
    discussion: """
      EXAMPLES:
        netloom pipeline reject web/7 --reason "not before the holidays"
      """)

  @OptionGroup var options: RunOptions

  @Option(help: "Why.")
  var reason = ""

  func run() async throws { try await Decision.say(false, reason, options) }
}

private enum Decision {
  static func say(_ approved: Bool, _ reason: String, _ options: RunOptions) async throws {
    let reference = try options.find { $0.state == .waiting || $0.state == .interrupted }
    let json = options.output == .json
    do {
      try await PipelineCommand.follow(json, options.appearance) { pipelines in
        guard
          let run = try await pipelines.decide(reference, approved: approved, by: Author.name, reason: reason)
        else {
          if !json {
            Output.line(
              "\(reference.pipeline)/\(reference.number) is \(approved ? "approved" : "rejected"); its process goes on")
          }
          return nil
        }
        return run
      }
    } catch let error as Exit where !approved && error.code == 1 {
      return  // stopped, as it was asked for
    }
  }
}

struct PipelineResumeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resume", abstract: "Go on with a run that was interrupted or killed, where it stopped.",
    discussion: """
      EXAMPLES:
        netloom pipeline resume
        netloom pipeline resume web/7
      """)

  @OptionGroup var options: RunOptions

  func run() async throws {
    let reference = try options.find { !$0.state.isOver }
    try await PipelineCommand.follow(options.output == .json, options.appearance) { try await $0.resume(reference) }
  }
}

struct PipelineCancelCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "abort",
    abstract: "End a run; where production is between two versions it goes back to the one that served.",
    discussion: """
      EXAMPLES:
        netloom pipeline abort
        netloom pipeline abort web/7 --reason "wrong branch"
      """, aliases: ["cancel"])

  @OptionGroup var options: RunOptions

  @Option(help: "Why.")
  var reason = ""

  func run() async throws {
    let reference = try options.find { !$0.state.isOver }
    let reason = reason
    do {
      try await PipelineCommand.follow(options.output == .json, options.appearance) {
        try await $0.cancel(reference, by: Author.name, reason: reason)
      }
    } catch let error as Exit where error.code == 1 {
      return  // cancelled, as it was asked for
    }
  }
}

struct PipelineRollbackCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rollback",
    abstract: "Give all requests back to the version before the last release, with the image that it had.",
    discussion: """
      EXAMPLES:
        netloom pipeline rollback
        netloom pipeline rollback web

      It is a run of its own, and can be rolled back in turn.
      """)

  @Argument(help: "The pipeline; may be left out while one has run.")
  var pipeline: String?

  @Option(name: .shortAndLong, help: "table or json.")
  var output: OutputFormat = .table

  @OptionGroup var appearance: AppearanceOptions

  func run() async throws {
    let name = try PipelineRoot.ofThisUser().find(pipeline).pipeline
    try await PipelineCommand.follow(output == .json, appearance) {
      try await $0.rollback(name, by: Author.name, directory: Output.currentDirectory)
    }
  }
}

/// What a release sends requests with, from inside of a pod; not for people.
struct PipelineLoadCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "load", abstract: "Send GET requests at a rate and count the answers.", shouldDisplay: false)

  @Argument(help: "http://HOST[:PORT][/PATH]")
  var address: String

  @Option(help: "Requests per second.")
  var rate = 100

  @Option(name: .customLong("for"), help: ArgumentHelp("How long.", valueName: "time"))
  var duration = TimeArgument(.seconds(1))

  @Option(help: "So many instead.")
  var count: Int?

  func run() throws {
    guard let target = LoadGenerator.Target(address) else {
      throw ValidationError("\(address): expected http://HOST[:PORT][/PATH]")
    }
    let requests = count ?? Int((duration.duration.inSeconds * Double(rate)).rounded())
    let result = LoadGenerator(target: target, rate: rate, count: max(1, requests)).run()
    try Output.json(result)
    if result.failed > 0 { throw Exit(code: 1) }
  }
}
