// The routers of one AS, the links between them that are up, and the shortest paths over them, for one family.
//
// As a link-state protocol sees it (RFC 2328 section 16.1): routers are vertices, a point-to-point link is an edge each
// way, an Ethernet of switches is a vertex of its own that costs to enter and nothing to leave. Links to other ASes are
// not in it: border routers set themselves as next hop.

internal import NetTypes
internal import Topology

struct IGPGraph: Sendable {
  struct Hop: Hashable, Sendable {
    var interface: String
    var gateway: IPAddress
  }

  struct Reach: Hashable, Sendable {
    var cost: UInt32
    var hops: Set<Hop>
  }

  private struct Edge: Sendable {
    var to: Int
    var cost: UInt32
    /// The interface it leaves by; nil: it leaves an Ethernet.
    var interface: String?
    /// The far router's address on the link; nil: it enters an Ethernet.
    var gateway: IPAddress?
  }

  private let family: AddressFamily
  private var names: [String] = []
  private var positions: [String: Int] = [:]
  /// By vertex; routers first, then Ethernets.
  private var edges: [[Edge]] = []
  /// What a router reaches without another: its loopbacks at no cost, its internal subnets at the link's.
  private var stubs: [[(prefix: IPPrefix, cost: UInt32)]] = []
  /// Subnets and loopbacks of the router itself: the kernel has those routes.
  private var connected: [Set<IPPrefix>] = []

  init(_ intent: LabIntent, _ asn: UInt32, _ family: AddressFamily, _ outage: Outage) {
    self.family = family
    let lab = intent.lab
    let fabric = intent.fabric
    for name in intent.members[asn, default: []].map({ lab.nodes[$0].name }) where !outage.nodes.contains(name) {
      positions[name] = names.count
      names.append(name)
    }
    let ethernets = fabric.ethernets(during: outage)
    var vertices: [Int: Int] = [:]
    for ethernet in Set(ethernets.values).sorted() { vertices[ethernet] = names.count + vertices.count }
    edges = Array(repeating: [], count: names.count + vertices.count)
    stubs = Array(repeating: [], count: names.count)
    connected = Array(repeating: [], count: names.count)
    for (index, name) in names.enumerated() {
      guard let node = lab.node(name) else { continue }
      for loopback in node.loopbacks where loopback.address.family == family {
        stubs[index].append((loopback.prefix, 0))
        connected[index].insert(loopback.prefix)
      }
      for interface in node.interfaces where !outage.links.contains(interface.link) {
        let ethernet = ethernets[interface.farNode].flatMap { vertices[$0] }
        add(interface, of: index, asn, ethernet, lab, fabric, outage)
      }
    }
  }

  private mutating func add(
    _ interface: ResolvedInterface, of index: Int, _ asn: UInt32, _ ethernet: Int?, _ lab: ResolvedLab,
    _ fabric: SwitchFabric, _ outage: Outage
  ) {
    let subnets = interface.addresses.filter { $0.address.family == family }.map(\.prefix)
    connected[index].formUnion(subnets)
    guard let own = interface.address(family), let far = lab.node(interface.farNode) else { return }
    var inside = far.asn?.rawValue == asn || (far.asn == nil && !far.kind.isDaemon)
    if far.kind == .switch {
      inside = fabric.isInside(asn, far.name)
      guard inside, let ethernet, !outage.nodes.contains(far.name) else { return }
      edges[index].append(Edge(to: ethernet, cost: interface.cost, interface: interface.name, gateway: nil))
      edges[ethernet].append(Edge(to: index, cost: 0, interface: nil, gateway: own))
    } else if let to = positions[far.name], let gateway = lab.links[interface.link][interface.end.other].address(family)
    {
      edges[index].append(Edge(to: to, cost: interface.cost, interface: interface.name, gateway: gateway))
    }
    if inside { stubs[index] += subnets.map { ($0, interface.cost) } }
  }

