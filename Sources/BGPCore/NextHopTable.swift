import NetTypes

/// The next hops that paths name, each resolved once through the underlay: connected, static and controller-computed
/// routes, never BGP's own and never a default route (a default would make every next hop look reachable, and hide the
/// loss of the route that mattered).
struct NextHopTable {
  struct Entry {
    var address: IPAddress
    var references: UInt32
    var isReachable: Bool
    /// Of the underlay route that covers it.
    var cost: UInt32
  }

  /// Index 0: no next hop, as originated routes have.
  private(set) var entries: [Entry] = [
    Entry(address: .v4(IPv4Address(rawValue: 0)), references: 1, isReachable: true, cost: 0)
  ]
  private var index: [IPAddress: UInt32] = [:]
  private var free: [UInt32] = []
  private var underlay = Underlay()
  /// Of the interfaces.
  private var ownAddresses: Set<IPAddress> = []
  /// Those that sessions stand on or write as next hop, and how many do. All that is known without a view of the kernel.
  private var sessionAddresses: [IPAddress: Int] = [:]
  private let assumesReachable: Bool

  init(assumesReachable: Bool) { self.assumesReachable = assumesReachable }

  subscript(id: UInt32) -> Entry { entries[Int(id)] }

  /// The id of an address, with one reference more.
  mutating func retain(_ address: IPAddress) -> UInt32 {
    if let id = index[address] {
      entries[Int(id)].references += 1
      return id
    }
    let (isReachable, cost) = resolve(address)
    let entry = Entry(address: address, references: 1, isReachable: isReachable, cost: cost)
    let id: UInt32
    if let reused = free.popLast() {
      id = reused
      entries[Int(id)] = entry
    } else {
      id = UInt32(entries.count)
      entries.append(entry)
    }
    index[address] = id
    return id
  }

  mutating func release(_ id: UInt32) {
    guard id != 0 else { return }
    entries[Int(id)].references -= 1
    guard entries[Int(id)].references == 0 else { return }
    index[entries[Int(id)].address] = nil
    free.append(id)
  }

  /// - Returns: which next hops in use changed, by id; and whether our subnets did.
  mutating func setUnderlay(
    _ routes: [UnderlayRoute], ownAddresses: [IPAddress]
  ) -> (nextHops: [Bool], subnets: Bool) {
    let old = underlay.subnets
    underlay = Underlay(routes)
    self.ownAddresses = Set(ownAddresses)
    var changed = [Bool](repeating: false, count: entries.count)
    for (address, id) in index { changed[Int(id)] = resolveAgain(address, id) }
    return (changed, underlay.subnets != old)
  }

  /// A session's own addresses are others now.
  /// - Returns: which next hops in use changed, by id; empty: none.
  mutating func replaceSessionAddresses(_ old: [IPAddress], with new: [IPAddress]) -> [Bool] {
    for address in new { sessionAddresses[address, default: 0] += 1 }
    for address in old {
      let count = sessionAddresses[address, default: 1] - 1
      sessionAddresses[address] = count > 0 ? count : nil
    }
    var changed: [Bool] = []
    for address in old + new {
      guard let id = index[address], resolveAgain(address, id) else { continue }
      if changed.isEmpty { changed = [Bool](repeating: false, count: entries.count) }
      changed[Int(id)] = true
    }
    return changed
  }

  /// - Returns: whether it resolves otherwise than before.
  private mutating func resolveAgain(_ address: IPAddress, _ id: UInt32) -> Bool {
    let (isReachable, cost) = resolve(address)
    let old = entries[Int(id)]
    guard old.isReachable != isReachable || old.cost != cost else { return false }
    entries[Int(id)].isReachable = isReachable
    entries[Int(id)].cost = cost
    return true
  }

  private func resolve(_ address: IPAddress) -> (isReachable: Bool, cost: UInt32) {
    // RFC 4271 section 6.3: a next hop must not be the receiver's own address.
    if ownAddresses.contains(address) || sessionAddresses[address] != nil { return (false, 0) }
    if assumesReachable { return (true, 0) }
    guard let route = underlay.longestMatch(address), route.hasHost(address) else { return (false, 0) }
    return (true, route.cost)
  }

  /// One subnet of ours holds both: then a third party's next hop may be told to the other (RFC 4271 section 5.1.3).
  func shareSubnet(_ a: IPAddress, _ b: IPAddress) -> Bool {
    guard let route = underlay.longestMatch(a), route.onLink else { return false }
    return route.prefix.contains(b)
  }
}

extension UnderlayRoute {
  /// On a subnet of ours the network's own address and the broadcast are nobody's (RFC 1122 section 3.2.1.3), and so no
  /// next hop; a subnet of two or one has neither (RFC 3021 section 2.1).
  fileprivate func hasHost(_ address: IPAddress) -> Bool {
    guard onLink, prefix.length <= 30, case .v4(let host) = address else { return true }
    let mask = UInt32.max >> UInt32(prefix.length)
    return host.rawValue & mask != 0 && host.rawValue & mask != mask
  }
}

/// Longest match over a few thousand routes: one dictionary a length.
struct Underlay {
  private var routes: [IPPrefix: UnderlayRoute] = [:]
  private var lengths4: [Int] = []
  private var lengths6: [Int] = []

  init(_ list: [UnderlayRoute] = []) {
    for route in list where route.prefix.length > 0 {
      if let known = routes[route.prefix], (known.onLink ? 0 : 1, known.cost) <= (route.onLink ? 0 : 1, route.cost) {
        continue
      }
      routes[route.prefix] = route
    }
    let lengths = { (family: AddressFamily) in
      Set(list.filter { $0.prefix.family == family && $0.prefix.length > 0 }.map { Int($0.prefix.length) }).sorted(
        by: >)
    }
    lengths4 = lengths(.ipv4)
    lengths6 = lengths(.ipv6)
  }

  var subnets: Set<IPPrefix> { Set(routes.values.filter(\.onLink).map(\.prefix)) }

  func longestMatch(_ address: IPAddress) -> UnderlayRoute? {
    for length in address.family == .ipv4 ? lengths4 : lengths6 {
      if let prefix = IPPrefix(address, length: length), let route = routes[prefix] { return route }
    }
    return nil
  }
}
