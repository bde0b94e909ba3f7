import ArgumentParser
import Lab
import Topology

struct ValidateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "validate",
    abstract: "Check topology files; nothing is started.",
    discussion: """
      EXAMPLES:
        netloom validate topologies/*.yaml
        netloom validate lab.yaml -o json

      Every error at once, FILE:LINE:COL: error: what, and what was expected. Exit code 2 when there is one.
      """)

  @Argument(help: "Topology files.", completion: .file(extensions: ["yaml", "yml"]))
  var files: [String]

  @OptionGroup var common: CommonOptions

  private struct Result: Encodable {
    struct Message: Encodable {
      let file: String
      let line: Int
      let column: Int
      let severity: String
      let message: String
    }

    let file: String
    let valid: Bool
    let diagnostics: [Message]
  }

  func run() throws {
    var results: [Result] = []
    for file in files {
      let parsed = TopologyFile.load(path: file)
      results.append(
        Result(
          file: file, valid: parsed.value != nil,
          diagnostics: parsed.diagnostics.map {
            .init(
              file: $0.place.file, line: $0.place.line, column: $0.place.column, severity: $0.severity.rawValue,
              message: $0.message)
          }))
      if common.json { continue }
      for diagnostic in parsed.diagnostics { Output.note("\(diagnostic)") }
      if let lab = parsed.value {
        Output.line(
          "\(file): valid: lab \(lab.name), \(lab.nodes.count) nodes, \(lab.links.count) links, "
            + "\(lab.sessions.count) sessions, \(lab.tests.count) tests")
      }
    }
    if common.json { try Output.json(results) }
    if results.contains(where: { !$0.valid }) { throw Exit(code: 2) }
  }
}

struct GraphCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "graph",
    abstract: "Draw a topology.",
    discussion: """
      EXAMPLES:
        netloom graph lab.yaml > lab.svg
        netloom graph lab.yaml -o dot | dot -Tpng > lab.png
        netloom graph --lab dual-isp > lab.svg         as the running lab was made
      """)

  @Argument(help: "The topology file.", completion: .file(extensions: ["yaml", "yml"]))
  var file: String?

  @Option(name: .shortAndLong, help: "svg or dot.")
  var output: Format = .svg

  @Option(help: ArgumentHelp("A running lab instead of a file.", valueName: "lab"))
  var lab: String?

  @OptionGroup var appearance: AppearanceOptions

  enum Format: String, ExpressibleByArgument, CaseIterable { case svg, dot }

  func validate() throws {
    if (file == nil) == (lab == nil) { throw ValidationError("Give a topology file or --lab LAB") }
  }

  func run() throws {
    let topology = try file.map { try Files.topology($0) } ?? Files.topology(of: Labs.find(lab))
    let drawing = TopologyDrawing(lab: topology)
    let text = output == .svg ? drawing.svg() : drawing.dot()
    Output.text(text.hasSuffix("\n") ? text : text + "\n")
  }
}

struct SchemaCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "schema",
    abstract: "The JSON Schema of topology files, for editors.",
    discussion: """
      EXAMPLES:
        netloom schema > netloom.schema.json
        netloom schema speaker               of the file of netloom speaker
        netloom schema pipeline              of the file of netloom pipeline
      """)

  @Argument(help: "lab, speaker or pipeline.")
  var what: Kind = .lab

  @OptionGroup var common: CommonOptions

  enum Kind: String, ExpressibleByArgument, CaseIterable { case lab, speaker, pipeline }

  func run() throws {
    let text =
      switch what {
      case .lab: TopologySchema.lab()
      case .speaker: TopologySchema.speaker()
      case .pipeline: TopologySchema.pipeline()
      }
    Output.text(text.hasSuffix("\n") ? text : text + "\n")
  }
}
