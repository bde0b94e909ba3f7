internal import ControlProtocol
internal import FoundationEssentials
internal import NetTypes
internal import Netlink

extension NLRoute {
  /// A kernel route as people are shown it.
  /// - Parameters:
  ///   - nexthops: for routes that name an object the kernel does not spell out.
  init(_ route: Route, links: [InterfaceIndex: Link], nexthops: [NexthopID: Nexthop]) {
    self.init()
    prefix = NLPrefix(route.destination)
    metric = route.metric
    kind =
      switch route.kind {
      case .unreachable, .prohibit: .unreachable
      case .blackhole: .blackhole
      default: .unicast
      }
    origin =
      switch route.protocol {
      case .kernel: .kernel
      case .static: .static
      case .netloomIGP: .igp
      case .bgp: .bgp
      default: .other
      }
    guard kind == .unicast else { return }
    let hops = route.hops.isEmpty ? route.nexthop.map { Self.hops($0, nexthops) } ?? [] : route.hops
    nextHops = hops.map { hop in
      var message = NLNextHop()
      if let gateway = hop.gateway { message.gateway = gateway.data }
      if let link = hop.link { message.interface = links[link]?.name ?? "" }
      message.weight = hop.weight
      return message
    }
  }

  private static func hops(_ id: NexthopID, _ nexthops: [NexthopID: Nexthop], weight: UInt32 = 1) -> [Route.Hop] {
    switch nexthops[id]?.target {
    case .gateway(let gateway, let link): [Route.Hop(gateway, link: link, weight: weight)]
    case .group(let members): members.flatMap { hops($0.id, nexthops, weight: $0.weight) }
    case .blackhole, nil: []
    }
  }
}

extension Route {
  /// A desired route. The interface must exist, now or not at all: names are fixed when the node is made.
  init(_ message: NLRoute, links: some Sequence<Link>) throws(Refusal) {
    guard let destination = IPPrefix(message.prefix) else { throw Refusal("route", "not a prefix") }
    let offender = "route \(destination)"
    let kind: RouteKind
    switch message.kind {
    case .unicast: kind = .unicast
    case .unreachable: kind = .unreachable
    case .blackhole: kind = .blackhole
    case .UNRECOGNIZED: throw Refusal(offender, "unknown kind")
    }
    self.init(
      destination, kind: kind, protocol: message.origin == .igp ? .netloomIGP : .static, metric: message.metric)
    guard kind == .unicast else { return }
    guard !message.nextHops.isEmpty else { throw Refusal(offender, "no next hop") }
    for hop in message.nextHops {
      let gateway = IPAddress(hop.gateway)
      guard gateway != nil || (hop.gateway.isEmpty && !hop.interface.isEmpty) else {
        throw Refusal(offender, "a next hop needs an address or an interface")
      }
      guard gateway?.family != .ipv4 || destination.family == .ipv4 else {
        throw Refusal(offender, "an IPv6 route cannot leave over an IPv4 gateway")
      }
      var link: InterfaceIndex?
      if !hop.interface.isEmpty {
        guard let found = links.first(where: { $0.name == hop.interface }) else {
          throw Refusal(offender, "no interface \(hop.interface)")
        }
        link = found.index
      }
      hops.append(Hop(gateway, link: link, weight: max(1, hop.weight)))
    }
  }
}
