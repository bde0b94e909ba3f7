import ArgumentParser
import ContainerlabImport
import FoundationEssentials
import Lab
import Topology

struct ImportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Make a topology file of a containerlab one.",
    discussion: """
      EXAMPLES:
        netloom import lab.clab.yml -o lab.yaml
        netloom import lab.clab.yml | less             what it would become
        netloom import lab.clab.yml -o lab.yaml --strict && netloom up lab.yaml

      Nodes of kind linux (hosts, FRR, BIRD) and bridges are carried over. What was left out is listed on stderr, each
      with FILE:LINE:COL and why. Exit code 2 for a file that is wrong, 1 with --strict when anything was left out.
      """)

  @Argument(help: "A containerlab topology.", completion: .file(extensions: ["yml", "yaml"]))
  var file: String

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("Where to write it; - is stdout. Paths in it start there.", valueName: "file"))
  var output = "-"

  @Flag(help: "Exit code 1 when anything was left out.")
  var strict = false

  @OptionGroup var appearance: AppearanceOptions

  func run() throws {
    let writesFile = output != "-"
    let result = ContainerlabFile.load(
      path: file, environment: ProcessInfo.processInfo.environment,
      target: writesFile ? .init(path: output) : .standardOutput)
    let imported = try Files.value(of: result)
    if writesFile { try write(imported.text) } else { Output.text(imported.text) }
    for finding in imported.findings { Output.note("\(finding)") }
    for warning in imported.warnings { Output.note("\(warning)") }
    let lost = imported.findings.filter { $0.kind == .leftOut }.count
    if writesFile {
      Output.note(
        "\(output): lab \(imported.lab.name), \(imported.lab.nodes.count) nodes, \(imported.lab.links.count) links; "
          + "\(lost) left out; next: netloom up \(output)")
    }
    if strict, lost > 0 { throw Exit(code: 1) }
  }

  private func write(_ text: String) throws {
    do {
      try OutputFile.write(text, to: output, from: file)
    } catch .isTheSource {
      throw LabError(.usage, "-o \(output) is the containerlab file itself; name another")
    } catch .system(let why) {
      throw LabError(.environment, "cannot write \(output): \(why)")
    }
  }
}
