/// `filter:` of one node.
struct FilterReader {
  let lab: LabResolver
  let node: Int
  private var reporter: Reporter { lab.reporter }

  func read(_ tree: Tree?) -> [FilterRule] {
    let matches = PacketMatchReader(lab: lab, node: node)
    var rules: [FilterRule] = []
    var closed: RuleOrigin?
    for item in tree?.list ?? [] {
      guard let rule = rule(item, matches) else { continue }
      if let closed {
        reporter.warning(
          item.place, "this filter rule can never match: `otherwise` in line \(closed.place.line) takes all of it")
      }
      if rule.match == nil { closed = closed ?? rule.origin }
      rules.append(rule)
    }
    let written = rules.prefix { $0.match != nil }.map { ShadowCheck.Rule($0.origin, $0.match ?? PacketMatch()) }
    ShadowCheck.run(written, "filter rule", reporter)
    return rules
  }

  private func rule(_ item: Tree, _ matches: PacketMatchReader) -> FilterRule? {
    if let entry = item.entry("otherwise") {
      if let then = item.entry("then") {
        reporter.error(then.keyPlace, "`then` beside `otherwise`, which says what becomes of the rest; take one out")
      }
      guard let verdict = entry.value.text.flatMap(FilterRule.Verdict.init(rawValue:)) else { return nil }
      return FilterRule(
        origin: RuleOrigin(text: "filter otherwise \(verdict.rawValue)", place: item.place), match: nil, then: verdict)
    }
    guard let tree = item["match"] else { return nil }
    let match = matches.read(tree)
    if item["then"] == nil {
      reporter.error(item.place, "a filter rule has no `then`; expected accept, drop or reject")
    }
    guard let verdict = item.text("then").flatMap(FilterRule.Verdict.init(rawValue:)) else { return nil }
    var line = RuleText("filter")
    line.add(tree, RuleText.matchKeys)
    line.add(verdict.rawValue)
    return FilterRule(origin: line.origin(item.place), match: match, then: verdict)
  }
}
