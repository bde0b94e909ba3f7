internal import NorthboundAPI
internal import Topology

extension ExecStep {
  func judge(_ result: ExecResult) -> Outcome {
    if result.timedOut {
      return .failed([Mismatch("command", expected: "an end", found: "it was still running when its time was up")])
    }
    var mismatches: [Mismatch] = []
    if let exit, exit != result.exit {
      let errors = result.errorOutput.split(separator: "\n").last.map { " (\($0))" } ?? ""
      mismatches.append(Mismatch("exit code", expected: "\(exit)", found: "\(result.exit)\(errors)"))
    }
    switch output {
    case nil: break
    case .text(let text):
      if !result.output.contains(text) {
        mismatches.append(Mismatch("output", expected: "contains \(quoted(text))", found: quoted(result.output)))
      }
    case .pattern(let pattern):
      if !matches(pattern, result.output) {
        mismatches.append(Mismatch("output", expected: "matches /\(pattern)/", found: quoted(result.output)))
      }
    }
    return mismatches.isEmpty ? .held : .failed(mismatches)
  }

  private func matches(_ pattern: String, _ text: String) -> Bool {
    guard let expression = try? Regex(pattern).anchorsMatchLineEndings() else { return false }
    return text.firstMatch(of: expression) != nil
  }

  /// On one line and not longer than a report can bear.
  private func quoted(_ text: String) -> String {
    let line = text.replacing("\n", with: "\\n")
    return line.count > 200 ? "\"\(line.prefix(200))…\"" : "\"\(line)\""
  }
}
