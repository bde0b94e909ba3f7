import ArgumentParser
import Lab
import NorthboundAPI
import NorthboundClient

struct PlanCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "What a CHANGE would do, node by node and rule by rule; nothing is touched.",
    discussion: """
      EXAMPLES:
        netloom plan change.yaml
        netloom plan change.yaml -o json | jq '.nodes[].node'
        echo 'topology: {nodes: {customer: {qos: null}}}' | netloom plan -

      A CHANGE is a part of a topology file: {topology: {nodes: {NODE: {nat|filter|qos|path|flowspec|routes|…}}},
      policies: {…}}. A key given replaces that key's whole value, null takes it away, everything else stays.
      + is added, - removed, ~ changed. Exit code 2 when the file the lab would then be made from has errors.
      """)

  @Argument(help: "The file, or - to read it from stdin.", completion: .file(extensions: ["yaml", "yml"]))
  var change: String

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let file = try ChangeFile(change)
    let lab = try common.find()
    let request = ChangeRequest(file: file.name, text: file.text)
    let plan = try await lab.naming { try await $0.plan(request) }
    plan.warnings.forEach(Output.note)
    if common.json { return try Output.json(plan) }
    let text = PlanText(plan, palette: Palette(color: common.appearance.color))
    text.lines.forEach(Output.line)
    Output.line(plan.isEmpty ? "nothing would change" : "\n\(text.summary()), against version \(plan.version)")
  }
}

struct ApplyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apply",
    abstract: "Carry a CHANGE out: on every node that it touches, or on none.",
    discussion: """
      EXAMPLES:
        netloom apply change.yaml
        netloom apply change.yaml --confirm-within 60s    then: netloom confirm; without it the lab goes back by itself
        netloom apply change.yaml --dry-run               asks every node's kernel, changes nothing
        jq -n '{topology: {nodes: {customer: {nat: null}}}}' | netloom apply -

      Every node checks the change before any node is touched. A node that refuses, or does not answer within 5 s:
      nothing changes anywhere, exit code 1, the node, its reason and the line of the file are said.
      """)

  @Argument(help: "The file, or - to read it from stdin.", completion: .file(extensions: ["yaml", "yml"]))
  var change: String

  @Option(
    help: ArgumentHelp("Go back by itself unless netloom confirm is said in time (500ms, 60s, 2m).", valueName: "time"))
  var confirmWithin: TimeArgument?

  @Flag(help: "Let every node check it, then change nothing.")
  var dryRun = false

  @Option(help: ArgumentHelp("Who, for the history; your login name unless said.", valueName: "name"))
  var author: String?

  @OptionGroup var common: CommonOptions

  func validate() throws {
    if dryRun, confirmWithin != nil { throw ValidationError("--dry-run changes nothing that could be confirmed") }
    if let confirmWithin, confirmWithin.duration < .milliseconds(1) {
      throw ValidationError("--confirm-within must be at least 1ms")
    }
  }

  func run() async throws {
    let file = try ChangeFile(change)
    let lab = try common.find()
    let request = ChangeRequest(
      file: file.name, text: file.text, author: author ?? Author.name,
      confirmWithinMs: confirmWithin.map { Int64(($0.duration.inSeconds * 1000).rounded()) },
      dryRun: dryRun ? true : nil)
    let result = try await lab.changing { try await $0.apply(request) }
    result.plan.warnings.forEach(Output.note)
    if common.json { return try Output.json(result) }
    let palette = Palette(color: common.appearance.color)
    let text = PlanText(result.plan, palette: palette)
    text.lines.forEach(Output.line)
    if result.plan.isEmpty { return Output.line("nothing changes; the lab stays in version \(result.version)") }
    if dryRun {
      return Output.line("\n\(text.summary()); every node would take it, nothing was changed (dry run)")
    }
    ChangeText(result, palette: palette).show(after: text.summary(done: true))
  }
}

/// The last lines of apply and rollback.
struct ChangeText {
  private let result: ChangeResult
  private let palette: Palette

  init(_ result: ChangeResult, palette: Palette) {
    self.result = result
    self.palette = palette
  }

  func show(after summary: String) {
    let time = spoken(seconds: result.milliseconds / 1000)
    Output.line("\n\(summary); \(palette.bold("version \(result.version)")) holds on every node after \(time)")
    if let limit = result.confirmBy {
      Output.line(palette.yellow("it is taken back at \(limit) unless you say: netloom confirm"))
    }
  }
}
