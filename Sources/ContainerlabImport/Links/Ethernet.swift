internal import NetTypes

/// What bridges that are linked with each other make: every port on it sees every other.
struct Ethernet {
  struct Port: Hashable {
    var link: Int
    var side: Int
  }

  /// Ends that are no bridges, in the order of the file.
  var ports: [Port] = []

  static func find(in links: [ImportedLink]) -> [Ethernet] {
    var roots: [String: String] = [:]
    func root(_ name: String) -> String {
      var name = name
      while let above = roots[name], above != name { name = above }
      return name
    }
    for link in links where link.ends.allSatisfy({ $0.node.kind == .switch }) {
      roots[root(link.b.node.name)] = root(link.a.node.name)
    }
    var indexes: [String: Int] = [:]
    var ethernets: [Ethernet] = []
    for (index, link) in links.enumerated() {
      let ends = link.ends
      for side in 0...1 where ends[side].node.kind != .switch && ends[1 - side].node.kind == .switch {
        let name = root(ends[1 - side].node.name)
        if indexes[name] == nil {
          indexes[name] = ethernets.count
          ethernets.append(Ethernet())
        }
        if let position = indexes[name] { ethernets[position].ports.append(Port(link: index, side: side)) }
      }
    }
    return ethernets
  }
}

extension IPPrefix {
  /// The first of its addresses that a host can have and nobody has; fewer where there are no more.
  func hosts(_ count: Int, except used: Set<IPAddress> = []) -> [InterfaceAddress] {
    let size = min(family.bits - Int(length), 16)
    var bytes = address.bytes
    let base = bytes.suffix(2).reduce(0) { $0 << 8 | Int($1) }
    var found: [InterfaceAddress] = []
    // The first of an IPv6 subnet is every router's (RFC 4291 section 2.6.1), of an IPv4 subnet nobody's.
    for offset in (size > 1 ? 1 : 0)..<(1 << size) where found.count < count {
      bytes[bytes.count - 2] = UInt8((base + offset) >> 8)
      bytes[bytes.count - 1] = UInt8((base + offset) & 0xFF)
      guard let address = IPAddress(bytes: bytes), !used.contains(address),
        let host = InterfaceAddress(address, length: Int(length)), host.isUsable
      else { continue }
      found.append(host)
    }
    return found
  }
}

extension InterfaceAddress {
  /// Why no interface of a topology can have it; nil: it can.
  var unusable: String? {
    if address.isUnspecified { return "it is the unspecified address" }
    if address.isMulticast { return "it is a multicast address" }
    if address.isLoopback { return "it is an address of the host itself" }
    if address.isLinkLocal, address.family == .ipv6 { return "it is link-local" }
    guard case .v4(let v4) = address else { return nil }
    if v4.isReserved || v4.rawValue >> 24 == 0 { return "it is a reserved address" }
    guard length <= 30 else { return nil }
    let host = UInt32.max >> UInt32(length)
    if v4.rawValue & host == 0 { return "it is the network's own address" }
    return v4.rawValue & host == host ? "it is the subnet's broadcast address" : nil
  }

  var isUsable: Bool { unusable == nil }
}
