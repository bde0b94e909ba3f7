/// A network: an address whose host bits are all zero, and a length in bits.
public struct IPPrefix: Hashable, Sendable {
  public let address: IPAddress
  public let length: UInt8

  /// Clears the host bits. nil when the length is more than the family has bits.
  public init?(_ address: IPAddress, length: Int) {
    guard (0...address.family.bits).contains(length) else { return nil }
    self.address = address.masked(to: length)
    self.length = UInt8(length)
  }

  /// `address/length` with no host bit set; nil for anything else. `InterfaceAddress` takes host bits.
  public init?(_ text: some StringProtocol) {
    guard let parsed = InterfaceAddress(text), parsed.address.masked(to: Int(parsed.length)) == parsed.address
    else { return nil }
    address = parsed.address
    length = parsed.length
  }

  public var family: AddressFamily { address.family }

  public func contains(_ other: IPAddress) -> Bool {
    other.family == family && other.masked(to: Int(length)) == address
  }

  public func contains(_ other: IPPrefix) -> Bool { other.length >= length && contains(other.address) }

  public func overlaps(_ other: IPPrefix) -> Bool { contains(other) || other.contains(self) }
}

extension IPPrefix: CustomStringConvertible, Comparable {
  public var description: String { "\(address)/\(length)" }

  /// By address, the shorter prefix first.
  public static func < (a: IPPrefix, b: IPPrefix) -> Bool {
    a.address == b.address ? a.length < b.length : a.address < b.address
  }
}

/// An address with the length of the subnet it stands in, as on an interface: host bits may be set.
public struct InterfaceAddress: Hashable, Sendable {
  public var address: IPAddress
  public var length: UInt8

  public init?(_ address: IPAddress, length: Int) {
    guard (0...address.family.bits).contains(length) else { return nil }
    self.address = address
    self.length = UInt8(length)
  }

  /// `address/length`; nil for anything else.
  public init?(_ text: some StringProtocol) {
    guard let slash = text.lastIndex(of: "/"), let address = IPAddress(text[..<slash]) else { return nil }
    let digits = text[text.index(after: slash)...]
    guard (1...3).contains(digits.utf8.count), digits.utf8.allSatisfy({ (48...57).contains($0) }),
      digits.count == 1 || digits.first != "0", let length = Int(digits)
    else { return nil }
    self.init(address, length: length)
  }

  /// The subnet.
  public var prefix: IPPrefix {
    guard let prefix = IPPrefix(address, length: Int(length)) else {
      preconditionFailure("an InterfaceAddress has a length its family allows")
    }
    return prefix
  }
}

extension InterfaceAddress: CustomStringConvertible {
  public var description: String { "\(address)/\(length)" }
}

extension IPAddress {
  /// The address with every bit after the first `length` cleared.
  public func masked(to length: Int) -> IPAddress {
    switch self {
    case .v4(let address):
      .v4(IPv4Address(rawValue: length == 0 ? 0 : address.rawValue & (UInt32.max << UInt32(32 - length))))
    case .v6(let address):
      .v6(
        IPv6Address(
          high: length == 0 ? 0 : address.high & (length >= 64 ? .max : UInt64.max << UInt64(64 - length)),
          low: length <= 64 ? 0 : address.low & (UInt64.max << UInt64(128 - length))))
    }
  }
}
