/// Path attribute type code (IANA "BGP Path Attributes"). An unknown number is data.
public struct AttributeType: RawRepresentable, Hashable, Comparable, Sendable {
  public var rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
  @inlinable public static func < (a: AttributeType, b: AttributeType) -> Bool { a.rawValue < b.rawValue }

  public static let origin = AttributeType(rawValue: 1)
  public static let asPath = AttributeType(rawValue: 2)
  public static let nextHop = AttributeType(rawValue: 3)
  public static let med = AttributeType(rawValue: 4)
  public static let localPref = AttributeType(rawValue: 5)
  public static let atomicAggregate = AttributeType(rawValue: 6)
  public static let aggregator = AttributeType(rawValue: 7)
  public static let communities = AttributeType(rawValue: 8)
  public static let originatorID = AttributeType(rawValue: 9)
  public static let clusterList = AttributeType(rawValue: 10)
  public static let mpReach = AttributeType(rawValue: 14)
  public static let mpUnreach = AttributeType(rawValue: 15)
  public static let extendedCommunities = AttributeType(rawValue: 16)
  public static let as4Path = AttributeType(rawValue: 17)
  public static let as4Aggregator = AttributeType(rawValue: 18)
  public static let ipv6ExtendedCommunities = AttributeType(rawValue: 25)
  public static let largeCommunities = AttributeType(rawValue: 32)
  /// Only to Customer (RFC 9234).
  public static let otc = AttributeType(rawValue: 35)
}

extension AttributeType: CustomStringConvertible {
  public var description: String { AttributeRule.table[Int(rawValue)]?.name ?? "attribute \(rawValue)" }
}

/// Attribute flags (RFC 4271 section 4.3). The low four bits mean nothing and are sent as zero.
public struct AttributeFlags: OptionSet, Hashable, Sendable {
  public var rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let optional = AttributeFlags(rawValue: 0x80)
  public static let transitive = AttributeFlags(rawValue: 0x40)
  public static let partial = AttributeFlags(rawValue: 0x20)
  public static let extendedLength = AttributeFlags(rawValue: 0x10)

  /// The two bits that a type fixes.
  public static let category: AttributeFlags = [.optional, .transitive]
}

/// What is fixed about an attribute type: flags, lengths, and what a fault in it leads to.
struct AttributeRule: Sendable {
  /// Which lengths are right. AS_PATH and its like are walked besides.
  enum Length: Sendable {
    case exactly(Int)
    /// One or more units.
    case multiple(of: Int)
    /// Six octets on a 2-octet session, eight on a 4-octet one (RFC 6793 section 4.2.3).
    case aggregator
    case atLeast(Int)
  }

  /// As the IANA registry writes it.
  var name: String
  var flags: AttributeFlags
  var length: Length
  var action: UpdateFault.Action
  /// From an external peer the attribute is dropped unread (RFC 7606 sections 7.5, 7.9, 7.10).
  var internalOnly = false

  private static let wellKnown: AttributeFlags = .transitive
  private static let both: AttributeFlags = [.optional, .transitive]
  private static let optional: AttributeFlags = .optional

  /// One row per attribute; the section of RFC 7606 unless another document is named.
  private static let rows: [(AttributeType, AttributeRule)] = [
    (.origin, AttributeRule(name: "ORIGIN", flags: wellKnown, length: .exactly(1), action: .treatAsWithdraw)),  // 7.1
    (.asPath, AttributeRule(name: "AS_PATH", flags: wellKnown, length: .atLeast(0), action: .treatAsWithdraw)),  // 7.2
    (.nextHop, AttributeRule(name: "NEXT_HOP", flags: wellKnown, length: .exactly(4), action: .treatAsWithdraw)),  // 7.3
    (.med, AttributeRule(name: "MULTI_EXIT_DISC", flags: optional, length: .exactly(4), action: .treatAsWithdraw)),  // 7.4
    (
      .localPref,
      AttributeRule(
        name: "LOCAL_PREF", flags: wellKnown, length: .exactly(4), action: .treatAsWithdraw, internalOnly: true)  // 7.5
    ),
    (
      .atomicAggregate,
      AttributeRule(name: "ATOMIC_AGGREGATE", flags: wellKnown, length: .exactly(0), action: .attributeDiscard)  // 7.6
    ),
    (.aggregator, AttributeRule(name: "AGGREGATOR", flags: both, length: .aggregator, action: .attributeDiscard)),  // 7.7
    (
      .communities,
      AttributeRule(name: "COMMUNITIES", flags: both, length: .multiple(of: 4), action: .treatAsWithdraw)  // 7.8
    ),
    (
      .originatorID,
      AttributeRule(
        name: "ORIGINATOR_ID", flags: optional, length: .exactly(4), action: .treatAsWithdraw, internalOnly: true)  // 7.9
    ),
    (
      .clusterList,
      AttributeRule(
        name: "CLUSTER_LIST", flags: optional, length: .multiple(of: 4), action: .treatAsWithdraw,  // 7.10
        internalOnly: true)
    ),
    (.mpReach, AttributeRule(name: "MP_REACH_NLRI", flags: optional, length: .atLeast(5), action: .treatAsWithdraw)),  // 7.11
    (.mpUnreach, AttributeRule(name: "MP_UNREACH_NLRI", flags: optional, length: .atLeast(3), action: .treatAsWithdraw)),  // 7.12
    (
      .extendedCommunities,
      AttributeRule(name: "EXTENDED COMMUNITIES", flags: both, length: .multiple(of: 8), action: .treatAsWithdraw)  // 7.14
    ),
    (.as4Path, AttributeRule(name: "AS4_PATH", flags: both, length: .atLeast(6), action: .attributeDiscard)),  // RFC 6793, 6
    (
      .as4Aggregator,
      AttributeRule(name: "AS4_AGGREGATOR", flags: both, length: .exactly(8), action: .attributeDiscard)  // RFC 6793, 6
    ),
    (
      .ipv6ExtendedCommunities,
      AttributeRule(
        name: "IPv6 Address Specific Extended Community", flags: both, length: .multiple(of: 20),  // 7.15
        action: .treatAsWithdraw)
    ),
    (
      .largeCommunities,
      AttributeRule(name: "LARGE_COMMUNITY", flags: both, length: .multiple(of: 12), action: .treatAsWithdraw)  // RFC 8092, 5
    ),
    (.otc, AttributeRule(name: "OTC", flags: both, length: .exactly(4), action: .treatAsWithdraw)),  // RFC 9234, 5
  ]

  /// By type code; nil: not known to us.
  static let table: [AttributeRule?] = {
    var table = [AttributeRule?](repeating: nil, count: 256)
    for (type, rule) in rows { table[Int(type.rawValue)] = rule }
    return table
  }()
}
