import NetTypes

extension LabResolver {
  /// Checks what is written, gives out the rest, and then looks at every node as a whole.
  func assignAddresses() {
    for index in links.indices { checkWritten(index) }
    var allocator = AddressAllocator(tree["addressing"], families, reporter)
    for link in links {
      for address in link.a.addresses + link.b.addresses { allocator.exclude(address.value.prefix) }
    }
    for node in nodes {
      for address in node.loopbacks { allocator.exclude(address.value.prefix) }
      for prefix in node.networks { allocator.excludeNetwork(prefix) }
    }
    for index in segments.indices { chooseSubnets(of: index, &allocator) }
    for index in links.indices where links[index].segment == nil { assignPointToPoint(index, &allocator) }
    assignLoopbacks(&allocator)
    assignRouterIDs()
    checkLoopbacks()
    for index in nodes.indices where !isSwitch(index) { checkNode(index) }
    checkStations()
  }

  private func checkWritten(_ index: Int) {
    let link = links[index]
    for end in [link.a, link.b] {
      let name = nodes[end.node].name
      for address in end.addresses {
        if isSwitch(end.node) {
          reporter.error(
            address.place,
            "`\(address.value)` on a port of the switch `\(name)`; expected none, a bridge port has no address")
        } else if !families.contains(address.value.address.family) {
          reporter.error(address.place, "`\(address.value)` in a lab without \(address.value.address.family.title)")
        }
      }
      if nodes[end.node].kind?.isDaemon == true, end.addresses.isEmpty, !listIsBroken(link) {
        reporter.error(
          link.place,
          "the link of `\(name)` has no `addresses`; a real daemon's own file names them, so they are written")
      }
    }
    if let mtu = link.tree.number("mtu"), mtu < 1280, families.contains(.ipv6) {
      // RFC 8200 section 5
      reporter.error(
        link.tree.place(of: "mtu"), "mtu: `\(mtu)`; IPv6 needs at least 1280 (or `addressing: {ipv6: false}`)")
    }
  }

  /// Addresses were written and some did not parse: that has been said.
  private func listIsBroken(_ link: LinkDraft) -> Bool {
    guard let addresses = link.tree["addresses"] else { return false }
    return addresses.list.count != 2
      || addresses.list.contains { $0.list.contains { $0.interfaceAddress == nil } }
  }

  private func assignPointToPoint(_ index: Int, _ allocator: inout AddressAllocator) {
    for family in families {
      let a = links[index].a.address(family)
      let b = links[index].b.address(family)
      switch (a, b) {
      case (nil, nil):
        guard !listIsBroken(links[index]),
          let subnet = allocator.pointToPoint(family, at: links[index].place)
        else { continue }
        for (side, host) in [(LinkSide.a, 0), (.b, 1)] {
          guard let value = InterfaceAddress(subnet.address.advanced(by: host), length: Int(subnet.length)) else {
            continue
          }
          links[index][side].addresses.append(PlacedAddress(value: value, place: links[index].place))
        }
      case (let one?, nil), (nil, let one?):
        guard !listIsBroken(links[index]) else { continue }
        let (with, without) = a == nil ? (links[index].b, links[index].a) : (links[index].a, links[index].b)
        reporter.error(
          with.addresses.first { $0.value == one }?.place ?? links[index].place,
          "`\(one)` on `\(nodes[with.node].name)`, and no \(family.title) address on "
            + "`\(nodes[without.node].name)`; expected both or neither"
        )
      case (let a?, let b?) where a.prefix != b.prefix:
        reporter.error(
          links[index].b.addresses.first { $0.value == b }?.place ?? links[index].place,
          "the ends stand in different subnets, \(a.prefix) and \(b.prefix); expected one")
      default: break
      }
    }
  }

