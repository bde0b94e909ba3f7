public import NetTypes
public import Netlink

/// The routes that BGP next hops resolve through: connected, static, computed inside the AS; never BGP's own.
public struct Underlay: Hashable, Sendable {
  /// Where packets leave: what the kernel is told.
  public struct Path: Hashable, Sendable {
    /// nil only inside the underlay: the destination is on the link.
    public var gateway: IPAddress?
    /// nil only inside the underlay: to be looked up by gateway.
    public var link: InterfaceIndex?
    public var weight: UInt32

    public init(gateway: IPAddress?, link: InterfaceIndex?, weight: UInt32 = 1) {
      self.gateway = gateway
      self.link = link
      self.weight = weight
    }
  }

  /// By length, then by prefix: a lookup asks the longest length first. Empty paths: reject (unreachable, blackhole).
  private var byLength: [AddressFamily: [UInt8: [IPPrefix: [Path]]]] = [:]

  public init() {}

  /// Sets what packets to a prefix do. No paths: they are refused, and no shorter route is asked.
  public mutating func set(_ prefix: IPPrefix, _ paths: [Path]) {
    byLength[prefix.family, default: [:]][prefix.length, default: [:]][prefix] = paths
  }

  public mutating func remove(_ prefix: IPPrefix) {
    byLength[prefix.family]?[prefix.length]?[prefix] = nil
  }

  /// The longest prefix that covers an address, and its paths; nil: no route.
  public func lookup(_ address: IPAddress) -> (prefix: IPPrefix, paths: [Path])? {
    guard let lengths = byLength[address.family] else { return nil }
    for (length, routes) in lengths.sorted(by: { $0.key > $1.key }) {
      if let prefix = IPPrefix(address, length: Int(length)), let paths = routes[prefix] { return (prefix, paths) }
    }
    return nil
  }

  /// How packets reach a next hop: gateways on links, none when it cannot be reached. A route via a gateway without a
  /// link is followed (RFC 4271 section 5.1.3 calls it recursive lookup), a few steps at most so that a loop ends.
  public func resolve(_ nextHop: IPAddress) -> [Path] { resolve(nextHop, steps: 8) }

  private func resolve(_ nextHop: IPAddress, steps: Int) -> [Path] {
    guard steps > 0, let found = lookup(nextHop) else { return [] }
    var resolved: [Path] = []
    for path in found.paths {
      switch (path.gateway, path.link) {
      case (nil, let link?): resolved.append(Path(gateway: nextHop, link: link, weight: path.weight))
      case (_?, _?): resolved.append(path)
      case (let gateway?, nil) where gateway != nextHop:
        for step in resolve(gateway, steps: steps - 1) {
          resolved.append(Path(gateway: step.gateway, link: step.link, weight: max(1, step.weight * path.weight)))
        }
      default: break
      }
    }
    return resolved
  }
}
