import NetTypes

extension LabResolver {
  func readRoutes() {
    for index in nodes.indices {
      for item in nodes[index].merged.items("routes") {
        guard let route = readRoute(item, of: index) else { continue }
        if nodes[index].routes.contains(where: { $0.to == route.to }) {
          reporter.error(item.place, "a second route to \(route.to) on `\(nodes[index].name)`; expected one")
        } else {
          nodes[index].routes.append(route)
        }
      }
    }
    for index in nodes.indices where nodes[index].kind?.isHost == true { addDefaultRoutes(of: index) }
  }

  private func readRoute(_ item: Tree, of node: Int) -> StaticRoute? {
    guard let to = item.text("to").flatMap({ IPPrefix($0) }), let via = item["via"] else { return nil }
    if !families.contains(to.family) {
      reporter.error(item.place(of: "to"), "`\(to)` in a lab without \(to.family.title)")
      return nil
    }
    var hops: [StaticRoute.Hop] = []
    for (text, weight, place) in Self.hops(via) {
      guard let hop = hop(text, to: to, of: node, at: place) else { continue }
      if hops.contains(where: { $0.gateway == hop.gateway }) {
        reporter.error(place, "via: `\(text)` a second time for `\(to)`; expected each hop once")
      }
      hops.append(StaticRoute.Hop(gateway: hop.gateway, interface: hop.interface, weight: weight))
    }
    return hops.first.map { first in
      StaticRoute(
        to: to, gateway: first.gateway, interface: first.interface, derived: false, weight: first.weight,
        others: Array(hops.dropFirst()))
    }
  }

  /// `isp1`, `[isp1, isp2]`, `{isp1: 3, isp2: 1}`
  private static func hops(_ via: Tree) -> [(text: String, weight: UInt32, place: Place)] {
    if via.isMapping {
      return via.entries.map { ($0.key, $0.value.text.flatMap { UInt32($0) } ?? 1, $0.keyPlace) }
    }
    let items = via.text == nil ? via.list : [via]
    return items.compactMap { item in item.text.map { ($0, 1, item.place) } }
  }

  private func hop(_ text: String, to: IPPrefix, of node: Int, at place: Place) -> StaticRoute? {
    if let address = IPAddress(text) { return route(to: to, through: address, of: node, at: place) }
    let parts = text.split(separator: ":", maxSplits: 1)
    guard let name = parts.first, let far = lookUp(String(name), at: place) else { return nil }
    let interface = parts.count == 2 ? String(parts[1]) : nil
    for mine in nodes[node].interfaces {
      for theirs in acrossLink(mine) where end(theirs).node == far {
        guard interface == nil || end(theirs).interface == interface, let gateway = end(theirs).address(to.family)
        else { continue }
        return StaticRoute(to: to, gateway: gateway.address, interface: end(mine).interface, derived: false)
      }
    }
    if linksAreWhole {
      reporter.error(
        place,
        "via: no link of `\(nodes[node].name)` leads to `\(text)` with \(to.family.title); "
          + "expected a neighbor on a link, or an address"
      )
    }
    return nil
  }

  /// The ends that a packet leaving through `mine` can be handed to.
  func acrossLink(_ mine: EndID) -> [EndID] {
    guard let segment = links[mine.link].segment else { return [mine.far] }
    return segments[segment].members.filter { $0 != mine }
  }

  private func route(to: IPPrefix, through gateway: IPAddress, of node: Int, at place: Place) -> StaticRoute? {
    if gateway.family != to.family {
      reporter.error(place, "via: `\(gateway)` for `\(to)`; expected an \(to.family.title) address")
      return nil
    }
    for mine in nodes[node].interfaces {
      for address in end(mine).addresses where address.value.prefix.contains(gateway) {
        if address.value.address == gateway {
          reporter.error(
            place, "via: `\(gateway)` is an address of `\(nodes[node].name)` itself; expected a neighbor's")
          return nil
        }
        return StaticRoute(to: to, gateway: gateway, interface: end(mine).interface, derived: false)
      }
    }
    if linksAreWhole {
      reporter.error(
        place, "via: `\(gateway)` is in no subnet of `\(nodes[node].name)`; expected an address on one of its links")
    }
    return nil
  }

  /// A host with one router sends it everything; with several it is told what to send where.
  private func addDefaultRoutes(of index: Int) {
    var routers: [Int] = []
    var gateways: [(mine: EndID, theirs: EndID)] = []
    for mine in nodes[index].interfaces {
      for theirs in acrossLink(mine) where nodes[end(theirs).node].kind?.forwards == true {
        if !routers.contains(end(theirs).node) { routers.append(end(theirs).node) }
        gateways.append((mine, theirs))
      }
    }
    guard routers.count == 1 else {
      if routers.count > 1, nodes[index].merged.items("routes").isEmpty {
        let names = routers.prefix(3).map { nodes[$0].name }.joined(separator: ", ")
        reporter.warning(
          nodes[index].place,
          "host `\(nodes[index].name)` has several routers (\(names)) and no `routes`: it has no default route")
      }
      return
    }
    for family in families {
      guard let all = IPPrefix(IPAddress(number: 0, family: family), length: 0),
        !nodes[index].routes.contains(where: { $0.to == all })
      else { continue }
      for (mine, theirs) in gateways {
        guard let gateway = end(theirs).address(family) else { continue }
        nodes[index].routes.append(
          StaticRoute(to: all, gateway: gateway.address, interface: end(mine).interface, derived: true))
        break
      }
    }
  }

  /// Networks that no interface, and no static route for exactly them, covers.
  func unreachableNetworks(of node: NodeDraft) -> [IPPrefix] {
    node.networks.filter { network in
      let covered = node.interfaces.contains { id in
        end(id).addresses.contains { $0.value.prefix.contains(network) }
      }
      let onLoopback = node.loopbacks.contains { $0.value.prefix == network }
      return !covered && !onLoopback && !node.routes.contains { $0.to == network }
    }
  }
}
