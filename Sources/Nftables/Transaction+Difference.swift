internal import CLinux
internal import Netlink

extension Transaction {
  /// What it takes to get from what stands to what is wanted: nothing that stays is touched, so counters go on counting,
  /// and connections that a chain of the kind `nat` translates stay translated.
  ///
  /// Rules that are the same in the same order stay; the others go by handle, and new ones are put in their places.
  /// Elements of sets and maps come and go one by one. What cannot be changed in place is made anew: a chain of another
  /// hook or priority, a set of another shape, and with them the rules that refer to them.
  ///
  /// A dormant table is awake afterwards, and its objects and flowtables are gone.
  ///
  /// Everything is removed before anything is added, in the order in which things refer to each other. Chains and sets
  /// that come back are listed behind those that stayed: the kernel keeps them in order of their making.
  ///
  /// - Parameters:
  ///   - standing: as read; tables of it that `desired` does not name are deleted. The transaction is refused when
  ///     anything has been committed since it was read.
  ///   - keepingOrder: chains without a hook, and sets, are made anew where they would be listed in another order than
  ///     `desired` has them: what the kernel lists then depends on nothing but `desired`.
  public init(from standing: StandingRuleset, to desired: Ruleset, keepingOrder: Bool = false) {
    self.init(onlyIn: standing.generation)
    var differences: [TableDifference] = []
    for table in standing.tables {
      guard let wanted = desired.tables.first(where: { $0.id == table.id }) else { continue }
      differences.append(TableDifference(from: table, to: wanted, keepsOrder: keepingOrder))
    }
    let wanted = Set(desired.tables.map(\.id))
    for table in standing.tables where !wanted.contains(table.id) { delete(table.id) }
    for difference in differences { remove(difference) }
    for difference in differences { add(difference) }
    let there = Set(standing.tables.map(\.id))
    for table in desired.tables where !there.contains(table.id) { add(table) }
  }

  private mutating func remove(_ difference: TableDifference) {
    let table = difference.table
    for (chain, rules) in difference.rules {
      let chain = ChainID(table, chain)
      guard !rules.deletesAll else {
        deleteRule(nil, of: chain)
        continue
      }
      for handle in rules.deleted { deleteRule(handle, of: chain) }
    }
    for chain in difference.goneChains where chain.hasRules { deleteRule(nil, of: ChainID(table, chain.name)) }
    for set in difference.elements where !set.gone.isEmpty {
      delete(set.gone, of: set.shape, from: set.name, in: table)
    }
    for set in difference.goneSets { deleteSet(set, in: table) }
    for chain in difference.goneChains { delete(ChainID(table, chain.name)) }
    for object in difference.goneObjects { delete(object, from: table) }
    for flowtable in difference.goneFlowtables { deleteFlowtable(flowtable, from: table) }
  }

  private mutating func add(_ difference: TableDifference) {
    let table = difference.table
    for chain in difference.newChains { add(chain, to: table) }
    for (chain, policy) in difference.policies { setPolicy(policy, of: ChainID(table, chain)) }
    for set in difference.newSets { add(set, to: table) }
    for set in difference.elements where !set.new.isEmpty { add(set.new, of: set.shape, to: set.name, in: table) }
    for chain in difference.newChains {
      for rule in chain.rules { append(rule, to: ChainID(table, chain.name)) }
    }
    for (chain, rules) in difference.rules {
      for (rule, successor) in rules.inserted {
        if let successor {
          insert(rule, in: ChainID(table, chain), before: successor)
        } else {
          append(rule, to: ChainID(table, chain))
        }
      }
    }
    if let flags = difference.flags { setFlags(flags, of: table) }
  }
}
