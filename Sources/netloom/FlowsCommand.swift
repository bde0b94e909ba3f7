import ArgumentParser
import Lab
import NorthboundAPI
import NorthboundClient

struct FlowsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "flows",
    abstract: "Find the flows that cross the lab, and the two ways of each, from captures.",
    discussion: """
      EXAMPLES:
        netloom flows                              three seconds of everything
        netloom flows --asymmetric                 those that come back another way
        netloom flows -f 'tcp port 179' --for 10s  BGP sessions
        netloom flows --watch                      again and again, until Ctrl-C
        netloom flows -o json | jq '.flows[] | select(.symmetric == false)'

      Nothing is sent. A way is shown once packets were seen on all of it, from the owner of their source to the owner of
      their destination; what cannot be proven is undecided, with the reason.
      Exit codes: 0 captured; with --asymmetric 1 when there are none.
      """)

  @Flag(help: "Only flows whose way back is another one.")
  var asymmetric = false

  @Option(name: .customLong("for"), help: ArgumentHelp("How long to capture (500ms, 10s, 1m).", valueName: "time"))
  var length = TimeArgument(.seconds(3))

  @Option(name: .shortAndLong, help: ArgumentHelp("A pcap-filter expression.", valueName: "filter"))
  var filter: String?

  @Flag(help: "Again and again, until a signal ends it.")
  var watch = false

  @OptionGroup var common: CommonOptions

  func validate() throws {
    if length.duration < .milliseconds(100) || length.duration > .seconds(600) {
      throw ValidationError("--for must be 100ms to 10m")
    }
  }

  func run() async throws {
    let lab = try common.find()
    let query = FlowsQuery(
      durationMs: Int64((length.duration.inSeconds * 1000).rounded()), filter: filter?.isEmpty == true ? nil : filter)
    repeat {
      var found = try await lab.naming { try await $0.flows(query) }
      if asymmetric { found.flows.removeAll { $0.symmetric != false } }
      try show(found)
      if !watch, asymmetric, found.flows.isEmpty { throw Exit(code: 1) }
    } while watch
  }

  private func show(_ found: LiveFlows) throws {
    if common.json { return try Output.json(found) }
    if watch, Output.isTerminal { Output.text("\u{1B}[H\u{1B}[2J") }
    FlowsText(found, palette: Palette(color: common.appearance.color), verbose: common.appearance.verbose).lines
      .forEach(Output.line)
  }
}
