public import NetTypes

/// Address family identifier (IANA "Address Family Numbers"; RFC 4760 section 3). An unknown number is data.
public struct AFI: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt16
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

  public static let ipv4 = AFI(rawValue: 1)
  public static let ipv6 = AFI(rawValue: 2)
}

/// Subsequent address family identifier (IANA "SAFI Values"; RFC 4760 section 6). An unknown number is data.
public struct SAFI: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let unicast = SAFI(rawValue: 1)
}

/// The pairs of AFI and SAFI that the speaker carries routes of. The raw value indexes per-family tables.
public enum Family: UInt8, Hashable, Sendable, CaseIterable {
  case ipv4Unicast = 0
  case ipv6Unicast = 1

  /// nil for a pair the speaker carries no routes of.
  @inlinable public init?(afi: AFI, safi: SAFI) {
    guard safi.rawValue == 1 else { return nil }
    switch afi.rawValue {
    case 1: self = .ipv4Unicast
    case 2: self = .ipv6Unicast
    default: return nil
    }
  }

  @inlinable public init(_ family: AddressFamily) {
    self = family == .ipv4 ? .ipv4Unicast : .ipv6Unicast
  }

  @inlinable public var afi: AFI { AFI(rawValue: self == .ipv4Unicast ? 1 : 2) }
  @inlinable public var safi: SAFI { SAFI(rawValue: 1) }
  @inlinable public var addressFamily: AddressFamily { self == .ipv4Unicast ? .ipv4 : .ipv6 }
  /// Bits, and bytes, in an address of the family.
  @inlinable public var bits: Int { self == .ipv4Unicast ? 32 : 128 }
  @inlinable public var addressBytes: Int { self == .ipv4Unicast ? 4 : 16 }
}

extension Family: CustomStringConvertible {
  public var description: String { self == .ipv4Unicast ? "ipv4" : "ipv6" }
}

/// A set of families, small enough to pass by value.
public struct FamilySet: OptionSet, Hashable, Sendable {
  public var rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
  @inlinable public init(_ family: Family) { rawValue = 1 << family.rawValue }

  public static let ipv4Unicast = FamilySet(.ipv4Unicast)
  public static let ipv6Unicast = FamilySet(.ipv6Unicast)
  public static let all: FamilySet = [.ipv4Unicast, .ipv6Unicast]

  @inlinable public func contains(_ family: Family) -> Bool { rawValue >> family.rawValue & 1 == 1 }
}
