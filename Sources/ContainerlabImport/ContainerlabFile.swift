// A containerlab topology → a netloom topology file, and a list of what stayed behind.
//
//   text ─ ExpandedText ─ ValueReader ─► Value ─ NodeReader (Inheritance, NodeKeys) ─► ImportedNode
//                                           │                                           │
//                                           └──── LinkReader ─► ImportedLink            ├─ CommandReader: exec → addresses, routes
//                                                                    │                  ├─ DaemonConfiguration: frr.conf, bird.conf
//                                                                    └── AddressPlan ◄──┘
//                                                                            │
//                                                                     TopologyWriter ─► text ─ TopologyFile (check)
//
// What containerlab says with an image, netloom says with a kind: a node is what its image's name or its binds show it
// to be. What a container would have set for itself (addresses, routes) is moved to where netloom can see it, because
// traces, names and tests depend on it. Nothing is run here and no file is written; files that binds name are read.
// Go templates are deliberately absent: containerlab renders the file with them, and this reads the rendered one.

public import Topology

public enum ContainerlabFile {
  /// Where the topology will stand: relative paths in it start there.
  public struct Target: Sendable {
    /// For diagnostics about it.
    public var name: String
    public var directory: String

    public init(name: String, directory: String) {
      self.name = name
      self.directory = directory
    }

    /// The file at a path.
    public init(path: String) {
      self.init(name: path, directory: Paths.absolute(Paths.directory(of: path)))
    }

    /// Nowhere yet: read as if it stood in the current directory.
    public static var standardOutput: Target { Target(name: "stdout", directory: Paths.absolute(".")) }
  }

  /// Reads a containerlab file. `environment` is what `${VARIABLES}` in it stand for. Never throws; `value` is nil when
  /// the file is wrong, and then nothing but the errors is said.
  public static func load(path: String, environment: [String: String], target: Target) -> Parsed<ImportedTopology> {
    switch TextFile.read(path) {
    case .failure(let problem):
      let place = Place(file: path, line: problem.line, column: problem.column)
      return Parsed(value: nil, diagnostics: [Diagnostic(place: place, severity: .error, message: problem.message)])
    case .success(let text):
      return parse(
        text: text, file: path, baseDirectory: Paths.absolute(Paths.directory(of: path)), environment: environment,
        target: target)
    }
  }

  /// The same for text in hand: `file` is what it is called, `baseDirectory` (absolute) where its relative paths start.
  public static func parse(
    text: String, file: String, baseDirectory: String, environment: [String: String], target: Target
  ) -> Parsed<ImportedTopology> {
    let log = ImportLog()
    let expanded = ExpandedText(text, environment: environment)
    guard let root = ValueReader.read(expanded, file: file, log) else { return log.failure() }
    let importer = Importer(
      file: file, baseDirectory: baseDirectory, target: target, variables: expanded.variables, log: log)
    guard let result = importer.run(root), !log.failed else { return log.failure() }
    return result
  }
}

/// What an import gave.
public struct ImportedTopology: Sendable {
  /// The netloom file.
  public var text: String
  /// Left out or changed, by place.
  public var findings: [Finding]
  /// As `TopologyFile` reads the text, and what it warns of.
  public var lab: ResolvedLab
  public var warnings: [Diagnostic]
}
