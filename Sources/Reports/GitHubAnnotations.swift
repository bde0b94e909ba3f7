public import Scenario
internal import Topology

/// Workflow commands that show each issue beside its line in a pull request.
public struct GitHubAnnotations: Sendable {
  let files: [FileReport]
  let paths: RepositoryPaths

  public init(_ files: [FileReport], paths: RepositoryPaths) {
    self.files = files
    self.paths = paths
  }

  public func lines() -> [String] {
    files.flatMap(\.issues).map { issue in
      let title = issue.test.isEmpty ? issue.lab : "\(issue.lab): \(issue.test)"
      let properties = [
        ("file", paths.relative(issue.place.file)), ("line", "\(issue.place.line)"), ("col", "\(issue.place.column)"),
        ("title", title.isEmpty ? "netloom" : title),
      ]
      let evidence = issue.evidence.map { "\nevidence: \($0)" } ?? ""
      return "::\(issue.level.rawValue) "
        + properties.map { "\($0.0)=\(Self.property($0.1))" }.joined(separator: ",")
        + "::\(Self.data(issue.detail + evidence))"
    }
  }

  /// Around output that the runner must not take for commands: a step's output may hold any line.
  /// - Parameter token: nobody else can know it.
  public static func suspension(token: String) -> (begin: String, end: String) {
    ("::stop-commands::\(token)", "::\(token)::")
  }

  private static func data(_ text: String) -> String {
    escaped(text, ["%": "%25", "\r": "%0D", "\n": "%0A"])
  }

  private static func property(_ text: String) -> String {
    escaped(text, ["%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"])
  }

  /// By scalars: a carriage return with a line feed is one character.
  private static func escaped(_ text: String, _ table: [Unicode.Scalar: String]) -> String {
    text.unicodeScalars.map { table[$0] ?? String($0) }.joined()
  }
}
