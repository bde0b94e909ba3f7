internal import FoundationEssentials
public import Scenario
internal import Topology

/// The issues as a Code Quality report, which GitLab shows in merge requests.
public struct GitLabCodeQuality: Sendable {
  let files: [FileReport]
  let paths: RepositoryPaths

  public init(_ files: [FileReport], paths: RepositoryPaths) {
    self.files = files
    self.paths = paths
  }

  public func json() throws -> String {
    let issues = files.flatMap(\.issues)
    return try JSONText.of(
      zip(issues, fingerprints(issues)).map { issue, fingerprint in
        Entry(
          description: issue.test.isEmpty ? issue.title : "\(issue.test): \(issue.title)",
          check_name: "netloom/\(issue.rule)", fingerprint: fingerprint,
          severity: issue.level == .warning ? "minor" : issue.rule == "undecided" ? "major" : "critical",
          location: .init(path: paths.relative(issue.place.file), lines: .init(begin: issue.place.line)))
      })
  }

  private struct Entry: Encodable {
    struct Location: Encodable {
      struct Lines: Encodable { let begin: Int }
      let path: String
      let lines: Lines
    }
    let description: String
    // GitLab's spelling.
    // swift-format-ignore: AlwaysUseLowerCamelCase
    let check_name: String
    let fingerprint: String
    let severity: String
    let location: Location
  }
}

/// JSON that is the same for the same value.
enum JSONText {
  static func of(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self) + "\n"
  }
}