  /// The subnet of a switched segment is the one that is written, or the next of the pool; stations without an
  /// address get the next free one in it.
  private func chooseSubnets(of index: Int, _ allocator: inout AddressAllocator) {
    let members = segments[index].members
    guard !members.isEmpty else { return }
    for family in families {
      var subnet: IPPrefix?
      var used: Set<IPAddress> = []
      for member in members {
        guard let placed = end(member).addresses.first(where: { $0.value.address.family == family }) else { continue }
        used.insert(placed.value.address)
        if let subnet, subnet != placed.value.prefix {
          reporter.error(
            placed.place, "`\(placed.value)` on a switch whose other stations are in \(subnet); expected one subnet")
        }
        subnet = subnet ?? placed.value.prefix
      }
      let place = nodes[segments[index].switches[0]].place
      guard let chosen = subnet ?? allocator.segment(family, at: place) else { continue }
      segments[index].subnets[family] = chosen
      var host = 0
      for member in members where end(member).address(family) == nil && !listIsBroken(links[member.link]) {
        guard let address = nextHost(in: chosen, after: &host, used: used),
          let value = InterfaceAddress(address, length: Int(chosen.length))
        else {
          reporter.error(links[member.link].place, "\(chosen) has no address left for this station of the switch")
          break
        }
        links[member.link][member.side].addresses.append(PlacedAddress(value: value, place: links[member.link].place))
      }
    }
  }

  /// Not the network's own address, nor (IPv4) the broadcast address.
  private func nextHost(in subnet: IPPrefix, after host: inout Int, used: Set<IPAddress>) -> IPAddress? {
    let reserved: UInt128 = subnet.family == .ipv4 ? 1 : 0
    let last = subnet.range.upperBound - min(reserved, subnet.range.upperBound - subnet.range.lowerBound)
    while true {
      host += 1
      let address = subnet.address.advanced(by: host)
      guard address.number <= last else { return nil }
      if !used.contains(address) { return address }
    }
  }

  private func assignLoopbacks(_ allocator: inout AddressAllocator) {
    for index in nodes.indices where nodes[index].kind == .router {
      for family in families where nodes[index].loopback(family) == nil {
        guard let prefix = allocator.loopback(family, at: nodes[index].place),
          let value = InterfaceAddress(prefix.address, length: family.bits)
        else { continue }
        nodes[index].loopbacks.append(PlacedAddress(value: value, place: nodes[index].place))
      }
    }
  }

  private func checkLoopbacks() {
    var owners: [IPAddress: Int] = [:]
    for (index, node) in nodes.enumerated() {
      for loopback in node.loopbacks {
        guard let other = owners.updateValue(index, forKey: loopback.value.address), other != index else { continue }
        reporter.error(
          loopback.place,
          "loopback \(loopback.value.address) is already that of `\(nodes[other].name)`; expected one of its own")
      }
    }
  }

  /// One address twice, or overlapping subnets on two links.
  private func checkNode(_ index: Int) {
    var owners: [IPAddress: Place] = [:]
    func claim(_ address: PlacedAddress) {
      if let first = owners.updateValue(address.place, forKey: address.value.address) {
        reporter.error(
          max(first, address.place),
          "address \(address.value.address) stands twice on `\(nodes[index].name)` "
            + "(also in line \(min(first, address.place).line))"
        )
      }
    }
    nodes[index].loopbacks.forEach(claim)
    var subnets: [(range: ClosedRange<UInt128>, family: AddressFamily, link: Int, place: Place, prefix: IPPrefix)] = []
    for id in nodes[index].interfaces {
      for address in end(id).addresses {
        claim(address)
        let prefix = address.value.prefix
        subnets.append((prefix.range, prefix.family, id.link, address.place, prefix))
      }
      checkFarEnd(id)
    }
    subnets.sort {
      ($0.family.rawValue, $0.range.lowerBound, $0.link) < ($1.family.rawValue, $1.range.lowerBound, $1.link)
    }
    for (one, two) in zip(subnets, subnets.dropFirst())
    where one.family == two.family && one.link != two.link && one.range.overlaps(two.range) {
      reporter.error(
        max(one.place, two.place),
        "subnets of two links of `\(nodes[index].name)` overlap: "
          + "\(one.prefix) and \(two.prefix) (line \(min(one.place, two.place).line))"
      )
    }
  }

  /// One address on both ends of a link, or on two stations of a switch; said once, at the later place.
  private func checkFarEnd(_ id: EndID) {
    guard links[id.link].segment == nil else { return }
    guard id.side == .b else { return }
    let far = Set(end(id.far).addresses.map(\.value.address))
    for address in end(id).addresses where far.contains(address.value.address) {
      reporter.error(
        address.place, "address \(address.value.address) stands on both ends of the link; expected two addresses")
    }
  }

