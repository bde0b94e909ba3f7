import NetTypes

// Typed reading of trees that `ShapeChecker` has seen. A value that does not parse has been reported there and reads
// as absent.
extension Tree {
  func text(_ key: String) -> String? {
    guard let value = self[key], !value.isAbsent else { return nil }
    return value.text
  }

  func bool(_ key: String) -> Bool? {
    switch text(key) {
    case "true": true
    case "false": false
    default: nil
    }
  }

  func number(_ key: String) -> UInt32? { text(key).flatMap { UInt32($0) } }

  func asn(_ key: String) -> ASNumber? {
    guard let asn = text(key).flatMap({ ASNumber(text: $0) }), !asn.isReserved else { return nil }
    return asn
  }

  func items(_ key: String) -> [Tree] { self[key]?.list ?? [] }

  func texts(_ key: String) -> [String] { items(key).compactMap(\.text) }

  /// Scalars of a key that takes one or a list.
  func oneOrMore(_ key: String) -> [Tree] {
    guard let value = self[key] else { return [] }
    if case .list(let items) = value.content { return items }
    return [value]
  }

  func prefixes(_ key: String) -> [IPPrefix] { texts(key).compactMap { IPPrefix($0) } }

  func families(_ key: String) -> [AddressFamily]? {
    guard let value = self[key] else { return nil }
    return value.list.compactMap { $0.text.flatMap(AddressFamily.init(word:)) }
  }

  /// An address that an interface can have; others have been reported.
  var interfaceAddress: InterfaceAddress? {
    guard let text, ScalarForm.interfaceAddress.check(text) == nil else { return nil }
    return InterfaceAddress(text)
  }

  func place(of key: String) -> Place { self[key]?.place ?? place }
}

extension AddressFamily {
  init?(word: String) {
    switch word {
    case "ipv4": self = .ipv4
    case "ipv6": self = .ipv6
    default: return nil
    }
  }

  /// As files and session keys write it.
  var word: String { self == .ipv4 ? "ipv4" : "ipv6" }

  /// For messages.
  var title: String { self == .ipv4 ? "IPv4" : "IPv6" }
}
