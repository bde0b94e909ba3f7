internal import NorthboundAPI
internal import Topology

extension CheckStep {
  /// How many violations of one word a report can bear; the evidence has all.
  private static let shown = 20

  func judge(_ report: CheckReport) -> Outcome {
    var mismatches: [Mismatch] = []
    var undecided: [String] = []
    for word in words {
      guard let result = report.checks.first(where: { $0.check == word }) else {
        undecided.append("\(word): there is no verdict")
        continue
      }
      mismatches += Self.mismatches(result)
      if let reason = result.undecided { undecided.append("\(word): \(reason)") }
    }
    if !mismatches.isEmpty { return .failed(mismatches) }
    return undecided.isEmpty ? .held : .undecided(undecided.joined(separator: "; "))
  }

  private static func mismatches(_ result: CheckResult) -> [Mismatch] {
    let failures = result.violations.filter { $0.severity == .failure }
    if failures.isEmpty {
      return result.holds || result.undecided != nil
        ? [] : [Mismatch(result.check, expected: "to hold", found: "it does not, and no violation was named")]
    }
    var mismatches = failures.prefix(shown).map { violation in
      let prefix = violation.prefix.map { ", \($0)" } ?? ""
      return Mismatch("\(result.check) at \(violation.node)\(prefix)", expected: "none", found: violation.found)
    }
    if failures.count > shown {
      mismatches.append(
        Mismatch(result.check, expected: "none", found: "\(failures.count - shown) more violations, see the evidence"))
    }
    return mismatches
  }
}

extension Violation {
  /// `a route of a peer was exported to a peer: isp1 → isp2 (AS path 64496 64500)`
  fileprivate var found: String {
    let way = path.map { ": \(arrows($0))" } ?? ""
    let asPath = asPath.map { " (AS path \($0.map(String.init).joined(separator: " ")))" } ?? ""
    return detail + way + asPath
  }
}

extension CheckReport {
  /// `no-loops: 120 examined; valley-free: 24 examined, 1 warning: …`
  var measured: String {
    checks.map { result in
      let warnings = result.violations.filter { $0.severity == .warning }
      var text = "\(result.check): \(result.examined) examined"
      if let first = warnings.first {
        text += ", \(warnings.count) \(warnings.count == 1 ? "warning" : "warnings"): \(first.node): \(first.detail)"
      }
      return text
    }.joined(separator: "; ")
  }
}
