internal import NetTypes
internal import NorthboundAPI
internal import Topology

/// Between which addresses a trace runs: FROM and TO as people name them, made into a family and two addresses.
struct Endpoints: Sendable, Equatable {
  var from: String
  /// "" when no node of the lab owns the destination.
  var to: String
  /// nil: the kernel's choice.
  var source: IPAddress?
  var destination: IPAddress

  /// `to`: a node, NODE:IFACE or an address. `family` as written, nil: IPv4 where both ends have it.
  /// Throws `APIError` `not-found` or `invalid`.
  init(from: ResolvedNode, to: String, family: AddressFamily?, lab: ResolvedLab, book: AddressBook) throws {
    self.from = from.name
    if let address = IPAddress(to) {
      if let family, family != address.family {
        throw APIError(code: "invalid", message: "\(to) is no \(family.word) address")
      }
      destination = address
      self.to = book.owner(of: address, from: from.name) ?? ""
    } else {
      let parts = to.split(separator: ":", maxSplits: 1).map(String.init)
      guard let name = parts.first, let node = lab.node(name) else {
        let hint = nearestName(to: parts.first ?? to, in: lab.nodes.map(\.name)).map { "; did you mean \($0)?" } ?? ""
        throw APIError(code: "not-found", message: "lab \(lab.name) has no node \(parts.first ?? to)\(hint)")
      }
      let interface = parts.count == 2 ? parts[1] : nil
      destination = try Self.destination(node, interface, family, from)
      self.to = node.name
    }
    source = Self.source(from, toward: destination)
  }

  private static func destination(
    _ node: ResolvedNode, _ interface: String?, _ family: AddressFamily?, _ from: ResolvedNode
  ) throws -> IPAddress {
    if let interface, !node.interfaces.contains(where: { $0.name == interface }) {
      throw APIError(code: "not-found", message: "\(node.name) has no interface \(interface)")
    }
    let wanted = family.map { [$0] } ?? [.ipv4, .ipv6]
    for family in wanted where node.hasFamily(family) && (wanted.count == 1 || from.hasFamily(family)) {
      if let interface {
        if let address = node.interfaces.first(where: { $0.name == interface })?.address(family) { return address }
      } else if let address = node.contactAddress(family) {
        return address
      }
    }
    let asked = family.map { " \($0.word)" } ?? ""
    throw APIError(code: "invalid", message: "\(node.name) has no\(asked) address that \(from.name) could reach")
  }

  /// A router's own choice would be the outgoing link's address, which no other AS knows a way back to.
  private static func source(_ from: ResolvedNode, toward destination: IPAddress) -> IPAddress? {
    guard from.kind.forwards else { return nil }
    let onLink = from.interfaces.contains { $0.addresses.contains { $0.prefix.contains(destination) } }
    return onLink ? nil : from.originatedAddress(destination.family)
  }
}

extension ResolvedNode {
  func hasFamily(_ family: AddressFamily) -> Bool {
    loopback(family) != nil || interfaces.contains { $0.address(family) != nil }
  }

  /// All addresses, loopbacks first.
  var addresses: [IPAddress] {
    loopbacks.map(\.address) + interfaces.flatMap { $0.addresses.map(\.address) }
  }

  /// One that its own `networks` cover: other ASes have a route to it.
  func originatedAddress(_ family: AddressFamily) -> IPAddress? {
    addresses.first { address in address.family == family && networks.contains { $0.contains(address) } }
  }

  var isKnownOutside: Bool { originatedAddress(.ipv4) != nil || originatedAddress(.ipv6) != nil }

  /// Where to reach it: a host by its first interface, a router where others have a route to, else by its loopback.
  func contactAddress(_ family: AddressFamily) -> IPAddress? {
    let onInterface = interfaces.lazy.compactMap { $0.address(family) }.first
    guard kind.forwards else { return onInterface ?? loopback(family) }
    return originatedAddress(family) ?? loopback(family) ?? onInterface
  }
}

extension AddressFamily {
  /// ipv4 | ipv6
  var word: String { self == .ipv4 ? "ipv4" : "ipv6" }
}
