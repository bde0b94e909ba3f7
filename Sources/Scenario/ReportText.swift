// The report for people: a line per test, and under a test that does not hold what was expected and what was found.

extension TestReport {
  /// One line: what did not hold first.
  public var message: String {
    if let notRun { return "not run: \(notRun)" }
    guard let offender else { return error ?? "" }
    switch offender.outcome {
    case .held: return ""
    case .undecided(let reason): return "\(offender.summary): undecided: \(reason)"
    case .failed(let mismatches):
      let first = mismatches.first.map { "\($0.subject): expected \($0.expected), found \($0.found)" } ?? "did not hold"
      let more = mismatches.count > 1 ? " (and \(mismatches.count - 1) more)" : ""
      return "\(offender.summary): \(first)\(more)"
    }
  }

  /// The step that did not hold, with its place, every mismatch, and why there is no evidence.
  public var explanation: [String] {
    guard let offender else { return error.map { [$0] } ?? [] }
    var lines = ["\(offender.summary)   (\(offender.place))"]
    switch offender.outcome {
    case .held: break
    case .undecided(let reason): lines.append("  undecided: \(reason)")
    case .failed(let mismatches):
      for mismatch in mismatches {
        lines.append("  \(mismatch.subject)")
        lines.append("    expected: \(mismatch.expected)")
        lines.append("    found:    \(mismatch.found)")
      }
    }
    if let within = offender.withinMilliseconds {
      lines.append("  not within \(duration(Double(within) / 1000))")
    }
    if let evidenceProblem { lines.append("  evidence could not be kept: \(evidenceProblem)") }
    return lines
  }

  /// How long each step with `within:` took to hold, and what others measured.
  public var timings: [String] {
    steps.compactMap { step in
      if let measured = step.measured { return "\(step.summary): \(measured)" }
      guard let after = step.heldAfter, let within = step.withinMilliseconds else { return nil }
      return "\(step.summary): held after \(duration(after)) (within \(duration(Double(within) / 1000)))"
    }
  }
}

/// `0.31 s`, `12 ms`
package func duration(_ seconds: Double) -> String {
  seconds < 0.1 ? "\(decimal(seconds * 1000, places: 0)) ms" : "\(decimal(seconds, places: 2)) s"
}

/// Fixed-point notation, independent of any locale.
package func decimal(_ value: Double, places: Int) -> String {
  guard value.isFinite else { return "0" }
  var scale = 1.0
  for _ in 0..<places { scale *= 10 }
  guard let scaled = Int64(exactly: (value * scale).rounded()) else { return "\(value)" }
  let digits = String(scaled.magnitude)
  let padded = String(repeating: "0", count: max(0, places + 1 - digits.count)) + digits
  let text = places == 0 ? padded : "\(padded.dropLast(places)).\(padded.suffix(places))"
  return scaled < 0 ? "-" + text : text
}

/// How the report looks where it is read.
public struct ReportStyle: Sendable {
  /// ANSI colours.
  public var color: Bool

  public init(color: Bool) {
    self.color = color
  }

  func green(_ text: String) -> String { color ? "\u{1B}[32m\(text)\u{1B}[0m" : text }
  func red(_ text: String) -> String { color ? "\u{1B}[31m\(text)\u{1B}[0m" : text }
  func yellow(_ text: String) -> String { color ? "\u{1B}[33m\(text)\u{1B}[0m" : text }
  func dim(_ text: String) -> String { color ? "\u{1B}[2m\(text)\u{1B}[0m" : text }

  /// The lines of one test. `evidence: FOLDER/` stands on a line of its own from the first column.
  public func lines(_ test: TestReport) -> [String] {
    let time = dim("(\(duration(test.seconds)))")
    switch test.verdict {
    case .notRun: return ["\(yellow("-")) \(test.name) \(dim("(\(test.message))"))"]
    case .passed:
      return ["\(green("✔")) \(test.name) \(time)"] + test.timings.map { dim("    \($0)") }
    case .failed, .undecided, .error:
      let mark = test.verdict == .failed ? red("✘") : yellow("✘")
      let word = test.verdict == .failed ? "" : " \(yellow(test.verdict == .error ? "could not run" : "undecided"))"
      return ["\(mark) \(test.name)\(word) \(time)"] + test.timings.map { dim("    \($0)") }
        + test.explanation.map { "    " + $0 } + (test.evidence.map { ["evidence: \($0)"] } ?? [])
    }
  }

  /// The last line.
  public func summary(_ files: [FileReport]) -> String {
    let tests = files.flatMap(\.tests)
    let held = tests.count { $0.verdict == .passed }
    var parts = ["\(held) of \(tests.count) \(tests.count == 1 ? "test holds" : "tests hold")"]
    for (verdict, word) in [
      (TestReport.Verdict.failed, "failed"), (.undecided, "undecided"), (.error, "could not run"),
      (.notRun, "not run"),
    ] {
      let count = tests.count { $0.verdict == verdict }
      if count > 0 { parts.append("\(count) \(word)") }
    }
    let problems = files.count { $0.problem != nil }
    if problems > 0 { parts.append("\(problems) \(problems == 1 ? "file" : "files") could not be run") }
    let time = dim("(\(duration(files.map(\.seconds).reduce(0, +))))")
    let text = parts.joined(separator: ", ")
    return "\(files.allSatisfy { $0.exitCode == 0 } ? green(text) : red(text)) \(time)"
  }
}
