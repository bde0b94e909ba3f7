public import Scenario
internal import Topology

/// The issues as a log of SARIF 2.1.0 (OASIS): one run, a rule per kind of step or check, a result per issue.
public struct SARIFDocument: Sendable {
  let files: [FileReport]
  let paths: RepositoryPaths

  public init(_ files: [FileReport], paths: RepositoryPaths) {
    self.files = files
    self.paths = paths
  }

  public func json() throws -> String {
    let issues = files.flatMap(\.issues)
    let ids = issues.map(\.rule).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }.sorted()
    let rules = ids.map { id in
      Rule(
        id: "netloom/\(id)", name: id, shortDescription: .init(text: RuleBook.title(id)),
        fullDescription: .init(text: RuleBook.text(id)))
    }
    let results = zip(issues, fingerprints(issues)).map { issue, fingerprint in
      result(issue, fingerprint, index: ids.firstIndex(of: issue.rule) ?? 0)
    }
    let run = Run(
      tool: .init(driver: .init(name: "netloom", rules: rules)),
      // Section 3.20.14: whether the tool itself worked; a test that fails is a result.
      invocations: [.init(executionSuccessful: files.allSatisfy { $0.exitCode < 2 })],
      originalUriBaseIds: ["SRCROOT": .init(description: .init(text: "The root of the repository"))],
      results: results, columnKind: "unicodeCodePoints")
    return try JSONText.of(
      Log(schema: "https://json.schemastore.org/sarif-2.1.0.json", version: "2.1.0", runs: [run]))
  }

  private func result(_ issue: Issue, _ fingerprint: String, index: Int) -> Result {
    var text = issue.detail
    if let evidence = issue.evidence { text += "\nevidence: \(evidence)" }
    return Result(
      ruleId: "netloom/\(issue.rule)", ruleIndex: index, level: issue.level.rawValue,
      message: .init(text: issue.test.isEmpty ? text : "\(issue.test): \(text)"),
      locations: [Location(id: nil, physicalLocation: physical(issue.place), message: nil)],
      relatedLocations: issue.related.map {
        [Location(id: 1, physicalLocation: physical($0.place), message: .init(text: $0.text))]
      },
      partialFingerprints: ["netloomIssue/v1": fingerprint], properties: .init(lab: issue.lab, test: issue.test))
  }

  private func physical(_ place: Place) -> PhysicalLocation {
    let path = paths.relative(place.file)
    let artifact =
      path.hasPrefix("/")
      ? Artifact(uri: "file://" + percentEncoded(path), uriBaseId: nil)
      : Artifact(uri: percentEncoded(path), uriBaseId: "SRCROOT")
    return PhysicalLocation(
      artifactLocation: artifact, region: .init(startLine: max(1, place.line), startColumn: max(1, place.column)))
  }
}

/// What the rules mean, for people who see one of them for the first time.
enum RuleBook {
  static func title(_ id: String) -> String { entries[id]?.title ?? "A \(id) step did not hold" }
  static func text(_ id: String) -> String {
    entries[id]?.text ?? "What the step expects of the running lab was not found in it."
  }

  private static let entries: [String: (title: String, text: String)] = [
    "trace": (
      "A flow took another way",
      "Packets of a real flow, captured on every interface, were not reachable or took another path than expected."
    ),
    "no-transit": (
      "An AS carries traffic between two others",
      "A route or a packet crosses the AS between two other ASes: a route was leaked (RFC 7908)."
    ),
    "valley-free": (
      "A route went on against the relations",
      "An AS path in use goes down to a customer, or across to a peer, and up again: a route leak (RFC 7908)."
    ),
    "no-loops": ("Forwarding loops", "Forwarding by the kernels' tables comes back to a node it has left."),
    "reachability": ("A prefix is not reachable", "A node cannot reach a prefix that is originated in the lab."),
    "no-blackhole": (
      "Traffic is sent into nothing", "A router has a route whose traffic ends without being delivered."
    ),
    "fib-equals-rib": ("Kernel and speaker disagree", "The kernel's BGP routes are not the speaker's best routes."),
    "symmetric": ("The way back is another", "The return path does not use the links of the forward path."),
    "undecided": (
      "There is no verdict", "What the step wants to know could not be observed whole; it is never counted as a pass."
    ),
    "environment": ("The test could not be carried out", "The machine or the lab kept the test from running."),
    "file": ("The file is wrong", "The topology file or its tests could not be read."),
  ]
}

// The objects of the specification, section 3, as far as they are used here.

private struct Log: Encodable {
  let schema: String
  let version: String
  let runs: [Run]
  enum CodingKeys: String, CodingKey { case schema = "$schema", version, runs }
}

private struct Run: Encodable {
  let tool: Tool
  let invocations: [Invocation]
  let originalUriBaseIds: [String: Base]
  let results: [Result]
  let columnKind: String
}

private struct Base: Encodable { let description: Message }
private struct Tool: Encodable { let driver: Driver }
private struct Invocation: Encodable { let executionSuccessful: Bool }
private struct Message: Encodable { let text: String }

private struct Driver: Encodable {
  let name: String
  let rules: [Rule]
}

private struct Rule: Encodable {
  let id: String
  let name: String
  let shortDescription: Message
  let fullDescription: Message
}

private struct Result: Encodable {
  let ruleId: String
  let ruleIndex: Int
  let level: String
  let message: Message
  let locations: [Location]
  let relatedLocations: [Location]?
  let partialFingerprints: [String: String]
  let properties: Properties
}

private struct Properties: Encodable {
  let lab: String
  let test: String
}

private struct Location: Encodable {
  let id: Int?
  let physicalLocation: PhysicalLocation
  let message: Message?
}

private struct PhysicalLocation: Encodable {
  let artifactLocation: Artifact
  let region: Region
}

private struct Artifact: Encodable {
  let uri: String
  let uriBaseId: String?
}

private struct Region: Encodable {
  let startLine: Int
  let startColumn: Int
}
