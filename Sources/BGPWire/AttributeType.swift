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
