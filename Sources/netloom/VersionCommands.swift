import ArgumentParser
import Lab
import NorthboundAPI
import NorthboundClient

struct ConfirmCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "confirm",
    abstract: "Keep the change that was applied with --confirm-within.",
    discussion: """
      EXAMPLES:
        netloom apply change.yaml --confirm-within 60s && netloom trace h1 web && netloom confirm

      Exit code 1 when no change waits for it.
      """)

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let lab = try common.find()
    let entry = try await lab.changing { try await $0.confirm() }
    if common.json { return try Output.json(entry) }
    Output.line("version \(entry.version) stays (\(entry.change))")
  }
}

struct RollbackCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rollback",
    abstract: "Go back to an earlier version: on every node, or on none.",
    discussion: """
      EXAMPLES:
        netloom rollback             to the version before the current one
        netloom rollback 1           as the lab was when it came up
        netloom history              which versions there are

      The version that is gone back to gets a new number: nothing is ever taken out of the history.
      """)

  @Argument(help: "The version; the one before the current unless said.")
  var version: Int?

  @Option(help: ArgumentHelp("Who, for the history; your login name unless said.", valueName: "name"))
  var author: String?

  @OptionGroup var common: CommonOptions

  func validate() throws {
    if let version, version < 1 { throw ValidationError("Versions begin at 1") }
  }

  func run() async throws {
    let lab = try common.find()
    let request = RollbackRequest(version: version, author: author ?? Author.name)
    let result = try await lab.changing { try await $0.rollback(request) }
    if common.json { return try Output.json(result) }
    let palette = Palette(color: common.appearance.color)
    let text = PlanText(result.plan, palette: palette)
    text.lines.forEach(Output.line)
    if result.plan.isEmpty { return Output.line("nothing changes; the lab is in version \(result.version)") }
    ChangeText(result, palette: palette).show(after: text.summary(done: true))
  }
}

struct HistoryCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "history",
    abstract: "The lab's versions, newest first: when, what, who.",
    discussion: """
      EXAMPLES:
        netloom history
        netloom history -v                      with what each changed
        netloom history -o json | jq '.[] | select(.current).version'
      """)

  @Option(help: ArgumentHelp("Only so many of the newest.", valueName: "count"))
  var limit: Int?

  @OptionGroup var common: CommonOptions

  func validate() throws {
    if let limit, limit < 1 { throw ValidationError("--limit must be at least 1") }
  }

  func run() async throws {
    let lab = try common.find()
    let entries = try await entries(of: lab.client)
    if common.json { return try Output.json(entries) }
    let palette = Palette(color: common.appearance.color)
    var table = Table("", ">VERSION", "AT", "AUTHOR", "CHANGE", "CONFIRM BY")
    for entry in entries {
      table.add(entry.current ? ">" : " ", "\(entry.version)", entry.at, entry.author, entry.change, entry.confirmBy)
    }
    let lines = table.lines(palette: palette)
    guard common.appearance.verbose else { return lines.forEach(Output.line) }
    lines.first.map(Output.line)
    for (line, entry) in zip(lines.dropFirst(), entries) {
      Output.line(line)
      for change in entry.diff { Output.line("      " + palette.dim(change)) }
    }
  }

  /// Page by page. A version that is added meanwhile shifts the pages: what is seen twice is taken once.
  private func entries(of client: NorthboundClient) async throws -> [VersionEntry] {
    let page = 100
    var entries: [VersionEntry] = []
    while entries.count < limit ?? .max {
      let wanted = min(page, (limit ?? .max) - entries.count)
      let more = try await client.history(limit: wanted, offset: entries.count)
      let oldest = entries.last?.version ?? .max
      entries += more.filter { $0.version < oldest }
      if more.count < wanted || more.isEmpty { break }
    }
    return entries
  }
}
