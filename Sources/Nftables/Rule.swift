/// A list of expressions that the kernel works through for each packet, until one does not match or gives a verdict.
public struct Rule: Hashable, Sendable {
  public var expressions: [Expression]
  /// Shown by `nft list` as `comment "..."`; the kernel keeps it and does nothing with it. At most 126 bytes are kept.
  public var comment: String

  public init(_ expressions: [Expression], comment: String = "") {
    self.expressions = expressions
    self.comment = UserData.shortened(comment)
  }

  /// The rule without what packets change in it (counts of counters and quotas): equal for what is wanted and for what
  /// the kernel shows of it.
  public var canonical: Rule {
    var rule = self
    for index in rule.expressions.indices { rule.expressions[index] = rule.expressions[index].canonical }
    return rule
  }

  /// The first counter of the rule.
  public var counter: Expression.Counter? {
    for case .counter(let counter) in expressions { return counter }
    return nil
  }

  /// Chains that it can continue in, by verdict or by verdict map of its own.
  var chainsUsed: [String] {
    expressions.flatMap { expression -> [String] in
      switch expression {
      case .verdict(let verdict): verdict.chain.map { [$0] } ?? []
      case .lookup(let lookup): lookup.set.contents?.chainsUsed ?? []
      default: []
      }
    }
  }

  /// Named sets and maps that it asks or feeds.
  var setsUsed: [String] {
    expressions.compactMap { expression in
      switch expression {
      case .lookup(let lookup): lookup.set.name
      case .dynamicSet(let update): update.set
      default: nil
      }
    }
  }
}

/// The kernel's name for a rule within its table (NFTA_RULE_HANDLE): given when the rule is added, never reused.
public struct RuleHandle: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// A rule as the kernel has it: with its handle, and counts in its counters.
public struct StandingRule: Hashable, Sendable {
  public var handle: RuleHandle
  public var rule: Rule

  public init(handle: RuleHandle, rule: Rule) {
    self.handle = handle
    self.rule = rule
  }
}
