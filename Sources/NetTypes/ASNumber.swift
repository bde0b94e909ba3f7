/// An autonomous system number, 32 bits (RFC 6793).
public struct ASNumber: Hashable, Comparable, Sendable {
  public var rawValue: UInt32

  @inlinable public init(_ rawValue: UInt32) { self.rawValue = rawValue }

  /// asplain or asdot (RFC 5396), digits only; nil for anything else or more than 32 bits.
  public init?(text: some StringProtocol) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count),
      parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (48...57).contains($0) } })
    else { return nil }
    if parts.count == 2 {
      guard let high = UInt16(parts[0]), let low = UInt16(parts[1]) else { return nil }
      rawValue = UInt32(high) << 16 | UInt32(low)
    } else {
      guard let value = UInt32(text) else { return nil }
      rawValue = value
    }
  }

  @inlinable public static func < (a: ASNumber, b: ASNumber) -> Bool { a.rawValue < b.rawValue }

  /// The 16-bit stand-in for a number that does not fit (RFC 6793 section 9).
  public static let trans = ASNumber(23456)

  /// RFC 6996.
  @inlinable public var isPrivate: Bool {
    (64512...65534).contains(rawValue) || (4_200_000_000...4_294_967_294).contains(rawValue)
  }

  /// Numbers no AS may use: 0 (RFC 7607), AS_TRANS, 65535 and 4294967295 (RFC 7300).
  @inlinable public var isReserved: Bool {
    rawValue == 0 || rawValue == 23456 || rawValue == 65535 || rawValue == .max
  }
}

extension ASNumber: CustomStringConvertible {
  public var description: String { String(rawValue) }
}
