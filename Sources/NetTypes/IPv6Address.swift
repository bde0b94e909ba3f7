/// An IPv6 address (RFC 4291) as two 64-bit halves in host order.
public struct IPv6Address: Hashable, Comparable, Sendable {
  public var high: UInt64
  public var low: UInt64

  @inlinable public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// Any text form of RFC 4291 section 2.2 without a zone; nil for anything else.
  public init?(_ text: some StringProtocol) {
    guard let groups = Self.groups(of: Substring(text)) else { return nil }
    high = groups[0..<4].reduce(0) { $0 << 16 | UInt64($1) }
    low = groups[4..<8].reduce(0) { $0 << 16 | UInt64($1) }
  }

  private static func groups(of text: Substring) -> [UInt16]? {
    guard text.utf8.count <= 45 else { return nil }
    var head: [UInt16] = []
    var tail: [UInt16] = []
    var compressed = false
    var rest = text
    if rest.hasPrefix("::") {
      compressed = true
      rest = rest.dropFirst(2)
    } else if rest.hasPrefix(":") {
      return nil
    }
    while !rest.isEmpty {
      let part = rest.prefix { $0 != ":" }
      rest = rest.dropFirst(part.count)
      var values: [UInt16] = []
      if part.contains(".") {
        guard rest.isEmpty, let quad = IPv4Address(part) else { return nil }
        values = [UInt16(quad.rawValue >> 16), UInt16(quad.rawValue & 0xFFFF)]
      } else {
        guard (1...4).contains(part.utf8.count), part.utf8.allSatisfy(isHex), let value = UInt16(part, radix: 16)
        else { return nil }
        values = [value]
      }
      if compressed { tail += values } else { head += values }
      if rest.isEmpty { break }
      rest = rest.dropFirst()
      if rest.hasPrefix(":") {
        guard !compressed else { return nil }
        compressed = true
        rest = rest.dropFirst()
      } else if rest.isEmpty {
        return nil
      }
    }
    let count = head.count + tail.count
    guard compressed ? count < 8 : count == 8 else { return nil }
    return head + Array(repeating: 0, count: 8 - count) + tail
  }

  private static func isHex(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
      UInt8(ascii: "A")...UInt8(ascii: "F"):
      true
    default: false
    }
  }

  @inlinable public static func < (a: IPv6Address, b: IPv6Address) -> Bool {
    a.high == b.high ? a.low < b.low : a.high < b.high
  }

  /// Sixteen bytes in network order.
  public var bytes: [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: high >> (56 - 8 * UInt64($0))) }
      + (0..<8).map { UInt8(truncatingIfNeeded: low >> (56 - 8 * UInt64($0))) }
  }

  public var isLoopback: Bool { high == 0 && low == 1 }
  public var isUnspecified: Bool { high == 0 && low == 0 }
  public var isMulticast: Bool { high >> 56 == 0xFF }
  /// fe80::/10 (RFC 4291 section 2.5.6).
  public var isLinkLocal: Bool { high >> 54 == 0x3FA }
}

extension IPv6Address: CustomStringConvertible {
  /// RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals) as `::`.
  public var description: String {
    let groups = (0..<8).map { index in
      UInt16(truncatingIfNeeded: index < 4 ? high >> (48 - 16 * UInt64(index)) : low >> (112 - 16 * UInt64(index)))
    }
    if high == 0, low >> 32 == 0xFFFF {  // RFC 5952 section 5: IPv4-mapped
      return "::ffff:\(IPv4Address(rawValue: UInt32(truncatingIfNeeded: low)))"
    }
    var best = 0..<0
    var start = 0
    while start < 8 {
      guard groups[start] == 0 else {
        start += 1
        continue
      }
      var end = start
      while end < 8, groups[end] == 0 { end += 1 }
      if end - start > best.count { best = start..<end }
      start = end
    }
    let text = { (slice: ArraySlice<UInt16>) in slice.map { String($0, radix: 16) }.joined(separator: ":") }
    guard best.count > 1 else { return text(groups[...]) }
    return text(groups[..<best.lowerBound]) + "::" + text(groups[best.upperBound...])
  }
}
