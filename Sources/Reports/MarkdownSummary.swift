internal import NorthboundAPI
public import Scenario

/// A summary for a page of a CI service: a row per test, and what was expected and found under each that does not hold.
public struct MarkdownSummary: Sendable {
  let files: [FileReport]
  /// Bytes of details; what is over is named and left out. A page of GitHub takes 1 MiB of all steps of a job together.
  let limit: Int

  public init(_ files: [FileReport], limit: Int = 256 * 1024) {
    self.files = files
    self.limit = limit
  }

  public func text() -> String {
    let title = ReportStyle(color: false).summary(files)
    var lines = ["## \(files.allSatisfy { $0.exitCode == 0 } ? "✅" : "❌") netloom: \(Self.escaped(title))", ""]
    if files.contains(where: { !$0.tests.isEmpty || $0.problem != nil }) {
      lines += ["| | Lab | Test | Time | What it showed |", "| --- | --- | --- | ---: | --- |"]
      for file in files { lines += rows(file) }
      lines.append("")
    }
    for file in files where !file.impairments.isEmpty { lines += impairments(file) }
    var left = limit
    var omitted = 0
    for file in files {
      for test in file.tests where ![.passed, .notRun].contains(test.verdict) || !test.warnings.isEmpty {
        let text = details(test, file.lab)
        left -= text.utf8.count
        if left >= 0 { lines.append(text) } else { omitted += 1 }
      }
    }
    if omitted > 0 {
      lines.append("Details of \(omitted) more \(omitted == 1 ? "test" : "tests") are left out here.\n")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private func rows(_ file: FileReport) -> [String] {
    let lab = Self.escaped(file.lab.isEmpty ? file.file : file.lab)
    let problem = file.problem.map { ["| ⚠️ could not run | \(lab) | | | \(Self.escaped($0.message)) |"] } ?? []
    return problem
      + file.tests.map { test in
        let showed = test.verdict == .passed ? test.timings.joined(separator: "; ") : test.message
        return "| \(Self.mark(test.verdict)) | \(lab) | \(Self.escaped(test.name)) | \(duration(test.seconds)) "
          + "| \(Self.escaped(showed)) |"
      }
  }

  private func impairments(_ file: FileReport) -> [String] {
    [
      "**\(Self.escaped(file.lab)): impairments: asked, achieved**", "", "| From | To | Asked | Achieved |",
      "| --- | --- | --- | --- |",
    ]
      + file.impairments.map { direction in
        let cells = [direction.from, direction.to, direction.detail.asked, direction.detail.achieved.text]
        return "| " + cells.map(Self.escaped).joined(separator: " | ") + " |"
      } + [""]
  }

  private func details(_ test: TestReport, _ lab: String) -> String {
    let lines = test.explanation + test.warnings.map { "warning: \($0)" }
    var text = "<details><summary>\(Self.mark(test.verdict)) \(escapedXML("\(lab): \(test.name)"))</summary>\n\n"
    text += "<pre>\(escapedXML(lines.joined(separator: "\n")))</pre>\n"
    if let evidence = test.evidence { text += "\nevidence: <code>\(escapedXML(evidence))</code>\n" }
    return text + "\n</details>\n"
  }

  private static func mark(_ verdict: TestReport.Verdict) -> String {
    switch verdict {
    case .passed: "✅ holds"
    case .failed: "❌ failed"
    case .undecided: "❔ undecided"
    case .error: "⚠️ could not run"
    case .notRun: "⏭️ not run"
    }
  }

  /// One line of text that no renderer takes for markup; names and outputs are not ours.
  static func escaped(_ text: String) -> String {
    text.unicodeScalars.map { scalar in
      switch scalar {
      case "&": "&amp;"
      case "<": "&lt;"
      case ">": "&gt;"
      case "\\", "`", "*", "_", "[", "]", "|", "~", "#", "!", "@": "\\" + String(scalar)
      case "\u{0}"..<"\u{20}", "\u{7F}"..<"\u{A0}", "\u{2028}", "\u{2029}": " "
      default: String(scalar)
      }
    }.joined()
  }
}

extension TestReport {
  /// What checks found and do not count as a failure.
  var warnings: [String] {
    steps.flatMap { step in
      step.findings.checks.flatMap { check in
        check.violations.filter { $0.severity == .warning }.map { "\(check.check): \($0.node): \($0.detail)" }
      }
    }
  }
}
