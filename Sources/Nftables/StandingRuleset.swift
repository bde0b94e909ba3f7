/// A chain as the kernel has it.
public struct StandingChain: Hashable, Sendable {
  public var name: String
  public var base: BaseChain?
  public var rules: [StandingRule]

  /// Without handles and counts.
  public var content: Chain { Chain(name, base, rules: rules.map(\.rule.canonical)) }
}

/// NFT_TABLE_F_* of linux/netfilter/nf_tables.h.
public struct TableFlags: OptionSet, Hashable, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// None of its chains sees a packet.
  public static let dormant = TableFlags(rawValue: 1)
  /// It goes with the socket that made it, and nobody else may change it.
  public static let owner = TableFlags(rawValue: 2)
  /// It stays when its owner goes.
  public static let persist = TableFlags(rawValue: 4)
}

extension TableFlags: CustomStringConvertible {
  /// As nft writes them.
  public var description: String {
    let names: [(TableFlags, String)] = [(.dormant, "dormant"), (.owner, "owner"), (.persist, "persist")]
    return names.filter { contains($0.0) }.map(\.1).joined(separator: ",")
  }
}

/// Something with a state of its own that rules may refer to: a counter, a quota. None is ever wanted here.
public struct StandingObject: Hashable, Sendable {
  /// NFT_OBJECT_*.
  public var type: UInt32
  public var name: String

  /// As nft calls the type.
  public var typeName: String {
    let names: [UInt32: String] = [
      1: "counter", 2: "quota", 3: "ct helper", 4: "limit", 5: "connlimit", 6: "tunnel", 7: "ct timeout",
      8: "secmark", 9: "ct expectation", 10: "synproxy",
    ]
    return names[type] ?? "object of type \(type)"
  }
}

/// A table as the kernel has it.
public struct StandingTable: Hashable, Sendable {
  public var id: TableID
  public var flags: TableFlags = []
  public var objects: [StandingObject] = []
  public var flowtables: [String] = []
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
