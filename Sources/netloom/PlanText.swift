import NorthboundAPI

/// What a change does, node by node, for people.
struct PlanText {
  private let plan: ChangePlan
  private let palette: Palette

  init(_ plan: ChangePlan, palette: Palette) {
    self.plan = plan
    self.palette = palette
  }

  /// Nothing for a plan without changes.
  var lines: [String] {
    plan.nodes.flatMap { node in [palette.bold(node.node)] + rows(node.changes) }
      + (plan.mesh.isEmpty ? [] : [palette.bold("mesh")] + rows(plan.mesh))
  }

  /// `2 nodes: 3 to add, 1 to remove, 1 to change`; of what was `done`: `3 added, …`
  func summary(done: Bool = false) -> String {
    let changes = plan.nodes.flatMap(\.changes) + plan.mesh
    let counts: [(ObjectChange.Action, String)] =
      done
      ? [(.add, "added"), (.remove, "removed"), (.change, "changed")]
      : [(.add, "to add"), (.remove, "to remove"), (.change, "to change")]
    let parts = counts.compactMap { action, words in
      let count = changes.count { $0.action == action }
      return count == 0 ? nil : "\(count) \(words)"
    }
    var places = plan.nodes.isEmpty ? [] : ["\(plan.nodes.count) \(plan.nodes.count == 1 ? "node" : "nodes")"]
    if !plan.mesh.isEmpty { places.append("the mesh") }
    return "\(places.isEmpty ? "0 nodes" : places.joined(separator: " and ")): \(parts.joined(separator: ", "))"
  }

  private func rows(_ changes: [ObjectChange]) -> [String] {
    let width = changes.map(\.section.count).max() ?? 0
    return changes.map { change in
      let section = change.section + String(repeating: " ", count: width - change.section.count)
      let was = change.was.map { palette.dim("  (was: \($0))") } ?? ""
      let place = change.place.map { palette.dim("  \($0)") } ?? ""
      return "  \(painted(change.action, "\(section)  \(change.what)"))\(was)\(place)"
    }
  }

  private func painted(_ action: ObjectChange.Action, _ text: String) -> String {
    switch action {
    case .add: palette.green("+ " + text)
    case .remove: palette.red("- " + text)
    case .change: palette.yellow("~ " + text)
    }
  }
}
