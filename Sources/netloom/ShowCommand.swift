import ArgumentParser
import Lab
import NorthboundAPI
import NorthboundClient
import Scenario

struct ShowCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "What a node has: routes, BGP, links, rules, queues, connections; read now.",
    discussion: """
      EXAMPLES:
        netloom show routes customer                      the kernel's table
        netloom show bgp customer 198.51.100.0/24         every path
        netloom show bgp customer --neighbor isp1         what isp1 sent
        netloom show neighbors customer
        netloom show links customer -o json
        netloom show nat customer                         the rules in the kernel, with their counters
        netloom show filter customer
        netloom show conntrack customer                   connections, and what became of their addresses
        netloom show qos customer                         queues, classes, policers
        netloom show flowspec isp1

      Exit code 1 when there is nothing for the PREFIX.
      """)

  @Argument(
    help: "routes, bgp, neighbors, links, nat, filter, conntrack, qos or flowspec.", completion: .list(Self.words))
  var what: String

  @Argument(help: "The node, or LAB/NODE.")
  var node: String

  @Argument(help: "Only this prefix and what is more specific.")
  var prefix: String?

  @Option(help: "bgp: only what this neighbor sent, also what was refused.")
  var neighbor: String?

  @OptionGroup var common: CommonOptions

  private static let words = [
    "routes", "bgp", "neighbors", "links", "nat", "filter", "conntrack", "qos", "flowspec",
  ]

  func run() async throws {
    guard Self.words.contains(what) else {
      let hint = nearest(to: what, in: Self.words).map { "did you mean \($0)?" }
      throw LabError(.usage, "cannot show \(what); \(hint ?? "known are \(Self.words.joined(separator: ", "))")")
    }
    if let prefix, !["routes", "bgp"].contains(what) {
      throw LabError(.usage, "show \(what) takes no PREFIX, \(prefix) is one too many; routes and bgp do")
    }
    let (lab, name) = try common.find(node)
    switch what {
    case "routes": try await showRoutes(lab, name)
    case "bgp": try await showBGP(lab, name)
    case "neighbors": try await showNeighbors(lab, name)
    case "nat", "filter": try await showRules(lab, name)
    case "conntrack": try await showConnections(lab, name)
    case "qos": try await showQoS(lab, name)
    case "flowspec": try await showFlowSpecs(lab, name)
    default: try await showLinks(lab, name)
    }
  }

  var palette: Palette { Palette(color: common.appearance.color) }

  private func showRoutes(_ lab: Lab, _ name: String) async throws {
    let routes = try await lab.reading(name) { try await $0.routes(of: name, prefix: prefix) }
    if common.json {
      try Output.json(routes)
      return try requireSome(routes)
    }
    var table = Table("PREFIX", "KIND", "PROTO", "VIA", "NODE", "INTERFACE", ">METRIC")
    for route in routes {
      let hops =
        route.nextHops.isEmpty ? [RouteNextHop(address: nil, interface: nil, node: nil, weight: 1)] : route.nextHops
      for (index, hop) in hops.enumerated() {
        let first = index == 0
        table.add(
          first ? route.prefix : " ", first ? route.kind : " ", first ? route.proto : " ", hop.address, hop.node,
          hop.interface, first ? "\(route.metric)" : " ")
      }
    }
    show(table, otherwise: "no route\(prefix.map { " to \($0)" } ?? "")")
    try requireSome(routes)
  }

  private func showBGP(_ lab: Lab, _ name: String) async throws {
    let bgp = try await lab.reading(name) { try await $0.allBGP(of: name, prefix: prefix, neighbor: neighbor) }
    if common.json {
      try Output.json(bgp)
      return try requireSome(bgp.routes)
    }
    show(BGPText.table(bgp.routes), otherwise: "no path\(prefix.map { " to \($0)" } ?? "")")
    if !bgp.routes.isEmpty { Output.line(palette.dim("> best, = beside the best, ! not usable, x refused, s stale")) }
    try requireSome(bgp.routes)
  }

  /// What was asked for by its prefix and is not there did not hold.
  private func requireSome(_ routes: [some Any]) throws {
    if prefix != nil, routes.isEmpty { throw Exit(code: 1) }
  }

  private func showNeighbors(_ lab: Lab, _ name: String) async throws {
    let neighbors = try await lab.reading(name) { try await Self.neighbors(of: name, $0) }
    if common.json { return try Output.json(neighbors) }
    var table = Table(
      "NEIGHBOR", "ADDRESS", ">AS", "STATE", "UP FOR", ">HOLD", "FAMILY", ">RECEIVED", ">ACCEPTED", ">SENT",
      "LAST ERROR")
    for neighbor in neighbors {
      let families = neighbor.families.isEmpty ? [nil] : neighbor.families.map(Optional.init)
      for (index, family) in families.enumerated() {
        let first = index == 0
        table.add(
          first ? neighbor.neighbor : " ", first ? neighbor.address : " ", first ? "\(neighbor.asn)" : " ",
          first ? neighbor.state : " ", first ? neighbor.upForMs.map { spoken(seconds: Double($0) / 1000) } : " ",
          first ? "\(neighbor.hold)" : " ", family?.family, family.map { "\($0.received)" },
          family.map { "\($0.accepted)" }, family.map { "\($0.sent)" }, first ? neighbor.lastError : " ")
      }
    }
    show(table, otherwise: "\(name) has no neighbors")
    guard common.appearance.verbose else { return }
    for neighbor in neighbors {
      Output.line("\(neighbor.neighbor): \(neighbor.capabilities.joined(separator: ", "))")
    }
  }

  /// A session without a connection has seen no address and no AS: those of the file stand in for them.
  private static func neighbors(of name: String, _ client: NorthboundClient) async throws -> [NeighborDetail] {
    var neighbors = try await client.neighbors(of: name)
    guard neighbors.contains(where: { $0.address.isEmpty || $0.asn == 0 }) else { return neighbors }
    let sessions = try await client.status().sessions.filter { $0.node == name }
    let nodes = try await client.topology().nodes
    let interfaces = nodes.first { $0.name == name }?.interfaces ?? []
    for index in neighbors.indices {
      // FARNODE:IFACE/ipv4, or FARNODE/ipv4 between loopbacks.
      let key = neighbors[index].session
      let possible = sessions.filter {
        $0.neighbor == neighbors[index].neighbor && $0.neighborAddress.contains(":") == key.hasSuffix("/ipv6")
      }
      let onLink = possible.filter { session in
        interfaces.contains { $0.name == session.interface && key.hasPrefix($0.peer + "/") }
      }
      let meant = onLink.count == 1 ? onLink : possible
      if neighbors[index].address.isEmpty, meant.count == 1 { neighbors[index].address = meant[0].neighborAddress }
      if neighbors[index].asn == 0 {
        neighbors[index].asn = nodes.first { $0.name == neighbors[index].neighbor }?.asn ?? 0
      }
    }
    return neighbors
  }

  private func showLinks(_ lab: Lab, _ name: String) async throws {
    let links = try await lab.reading(name) { try await $0.links(of: name) }
    if common.json { return try Output.json(links) }
    var table = Table(
      "INTERFACE", "STATE", "PEER", ">MTU", "MAC", "ADDRESSES", ">RX PACKETS", ">TX PACKETS", ">DROPPED")
    for link in links {
      table.add(
        link.interface, link.state == "up" && !link.carrier ? "no carrier" : link.state, link.peer, "\(link.mtu)",
        link.mac, link.addresses.joined(separator: " "), "\(link.rxPackets)", "\(link.txPackets)",
        "\(link.rxDropped + link.txDropped)")
    }
    show(table, otherwise: "\(name) has no links")
    for link in links {
      guard let impairment = link.impairment else { continue }
      Output.line(
        "\(link.interface) → \(link.peer ?? "nowhere"): asked \(impairment.asked); \(impairment.achieved.text)")
    }
  }

  func show(_ table: Table, otherwise text: String) {
    guard !table.isEmpty else { return Output.line(text) }
    for line in table.lines(palette: palette) { Output.line(line) }
  }
}

