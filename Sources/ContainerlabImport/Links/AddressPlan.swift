internal import NetTypes
internal import Topology

/// Which of the found addresses a topology can write on its links, and what is written where daemons need one and none
/// was found.
///
/// A link of a topology has per family both ends or neither, in one subnet; subnets of two links of a node do not
/// overlap; an Ethernet of switches has one subnet. Containerlab asks for none of that. What does not fit stays what it
/// was, a command or a line in a daemon's file, and is said; netloom then gives the link addresses of its own, from
/// pools that keep clear of the usual private ones.
struct AddressPlan {
  /// RFC 6598 addresses: laboratories seldom have them.
  static let linkPool = "100.64.0.0/16"
  static let loopbackPool = "100.65.0.0/16"

  private let log: ImportLog
  private(set) var links: [ImportedLink]
  /// Some end has, or gets, an address of that family.
  private(set) var families: Set<AddressFamily> = []
  /// Subnets by node, each of one link.
  private var claims: [String: [IPPrefix]] = [:]
  private var owned: [String: Set<IPAddress>] = [:]
  private var chosen: [[[PlacedAddress]]]
  private var pool = SubnetPool()

  init(_ links: [ImportedLink], nodes: [ImportedNode], _ log: ImportLog) {
    self.log = log
    self.links = links
    chosen = links.map { _ in [[], []] }
    takeLoopbacks(of: nodes)
    for index in links.indices { prepare(index) }
    let ethernets = Ethernet.find(in: links)
    let switched = Set(ethernets.flatMap { $0.ports.map(\.link) })
    for family in [AddressFamily.ipv4, .ipv6] {
      for ethernet in ethernets { plan(ethernet, family) }
      for index in links.indices where !switched.contains(index) && !isTrunk(index) { plan(index, family) }
    }
    for ethernet in ethernets { serveDaemons(on: ethernet) }
    for index in links.indices where !switched.contains(index) && !isTrunk(index) { serveDaemons(on: index) }
    for index in links.indices where chosen[index].contains(where: { !$0.isEmpty }) {
      self.links[index].addresses = chosen[index].map { side in side.map { "\($0.value)" } }
    }
  }

  private func isTrunk(_ index: Int) -> Bool { links[index].ends.allSatisfy { $0.node.kind == .switch } }

  // MARK: Refusals

  /// It stays where it was found.
  private func refuse(_ address: PlacedAddress, on end: LinkEnd, _ why: String) {
    if address.fromCommand {
      log.changed(address.place, "address \(address.value) of `\(end.name)` stays a command: \(why)")
      end.node.restore(address, on: end.interface)
    } else {
      log.changed(address.place, "address \(address.value) of `\(end.name)` stands in its daemon's file only: \(why)")
    }
  }

  /// A loopback address is that of one node; where several have it (anycast), the first writes it.
  private mutating func takeLoopbacks(of nodes: [ImportedNode]) {
    var owners: [IPAddress: String] = [:]
    for node in nodes {
      node.loopbacks = node.loopbacks.filter { address in
        pool.exclude(address.value.prefix)
        if let owner = owners[address.value.address] {
          log.changed(address.place, "address \(address.value) of `\(node.name)` is not written: `\(owner)` has it too")
          if address.fromCommand { node.restore(address, on: "lo") }
          return false
        }
        owners[address.value.address] = node.name
        families.insert(address.value.address.family)
        owned[node.name, default: []].insert(address.value.address)
        return true
      }
    }
  }

  /// Candidates of both ends: each once, those that no interface of a topology can have gone.
  private mutating func prepare(_ index: Int) {
    for end in links[index].ends {
      var kept: [PlacedAddress] = []
      for address in end.node.addresses[end.interface] ?? [] where !kept.contains(where: { $0.value == address.value })
      {
        pool.exclude(address.value.prefix)
        if end.node.kind == .switch {
          log.leftOut(address.place, "address \(address.value) of `\(end.name)`: a switch port has none")
        } else if let why = address.value.unusable {
          refuse(address, on: end, why)
        } else {
          kept.append(address)
        }
      }
      end.node.addresses[end.interface] = kept
    }
  }

  private func candidates(_ end: LinkEnd, _ family: AddressFamily) -> [PlacedAddress] {
    (end.node.addresses[end.interface] ?? []).filter { $0.value.address.family == family }
  }