  /// Cost and next hops from `root` to every prefix of the AS that is not its own.
  func routes(from root: String) -> [IPPrefix: Reach] {
    guard let origin = positions[root] else { return [:] }
    let tree = shortestPaths(from: origin)
    var found: [IPPrefix: Reach] = [:]
    for router in names.indices where router != origin {
      guard let reach = tree[router] else { continue }
      for stub in stubs[router] where !connected[origin].contains(stub.prefix) {
        let cost = reach.cost + stub.cost
        if let known = found[stub.prefix], known.cost < cost { continue }
        if found[stub.prefix]?.cost == cost {
          found[stub.prefix]?.hops.formUnion(reach.hops)
        } else {
          found[stub.prefix] = Reach(cost: cost, hops: reach.hops)
        }
      }
    }
    return found
  }

  /// Dijkstra's algorithm with all equal-cost first hops. An Ethernet is settled before a router of the same cost,
  /// because it may still add hops to it at no cost.
  private func shortestPaths(from origin: Int) -> [Reach?] {
    var reaches: [Reach?] = Array(repeating: nil, count: edges.count)
    var settled = Array(repeating: false, count: edges.count)
    // Of an Ethernet: the interfaces of the origin that lead onto it; hops through routers stand in `reaches`.
    var directly: [Set<String>] = Array(repeating: [], count: edges.count)
    var queue = PriorityQueue()
    reaches[origin] = Reach(cost: 0, hops: [])
    queue.push(cost: 0, rank: 1, vertex: origin)
    while let (_, vertex) = queue.pop() {
      guard !settled[vertex], let here = reaches[vertex] else { continue }
      settled[vertex] = true
      for edge in edges[vertex] where !settled[edge.to] {
        let cost = here.cost + edge.cost
        if let known = reaches[edge.to], known.cost < cost { continue }
        if reaches[edge.to]?.cost != cost {
          reaches[edge.to] = Reach(cost: cost, hops: [])
          directly[edge.to] = []
          queue.push(cost: cost, rank: edge.to < names.count ? 1 : 0, vertex: edge.to)
        }
        var hops = here.hops
        switch (edge.interface, edge.gateway) {
        case (let interface?, let gateway?) where vertex == origin:
          hops.insert(Hop(interface: interface, gateway: gateway))
        case (let interface?, nil) where vertex == origin:
          directly[edge.to].insert(interface)
        case (nil, let gateway?):
          hops.formUnion(directly[vertex].map { Hop(interface: $0, gateway: gateway) })
        default: break
        }
        reaches[edge.to]?.hops.formUnion(hops)
      }
    }
    return reaches
  }

  /// The routers that reach each other, each part sorted by name; more than one: the AS is cut.
  func parts() -> [[String]] {
    var seen = Array(repeating: false, count: edges.count)
    var parts: [[String]] = []
    for start in names.indices where !seen[start] {
      var part: [String] = []
      var open = [start]
      seen[start] = true
      while let vertex = open.popLast() {
        if vertex < names.count { part.append(names[vertex]) }
        for edge in edges[vertex] where !seen[edge.to] {
          seen[edge.to] = true
          open.append(edge.to)
        }
      }
      parts.append(part.sorted())
    }
    return parts
  }
}

extension LinkSide {
  var other: LinkSide { self == .a ? .b : .a }
}

/// A binary heap of vertices, the least (cost, rank) first.
private struct PriorityQueue {
  private var heap: [(key: UInt64, vertex: Int)] = []

  mutating func push(cost: UInt32, rank: UInt64, vertex: Int) {
    heap.append((UInt64(cost) << 1 | rank, vertex))
    var child = heap.count - 1
    while child > 0, heap[child].key < heap[(child - 1) / 2].key {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func pop() -> (key: UInt64, vertex: Int)? {
    guard let first = heap.first, let last = heap.popLast() else { return nil }
    guard !heap.isEmpty else { return first }
    heap[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].key < heap[least].key {
        least = child
      }
      guard least != parent else { return first }
      heap.swapAt(parent, least)
      parent = least
    }
  }
}
