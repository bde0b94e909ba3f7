internal import NetTypes
internal import NorthboundAPI
internal import Topology

/// What every kernel would do with a packet: table main of each node, read once, with the lab's addresses beside it.
/// Policy routes, NAT and filters are not in it; what they do shows in packets.
struct ForwardingPicture: Sendable {
  struct Node: Sendable {
    let name: String
    /// Passes on what is not its own.
    let forwards: Bool
    let own: Set<IPAddress>
    let table: RoutingTable
    /// Prefixes it originates: it answers for them, also where none of its interfaces covers them.
    let networks: [IPPrefix]
  }

  /// How the way of a packet ended, or where it goes next.
  enum Step: Hashable, Sendable {
    case delivered
    /// Of all prefixes that are originated and cover the address, the most specific is this node's, which holds nothing of
    /// it: the packet has arrived where it was sent to. An aggregate of somebody else's is no such place.
    case originator
    /// The table has nothing that fits.
    case noRoute
    /// `unreachable`, `blackhole` or `prohibit`, of that prefix.
    case discarded(kind: String, prefix: String)
    /// Nobody on that link has the address.
    case nobody(interface: String)
    /// Arrived at a node that passes nothing on.
    case notForwarded
    case next(Set<String>)
  }

  private(set) var nodes: [String: Node] = [:]
  private let book: AddressBook
  /// All that is originated, by length, longest first.
  private var originated: [(length: Int, prefixes: Set<IPPrefix>)] = []

  init(_ book: AddressBook) { self.book = book }

  mutating func add(_ node: Node) {
    nodes[node.name] = node
    for prefix in node.networks {
      let length = Int(prefix.length)
      if let place = originated.firstIndex(where: { $0.length <= length }) {
        if originated[place].length == length {
          originated[place].prefixes.insert(prefix)
        } else {
          originated.insert((length, [prefix]), at: place)
        }
      } else {
        originated.append((length, [prefix]))
      }
    }
  }

  /// Every branch of a multipath route is a way that some flow takes.
  func step(at name: String, to destination: IPAddress) -> Step {
    guard let node = nodes[name] else { return .nobody(interface: "?") }
    if node.own.contains(destination) { return .delivered }
    guard let route = node.table.longestMatch(destination) else { return originates(node, destination) ?? .noRoute }
    guard route.kind == "unicast" else {
      return originates(node, destination) ?? .discarded(kind: route.kind, prefix: route.prefix)
    }
    var next: Set<String> = []
    for hop in route.nextHops {
      if let gateway = hop.address.flatMap({ IPAddress($0) }) {
        if let owner = book.owner(of: gateway, from: name) { next.insert(owner) }
      } else if let owner = book.owner(of: destination, from: name), isAcross(owner, name, hop.interface) {
        next.insert(owner)
      }
    }
    guard next.isEmpty else { return .next(next) }
    return originates(node, destination) ?? .nobody(interface: route.nextHops.first?.interface ?? "?")
  }

  /// What a node does with a packet that came to it from another one.
  func arrival(at name: String, to destination: IPAddress) -> Step {
    let step = step(at: name, to: destination)
    guard case .next = step, nodes[name]?.forwards == false else { return step }
    return .notForwarded
  }

  /// On-link: the owner of the address stands on that link or, on a switched segment, anywhere behind its switches.
  private func isAcross(_ owner: String, _ name: String, _ interface: String?) -> Bool {
    guard let interface, let far = book.neighbor(of: name, across: interface) else { return false }
    return far == owner || nodes[far] == nil
  }

  private func originates(_ node: Node, _ destination: IPAddress) -> Step? {
    let covering = originated.lazy.compactMap { length, prefixes -> IPPrefix? in
      guard length <= destination.family.bits,
        let prefix = IPPrefix(destination.masked(to: length), length: length), prefixes.contains(prefix)
      else { return nil }
      return prefix
    }.first
    return covering.map(node.networks.contains) == true ? .originator : nil
  }
}

/// Longest match over one node's routes, the lowest metric of each prefix.
struct RoutingTable: Sendable {
  private var routes: [IPPrefix: KernelRoute] = [:]
  /// Lengths in use, longest first, by family.
  private var lengths: [AddressFamily: [Int]] = [:]

  init(_ rows: [KernelRoute]) {
    var seen: [AddressFamily: Set<Int>] = [:]
    for row in rows {
      guard let prefix = IPPrefix(row.prefix) else { continue }
      seen[prefix.family, default: []].insert(Int(prefix.length))
      if let other = routes[prefix], other.metric <= row.metric { continue }
      routes[prefix] = row
    }
    lengths = seen.mapValues { $0.sorted(by: >) }
  }

  var count: Int { routes.count }

  func route(_ prefix: IPPrefix) -> KernelRoute? { routes[prefix] }

  func longestMatch(_ address: IPAddress) -> KernelRoute? {
    for length in lengths[address.family] ?? [] {
      if let prefix = IPPrefix(address.masked(to: length), length: length), let route = routes[prefix] { return route }
    }
    return nil
  }
}
