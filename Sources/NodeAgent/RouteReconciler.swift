internal import ControlProtocol
internal import NetTypes
internal import Netlink

/// Keeps the controller's routes in the kernel: static ones, those inside the AS, and the unreachable ones of
/// originated networks. Compares what is wanted with what the kernel holds, and writes the difference in one batch;
/// where there is none it writes nothing, so it may be called whenever anything changed.
struct RouteReconciler {
  /// Two routes of one destination and metric cannot stand side by side.
  private struct Key: Hashable {
    var destination: IPPrefix
    var metric: UInt32

    init(_ route: Route) {
      destination = route.destination
      // IPv6 knows no metric 0 and writes its default instead (IP6_RT_PRIO_USER).
      metric = route.metric == 0 && route.destination.family == .ipv6 ? 1024 : route.metric
    }
  }

  private var wanted: [Key: Route] = [:]
  /// What was ever wanted inside the AS: ours to take away, whoever else uses `proto 188`.
  private var everIGP: Set<Key> = []
  /// The controller has spoken: what is of our protocols and not wanted is too much.
  private(set) var isDesired = false
  /// By destination, for the decision process.
  private(set) var igpCosts: [IPPrefix: UInt32] = [:]
  /// Also `proto 188` that nobody here wants is removed. Where a daemon runs, that number may be its own OSPF.
  var ownsIGP = true

  /// Checks the routes and replaces what is wanted. On a refusal nothing is changed.
  mutating func want(_ set: NLRouteSet, links: [Link]) throws(Refusal) {
    var routes: [Key: Route] = [:]
    var costs: [IPPrefix: UInt32] = [:]
    for message in set.routes {
      let route = try Route(message, links: links)
      guard routes.updateValue(route, forKey: Key(route)) == nil else {
        throw Refusal("route \(route.destination)", "given twice with one metric")
      }
      if message.origin == .igp { costs[route.destination] = message.igpCost }
    }
    wanted = routes
    everIGP.formUnion(routes.filter { $0.value.protocol == .netloomIGP }.keys)
    igpCosts = costs
    isDesired = true
  }

  /// Writes what is missing or changed and deletes what is too much.
  /// - Returns: how many requests it took, and those refused.
  func reconcile(_ view: KernelView) throws(KernelError) -> (requests: Int, refusals: [(Route, KernelError)]) {
    guard isDesired else { return (0, []) }
    var batch = MessageBatch()
    var written: [(route: Route, goes: Bool)] = []
    var present: [Key: Route] = [:]
    for route in view.routes where isOurs(route) {
      if let known = wanted[Key(route)] {
        // Same key, another protocol: `replace` takes its place.
        if known.protocol == route.protocol { present[Key(route)] = route }
      } else {
        batch.deleteRoute(route)
        written.append((route, goes: true))
      }
    }
    for (key, route) in wanted {
      guard let route = usable(route, view) else { continue }
      if let there = present[key], Self.same(there, route) { continue }
      batch.setRoute(route, .replace)
      written.append((route, goes: false))
    }
    guard !batch.isEmpty else { return (0, []) }
    let refusals = try view.socket.commitReportingEach(&batch).compactMap { refusal -> (Route, KernelError)? in
      guard let place = refusal.message, written.indices.contains(place) else { return nil }
      return written[place].goes && refusal.isNotThere ? nil : (written[place].route, refusal)
    }
    return (written.count, refusals)
  }

  /// What is wanted, could stand, and does not: the kernel refused it.
  func missing(_ view: KernelView) -> [Route] {
    let standing = Dictionary(view.routes.map { (Key($0), $0) }) { first, _ in first }
    return wanted.compactMap { key, route in
      guard let route = usable(route, view) else { return nil }
      guard let there = standing[key], there.protocol == route.protocol, Self.same(there, route) else { return route }
      return nil
    }.sorted { $0.destination < $1.destination }
  }

  private func isOurs(_ route: Route) -> Bool {
    switch route.protocol {
    case .static: true
    case .netloomIGP: ownsIGP || everIGP.contains(Key(route))
    default: false
    }
  }

  /// The route over those of its links that are up; nil while none is. It comes back with them.
  private func usable(_ route: Route, _ view: KernelView) -> Route? {
    guard route.kind == .unicast else { return route }
    var route = route
    route.hops.removeAll { hop in hop.link.map { view.links[$0]?.isUp != true } ?? false }
    // A single way has no weight in the kernel.
    if route.hops.count == 1 { route.hops[0].weight = 1 }
    return route.hops.isEmpty ? nil : route
  }

  private static func same(_ a: Route, _ b: Route) -> Bool {
    guard a.kind == b.kind, a.kind == .unicast else { return a.kind == b.kind }
    func hops(_ route: Route) -> Set<Route.Hop> {
      Set(route.hops.map { Route.Hop($0.gateway, link: $0.link, weight: $0.weight) })
    }
    // A hop that was written without an interface reads back with the one the kernel chose.
    if b.hops.contains(where: { $0.link == nil }) {
      return Set(a.hops.map(\.gateway)) == Set(b.hops.map(\.gateway))
    }
    return hops(a) == hops(b)
  }
}