  /// Why a node cannot have this address with its subnet on one more link.
  private func conflict(_ address: InterfaceAddress, on node: ImportedNode) -> String? {
    if owns(node, address.address) { return "`\(node.name)` has it on another interface" }
    return conflict(address.prefix, on: node)
  }

  private func owns(_ node: ImportedNode, _ address: IPAddress) -> Bool {
    owned[node.name]?.contains(address) ?? false
  }

  private func conflict(_ subnet: IPPrefix, on node: ImportedNode) -> String? {
    claims[node.name]?.first { $0.overlaps(subnet) }.map { "\($0) is on another link of `\(node.name)`" }
  }

  private mutating func take(_ address: PlacedAddress, _ link: Int, _ side: Int) {
    families.insert(address.value.address.family)
    owned[links[link].ends[side].node.name, default: []].insert(address.value.address)
    chosen[link][side].append(address)
  }

  // MARK: Between two nodes

  private mutating func plan(_ index: Int, _ family: AddressFamily) {
    let ends = links[index].ends
    let found = ends.map { candidates($0, family) }
    guard found.contains(where: { !$0.isEmpty }) else { return }
    guard let pair = pair(found, ends) else {
      for side in 0...1 {
        for address in found[side] { refuse(address, on: ends[side], "the two ends share no subnet") }
      }
      return
    }
    if let why = zip(pair, ends).lazy.compactMap({ conflict($0.value, on: $1.node) }).first {
      for side in 0...1 { for address in found[side] { refuse(address, on: ends[side], why) } }
      return
    }
    for side in 0...1 {
      if found[side].isEmpty {
        log.changed(
          pair[side].place,
          "`\(ends[side].name)` had no address and is given \(pair[side].value), beside "
            + "\(pair[1 - side].value)")
      }
      take(pair[side], index, side)
    }
    for side in 0...1 { addOthers(found[side], than: pair[side], index, side) }
    for end in ends { claims[end.node.name, default: []] += subnets(of: index, family) }
  }

  /// One address per end in one subnet; where one end has none, the next of the other's subnet.
  private func pair(_ found: [[PlacedAddress]], _ ends: [LinkEnd]) -> [PlacedAddress]? {
    for a in found[0] {
      if let b = found[1].first(where: { $0.value.prefix == a.value.prefix && $0.value.address != a.value.address }) {
        return [a, b]
      }
    }
    guard let empty = found.firstIndex(where: \.isEmpty) else { return nil }
    for address in found[1 - empty] {
      let used = (owned[ends[empty].node.name] ?? []).union([address.value.address])
      guard let free = address.value.prefix.hosts(1, except: used).first else { continue }
      // A daemon's end that gets an address here has it from netloom.
      let made = PlacedAddress(value: free, place: address.place, fromCommand: true)
      return empty == 0 ? [made, address] : [address, made]
    }
    return nil
  }

  /// Further addresses of an end.
  private mutating func addOthers(_ found: [PlacedAddress], than first: PlacedAddress, _ index: Int, _ side: Int) {
    let end = links[index].ends[side]
    for address in found where address.value != first.value {
      let far = links[index].ends[1 - side]
      if let why = conflict(address.value, on: end.node) {
        refuse(address, on: end, why)
      } else if chosen[index][1 - side].contains(where: { $0.value.address == address.value.address })
        || candidates(far, address.value.address.family).contains(where: { $0.value.address == address.value.address })
      {
        refuse(address, on: end, "the other end has it too")
      } else {
        take(address, index, side)
      }
    }
  }

  private func subnets(of index: Int, _ family: AddressFamily) -> [IPPrefix] {
    chosen[index].joined().map(\.value.prefix).filter { $0.family == family }
  }

  /// A link of a daemon must write addresses.
  private mutating func serveDaemons(on index: Int) {
    let ends = links[index].ends
    guard ends.contains(where: { $0.node.kind.daemon != nil }), chosen[index].allSatisfy(\.isEmpty),
      let subnet = pool.next(length: 31)
    else { return }
    for (side, address) in subnet.hosts(2).enumerated() {
      take(PlacedAddress(value: address, place: links[index].place, fromCommand: true), index, side)
    }
    log.changed(
      links[index].place, "no addresses are known of `\(ends[0].name)` to `\(ends[1].name)`: \(subnet) is given")
  }

  // MARK: On an Ethernet

