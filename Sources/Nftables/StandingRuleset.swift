/// A chain as the kernel has it.
public struct StandingChain: Hashable, Sendable {
  public var name: String
  public var base: BaseChain?
  public var rules: [StandingRule]

  /// Without handles and counts.
  public var content: Chain { Chain(name, base, rules: rules.map(\.rule.canonical)) }
}

/// A table as the kernel has it.
public struct StandingTable: Hashable, Sendable {
  public var id: TableID
  /// With the elements that stand in them, those that packets added included.
  public var sets: [NamedSet]
  public var chains: [StandingChain]

  /// Without handles, counts, and what packets added to sets.
  public var content: Table {
    let sets = sets.map { NamedSet($0.name, $0.shape, $0.shape.isDynamic ? [] : $0.elements.map(\.canonical)) }
    return Table(id, sets: sets, chains: chains.map(\.content))
  }

  public func chain(_ name: String) -> StandingChain? { chains.first { $0.name == name } }
  public func set(_ name: String) -> NamedSet? { sets.first { $0.name == name } }
}

/// What the kernel has in the tables that were asked for, all of it at one moment.
public struct StandingRuleset: Hashable, Sendable {
  public var generation: Generation
  public var tables: [StandingTable]
  /// Tables that stand beside those asked for.
  public var foreign: [TableID]

  /// What it would take to make the same again, in the kernel's order: tables, and chains in them, as they were made.
  public var content: Ruleset { Ruleset(tables.map(\.content)) }
  public func table(_ id: TableID) -> StandingTable? { tables.first { $0.id == id } }
}
