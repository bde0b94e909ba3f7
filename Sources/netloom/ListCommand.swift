import ArgumentParser
import ControlProtocol
import Glibc
import Lab

struct ListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ls",
    abstract: "List labs, also crashed ones.",
    discussion: """
      EXAMPLES:
        netloom ls
        netloom ls -o json | jq -r '.[] | select(.state == "running") | .name'
      """,
    aliases: ["list"])

  @OptionGroup var common: CommonOptions

  private struct Entry: Encodable {
    let name: String
    let state: String
    let pid: Int32?
    let startedAt: Int
    let directory: String
  }

  func run() throws {
    let root = RunRoot.ofThisUser()
    root.sweep()
    let all = try root.labs()
    let labs = all.filter { common.lab == nil || $0.name == common.lab }
    // A name that is not there, while others run, is probably a slip: said as `status` says it.
    if labs.isEmpty, all.contains(where: { $0.state == .running }) { _ = try common.find() }
    if common.json {
      let entries = labs.map {
        Entry(
          name: $0.name, state: $0.state.rawValue, pid: $0.pid, startedAt: $0.startedAt, directory: $0.directory.path)
      }
      return try Output.json(entries)
    }
    guard !labs.isEmpty else { return Output.line("no lab is running; start one with: netloom up FILE") }
    let palette = Palette(color: common.appearance.color)
    var table = Table("LAB", "STATE", ">PID", ">UP FOR", "RUN DIRECTORY")
    let now = time(nil)
    for lab in labs {
      let running = lab.state == .running
      table.add(
        lab.name, lab.state.rawValue, lab.pid.map { "\($0)" },
        running ? spoken(wholeSeconds: max(0, now - lab.startedAt)) : nil, lab.directory.path)
    }
    table.paint = { row, column, text in
      guard column == 1 else { return text }
      return labs[row].state == .running ? palette.green(text) : palette.red(text)
    }
    for line in table.lines(palette: palette) { Output.line(line) }
    for lab in labs where lab.state == .crashed {
      Output.note(
        "lab \(lab.name) crashed: its logs are in \(lab.directory.logs); netloom down \(lab.name) removes them")
    }
  }
}
