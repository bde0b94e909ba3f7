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
  /// RFC 8955.
  public static let flowSpec = SAFI(rawValue: 133)
}

/// The pairs of AFI and SAFI that the speaker carries routes of. The raw value indexes per-family tables.
public enum Family: UInt8, Hashable, Sendable, CaseIterable {
  case ipv4Unicast = 0
  case ipv6Unicast = 1
  case ipv4FlowSpec = 2
  case ipv6FlowSpec = 3

  /// Those whose routes are prefixes.
  public static let unicast: [Family] = [.ipv4Unicast, .ipv6Unicast]
  /// Those whose routes are rules (RFC 8955).
  public static let flowSpec: [Family] = [.ipv4FlowSpec, .ipv6FlowSpec]

  /// nil for a pair the speaker carries no routes of.
  @inlinable public init?(afi: AFI, safi: SAFI) {
    switch (afi.rawValue, safi.rawValue) {
    case (1, 1): self = .ipv4Unicast
    case (2, 1): self = .ipv6Unicast
    case (1, 133): self = .ipv4FlowSpec
    case (2, 133): self = .ipv6FlowSpec
    default: return nil
    }
  }

  /// Unicast of the address family.
  @inlinable public init(_ family: AddressFamily) {
    self = family == .ipv4 ? .ipv4Unicast : .ipv6Unicast
  }

  /// Flow rules of the address family.
  @inlinable public init(flowSpec family: AddressFamily) {
    self = family == .ipv4 ? .ipv4FlowSpec : .ipv6FlowSpec
  }

  @inlinable public var isFlowSpec: Bool { rawValue >= 2 }
  @inlinable public var afi: AFI { AFI(rawValue: addressFamily == .ipv4 ? 1 : 2) }
  @inlinable public var safi: SAFI { isFlowSpec ? .flowSpec : .unicast }
  @inlinable public var addressFamily: AddressFamily { rawValue & 1 == 0 ? .ipv4 : .ipv6 }
  /// Bits, and bytes, in an address of the family.
  @inlinable public var bits: Int { addressFamily == .ipv4 ? 32 : 128 }
  @inlinable public var addressBytes: Int { addressFamily == .ipv4 ? 4 : 16 }
}

extension Family: CustomStringConvertible {
  public var description: String {
    switch self {
    case .ipv4Unicast: "ipv4"
    case .ipv6Unicast: "ipv6"
    case .ipv4FlowSpec: "ipv4-flowspec"
    case .ipv6FlowSpec: "ipv6-flowspec"
    }
  }
}

/// A set of families, small enough to pass by value.
public struct FamilySet: OptionSet, Hashable, Sendable {
  public var rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
  @inlinable public init(_ family: Family) { rawValue = 1 << family.rawValue }

  public static let ipv4Unicast = FamilySet(.ipv4Unicast)
  public static let ipv6Unicast = FamilySet(.ipv6Unicast)
  public static let ipv4FlowSpec = FamilySet(.ipv4FlowSpec)
  public static let ipv6FlowSpec = FamilySet(.ipv6FlowSpec)
  public static let unicast: FamilySet = [.ipv4Unicast, .ipv6Unicast]
  public static let flowSpec: FamilySet = [.ipv4FlowSpec, .ipv6FlowSpec]
  public static let all: FamilySet = [.unicast, .flowSpec]

  @inlinable public func contains(_ family: Family) -> Bool { rawValue >> family.rawValue & 1 == 1 }
}
