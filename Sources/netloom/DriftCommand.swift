import ArgumentParser
import Lab
import NorthboundAPI
import NorthboundClient

struct DriftCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "drift",
    abstract: "What the kernels hold otherwise than the lab's version says; --repair puts it right.",
    discussion: """
      EXAMPLES:
        netloom drift
        netloom drift --repair
        netloom drift -o json | jq '.drift[] | select(.kind == "missing")'

      missing: it should be there; changed: it is another; excess: it is too much inside our tables, qdiscs or routes.
      What others made stands under foreign, is left alone and does not count.
      Exit codes: 0 no drift; 1 some, or a node could not be asked (with --repair: some is left).
      """)

  @Flag(help: "Make the kernels hold what the version says, without touching what is right.")
  var repair = false

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let lab = try common.find()
    let drift = repair ? try await lab.changing { try await $0.repair() } : try await lab.client.drift()
    if common.json {
      try Output.json(drift)
    } else {
      show(drift)
    }
    if !drift.drift.isEmpty || !drift.unknown.isEmpty { throw Exit(code: 1) }
  }

  private func show(_ drift: Drift) {
    let palette = Palette(color: common.appearance.color)
    if let repaired = drift.repaired, !repaired.isEmpty {
      Output.line("repaired:")
      list(repaired, palette)
    }
    if !drift.drift.isEmpty {
      if repair { Output.line("left:") }
      list(drift.drift, palette)
    }
    if !drift.foreign.isEmpty, common.appearance.verbose {
      Output.line("of others, left alone:")
      list(drift.foreign, palette)
    } else if !drift.foreign.isEmpty {
      Output.line(palette.dim("\(drift.foreign.count) of others, left alone (-v shows them)"))
    }
    for unknown in drift.unknown { Output.note("not known: \(unknown)") }
    guard drift.unknown.isEmpty else { return }
    if drift.drift.isEmpty {
      Output.line(palette.green("no drift") + (drift.repaired?.isEmpty == true ? ", nothing to repair" : ""))
    } else if !repair {
      Output.line("\nput it right with: netloom drift --repair")
    }
  }

  private func list(_ entries: [DriftEntry], _ palette: Palette) {
    var table = Table("NODE", "KIND", "TYPE", "WHAT")
    for entry in entries { table.add(entry.node, entry.kind.rawValue, entry.type, entry.what) }
    table.paint = { _, column, text in
      guard column == 1 else { return text }
      return text.hasPrefix("foreign") ? palette.dim(text) : palette.yellow(text)
    }
    for line in table.lines(palette: palette) { Output.line(line) }
  }
}
