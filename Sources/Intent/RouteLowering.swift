public import ControlProtocol
internal import FoundationEssentials
internal import NetTypes
internal import Topology

/// Kernel priorities of what the controller computes, in the usual order of trust: a static route before BGP (20, see
/// FIB) before one of the AS before the guard that keeps a default route from looping.
enum RouteMetric: UInt32 {
  case `static` = 1
  case igp = 110
  case unreachable = 255

  /// IPv6 counts from the kernel's default there (IP6_RT_PRIO_USER), as FIB does.
  func value(_ family: AddressFamily) -> UInt32 { family == .ipv4 ? rawValue : 1024 + rawValue }
}

extension LabIntent {
  /// The routes of every node that has an agent, `outage` considered; nodes that are stopped are left out.
  /// - Parameter agents: nodes that have one although nothing in the file asks for it.
  public func routeSets(during outage: Outage, agents: Set<String> = []) -> [String: NLRouteSet] {
    var sets: [String: NLRouteSet] = [:]
    for node in lab.nodes
    where (node.hasAgent || agents.contains(node.name)) && !outage.nodes.contains(node.name) {
      sets[node.name] = NLRouteSet()
      sets[node.name]?.routes = node.routes.compactMap { written in
        var route = staticRoute(written, metric: RouteMetric.static.value(written.to.family))
        let pods = announcements[node.name]?[written.to]
        let usable = zip(route.nextHops, written.hops).filter { lowered, hop in
          isUp(lowered.interface, of: node, outage) && (pods.map { $0.isWell(hop.gateway, outage) } ?? true)
        }
        route.nextHops = usable.map(\.0)
        return route.nextHops.isEmpty ? nil : route
      }
    }
    for (asn, members) in members where members.count > 1 {
      let routers = members.map { lab.nodes[$0] }
      let originated = Set(routers.flatMap(\.networks))
      for family in families {
        let graph = IGPGraph(self, asn, family, outage)
        for node in routers where sets[node.name] != nil {
          let own = Set(node.networks)
          // A subnet that another router of the AS originates comes over iBGP; only a router that originates it too,
          // and so prefers its own, needs the AS's route to where it really is.
          let routes = graph.routes(from: node.name).filter { own.contains($0.key) || !originated.contains($0.key) }
          sets[node.name]?.routes += routes.sorted { $0.key < $1.key }.map(igpRoute)
        }
      }
    }
    for node in lab.nodes { addUnreachable(of: node, &sets) }
    return sets
  }

  var families: [AddressFamily] { (lab.ipv4 ? [.ipv4] : []) + (lab.ipv6 ? [.ipv6] : []) }

  func isUp(_ interface: String, of node: ResolvedNode, _ outage: Outage) -> Bool {
    guard let found = node.interfaces.first(where: { $0.name == interface }) else { return true }
    return !outage.links.contains(found.link)
  }

  private func addUnreachable(of node: ResolvedNode, _ sets: inout [String: NLRouteSet]) {
    guard let set = sets[node.name] else { return }
    let routed = Set(set.routes.map(\.prefix))
    for network in node.unreachable where !routed.contains(NLPrefix(network)) {
      var route = NLRoute()
      route.prefix = NLPrefix(network)
      route.kind = .unreachable
      route.metric = RouteMetric.unreachable.value(network.family)
      route.origin = .static
      sets[node.name]?.routes.append(route)
    }
  }
}

func staticRoute(_ written: StaticRoute, metric: UInt32) -> NLRoute {
  var route = NLRoute()
  route.prefix = NLPrefix(written.to)
  route.kind = .unicast
  route.nextHops = written.hops.map { hop in
    var lowered = nextHop(hop.gateway, hop.interface)
    if !written.others.isEmpty { lowered.weight = hop.weight }
    return lowered
  }
  route.metric = metric
  route.origin = .static
  return route
}

private func igpRoute(_ prefix: IPPrefix, _ reach: IGPGraph.Reach) -> NLRoute {
  var route = NLRoute()
  route.prefix = NLPrefix(prefix)
  route.kind = .unicast
  route.nextHops = reach.hops.sorted { ($0.interface, $0.gateway) < ($1.interface, $1.gateway) }
    .map { nextHop($0.gateway, $0.interface) }
  route.metric = RouteMetric.igp.value(prefix.family)
  route.origin = .igp
  route.igpCost = reach.cost
  return route
}

private func nextHop(_ gateway: IPAddress, _ interface: String) -> NLNextHop {
  var hop = NLNextHop()
  hop.gateway = .init(gateway.bytes)
  hop.interface = interface
  return hop
}
