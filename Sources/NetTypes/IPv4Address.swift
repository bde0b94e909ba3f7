/// An IPv4 address (RFC 791), 32 bits in host order.
public struct IPv4Address: Hashable, Comparable, Sendable {
  public var rawValue: UInt32

  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

  @inlinable public init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) {
    rawValue = UInt32(a) << 24 | UInt32(b) << 16 | UInt32(c) << 8 | UInt32(d)
  }

  /// Dotted quad, four decimal numbers without leading zeros; nil for anything else.
  public init?(_ text: some StringProtocol) {
    var value: UInt32 = 0
    var part: UInt32 = 0
    var digits = 0
    var parts = 0
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"):
        if digits > 0 && part == 0 { return nil }
        part = part * 10 + UInt32(byte - UInt8(ascii: "0"))
        digits += 1
        if part > 255 { return nil }
      case UInt8(ascii: "."):
        if digits == 0 || parts == 3 { return nil }
        value = value << 8 | part
        part = 0
        digits = 0
        parts += 1
      default: return nil
      }
    }
    guard parts == 3, digits > 0 else { return nil }
    rawValue = value << 8 | part
  }

  @inlinable public static func < (a: IPv4Address, b: IPv4Address) -> Bool { a.rawValue < b.rawValue }

  /// Four bytes in network order.
  public var bytes: [UInt8] {
    [UInt8(rawValue >> 24), UInt8(rawValue >> 16 & 255), UInt8(rawValue >> 8 & 255), UInt8(rawValue & 255)]
  }

  public var isLoopback: Bool { rawValue >> 24 == 127 }
  public var isMulticast: Bool { rawValue >> 28 == 14 }
  public var isUnspecified: Bool { rawValue == 0 }
  /// 169.254.0.0/16 (RFC 3927).
  public var isLinkLocal: Bool { rawValue >> 16 == 0xA9FE }
  /// 240.0.0.0/4 (RFC 1112), the limited broadcast included.
  public var isReserved: Bool { rawValue >> 28 == 15 }
}

extension IPv4Address: CustomStringConvertible {
  public var description: String {
    "\(rawValue >> 24).\(rawValue >> 16 & 255).\(rawValue >> 8 & 255).\(rawValue & 255)"
  }
}
