import ArgumentParser
import Lab
import NorthboundAPI
import NorthboundClient

struct StatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Nodes, links, sessions; converged, or why not.",
    discussion: """
      EXAMPLES:
        netloom status
        netloom status -o json | jq '.nodes[] | {name, pid}'
      """,
    aliases: ["inspect"])

  @Argument(help: "The lab; may be left out while one runs.")
  var name: String?

  @OptionGroup var common: CommonOptions

  func validate() throws { try common.agree(with: name) }

  func run() async throws {
    let lab = try Labs.find(name ?? common.lab)
    let status = try await lab.client.status()
    if common.json { return try Output.json(status) }
    let palette = Palette(color: common.appearance.color)
    let text = StatusText(status, palette: palette, verbose: true)
    text.printHeading()
    text.printTables()
  }
}

/// A lab's status for people.
struct StatusText {
  private let status: Status
  private let palette: Palette
  private let verbose: Bool

  init(_ status: Status, palette: Palette, verbose: Bool) {
    self.status = status
    self.palette = palette
    self.verbose = verbose
  }

  func printHeading() {
    let controller = "controller \(status.controller.state), pid \(status.controller.pid)"
    Output.line("lab \(palette.bold(status.lab)), init \(status.pid), version \(status.version), \(controller)")
    if status.converged {
      let how = status.convergedBy.map { " by \($0.rawValue)" } ?? ""
      let after = status.convergedAfterMs.map { " after \(spoken(seconds: $0 / 1000))" } ?? ""
      Output.line(palette.green("converged") + how + after)
    } else {
      Output.line(palette.red("not converged"))
      for reason in status.notConverged { Output.line("  \(reason)") }
    }
  }

  /// Above twenty rows a table of sound rows says little: they are counted, and the others shown.
  func printTables() {
    printNodes()
    printContainers()
    printSessions()
    if verbose { printLinks() }
    printMesh()
    for warning in status.warnings { Output.line(palette.yellow("warning: ") + warning) }
  }

  private func printMesh() {
    guard let mesh = status.mesh else { return }
    let count = "\(mesh.current) of \(mesh.sidecars) sidecars have the newest configuration"
    Output.line("mesh: mtls \(mesh.mtls), " + (mesh.converged ? palette.green(count) : palette.yellow(count)))
    for service in mesh.services {
      let down = service.pods.filter { !$0.healthy }.map(\.name)
      guard !down.isEmpty else { continue }
      Output.line("  \(service.name): " + palette.red("down: \(down.joined(separator: ", "))"))
    }
  }

  private func printNodes() {
    let shown = verbose || status.nodes.count <= 20 ? status.nodes : status.nodes.filter { $0.state != "running" }
    var table = Table("NODE", "KIND", ">AS", ">PID", "STATE")
    for node in shown { table.add(node.name, node.kind, node.asn.map { "\($0)" }, "\(node.pid)", node.state) }
    table.paint = { row, column, text in
      column == 4 ? (shown[row].state == "running" ? palette.green(text) : palette.red(text)) : text
    }
    printTable(table, hidden: status.nodes.count - shown.count, "nodes run")
  }

  private func printContainers() {
    let nodes = status.nodes.filter { node in
      node.container.map { verbose || status.nodes.count <= 20 || $0.state != "ready" } == true
    }
    var table = Table("NODE", "IMAGE", "DIGEST", "STATE", "REASON")
    for node in nodes {
      guard let container = node.container else { continue }
      table.add(
        node.name, container.image, container.digest.map { String($0.prefix(19)) }, container.state, container.reason)
    }
    table.paint = { row, column, text in
      guard column == 3 else { return text }
      switch nodes[row].container?.state {
      case "ready": return palette.green(text)
      case "failed": return palette.red(text)
      default: return text
      }
    }
    printTable(table, hidden: 0, "")
  }

  private func printSessions() {
    let shown =
      verbose || status.sessions.count <= 40 ? status.sessions : status.sessions.filter { $0.state != "established" }
    var table = Table("NODE", "NEIGHBOR", "ADDRESS", "STATE", ">RECEIVED", ">SENT", "LAST ERROR")
    for session in shown {
      table.add(
        session.node, session.neighbor, session.neighborAddress, session.state, "\(session.prefixesReceived)",
        "\(session.prefixesSent)", session.lastError)
    }
    table.paint = { row, column, text in
      column == 3 ? (shown[row].state == "established" ? palette.green(text) : palette.red(text)) : text
    }
    printTable(table, hidden: status.sessions.count - shown.count, "sessions are established")
  }

  private func printLinks() {
    var table = Table("LINK", "", "STATE")
    for link in status.links { table.add(link.endpoints.first, link.endpoints.last, link.state) }
    table.paint = { row, column, text in
      column == 2 && status.links[row].state != "up" ? palette.red(text) : text
    }
    printTable(table, hidden: 0, "")
  }

  private func printTable(_ table: Table, hidden: Int, _ words: String) {
    if hidden > 0 { Output.line("\n\(hidden) \(words)") }
    guard !table.isEmpty else { return }
    Output.line("")
    for line in table.lines(palette: palette) { Output.line(line) }
  }
}
