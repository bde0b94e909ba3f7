public import Scenario
internal import Topology

/// The reports as TAP version 14: a line per test, and a YAML block under each that does not hold. What could not be run
/// is `not ok`, so that the plan counts everything.
public struct TAPDocument: Sendable {
  let files: [FileReport]

  public init(_ files: [FileReport]) {
    self.files = files
  }

  public func text() -> String {
    var points: [Point] = []
    for file in files {
      if let problem = file.problem {
        points.append(
          Point(
            name: "\(file.lab.isEmpty ? file.file : file.lab): run", holds: false,
            diagnosis: [
              ("message", problem.message), ("severity", problem.exit == 2 ? "file" : "environment"),
              ("file", file.file),
            ]))
      }
      points += file.tests.map { point($0, in: file) }
    }
    let lines = points.enumerated().flatMap { index, point in point.lines(number: index + 1) }
    return (["TAP version 14", "1..\(points.count)"] + lines).joined(separator: "\n") + "\n"
  }

  private func point(_ test: TestReport, in file: FileReport) -> Point {
    if test.notRun != nil {
      return Point(name: "\(file.lab): \(test.name)", holds: true, diagnosis: [], skipped: test.message)
    }
    var diagnosis: [(String, String)] = []
    if test.verdict != .passed {
      diagnosis = [("message", test.message), ("severity", test.verdict.rawValue)]
      if let step = test.offender { diagnosis.append(("at", "\(step.place)")) }
      if case .failed(let mismatches) = test.offender?.outcome {
        for (number, mismatch) in mismatches.enumerated() {
          let suffix = mismatches.count == 1 ? "" : "-\(number + 1)"
          diagnosis.append(("subject\(suffix)", mismatch.subject))
          diagnosis.append(("expected\(suffix)", mismatch.expected))
          diagnosis.append(("found\(suffix)", mismatch.found))
        }
      }
      if let evidence = test.evidence { diagnosis.append(("evidence", evidence)) }
    }
    diagnosis += [("duration_ms", decimal(test.seconds * 1000, places: 0))]
    for (number, timing) in test.timings.enumerated() { diagnosis.append(("measured-\(number + 1)", timing)) }
    return Point(name: "\(file.lab): \(test.name)", holds: test.verdict == .passed, diagnosis: diagnosis)
  }

  private struct Point {
    var name: String
    var holds: Bool
    var diagnosis: [(key: String, value: String)]
    /// Why it was not run.
    var skipped: String?

    func lines(number: Int) -> [String] {
      if let skipped {
        return ["ok \(number) - \(TAPDocument.description(name)) # SKIP \(TAPDocument.description(skipped))"]
      }
      return ["\(holds ? "ok" : "not ok") \(number) - \(TAPDocument.description(name))", "  ---"]
        + diagnosis.map { "  \($0.key): \($0.key == "duration_ms" ? $0.value : quoted($0.value))" } + ["  ..."]
    }
  }

  /// A hash would begin a directive (`# SKIP`), so it and the backslash are escaped; a description is one line.
  private static func description(_ text: String) -> String {
    text.unicodeScalars.map { scalar in
      switch scalar {
      case "#": "\\#"
      case "\\": "\\\\"
      case "\u{0}"..<"\u{20}", "\u{7F}"..<"\u{A0}", "\u{2028}", "\u{2029}": " "
      default: String(scalar)
      }
    }.joined()
  }
}

/// A double-quoted scalar of YAML 1.2, which is also a JSON string.
func quoted(_ text: String) -> String {
  let escaped = text.unicodeScalars.map { scalar in
    switch scalar {
    case "\"": "\\\""
    case "\\": "\\\\"
    case "\n": "\\n"
    case "\t": "\\t"
    case "\r": "\\r"
    case "\u{0}"..<"\u{20}", "\u{7F}"..<"\u{A0}", "\u{2028}", "\u{2029}", "\u{FEFF}", "\u{FFFE}", "\u{FFFF}":
      "\\u" + String(repeating: "0", count: 4 - String(scalar.value, radix: 16).count) + String(scalar.value, radix: 16)
    default: String(scalar)
    }
  }
  return "\"\(escaped.joined())\""
}
