import NetTypes

/// `path:` of one node: the nodes of `via` are looked up and the links between them found.
struct PathReader {
  let lab: LabResolver
  let node: Int
  private var matches: PacketMatchReader { PacketMatchReader(lab: lab, node: node) }
  private var reporter: Reporter { lab.reporter }

  func read(_ tree: Tree?) -> [PathRule] {
    guard let tree else { return [] }
    let rules = (tree.isMapping ? [tree] : tree.list).compactMap(rule)
    ShadowCheck.run(rules.map { ShadowCheck.Rule($0.origin, $0.match) }, "path", reporter)
    return rules
  }

  private func rule(_ item: Tree) -> PathRule? {
    guard let tree = item["match"], tree.isMapping else { return nil }
    let match = matches.read(tree)
    guard let via = hops(item.items("via")), !via.isEmpty else { return nil }
    var line = RuleText("path")
    line.add(tree, RuleText.matchKeys)
    line.add(item, ["via"])
    return PathRule(origin: line.origin(item.place), match: match, via: via)
  }

  /// nil after reporting the first hop that cannot be reached: what follows from it is not said again.
  private func hops(_ items: [Tree]) -> [PathRule.Hop]? {
    var hops: [PathRule.Hop] = []
    var current = node
    var passed: Set<Int> = [node]
    for (position, item) in items.enumerated() {
      guard let text = item.text, ScalarForm.endpoint.check(text) == nil else { return nil }
      let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
      guard let next = lab.lookUp(parts[0], at: item.place) else { return nil }
      guard check(next, after: current, passed, isLast: position == items.count - 1, at: item.place) else { return nil }
      let all = links(from: current, to: next)
      let chosen = parts.count == 2 ? all.filter { $0.farInterface == parts[1] } : all
      guard !chosen.isEmpty else {
        reportNoLink(text, current, all, at: item.place)
        return nil
      }
      hops.append(PathRule.Hop(node: parts[0], links: chosen))
      passed.insert(next)
      current = next
    }
    return hops
  }

  /// It can stand there at all.
  private func check(_ next: Int, after current: Int, _ passed: Set<Int>, isLast: Bool, at place: Place) -> Bool {
    let name = lab.nodes[next].name
    if lab.isSwitch(next) {
      reporter.error(place, "via: `\(name)` is a switch, and switches are no hops; \(neighbors(of: current))")
      return false
    }
    if passed.contains(next) {
      reporter.error(place, "via: `\(name)` a second time: the packets would go in a loop; expected each node once")
      return false
    }
    if !isLast, let kind = lab.nodes[next].kind, !kind.forwards {
      reporter.error(
        place, "via: `\(name)` is a \(kind.rawValue), which passes nothing on; expected it last, or a router")
      return false
    }
    return true
  }

  private func links(from near: Int, to far: Int) -> [PathRule.Link] {
    lab.nodes[near].interfaces.flatMap { mine in
      lab.acrossLink(mine).filter { lab.end($0).node == far }.map { theirs in
        PathRule.Link(
          interface: lab.end(mine).interface, farInterface: lab.end(theirs).interface,
          gateways: [AddressFamily.ipv4, .ipv6].compactMap { lab.end(theirs).address($0)?.address }, weight: 1)
      }
    }
  }

  private func reportNoLink(_ text: String, _ current: Int, _ others: [PathRule.Link], at place: Place) {
    guard lab.linksAreWhole else { return }
    if !others.isEmpty {
      let list = others.map { "`\($0.farInterface)`" }.joined(separator: ", ")
      reporter.error(place, "via: `\(text)` is not on a link of `\(lab.nodes[current].name)`; expected one of \(list)")
    } else {
      reporter.error(
        place, "via: `\(text)` is no neighbor of `\(lab.nodes[current].name)`; \(neighbors(of: current))")
    }
  }

  private func neighbors(of node: Int) -> String {
    var names: [String] = []
    for mine in lab.nodes[node].interfaces {
      for theirs in lab.acrossLink(mine) where !lab.isSwitch(lab.end(theirs).node) {
        let name = "`\(lab.nodes[lab.end(theirs).node].name)`"
        if !names.contains(name) { names.append(name) }
      }
    }
    if names.isEmpty { return "it has none" }
    let more = names.count > 8 ? " and \(names.count - 8) more" : ""
    return "expected one of its neighbors, \(names.prefix(8).joined(separator: ", "))\(more)"
  }
}
