internal import CLinux

/// Where a table's chains can hook in (NFPROTO_* of linux/netfilter.h).
public struct TableFamily: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Lists every family; tables have none of their own (NFPROTO_UNSPEC).
  static let any = TableFamily(rawValue: 0)
  /// IPv4 and IPv6 together.
  public static let inet = TableFamily(rawValue: 1)
  public static let ipv4 = TableFamily(rawValue: 2)
  public static let arp = TableFamily(rawValue: 3)
  /// Ingress and egress of one device.
  public static let netdev = TableFamily(rawValue: 5)
  public static let bridge = TableFamily(rawValue: 7)
  public static let ipv6 = TableFamily(rawValue: 10)
}

extension TableFamily: CustomStringConvertible {
  /// As nft writes it.
  public var description: String {
    switch self {
    case .inet: "inet"
    case .ipv4: "ip"
    case .arp: "arp"
    case .netdev: "netdev"
    case .bridge: "bridge"
    case .ipv6: "ip6"
    default: "family \(rawValue)"
    }
  }
}

/// What tells one table from another within a namespace.
public struct TableID: Hashable, Sendable {
  public var family: TableFamily
  /// At most 255 bytes (NFT_TABLE_MAXNAMELEN).
  public var name: String

  public init(_ family: TableFamily, _ name: String) {
    self.family = family
    self.name = name
  }
}

extension TableID: CustomStringConvertible {
  public var description: String { "\(family) \(name)" }
}

/// A table with all that is in it: names of sets and chains are its own.
public struct Table: Hashable, Sendable {
  public var id: TableID
  public var sets: [NamedSet]
  public var chains: [Chain]

  public init(_ family: TableFamily, _ name: String, sets: [NamedSet] = [], chains: [Chain] = []) {
    self.init(TableID(family, name), sets: sets, chains: chains)
  }

  public init(_ id: TableID, sets: [NamedSet] = [], chains: [Chain] = []) {
    self.id = id
    self.sets = sets
    self.chains = chains
  }
}

/// The content wanted in tables of ours. Tables that it does not name are nobody's business here.
public struct Ruleset: Hashable, Sendable {
  public var tables: [Table]
  public init(_ tables: [Table] = []) { self.tables = tables }
}
