import NetTypes

extension LabResolver {
  /// Paths of several nodes that send a packet round in a circle. A packet that a path has brought to a node is taken
  /// on by that node's first path that is for all such packets; one that is for some of them only is not followed.
  func checkPathLoops() {
    guard nodes.contains(where: { !$0.functions.paths.isEmpty }) else { return }
    var reported: Set<Set<Place>> = []
    for start in nodes.indices {
      for rule in nodes[start].functions.paths {
        guard let loop = loop(from: start, rule), let last = loop.map(\.origin.place).max() else { continue }
        guard reported.insert(Set(loop.map(\.origin.place))).inserted else { continue }
        let first = loop.filter { $0.origin.place != last }.map { "`\($0.origin.text)` (line \($0.origin.place.line))" }
        reporter.error(
          last,
          "this path sends packets round in a loop with \(first.joined(separator: " and ")); "
            + "expected paths that lead away from each other")
      }
    }
  }

  /// The rules of a circle through `start`, beginning with `rule`; nil: its packets never come back.
  private func loop(from start: Int, _ rule: PathRule) -> [PathRule]? {
    var seen: Set<Int> = [start]
    /// Nodes to look at, each with the rules that led there.
    var queue: [(node: Int, rules: [PathRule])] = []
    func follow(_ rules: [PathRule]) -> [PathRule]? {
      for hop in rules.last?.via ?? [] {
        guard let node = indexes[hop.node] else { continue }
        if node == start { return rules }
        if seen.insert(node).inserted { queue.append((node, rules)) }
      }
      return nil
    }
    if let loop = follow([rule]) { return loop }
    var position = 0
    while position < queue.count {
      let (node, rules) = queue[position]
      position += 1
      guard let next = nodes[node].functions.paths.first(where: { $0.match.covers(rule.match) }) else { continue }
      if let loop = follow(rules + [next]) { return loop }
    }
    return nil
  }
}
