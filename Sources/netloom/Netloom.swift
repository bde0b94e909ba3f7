import ArgumentParser

struct Netloom: ParsableCommand {
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "netloom",
    abstract: "A network of real routers on plain Linux, and the proof of where every packet went.",
    discussion: """
      EXAMPLES:
        netloom up topologies/dual-isp.yaml     build, return when converged
        netloom trace h1 web --proto tcp --port 80
        netloom explain isp2 203.0.113.0/24     why that path won, rule by rule
        netloom test topologies/dual-isp.yaml   the tests, in a lab of their own
        netloom plan change.yaml                what it would change, rule by rule; then: netloom apply change.yaml
        netloom down

      COMPLETION, for bash, zsh or fish:
        source <(netloom --generate-completion-script bash)
        netloom --generate-completion-script fish > ~/.config/fish/completions/netloom.fish
      """,
    version: version,
    subcommands: [],
    groupedSubcommands: [
      CommandGroup(
        name: "Labs", subcommands: [UpCommand.self, DownCommand.self, ListCommand.self, StatusCommand.self]),
      CommandGroup(
        name: "Looking inside",
        subcommands: [
          ExecCommand.self, ShowCommand.self, ExplainCommand.self, TraceCommand.self, RateCommand.self,
          TrafficCommand.self, FlowsCommand.self, CaptureCommand.self,
        ]),
      CommandGroup(
        name: "Changing",
        subcommands: [
          PlanCommand.self, ApplyCommand.self, ConfirmCommand.self, RollbackCommand.self, HistoryCommand.self,
          DriftCommand.self,
        ]),
      CommandGroup(name: "Service mesh", subcommands: [MeshCommand.self]),
      CommandGroup(name: "Containers", subcommands: [ImageCommand.self]),
      CommandGroup(name: "Delivery", subcommands: [PipelineCommand.self]),
      CommandGroup(name: "Proving", subcommands: [TestCommand.self, CheckCommand.self, FaultCommandLine.self]),
      CommandGroup(
        name: "Files",
        subcommands: [ValidateCommand.self, ImportCommand.self, GraphCommand.self, SchemaCommand.self]),
      CommandGroup(name: "This machine", subcommands: [DoctorCommand.self, SpeakerCommand.self]),
    ])

  /// Everything that may stand first, aliases and what ArgumentParser adds included.
  static let words: [String] =
    (configuration.groupedSubcommands.flatMap(\.subcommands)).flatMap {
      [$0._commandName] + $0.configuration.aliases
    } + ["help"]
}
