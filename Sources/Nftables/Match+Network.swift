public import NetTypes

// Conditions on the network header.
extension Match {
  /// Which address of the packet.
  enum Side {
    case source
    case destination

    /// Of the address in its header (RFC 791 section 3.1, RFC 8200 section 3).
    func offset(_ family: AddressFamily) -> UInt32 {
      switch (self, family) {
      case (.source, .ipv4): 12
      case (.destination, .ipv4): 16
      case (.source, .ipv6): 8
      case (.destination, .ipv6): 24
      }
    }

    func load(_ family: AddressFamily, _ length: Int? = nil, into register: Register = .first) -> Expression {
      .payload(
        Expression.Payload(
          .networkHeader, at: offset(family), UInt32(length ?? family.bits / 8), .load(into: register)))
    }
  }

  public static func source(_ prefix: IPPrefix) -> Match { address(.source, prefix) }
  public static func destination(_ prefix: IPPrefix) -> Match { address(.destination, prefix) }
  public static func source(_ address: IPAddress) -> Match { source(address...address) }
  public static func destination(_ address: IPAddress) -> Match { destination(address...address) }
  /// - Parameter range: both ends of one family.
  public static func source(_ range: ClosedRange<IPAddress>) -> Match { address(.source, range) }
  public static func destination(_ range: ClosedRange<IPAddress>) -> Match { address(.destination, range) }
  /// - Parameter prefixes: of one family, none inside another.
  public static func source(anyOf prefixes: [IPPrefix]) -> Match { address(.source, prefixes) }
  public static func destination(anyOf prefixes: [IPPrefix]) -> Match { address(.destination, prefixes) }
  /// - Parameter set: of addresses of the family.
  public static func source(in set: String, _ family: AddressFamily) -> Match { address(.source, .named(set), family) }
  public static func destination(in set: String, _ family: AddressFamily) -> Match {
    address(.destination, .named(set), family)
  }

  /// As nft does: whole bytes are compared where the prefix ends between bytes, bits are masked where not.
  private static func address(_ side: Side, _ prefix: IPPrefix) -> Match {
    let bytes = prefix.address.bytes
    let whole = Int(prefix.length) / 8
    guard prefix.length > 0 else { return Match(family: prefix.family, []) }
    if Int(prefix.length) % 8 == 0 {
      return Match(
        family: prefix.family,
        [side.load(prefix.family, whole), .compare(Expression.Compare(Array(bytes[..<whole])))])
    }
    let mask = [UInt8](repeating: 255, count: bytes.count)
    guard let masked = IPAddress(bytes: mask)?.masked(to: Int(prefix.length)) else { return Match([]) }
    return Match(
      family: prefix.family,
      [
        side.load(prefix.family), .bitwise(Expression.Bitwise(mask: masked.bytes)),
        .compare(Expression.Compare(bytes)),
      ])
  }

  private static func address(_ side: Side, _ range: ClosedRange<IPAddress>) -> Match {
    let family = range.lowerBound.family
    precondition(family == range.upperBound.family, "a range of addresses is of one family")
    let (first, last) = (range.lowerBound.bytes, range.upperBound.bytes)
    return Match(
      family: family,
      [side.load(family)] + (first == last ? [.compare(Expression.Compare(first))] : between(first, last)))
  }

  private static func address(_ side: Side, _ prefixes: [IPPrefix]) -> Match {
    guard let family = prefixes.first?.family else { return Match([]) }
    precondition(prefixes.allSatisfy { $0.family == family }, "a set of prefixes is of one family")
    let areAddresses = prefixes.allSatisfy { Int($0.length) == family.bits }
    let elements = prefixes.map { SetElement(SetKey($0.address.bytes, through: $0.last.bytes)) }
    let shape = SetShape([.address(family)], isInterval: !areAddresses)
    return address(side, .inline(SetContents(shape, elements)), family)
  }

  private static func address(_ side: Side, _ set: SetReference, _ family: AddressFamily) -> Match {
    Match(family: family, [side.load(family), .lookup(Expression.Lookup(set))])
  }

  /// Differentiated services code point (RFC 2474): six bits, in the second byte of IPv4 and across the first two of
  /// IPv6.
  public static func dscp(_ codePoint: UInt8, _ family: AddressFamily) -> Match {
    precondition(codePoint < 64, "a DSCP has six bits")
    let field = DSCPField(family)
    return Match(
      family: family,
      [
        .payload(Expression.Payload(.networkHeader, at: field.offset, field.length)),
        .bitwise(Expression.Bitwise(mask: field.mask)),
        .compare(Expression.Compare(field.value(codePoint))),
      ])
  }

  /// Time to live, or IPv6's hop limit.
  public static func timeToLive(_ hops: UInt8, _ family: AddressFamily) -> Match {
    Match(
      family: family,
      [
        .payload(Expression.Payload(.networkHeader, at: family == .ipv4 ? 8 : 7, 1)),
        .compare(Expression.Compare([hops])),
      ])
  }
}

/// Where the DSCP is.
struct DSCPField {
  var offset: UInt32
  var length: UInt32
  var mask: [UInt8]
  private var shift: UInt16

  init(_ family: AddressFamily) {
    switch family {
    case .ipv4: (offset, length, mask, shift) = (1, 1, [0xFC], 2)
    case .ipv6: (offset, length, mask, shift) = (0, 2, [0x0F, 0xC0], 6)
    }
  }

  func value(_ codePoint: UInt8) -> [UInt8] {
    let shifted = UInt16(codePoint) << shift
    return length == 1 ? [UInt8(shifted)] : Datum.port(shifted)
  }
}
