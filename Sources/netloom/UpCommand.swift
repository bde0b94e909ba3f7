import ArgumentParser
import Lab
import NorthboundAPI
import NorthboundClient
import Topology

struct UpCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "up",
    abstract: "Build a lab and return when it has converged.",
    discussion: """
      EXAMPLES:
        netloom up topologies/dual-isp.yaml
        netloom up lab.yaml --name second --timeout 2m
        netloom up lab.yaml --replace -o json | jq .convergedAfterMs

      Exit codes: 0 converged; 1 not in time (the lab stays) or the name is taken; 2 the file; 3 this machine.
      """,
    aliases: ["deploy"])

  @Argument(help: "The topology file.", completion: .file(extensions: ["yaml", "yml"]))
  var file: String

  @Option(help: "The lab's name instead of the file's.")
  var name: String?

  @Option(help: .hidden)
  var lab: String?

  @Flag(help: "Take down a lab of that name first.")
  var replace = false

  @Option(help: ArgumentHelp("How long it may take to converge (500ms, 60s, 2m).", valueName: "time"))
  var timeout = TimeArgument(.seconds(60))

  @Option(
    name: .customLong("api-port"),
    help: ArgumentHelp(
      "Serve the API on this port of the machine's loopback too; requests carry the token of the run directory's api.token.",
      valueName: "port"))
  var apiPort: UInt16?

  @Option(name: .shortAndLong, help: "table or json (the lab's status).")
  var output: OutputFormat = .table

  @OptionGroup var appearance: AppearanceOptions

  func run() async throws {
    let topology = try Files.topology(file, named: name ?? lab)
    let root = RunRoot.ofThisUser()
    root.sweep()
    let progress = UpProgress(shown: Output.isErrorTerminal, verbose: appearance.verbose)
    var start = LabStart(
      topology: topology, replace: replace, timeout: timeout.duration, environment: Output.environment)
    start.author = Author.name
    start.apiPort = apiPort ?? 0
    let begun = ContinuousClock.now
    let running: Lab
    do {
      running = try await cancelledBySignals { [start] in
        try await start.run(in: root) { progress.show($0) }
      }
    } catch {
      progress.clear()
      throw error
    }
    progress.clear()
    let status = try await running.client.status()
    if output == .json { return try Output.json(status) }
    let palette = Palette(color: appearance.color)
    let seconds = (ContinuousClock.now - begun).inSeconds
    Output.line("lab \(palette.bold(status.lab)) is up, converged after \(spoken(seconds: seconds))")
    StatusText(status, palette: palette, verbose: appearance.verbose).printTables()
    printNextSteps(topology, palette)
  }

  /// Commands that make sense in this lab.
  private func printNextSteps(_ lab: ResolvedLab, _ palette: Palette) {
    let hosts = lab.nodes.filter(\.kind.isHost).map(\.name)
    let router = lab.nodes.first { $0.asn != nil }
    var lines: [String] = []
    if hosts.count > 1 { lines.append("netloom trace \(hosts[0]) \(hosts[hosts.count - 1])") }
    if let router { lines.append("netloom show bgp \(router.name)") }
    if let first = lab.nodes.first { lines.append("netloom exec \(first.name) -- ip address") }
    if !lab.tests.isEmpty { lines.append("netloom test \(file) --lab \(lab.name)") }
    lines.append("netloom down")
    Output.line("\n" + palette.dim("next:") + lines.map { "\n  " + $0 }.joined())
  }
}

extension TimeArgument {
  init(_ duration: Duration) { self.duration = duration }
}

/// One line on a terminal that says how far `up` has come; lines of their own with -v; nothing otherwise.
private struct UpProgress: Sendable {
  let shown: Bool
  let verbose: Bool

  func show(_ step: LabStart.Step) {
    guard shown || verbose else { return }
    let text =
      switch step {
      case .replacing: "taking the old lab down"
      case .building(let what): "building: \(what)"
      case .converging(let progress): Self.text(progress)
      }
    if shown { Output.progress(text) } else { Output.note(text) }
  }

  func clear() {
    if shown { Output.progress("") }
  }

  private static func text(_ progress: Progress) -> String {
    var text = "nodes \(progress.nodesUp)/\(progress.nodes), sessions \(progress.sessionsUp)/\(progress.sessions)"
    if !progress.execDone, progress.built { text += ", exec runs" }
    if let reason = progress.reasons.first, !progress.converged { text += ": \(reason)" }
    return String(text.prefix(100))
  }
}
