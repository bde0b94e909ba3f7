// What this namespace looks like now: links, addresses, and the routes that are not BGP's. It is read from the kernel
// and read again when the kernel says that something changed; nothing here is ever guessed from what was asked for.
//
// Links and addresses follow the monitor's events one by one, so that an interface that went down and up again is seen
// to have done both. Routes are read whole: few things but us change them, and the kernel does not announce the IPv4
// routes that it drops with an interface.

internal import FIB
internal import NetTypes
internal import Netlink

/// An address where it stands.
struct PlacedAddress: Hashable {
  var link: InterfaceIndex
  var address: InterfaceAddress
}

final class KernelView {
  /// What a batch of events amounts to.
  struct Changes {
    /// In order: links that can carry packets since, or cannot any more.
    var transitions: [(link: Link, canCarry: Bool)] = []
    /// Routes, addresses or links changed: `readRoutes` is due.
    var mustReadRoutes = false
    /// Routes that the FIB claims and somebody else deleted.
    var lostRoutes: [Route] = []
    /// Those that somebody else wrote.
    var strangeRoutes: [Route] = []
    var lostNexthops: [NexthopID] = []
    /// How many events there were that routing depends on.
    var events = 0
    /// Addresses came or went. They are read whole: what is told may have been undone by us since, unheard.
    var mustReadAddresses = false
    /// Something changed that desired state speaks of beside routes: qdiscs, policy rules, addresses.
    var mayHaveDrifted = false
    /// Some were lost; everything was read again.
    var missedSome = false
  }

  let socket: NetlinkSocket
  private let monitor: Monitor
  private(set) var links: [InterfaceIndex: Link] = [:]
  private(set) var addresses: [InterfaceIndex: [InterfaceAddress]] = [:]
  /// Those among them that end by themselves.
  private(set) var temporaryAddresses: Set<PlacedAddress> = []
  /// Table main, without BGP's.
  private(set) var routes: [Route] = []
  /// Whose route changes matter; nil: everybody's but BGP's. A daemon beside us may load a full table.
  var watched: Set<RouteProtocol>?
  /// Which routes are the FIB's business, whoever writes them; nil: there is no FIB.
  var claims: ((Route) -> Bool)?

  init(in namespace: Namespace? = nil) throws(KernelError) {
    if let namespace { socket = try NetlinkSocket(in: namespace) } else { socket = try NetlinkSocket() }
    monitor = try Monitor(.all, in: namespace)
    try monitor.ignore(causedBy: [socket.portID])
    try readAll()
  }

  var monitorDescriptor: Int32 { monitor.fileDescriptor }

  /// Leaves out the echoes of another writer too.
  func ignore(_ portID: UInt32) throws(KernelError) { try monitor.ignore(causedBy: [socket.portID, portID]) }

  func link(named name: String) -> Link? { links.values.first { $0.name == name } }

  var ownAddresses: [IPAddress] { addresses.values.flatMap { $0.map(\.address) } }

  // MARK: Reading

  func readAll() throws(KernelError) {
    links = Dictionary(try socket.links().map { ($0.index, $0) }, uniquingKeysWith: { $1 })
    try readAddresses()
    try readRoutes()
  }

  func readAddresses() throws(KernelError) {
    let found = try socket.addresses()
    addresses = [:]
    for one in found { addresses[one.link, default: []].append(one.address) }
    temporaryAddresses = Set(found.filter(\.isTemporary).map { PlacedAddress(link: $0.link, address: $0.address) })
  }

  func readRoutes() throws(KernelError) { routes = try socket.routes(.init(excluding: .bgp)) }

  /// Takes what the monitor has.
  func readEvents() throws(KernelError) -> Changes {
    var changes = Changes()
    var reading: Monitor.Reading
    repeat {
      reading = try monitor.read()
      for event in reading.events { take(event, &changes) }
      if reading.missedSome { changes.missedSome = true }
    } while reading.mayHaveMore
    if changes.missedSome {
      try resynchronize(&changes)
    } else if changes.mustReadAddresses {
      try readAddresses()
    }
    return changes
  }

  private func resynchronize(_ changes: inout Changes) throws(KernelError) {
    let before = links
    try readAll()
    changes.mustReadRoutes = true
    changes.mayHaveDrifted = true
    for link in links.values where (before[link.index]?.canCarry ?? false) != link.canCarry {
      changes.transitions.append((link, link.canCarry))
    }
    for link in before.values where links[link.index] == nil && link.canCarry {
      changes.transitions.append((link, false))
    }
  }

  private func take(_ event: KernelEvent, _ changes: inout Changes) {
    switch event {
    case .qdisc, .qdiscRemoved, .trafficClass, .trafficClassRemoved, .filter, .filterRemoved, .rule, .ruleRemoved:
      changes.mayHaveDrifted = true
      return
    case .address, .addressRemoved: changes.mayHaveDrifted = true
    default: break
    }
    changes.events += 1
    switch event {
    case .link(let link):
      let before = links[link.index]
      links[link.index] = link
      if (before?.canCarry ?? false) != link.canCarry { changes.transitions.append((link, link.canCarry)) }
      if before?.canCarry != link.canCarry || before?.isUp != link.isUp { changes.mustReadRoutes = true }
    case .linkRemoved(let link):
      if links.removeValue(forKey: link.index)?.canCarry == true { changes.transitions.append((link, false)) }
      addresses[link.index] = nil
      changes.mustReadRoutes = true
    case .address, .addressRemoved:
      changes.mustReadAddresses = true
      changes.mustReadRoutes = true
    case .route(let route):
      if claims?(route) == true { changes.strangeRoutes.append(route) }
      note(route, &changes)
    case .routeRemoved(let route):
      if claims?(route) == true { changes.lostRoutes.append(route) }
      note(route, &changes)
    case .nexthop: break
    case .nexthopRemoved(let nexthop): changes.lostNexthops.append(nexthop.id)
    case .qdisc, .qdiscRemoved, .trafficClass, .trafficClassRemoved, .filter, .filterRemoved, .rule, .ruleRemoved: break
    }
  }

  private func note(_ route: Route, _ changes: inout Changes) {
    if PolicyPaths.isOurs(route.table) { changes.mayHaveDrifted = true }
    guard route.table == .main, watched?.contains(route.protocol) ?? (route.protocol != .bgp) else { return }
    changes.mustReadRoutes = true
  }
}

// MARK: - What next hops resolve through

extension KernelView {
  /// The routes that BGP next hops resolve through: of each prefix the one with the smallest metric, and of its hops
  /// those over links that can carry packets.
  func usableRoutes() -> [IPPrefix: (route: Route, paths: [Underlay.Path])] {
    var usable: [IPPrefix: (route: Route, paths: [Underlay.Path])] = [:]
    for route in routes where !route.destination.address.isLinkLocal && !route.destination.address.isMulticast {
      let paths = route.hops.filter(isUsable).map {
        Underlay.Path(gateway: $0.gateway, link: $0.link, weight: $0.weight)
      }
      if route.kind == .unicast, paths.isEmpty { continue }
      if let other = usable[route.destination], other.route.metric <= route.metric { continue }
      usable[route.destination] = (route, route.kind == .unicast ? paths : [])
    }
    return usable
  }

  private func isUsable(_ hop: Route.Hop) -> Bool {
    guard let link = hop.link.flatMap({ links[$0] }) else { return false }
    return link.isLoopback ? link.isUp : link.canCarry
  }
}
