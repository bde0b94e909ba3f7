internal import NorthboundAPI
internal import Scenario
internal import Topology

/// One thing that a reader of a change should see beside the line it is about: what did not hold, or what a check warns of.
/// Annotations, Code Quality and SARIF say the same issues, each in its own form.
struct Issue {
  enum Level: String { case error, warning }

  /// `trace`, `no-transit`, `valley-free`: the step's or the check's word; `undecided`, `environment`, `file`.
  var rule: String
  var level: Level
  /// One line.
  var title: String
  /// Everything that is known, several lines.
  var detail: String
  /// Where it is shown.
  var place: Place
  /// Another place that has to do with it, and how.
  var related: (place: Place, text: String)?
  var lab: String
  var test: String
  /// Relative to the current directory.
  var evidence: String?

  /// What makes it the same issue in the next run, when lines have moved and times are others.
  var identity: String { [rule, place.file, lab, test, title].joined(separator: "\u{1F}") }
}

extension FileReport {
  /// In the order in which they happened.
  var issues: [Issue] {
    (problem.map { [issue(of: $0)] } ?? [])
      + tests.flatMap { test in
        test.steps.flatMap { violations(in: $0, of: test) } + (verdictIssue(test).map { [$0] } ?? [])
      }
  }

  /// A message about a file begins with its place, which is taken from it.
  private func issue(of problem: (exit: Int32, message: String)) -> Issue {
    let parts = problem.message.split(separator: ":", maxSplits: 3, omittingEmptySubsequences: false)
    var place = Place(file: file, line: 1, column: 1)
    var title = problem.message
    if parts.count == 4, let line = Int(parts[1]), let column = Int(parts[2]) {
      place = Place(file: String(parts[0]), line: line, column: column)
      title = parts[3].drop { $0 == " " }.description
    }
    return Issue(
      rule: problem.exit == 2 ? "file" : "environment", level: .error, title: title, detail: problem.message,
      place: place, related: nil, lab: lab, test: "")
  }

  /// What decided against the test, unless the violations of its check say it already.
  private func verdictIssue(_ test: TestReport) -> Issue? {
    guard ![.passed, .notRun].contains(test.verdict) else { return nil }
    let detail = ([test.message] + test.explanation).joined(separator: "\n")
    guard let step = test.offender, test.verdict != .error else {
      return Issue(
        rule: "environment", level: .error, title: test.message, detail: detail, place: place(of: test), related: nil,
        lab: lab, test: test.name, evidence: test.evidence)
    }
    if step.findings.checks.contains(where: { $0.violations.contains { $0.severity == .failure } }) { return nil }
    let undecided = test.verdict == .undecided
    let node = step.word == "no-transit" ? noTransitNode(step) : nil
    return Issue(
      rule: undecided ? "undecided" : step.word, level: .error, title: test.message, detail: detail, place: step.place,
      related: node.map { ($0.place, "\($0.name), which must not be anybody's transit") }, lab: lab, test: test.name,
      evidence: test.evidence)
  }

  /// Violations are shown at the router that decided, which stands in the topology file.
  private func violations(in step: StepReport, of test: TestReport) -> [Issue] {
    step.findings.checks.flatMap { check in
      check.violations.map { violation in
        let node = topology?.node(violation.node)
        let subject = violation.prefix.map { "\(violation.node), \($0)" } ?? violation.node
        let lines = ["\(subject): \(violation.detail)", "because: \(violation.because)"] + violation.ways
        return Issue(
          rule: check.check, level: violation.severity == .failure ? .error : .warning,
          title: "\(check.check): \(subject): \(violation.detail)", detail: lines.joined(separator: "\n"),
          place: node?.place ?? step.place,
          related: node == nil ? nil : (step.place, "the step that checks it"), lab: lab, test: test.name,
          evidence: violation.severity == .failure ? test.evidence : nil)
      }
    }
  }

  private func noTransitNode(_ step: StepReport) -> ResolvedNode? {
    step.summary.split(separator: " ").dropFirst().first.flatMap { topology?.node(String($0)) }
  }

  private func place(of test: TestReport) -> Place {
    topology?.tests.first { $0.name == test.name }?.place ?? test.steps.last?.place
      ?? Place(file: file, line: 1, column: 1)
  }
}

extension Violation {
  /// The way through the lab and the AS path, a line each.
  var ways: [String] {
    (path.map { ["way: " + $0.joined(separator: " → ")] } ?? [])
      + (asPath.map { ["AS path: " + $0.map(String.init).joined(separator: " ")] } ?? [])
  }
}

/// Paths as a forge knows them: relative to the root of the repository.
public struct RepositoryPaths: Sendable {
  let root: String
  let directory: String

  /// - Parameters:
  ///   - root: absolute; the root of the checkout.
  ///   - directory: absolute; what relative paths start from.
  public init(root: String, directory: String) {
    self.root = root
    self.directory = directory
  }

  /// A path outside the repository stays absolute.
  func relative(_ path: String) -> String {
    let parts = Self.parts(path.hasPrefix("/") ? path : directory + "/" + path)
    let above = Self.parts(root)
    if parts.starts(with: above), parts.count > above.count {
      return parts.dropFirst(above.count).joined(separator: "/")
    }
    return "/" + parts.joined(separator: "/")
  }

  /// From the folder of one file to another.
  static func link(from file: String, to target: String, in directory: String) -> String {
    let base = parts(file.hasPrefix("/") ? file : directory + "/" + file).dropLast()
    let goal = parts(target.hasPrefix("/") ? target : directory + "/" + target)
    let shared = zip(base, goal).prefix { $0 == $1 }.count
    let way = [String](repeating: "..", count: base.count - shared) + goal.dropFirst(shared)
    return (way.first == ".." ? "" : "./") + way.joined(separator: "/") + (target.hasSuffix("/") ? "/" : "")
  }

  /// Without `.` and `..`.
  private static func parts(_ path: String) -> [String] {
    path.split(separator: "/").map(String.init).reduce(into: []) { parts, part in
      switch part {
      case ".": break
      case "..": _ = parts.popLast()
      default: parts.append(part)
      }
    }
  }
}

/// RFC 3986 section 2: what is not unreserved, and not a slash, is written as octets.
func percentEncoded(_ path: String) -> String {
  let plain = Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/".utf8)
  return path.utf8.map { byte in
    plain.contains(byte)
      ? String(UnicodeScalar(byte)) : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
  }.joined()
}

/// The same text always gives the same; two hashes (FNV-1a, 64 bits) from different starts, since a report holds few
/// texts and nobody gains by making two of them alike.
func fingerprint(_ text: String) -> String {
  [0xcbf2_9ce4_8422_2325, 0x9ae1_6a3b_2f90_404f].map { (start: UInt64) in
    let hash = text.utf8.reduce(start) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }.joined()
}

/// Of several issues, each with one of its own also where two are alike.
func fingerprints(_ issues: [Issue]) -> [String] {
  var seen: [String: Int] = [:]
  return issues.map { issue in
    let number = seen[issue.identity, default: 0]
    seen[issue.identity] = number + 1
    return fingerprint(number == 0 ? issue.identity : "\(issue.identity)\u{1F}\(number)")
  }
}
