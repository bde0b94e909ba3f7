internal import NorthboundAPI
internal import Topology

extension ChangeStep {
  /// Who stands in the history.
  static let author = "netloom test"

  var request: ChangeRequest {
    ChangeRequest(
      file: file, text: text, author: Self.author, confirmWithinMs: confirmWithinMilliseconds.map(Int64.init))
  }

  func judge(_ plan: ChangePlan) -> Outcome {
    if expectsRefusal {
      return .failed([Mismatch("plan", expected: wantedRefusal, found: "it can be done: " + changed(plan))])
    }
    return outcome(judgeNodes(plan))
  }

  func judge(_ result: ChangeResult) -> Outcome {
    if expectsRefusal {
      let found =
        result.applied ? "applied as version \(result.version): \(changed(result.plan))" : "nothing would change"
      return .failed([Mismatch("apply", expected: wantedRefusal, found: found)])
    }
    if applied == true, !result.applied {
      return .failed([Mismatch("apply", expected: "applied", found: changed(result.plan))])
    }
    return outcome(judgeNodes(result.plan))
  }

  /// Nil: this is no refusal of the change, but a controller in trouble.
  func judge(_ refusal: APIError) -> Outcome? {
    guard ["invalid", "invalid-file", "refused", "conflict", "not-found"].contains(refusal.code) else { return nil }
    let words = ([refusal.message] + (refusal.diagnostics ?? [])).joined(separator: "\n")
    guard expectsRefusal else {
      return .failed([Mismatch("change", expected: "accepted", found: Self.oneLine(words))])
    }
    guard let text = self.refusal, !words.contains(text) else { return .held }
    return .failed([Mismatch("refusal", expected: "contains \"\(text)\"", found: Self.oneLine(words))])
  }

  private var expectsRefusal: Bool { applied == false || refusal != nil }

  private var wantedRefusal: String { refusal.map { "refused with \"\($0)\"" } ?? "refused" }

  private func judgeNodes(_ plan: ChangePlan) -> [Mismatch] {
    guard let nodes, Set(nodes) != Set(plan.nodes.map(\.node)) else { return [] }
    return [
      Mismatch(
        "nodes that change", expected: nodes.isEmpty ? "none" : nodes.sorted().joined(separator: ", "),
        found: changed(plan))
    ]
  }

  private func outcome(_ mismatches: [Mismatch]) -> Outcome { mismatches.isEmpty ? .held : .failed(mismatches) }

  private func changed(_ plan: ChangePlan) -> String {
    plan.nodes.isEmpty ? "nothing would change" : plan.nodes.map(\.node).sorted().joined(separator: ", ")
  }

  private static func oneLine(_ words: String) -> String { words.split(separator: "\n").joined(separator: "; ") }
}