  private func checkStations() {
    for segment in segments {
      var owners: [IPAddress: EndID] = [:]
      for member in segment.members {
        for address in end(member).addresses {
          if let other = owners.updateValue(member, forKey: address.value.address), other != member {
            reporter.error(
              address.place, "address \(address.value.address) is already that of `\(name(other))` on the same switch")
          }
        }
      }
    }
  }
}

/// The pools of `addressing:`.
struct AddressAllocator {
  private var linkPools: [AddressFamily: AddressPool] = [:]
  private var loopbackPools: [AddressFamily: AddressPool] = [:]
  private var empty: Set<IPPrefix> = []
  private let reporter: Reporter

  private static let defaultLinks = ["10.0.0.0/16", "fd00:10::/32"]
  private static let defaultLoopbacks = ["10.255.0.0/16", "fd00:10:ffff::/48"]

  init(_ tree: Tree?, _ families: [AddressFamily], _ reporter: Reporter) {
    self.reporter = reporter
    linkPools = Self.pools(tree, "links", Self.defaultLinks, reporter)
    loopbackPools = Self.pools(tree, "loopbacks", Self.defaultLoopbacks, reporter)
    // The default pool of links holds that of loopbacks in IPv6.
    for pool in loopbackPools.values {
      if let links = linkPools[pool.pool.family], links.pool != pool.pool, links.pool.contains(pool.pool) {
        linkPools[pool.pool.family]?.exclude(pool.pool)
      }
    }
  }

  private static func pools(
    _ tree: Tree?, _ key: String, _ defaults: [String], _ reporter: Reporter
  ) -> [AddressFamily: AddressPool] {
    var pools: [AddressFamily: AddressPool] = [:]
    for prefix in defaults.compactMap({ IPPrefix($0) }) { pools[prefix.family] = AddressPool(prefix) }
    var written: Set<AddressFamily> = []
    for item in tree?.items(key) ?? [] {
      guard let prefix = item.text.flatMap({ IPPrefix($0) }) else { continue }
      if !written.insert(prefix.family).inserted {
        reporter.error(item.place, "a second \(prefix.family.title) pool in `\(key)`; expected one per family")
      }
      pools[prefix.family] = AddressPool(prefix)
    }
    return pools
  }

  mutating func exclude(_ prefix: IPPrefix) {
    linkPools[prefix.family]?.exclude(prefix)
    loopbackPools[prefix.family]?.exclude(prefix)
  }

  /// An originated prefix: nobody else's links stand inside it, but one as wide as the pool (a default route) does
  /// not use the pool up.
  mutating func excludeNetwork(_ prefix: IPPrefix) {
    linkPools[prefix.family]?.exclude(prefix, wholePoolCounts: false)
    loopbackPools[prefix.family]?.exclude(prefix, wholePoolCounts: false)
  }

  /// /31 (RFC 3021) or /127 (RFC 6164).
  mutating func pointToPoint(_ family: AddressFamily, at place: Place) -> IPPrefix? {
    fromLinks(family, length: family.bits - 1, "links", place)
  }

  /// /24 or /64.
  mutating func segment(_ family: AddressFamily, at place: Place) -> IPPrefix? {
    fromLinks(family, length: family == .ipv4 ? 24 : 64, "links", place)
  }

  private mutating func fromLinks(_ family: AddressFamily, length: Int, _ key: String, _ place: Place) -> IPPrefix? {
    guard let subnet = linkPools[family]?.next(length: length) else {
      exhausted(linkPools[family], length, "addressing.links", place)
      return nil
    }
    loopbackPools[family]?.exclude(subnet)
    return subnet
  }

  mutating func loopback(_ family: AddressFamily, at place: Place) -> IPPrefix? {
    guard let prefix = loopbackPools[family]?.next(length: family.bits) else {
      exhausted(loopbackPools[family], family.bits, "addressing.loopbacks", place)
      return nil
    }
    return prefix
  }

  private mutating func exhausted(_ pool: AddressPool?, _ length: Int, _ key: String, _ place: Place) {
    // Said once per pool: what follows from it would fill the screen.
    guard let pool, empty.insert(pool.pool).inserted else { return }
    reporter.error(place, "no /\(length) is left in \(pool.pool); expected a larger pool in `\(key)`")
  }
}
