import NetTypes

/// `policies:` → values, and the record of who uses them.
struct PolicyReader {
  private(set) var policies: [Policy] = []
  private var used: Set<String> = []
  private let names: Set<String>
  private let reporter: Reporter

  /// `neighbors`: names that `match: {neighbor}` may use; checked against what `candidates` suggest.
  init(_ tree: Tree?, neighbors: (String) -> Bool, candidates: [String], _ reporter: Reporter) {
    self.reporter = reporter
    names = Set(tree?.entries.map(\.key) ?? [])
    for entry in tree?.entries ?? [] {
      let statements = Self.statements(entry.value, reporter)
      policies.append(Policy(name: entry.key, place: entry.keyPlace, statements: statements))
      for name in entry.value.list.flatMap({ $0["match"]?.oneOrMore("neighbor") ?? [] }) {
        guard let text = name.text, !neighbors(text) else { continue }
        reporter.error(
          name.place, "unknown neighbor `\(text)`\(reporter.suggestion(for: text, from: candidates))")
      }
    }
  }

  /// `import:` or `export:` of a neighbor.
  mutating func choice(_ tree: Tree?, _ key: String) -> PolicyChoice {
    guard let tree, let text = tree.text(key) else { return .unset }
    switch text {
    case "accept": return .accept
    case "reject": return .reject
    default:
      used.insert(text)
      if !names.contains(text) {
        let hint = reporter.suggestion(for: text, from: names.sorted())
        let expected = hint.isEmpty ? "; expected a name under `policies:`, `accept` or `reject`" : hint
        reporter.error(tree.place(of: key), "unknown policy `\(text)`\(expected)")
      }
      return .policy(text)
    }
  }

  func warnOfUnused() {
    for policy in policies where !used.contains(policy.name) {
      reporter.warning(policy.place, "policy `\(policy.name)` is used by no neighbor")
    }
  }

  private static func statements(_ tree: Tree, _ reporter: Reporter) -> [PolicyStatement] {
    var closed = false
    var statements: [PolicyStatement] = []
    for item in tree.list {
      if closed {
        reporter.error(item.place, "this statement is never reached: the one before it ends the policy for every route")
        break
      }
      let match = item["match"].map(Self.match)
      let set = item["set"].map(Self.set)
      if let otherwise = item.text("otherwise") {
        if item.entries.count > 1 {
          reporter.error(
            item.place, "`otherwise` stands alone in the last statement; write `then` beside `match` and `set`")
        }
        statements.append(PolicyStatement(match: nil, set: nil, then: otherwise == "accept" ? .accept : .reject))
        closed = true
        continue
      }
      let then: PolicyStatement.Verdict =
        switch item.text("then") {
        case "accept": .accept
        case "reject": .reject
        default: set == nil ? .accept : .next
        }
      statements.append(PolicyStatement(match: match, set: set, then: then))
      closed = match == nil && then != .next
    }
    return statements
  }

  private static func match(_ tree: Tree) -> PolicyMatch {
    func values<Value>(_ key: String, _ parse: (String) -> Value?) -> [Value] {
      tree.oneOrMore(key).compactMap { $0.text.flatMap(parse) }
    }
    return PolicyMatch(
      prefixes: values("prefix", parsePrefixRange), asPaths: values("as-path") { $0 },
      communities: values("community", parseCommunity),
      largeCommunities: values("large-community", parseLargeCommunity),
      origins: values("origin") { PolicyMatch.Origin(rawValue: $0) }, neighbors: values("neighbor") { $0 })
  }

  private static func set(_ tree: Tree) -> PolicySet {
    var set = PolicySet()
    set.localPref = tree.number("local-pref")
    set.med = tree.number("med")
    set.weight = tree.number("weight")
    set.nextHop = tree.text("next-hop").flatMap { IPAddress($0) }
    if let times = tree.number("prepend") {
      set.prepend = PolicySet.Prepend(asn: nil, times: times)
    } else if let prepend = tree["prepend"], let times = prepend.number("times") {
      set.prepend = PolicySet.Prepend(asn: prepend.asn("asn"), times: times)
    }
    set.communities = tree["community"].map { change($0, parseCommunity) }
    set.largeCommunities = tree["large-community"].map { change($0, parseLargeCommunity) }
    return set
  }

  private static func change<Pattern>(_ tree: Tree, _ parse: (String) -> Pattern?) -> CommunityChange<Pattern> {
    func values(_ key: String) -> [Pattern] { tree.oneOrMore(key).compactMap { $0.text.flatMap(parse) } }
    return CommunityChange(
      add: values("add"), remove: values("remove"), replace: tree["replace"] == nil ? nil : values("replace"))
  }
}
