/// A standard community (RFC 1997): two 16-bit halves.
public struct Community: RawRepresentable, Hashable, Comparable, Sendable {
  public var rawValue: UInt32
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
  @inlinable public init(_ high: UInt16, _ low: UInt16) { rawValue = UInt32(high) << 16 | UInt32(low) }

  @inlinable public var high: UInt16 { UInt16(truncatingIfNeeded: rawValue >> 16) }
  @inlinable public var low: UInt16 { UInt16(truncatingIfNeeded: rawValue) }
  @inlinable public static func < (a: Community, b: Community) -> Bool { a.rawValue < b.rawValue }

  /// RFC 8326.
  public static let gracefulShutdown = Community(rawValue: 0xFFFF_0000)
  /// RFC 7999.
  public static let blackhole = Community(rawValue: 0xFFFF_029A)
  /// RFC 1997: not outside the confederation, which for us is the AS.
  public static let noExport = Community(rawValue: 0xFFFF_FF01)
  /// RFC 1997: to no other speaker at all.
  public static let noAdvertise = Community(rawValue: 0xFFFF_FF02)
  /// RFC 1997: to no external peer, members of the own confederation included.
  public static let noExportSubconfed = Community(rawValue: 0xFFFF_FF03)

  /// Well-known ones by name, everything else as `high:low`.
  public static let names: [(name: String, community: Community)] = [
    ("graceful-shutdown", .gracefulShutdown), ("blackhole", .blackhole), ("no-export", .noExport),
    ("no-advertise", .noAdvertise), ("no-export-subconfed", .noExportSubconfed),
  ]
}

extension Community: CustomStringConvertible {
  public var description: String {
    Self.names.first { $0.community == self }?.name ?? "\(high):\(low)"
  }
}

/// A large community (RFC 8092): three 32-bit numbers.
public struct LargeCommunity: Hashable, Comparable, Sendable {
  public var global: UInt32
  public var data1: UInt32
  public var data2: UInt32

  @inlinable public init(_ global: UInt32, _ data1: UInt32, _ data2: UInt32) {
    self.global = global
    self.data1 = data1
    self.data2 = data2
  }

  @inlinable public static func < (a: LargeCommunity, b: LargeCommunity) -> Bool {
    (a.global, a.data1, a.data2) < (b.global, b.data1, b.data2)
  }
}

extension LargeCommunity: CustomStringConvertible {
  public var description: String { "\(global):\(data1):\(data2)" }
}
