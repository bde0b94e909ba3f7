internal import NetTypes
internal import NorthboundAPI

/// Compares what a speaker calls best with what its kernel has of BGP's, both ways and with the next hops.
struct FIBCheck {
  let node: String
  /// Best and multipath routes that came from neighbors.
  let chosen: [BGPRoute]
  let kernel: [KernelRoute]

  init(node: String, bgp: [BGPRoute], kernel: [KernelRoute]) {
    self.node = node
    chosen = bgp.filter { ($0.best || $0.multipath) && $0.usable && $0.neighbor != nil }
    self.kernel = kernel
  }

  func violations() -> [Violation] {
    let table = RoutingTable(kernel.filter { $0.proto != "bgp" })
    var installed: [IPPrefix: KernelRoute] = [:]
    for route in kernel where route.proto == "bgp" {
      if let prefix = IPPrefix(route.prefix) { installed[prefix] = route }
    }
    var wanted: [IPPrefix: [BGPRoute]] = [:]
    for route in chosen {
      if let prefix = IPPrefix(route.prefix) { wanted[prefix, default: []].append(route) }
    }
    var found: [Violation] = []
    for (prefix, routes) in wanted.sorted(by: { $0.key < $1.key }) {
      guard let route = installed[prefix] else {
        found.append(
          violation(prefix, "missing", "the best path is via \(hops(routes)), and the kernel has no route of BGP's"))
        continue
      }
      let expected = Set(routes.flatMap { gateways($0, table) })
      let actual = Set(route.nextHops.compactMap(\.address))
      if !expected.isEmpty, expected != actual {
        found.append(
          violation(
            prefix, "next-hop",
            "the kernel sends to \(list(actual)), the best path says \(list(expected))"))
      }
    }
    for prefix in installed.keys.filter({ wanted[$0] == nil }).sorted() {
      found.append(violation(prefix, "excess", "the kernel has a route of BGP's, and no path is best"))
    }
    return found
  }

  /// Where the kernel has to send for a next hop: to it where it is on a link, else to where its own route goes.
  private func gateways(_ route: BGPRoute, _ table: RoutingTable) -> [String] {
    guard let hop = route.nextHop.flatMap({ IPAddress($0) }) else { return [] }
    guard let way = table.longestMatch(hop), way.proto != "kernel" else { return [hop.description] }
    return way.nextHops.compactMap(\.address)
  }

  private func violation(_ prefix: IPPrefix, _ because: String, _ detail: String) -> Violation {
    Violation(
      severity: .failure, node: node, prefix: prefix.description, because: because, detail: detail)
  }

  private func hops(_ routes: [BGPRoute]) -> String { list(routes.compactMap { $0.nextHopNode ?? $0.nextHop }) }

  private func list(_ words: some Collection<String>) -> String {
    words.isEmpty ? "nobody" : words.sorted().joined(separator: ", ")
  }
}