/// BGP paths as a table, for show and explain.
enum BGPText {
  static func table(_ routes: [BGPRoute]) -> Table {
    var table = Table("", "PREFIX", "NEIGHBOR", "NEXT HOP", "AS PATH", "ORIGIN", ">LOCAL-PREF", ">MED", "BECAUSE")
    for route in routes {
      table.add(
        mark(route), route.prefix, route.neighbor ?? "itself", nextHop(route),
        route.asPathText.isEmpty ? "empty" : route.asPathText, route.origin, route.localPref.map { "\($0)" },
        route.med.map { "\($0)" }, reason(route))
    }
    return table
  }

  private static func mark(_ route: BGPRoute) -> String {
    let marks =
      (route.best ? ">" : route.multipath ? "=" : "") + (route.rejected ? "x" : route.usable ? "" : "!")
      + (route.stale ? "s" : "")
    return marks.isEmpty ? " " : marks
  }

  private static func nextHop(_ route: BGPRoute) -> String? {
    guard let address = route.nextHop else { return nil }
    return route.nextHopNode.map { "\(address) (\($0))" } ?? address
  }

  private static func reason(_ route: BGPRoute) -> String? {
    if let unusable = route.unusableBecause, !route.usable { return unusable }
    if route.rejected { return "refused by policy" }
    return route.because
  }
}
