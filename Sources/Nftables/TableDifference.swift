/// What differs between a table that stands and the same table as it is wanted.
struct TableDifference {
  struct Elements {
    var name: String
    var shape: SetShape
    var gone: [SetElement]
    var new: [SetElement]
  }

  let table: TableID
  /// Of chains that stay.
  private(set) var rules: [(chain: String, RuleDifference)] = []
  private(set) var policies: [(chain: String, ChainPolicy)] = []
  /// Of sets that stay.
  private(set) var elements: [Elements] = []
  private(set) var goneSets: [String] = []
  private(set) var newSets: [NamedSet] = []
  private(set) var goneChains: [(name: String, hasRules: Bool)] = []
  private(set) var newChains: [Chain] = []
  /// Nothing like them is ever wanted.
  let goneObjects: [StandingObject]
  let goneFlowtables: [String]
  /// Its flags are to be these.
  let flags: TableFlags?

  /// - Parameter keepsOrder: see `Transaction.init(from:to:keepingOrder:)`.
  init(from standing: StandingTable, to desired: Table, keepsOrder: Bool) {
    table = standing.id
    (goneObjects, goneFlowtables) = (standing.objects, standing.flowtables)
    flags = standing.flags.contains(.dormant) ? standing.flags.subtracting(.dormant) : nil
    let chains = Dictionary(standing.chains.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    let sets = Dictionary(standing.sets.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    var stayingChains: Set<String> = []
    for chain in desired.chains {
      if let old = chains[chain.name], Self.stays(old, as: chain) { stayingChains.insert(chain.name) }
    }
    var stayingSets: Set<String> = []
    for set in desired.sets where sets[set.name]?.shape == set.shape { stayingSets.insert(set.name) }
    if keepsOrder {
      let ordinary = desired.chains.filter { $0.base == nil }.map(\.name)
      stayingChains.subtract(
        Self.outOfPlace(ordinary, stayingChains, standing.chains.filter { $0.base == nil }.map(\.name)))
      stayingSets.subtract(Self.outOfPlace(desired.sets.map(\.name), stayingSets, standing.sets.map(\.name)))
    }

    goneChains = standing.chains.filter { !stayingChains.contains($0.name) }.map { ($0.name, !$0.rules.isEmpty) }
    goneSets = standing.sets.map(\.name).filter { !stayingSets.contains($0) }
    newChains = desired.chains.filter { !stayingChains.contains($0.name) }
    newSets = desired.sets.filter { !stayingSets.contains($0.name) }
    let lostChains = Set(goneChains.map(\.name))
    let lostSets = Set(goneSets)

    for set in desired.sets where stayingSets.contains(set.name) && !set.shape.isDynamic {
      guard let old = sets[set.name] else { continue }
      compare(old, set, lostChains)
    }
    for chain in desired.chains where stayingChains.contains(chain.name) {
      guard let old = chains[chain.name] else { continue }
      if let base = chain.base, base.policy != old.base?.policy { policies.append((chain.name, base.policy)) }
      rules.append(
        (
          chain.name,
          RuleDifference(from: old.rules, to: chain.rules) { rule in
            rule.chainsUsed.contains(where: lostChains.contains) || rule.setsUsed.contains(where: lostSets.contains)
          }
        ))
    }
  }

  /// What could stay but would be listed in the wrong place, since what is new is always listed last.
  private static func outOfPlace(_ desired: [String], _ staying: Set<String>, _ standing: [String]) -> [String] {
    let kept = standing.filter(staying.contains)
    let right = zip(desired, kept).prefix { $0 == $1 }.count
    return Array(kept.dropFirst(right))
  }

  private static func stays(_ standing: StandingChain, as chain: Chain) -> Bool {
    switch (standing.base, chain.base) {
    case (nil, nil): true
    case (let old?, let new?): old.standsWhere(new)
    default: false
    }
  }

  /// - Parameter lostChains: elements that lead there must go with them, and come again.
  private mutating func compare(_ old: NamedSet, _ new: NamedSet, _ lostChains: Set<String>) {
    let isLost = { (element: SetElement) in
      if case .verdict(let verdict)? = element.value { verdict.chain.map(lostChains.contains) ?? false } else { false }
    }
    let standing = old.elements.map(\.canonical)
    let wanted = Set(new.elements.map(\.canonical))
    let gone = standing.filter { !wanted.contains($0) || isLost($0) }
    let kept = Set(standing).subtracting(gone)
    let added = new.elements.filter { !kept.contains($0.canonical) }
    guard !gone.isEmpty || !added.isEmpty else { return }
    elements.append(Elements(name: new.name, shape: new.shape, gone: gone, new: added))
  }
}
