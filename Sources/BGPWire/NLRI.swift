public import NetTypes

/// A prefix of either family in one shape: the address left-aligned in 128 bits (IPv4 in the upper 32), host bits zero.
@frozen public struct PrefixKey: Hashable, Sendable {
  public var high: UInt64
  public var low: UInt64
  public var length: UInt8

  @inlinable public init(high: UInt64, low: UInt64, length: UInt8) {
    self.high = high
    self.low = low
    self.length = length
  }

  public init(_ prefix: IPPrefix) {
    self.init(hostOf: prefix.address)
    length = prefix.length
  }

  /// The /32 or /128 of one address.
  public init(hostOf address: IPAddress) {
    switch address {
    case .v4(let address): self.init(high: UInt64(address.rawValue) << 32, low: 0, length: 32)
    case .v6(let address): self.init(high: address.high, low: address.low, length: 128)
    }
  }

  public func address(_ family: Family) -> IPAddress {
    switch family.addressFamily {
    case .ipv4: .v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: high >> 32)))
    case .ipv6: .v6(IPv6Address(high: high, low: low))
    }
  }

  public func prefix(_ family: Family) -> IPPrefix {
    guard let prefix = IPPrefix(address(family), length: Int(length)) else {
      preconditionFailure("a prefix key is longer than its family's addresses")
    }
    return prefix
  }

  /// Announced by nobody in earnest: loopback, multicast, reserved (240.0.0.0/4 and with it the limited broadcast, RFC
  /// 1112 section 4), link-local and IPv4-mapped space (RFC 4291 section 2.5.5.2). Such NLRI are ignored (RFC 4271
  /// section 6.3: semantically incorrect prefixes).
  @inlinable public func isMartian(_ family: Family) -> Bool {
    switch family.addressFamily {
    case .ipv4:
      let top = UInt8(truncatingIfNeeded: high >> 56)
      return length >= 4 && (top >> 4 >= 14 || (top == 127 && length >= 8))
    case .ipv6:
      return (length >= 8 && high >> 56 == 0xFF) || (length >= 10 && high >> 54 == 0x3FA)
        || (length >= 96 && high == 0 && (low >> 32 == 0xFFFF || (length == 128 && low <= 1)))
    }
  }
}

/// Reads NLRI (RFC 4271 section 4.3: a length in bits, then that many bits in whole octets).
@frozen public struct NLRIReader {
  @usableFromInline var cursor: UnsafeRawPointer?
  @usableFromInline var remaining: Int
  @usableFromInline let bits: Int

  /// - Parameter bytes: stays valid while the reader is used; checked by `NLRIReader.count` before.
  @inlinable public init(_ bytes: UnsafeRawBufferPointer, _ family: Family) {
    cursor = bytes.baseAddress
    remaining = bytes.count
    bits = family.bits
  }

  /// The next prefix, host bits cleared; nil at the end, or where the bytes stop being NLRI.
  @inlinable public mutating func next() -> PrefixKey? {
    guard remaining > 0, let start = cursor else { return nil }
    let length = Int(start.load(as: UInt8.self))
    let octets = (length + 7) >> 3
    guard length <= bits, octets < remaining else {
      remaining = 0
      return nil
    }
    cursor = start + 1 + octets
    remaining -= 1 + octets
    var high: UInt64 = 0
    var low: UInt64 = 0
    for index in 0..<octets {
      let octet = UInt64((start + 1 + index).load(as: UInt8.self))
      if index < 8 { high |= octet << UInt64(56 - 8 * index) } else { low |= octet << UInt64(120 - 8 * index) }
    }
    if length <= 64 {
      high &= length == 0 ? 0 : UInt64.max << UInt64(64 - length)
    } else {
      low &= UInt64.max << UInt64(128 - length)
    }
    return PrefixKey(high: high, low: low, length: UInt8(truncatingIfNeeded: length))
  }

  /// How many prefixes there are; nil when the field is syntactically incorrect (RFC 7606 section 5.3).
  @inlinable public static func count(_ bytes: UnsafeRawBufferPointer, _ family: Family) -> Int? {
    var offset = 0
    var count = 0
    while offset < bytes.count {
      let length = Int(bytes[offset])
      guard length <= family.bits else { return nil }
      offset += 1 + (length + 7) >> 3
      count += 1
    }
    return offset == bytes.count ? count : nil
  }
}

extension PrefixKey {
  /// Octets in NLRI form.
  @inlinable public var encodedCount: Int { 1 + (Int(length) + 7) >> 3 }

  /// Writes NLRI form to `target`, which has room for 17 octets. Returns how many count.
  @inlinable public func encode(to target: UnsafeMutableRawPointer) -> Int {
    target.storeBytes(of: length, as: UInt8.self)
    (target + 1).storeBytes(of: high.bigEndian, as: UInt64.self)
    if length > 64 { (target + 9).storeBytes(of: low.bigEndian, as: UInt64.self) }
    return encodedCount
  }
}