  private mutating func plan(_ ethernet: Ethernet, _ family: AddressFamily) {
    let stations = ethernet.ports.map { (port: $0, end: links[$0.link].ends[$0.side]) }
    let found = stations.map { candidates($0.end, family) }
    guard let subnet = subnet(found, family) else { return }
    var why: String?
    for station in stations where why == nil { why = conflict(subnet, on: station.end.node) }
    var taken: Set<IPAddress> = []
    var firsts = zip(found, stations).map { addresses, station in
      addresses.first { address in
        address.value.prefix == subnet && !owns(station.end.node, address.value.address)
          && taken.insert(address.value.address).inserted
      }
    }
    if why == nil { why = seat(stations.map(\.end), subnet, taken, &firsts) }
    for (index, station) in stations.enumerated() {
      for address in found[index] where why != nil || firsts[index]?.value != address.value {
        refuse(address, on: station.end, why ?? "the stations of one Ethernet share one subnet, \(subnet), once each")
      }
      guard why == nil else { continue }
      claims[station.end.node.name, default: []].append(subnet)
      if let first = firsts[index] { take(first, station.port.link, station.port.side) }
    }
    if why == nil { families.insert(family) }
  }

  /// The subnet that most stations have; of several the first.
  private func subnet(_ found: [[PlacedAddress]], _ family: AddressFamily) -> IPPrefix? {
    var counts: [(subnet: IPPrefix, count: Int)] = []
    for address in found.joined() {
      if let index = counts.firstIndex(where: { $0.subnet == address.value.prefix }) {
        counts[index].count += 1
      } else {
        counts.append((address.value.prefix, 1))
      }
    }
    let most = counts.map(\.count).max()
    return counts.first { $0.count == most }?.subnet
  }

  /// Stations without an address get the next free one here, so that it is written; nil when all have one.
  private func seat(
    _ ends: [LinkEnd], _ subnet: IPPrefix, _ taken: Set<IPAddress>, _ firsts: inout [PlacedAddress?]
  ) -> String? {
    let empty = firsts.indices.filter { firsts[$0] == nil }
    guard !empty.isEmpty else { return nil }
    // What some node has elsewhere is passed over for all: a subnet that is not that large is not shared either.
    let avoided = ends.reduce(taken) { $0.union(owned[$1.node.name] ?? []) }
    let given = subnet.hosts(empty.count, except: avoided)
    guard given.count == empty.count else { return "\(subnet) has no address for every station of its Ethernet" }
    for (index, address) in zip(empty, given) {
      firsts[index] = PlacedAddress(value: address, place: ends[index].place, fromCommand: true)
      log.changed(ends[index].place, "`\(ends[index].name)` had no address in \(subnet) and is given \(address)")
    }
    return nil
  }

  private mutating func serveDaemons(on ethernet: Ethernet) {
    let needy = ethernet.ports.filter { chosen[$0.link][$0.side].isEmpty }
    guard needy.count == ethernet.ports.count,
      needy.contains(where: { links[$0.link].ends[$0.side].node.kind.daemon != nil }),
      let subnet = pool.next(length: needy.count < 254 ? 24 : 17)
    else { return }
    for (port, address) in zip(needy, subnet.hosts(needy.count)) {
      let end = links[port.link].ends[port.side]
      take(PlacedAddress(value: address, place: end.place, fromCommand: true), port.link, port.side)
      log.changed(end.place, "no address is known of `\(end.name)`: \(address) is given")
    }
  }
}

/// Subnets for links (/31) and Ethernets that overlap nothing that was found.
private struct SubnetPool {
  private var taken: [IPPrefix] = []
  private var cursors: [Int: UInt32] = [:]

  mutating func exclude(_ prefix: IPPrefix) {
    if prefix.family == .ipv4 { taken.append(prefix) }
  }

  /// nil: the pool is used up.
  mutating func next(length: Int) -> IPPrefix? {
    guard let pool = IPPrefix(AddressPlan.linkPool), case .v4(let base) = pool.address else { return nil }
    let step = UInt32(1) << UInt32(32 - length)
    // Those of Ethernets are taken from the upper half, so that the two kinds do not meet.
    var offset = cursors[length] ?? (length == 31 ? 0 : 0x8000)
    while offset <= 0xFFFF {
      let subnet = IPPrefix(.v4(IPv4Address(rawValue: base.rawValue + offset)), length: length)
      offset += step
      cursors[length] = offset
      if let subnet, !taken.contains(where: { $0.overlaps(subnet) }) {
        taken.append(subnet)
        return subnet
      }
    }
    return nil
  }
}
