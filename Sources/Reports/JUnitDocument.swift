public import Scenario

/// The reports as JUnit XML: a suite per file, a test case per test, `classname` the lab. What could not be carried out
/// is an `error`, so that nothing is missing from the document.
public struct JUnitDocument: Sendable {
  let files: [FileReport]

  public init(_ files: [FileReport]) {
    self.files = files
  }

  public func xml() -> String {
    let totals = files.map(Self.counts).reduce(into: (tests: 0, failures: 0, errors: 0)) {
      $0.tests += $1.tests
      $0.failures += $1.failures
      $0.errors += $1.errors
    }
    let time = Self.time(files.map(\.seconds).reduce(0, +))
    var lines = [
      #"<?xml version="1.0" encoding="UTF-8"?>"#,
      #"<testsuites name="netloom" tests="\#(totals.tests)" failures="\#(totals.failures)" "#
        + #"errors="\#(totals.errors)" time="\#(time)">"#,
    ]
    for file in files { lines += suite(file) }
    lines.append("</testsuites>")
    return lines.joined(separator: "\n") + "\n"
  }

  private func suite(_ file: FileReport) -> [String] {
    let counts = Self.counts(file)
    let name = escapedXML(file.lab.isEmpty ? file.file : file.lab)
    var lines = [
      #"  <testsuite name="\#(name)" file="\#(escapedXML(file.file))" tests="\#(counts.tests)" "#
        + #"failures="\#(counts.failures)" errors="\#(counts.errors)" skipped="\#(counts.skipped)" "#
        + #"time="\#(Self.time(file.seconds))">"#
    ]
    if let problem = file.problem {
      lines.append(#"    <testcase name="run" classname="\#(name)" time="0.000">"#)
      lines.append(
        #"      <error type="\#(problem.exit == 2 ? "file" : "environment")" "#
          + #"message="\#(escapedXML(problem.message))"/>"#)
      lines.append("    </testcase>")
    }
    for test in file.tests { lines += testCase(test, name) }
    lines.append("  </testsuite>")
    return lines
  }

  private func testCase(_ test: TestReport, _ lab: String) -> [String] {
    let opening =
      #"    <testcase name="\#(escapedXML(test.name))" classname="\#(lab)" time="\#(Self.time(test.seconds))""#
    let notes = escapedXML(test.timings.joined(separator: "\n"))
    let output = notes.isEmpty ? [] : ["      <system-out>\(notes)</system-out>"]
    switch test.verdict {
    case .notRun:
      return [opening + ">", #"      <skipped message="\#(escapedXML(test.message))"/>"#, "    </testcase>"]
    case .passed where output.isEmpty:
      return [opening + "/>"]
    case .passed:
      return [opening + ">"] + output + ["    </testcase>"]
    case .error:
      let error = #"      <error type="environment" message="\#(escapedXML(test.error ?? ""))"/>"#
      return [opening + ">", error] + output + ["    </testcase>"]
    case .failed, .undecided:
      var text = test.explanation
      if let evidence = test.evidence { text.append("evidence: \(evidence)") }
      let message = escapedXML(test.message)
      return [
        opening + ">",
        #"      <failure type="\#(test.verdict.rawValue)" message="\#(message)">"#
          + escapedXML(text.joined(separator: "\n")) + "\n</failure>",
      ] + output + ["    </testcase>"]
    }
  }

  private static func counts(_ file: FileReport) -> (tests: Int, failures: Int, errors: Int, skipped: Int) {
    (
      file.tests.count + (file.problem == nil ? 0 : 1),
      file.tests.count { $0.verdict == .failed || $0.verdict == .undecided },
      file.tests.count { $0.verdict == .error } + (file.problem == nil ? 0 : 1),
      file.tests.count { $0.verdict == .notRun }
    )
  }

  private static func time(_ seconds: Double) -> String { decimal(seconds, places: 3) }
}

/// Text for an attribute or an element. Characters that XML 1.0 section 2.2 does not allow at all become U+FFFD.
func escapedXML(_ text: String) -> String {
  var result = ""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "&": result += "&amp;"
    case "<": result += "&lt;"
    case ">": result += "&gt;"
    case "\"": result += "&quot;"
    case "'": result += "&apos;"
    case "\n": result += "\n"
    case "\t": result += "\t"
    case "\u{0}"..<"\u{20}", "\u{FFFE}", "\u{FFFF}": result += "\u{FFFD}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result
}
