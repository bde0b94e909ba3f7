import ArgumentParser
import Lab
import NorthboundAPI
import NorthboundClient

struct MeshEdgesCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "edges",
    abstract: "Requests, success rate and latency per client, service and version.",
    discussion: """
      EXAMPLES:
        netloom mesh edges                     since the lab began
        netloom mesh edges --for 10s           of the next ten seconds
        netloom mesh edges --to web -o json

      Of services of protocol tcp a connection is a request, and its latency the time until
      the connection to the pod stood.
      """)

  @Option(
    name: .customLong("for"), help: ArgumentHelp("Only what happens from now on (500ms, 10s, 2m).", valueName: "time"))
  var duration: TimeArgument?

  @Option(help: ArgumentHelp("Only of this service.", valueName: "service"))
  var to: String?

  @OptionGroup var common: CommonOptions

  func validate() throws {
    if let duration, duration.duration <= .zero { throw ValidationError("--for must be more than nothing") }
  }

  func run() async throws {
    let lab = try common.find()
    var edges = try await lab.naming { try await $0.meshEdges() }
    if let duration {
      let before = edges
      try await Task.sleep(for: duration.duration)
      edges = try await lab.naming { try await $0.meshEdges() }.since(before)
    }
    if let to { edges.removeAll { $0.to != to } }
    if common.json { return try Output.json(edges) }
    MeshText(palette: Palette(color: common.appearance.color)).lines(edges).forEach(Output.line)
  }
}

extension MeshText {
  func lines(_ edges: [MeshEdge]) -> [String] {
    guard !edges.isEmpty else { return ["no requests"] }
    var table = Table(
      "FROM", "TO", "VERSION", ">REQUESTS", ">SUCCESS", ">P50", ">P95", ">P99", ">RETRIES", ">EJECTIONS")
    for edge in edges {
      let quantiles = [0.5, 0.95, 0.99].map { edge.latency.quantile($0).map { spoken(seconds: $0) } }
      table.add(
        edge.from.isEmpty ? "(no identity)" : edge.from, edge.to, edge.version.isEmpty ? nil : edge.version,
        "\(edge.requests)", edge.successRate.map { "\(fixed($0 * 100, 2)) %" }, quantiles[0], quantiles[1],
        quantiles[2], "\(edge.retries)", "\(edge.ejections)")
    }
    return table.lines(palette: palette)
  }
}
