import NetTypes

extension ScalarForm {
  static let asn = ScalarForm(
    "an AS number from 1 to 4294967294, plain or dotted (64512 or 1.10)",
    schema: .anyOf([.integer(1...4_294_967_294), .fraction, .text("^[0-9]+(\\.[0-9]+)?$")])
  ) { text in
    guard let asn = ASNumber(text: text) else {
      if text.lowercased().hasPrefix("as") { return .because("write the number alone") }
      return text.utf8.allSatisfy({ (48...57).contains($0) }) && !text.isEmpty ? .because("more than 32 bits") : .plain
    }
    switch asn.rawValue {
    case 0: return .because("AS 0 is reserved (RFC 7607)")
    case 23456: return .because("AS 23456 is AS_TRANS (RFC 6793)")
    case 65535, UInt32.max: return .because("reserved (RFC 7300)")
    default: return nil
    }
  }

  static let ipv4Address = parsed(
    "an IPv4 address", schema: .text("^[0-9]{1,3}(\\.[0-9]{1,3}){3}$"), { IPv4Address($0) })

  private static let addressPattern = "([0-9]{1,3}(\\.[0-9]{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)"

  static let address = ScalarForm("an IPv4 or IPv6 address", schema: .text("^\(addressPattern)$")) { text in
    if IPAddress(text) != nil { return nil }
    if text.contains("%") { return .because("zones are not used here") }
    return text.contains("/") ? .because("an address has no length") : .plain
  }

  /// A network: host bits clear.
  static let prefix = ScalarForm(
    "a prefix such as 203.0.113.0/24 or 2001:db8::/32", schema: .text("^\(addressPattern)/[0-9]{1,3}$")
  ) { text in
    if IPPrefix(text) != nil { return nil }
    if let address = InterfaceAddress(text) { return .because("host bits are set, the network is \(address.prefix)") }
    if text == "default" { return .because("write 0.0.0.0/0 or ::/0") }
    return lengthProblem(text)
  }

  /// An address on an interface, with the length of its subnet.
  static let interfaceAddress = ScalarForm(
    "an address with its length, such as 192.0.2.1/24 or 2001:db8::1/64",
    schema: .text("^\(addressPattern)/[0-9]{1,3}$")
  ) { text in
    guard let address = InterfaceAddress(text) else { return lengthProblem(text) }
    return unusable(address).map { .because($0) }
  }

  static let loopback = ScalarForm(
    "an address of a loopback, such as 10.255.0.1/32 or 2001:db8::1/128",
    schema: .text("^\(addressPattern)/(32|128)$")
  ) { text in
    guard let address = InterfaceAddress(text) else { return lengthProblem(text) }
    if Int(address.length) != address.address.family.bits {
      return .because("a loopback is one address, /\(address.address.family.bits)")
    }
    return unusable(address).map { .because($0) }
  }

  private static func lengthProblem(_ text: String) -> Problem {
    guard let slash = text.firstIndex(of: "/") else {
      return IPAddress(text) == nil ? .plain : .because("the length is missing")
    }
    guard let address = IPAddress(text[..<slash]) else { return .plain }
    return .because("the length must be 0 to \(address.family.bits)")
  }

  /// Why no neighbor takes a route to it; nil: it does.
  static func unroutable(_ prefix: IPPrefix) -> String? {
    let address = prefix.address
    if address.isMulticast { return "multicast addresses" }
    if address.isLoopback { return "addresses of the host itself (loopback)" }
    if address.isLinkLocal, address.family == .ipv6 { return "link-local addresses" }
    if case .v4(let v4) = address, v4.isReserved { return "reserved addresses" }
    return nil
  }

  /// Why no interface can have it; nil: it can.
  private static func unusable(_ interface: InterfaceAddress) -> String? {
    let address = interface.address
    if address.isUnspecified { return "the unspecified address" }
    if address.isMulticast { return "a multicast address" }
    if address.isLoopback { return "an address of the host itself (loopback)" }
    if address.isLinkLocal, address.family == .ipv6 { return "link-local addresses are made by the kernel" }
    guard case .v4(let v4) = address else { return nil }
    if v4.isReserved || v4.rawValue >> 24 == 0 { return "a reserved address" }
    guard interface.length <= 30 else { return nil }
    let host = UInt32.max >> UInt32(interface.length)
    if v4.rawValue & host == 0 { return "the network's own address, no host can have it" }
    if v4.rawValue & host == host { return "the broadcast address of \(interface.prefix)" }
    return nil
  }
}
