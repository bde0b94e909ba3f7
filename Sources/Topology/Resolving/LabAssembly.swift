import NetTypes

extension LabResolver {
  /// Drafts → values. Nothing can fail any more.
  func assemble(name: String, mesh: MeshSettings?, tests: [LabTest]) -> ResolvedLab {
    let resolvedLinks = links.indices.map(link)
    let restartTimes = restartTimes()
    let resolvedNodes = nodes.indices.compactMap { index in
      nodes[index].kind.map { node(index, $0, resolvedLinks, restartTime: restartTimes[nodes[index].name] ?? 0) }
    }
    let resolvedSegments = segments.map { draft in
      Segment(
        switches: draft.switches.map { nodes[$0].name }, subnets: families.compactMap { draft.subnets[$0] },
        members: draft.members.map { id in
          SegmentMember(
            link: id.link, side: id.side, node: nodes[end(id).node].name, interface: end(id).interface)
        })
    }
    return ResolvedLab(
      name: name, file: file, baseDirectory: baseDirectory, ipv4: families.contains(.ipv4),
      ipv6: families.contains(.ipv6), nodes: resolvedNodes, links: resolvedLinks, segments: resolvedSegments,
      sessions: sessions, policies: policies.policies, tests: tests, hosts: hostsText(mesh),
      repairsDrift: tree.text("drift") == "repair", mesh: mesh)
  }

  private func link(_ index: Int) -> ResolvedLink {
    let draft = links[index]
    return ResolvedLink(
      a: linkEnd(EndID(link: index, side: .a)), b: linkEnd(EndID(link: index, side: .b)),
      mtu: draft.tree.number("mtu") ?? 1500, cost: draft.tree.number("cost") ?? 1,
      relation: draft.tree.text("relation").flatMap(LinkRelation.init(rawValue:)),
      roles: draft.tree.bool("roles") ?? true,
      permanentNeighbors: draft.segment == nil && [draft.a, draft.b].allSatisfy { isPermanent(nodes[$0.node]) },
      impairment: impairment(draft.tree), place: draft.place)
  }

  private func isPermanent(_ node: NodeDraft) -> Bool { node.merged.text("neighbor-entries") != "learned" }

  private func linkEnd(_ id: EndID) -> LinkEnd {
    let draft = end(id)
    // 02: locally administered, unicast. 4e4c: "NL". Then the number of the end in the file.
    let number = UInt64(2 * id.link) + UInt64(id.side.rawValue)
    return LinkEnd(
      node: nodes[draft.node].name, interface: draft.interface, ifindex: draft.ifindex,
      mac: MACAddress(rawValue: 0x024E_0000_0000 | number), addresses: draft.addresses.map(\.value).familySorted)
  }

  private func node(
    _ index: Int, _ kind: NodeKind, _ resolvedLinks: [ResolvedLink], restartTime: UInt32
  ) -> ResolvedNode {
    let draft = nodes[index]
    let tree = draft.merged
    var sysctls: [String: String] = [:]
    if kind != .switch { sysctls["net.ipv4.tcp_congestion_control"] = tree.text("congestion") ?? "cubic" }
    for entry in tree["sysctls"]?.entries ?? [] {
      sysctls[entry.key.map { $0 == "/" ? "." : String($0) }.joined()] = entry.value.text ?? ""
    }
    return ResolvedNode(
      name: draft.name, kind: kind, place: draft.place, asn: draft.asn, routerID: draft.routerID,
      networks: draft.networks, unreachable: draft.isNetloomSpeaker ? unreachableNetworks(of: draft) : [],
      loopbacks: draft.loopbacks.map(\.value).familySorted,
      interfaces: draft.interfaces.map { interface($0, resolvedLinks) }, sysctls: sysctls,
      congestionPlace: tree["congestion"]?.place,
      bgp: draft.isNetloomSpeaker ? bgp(index, restartTime) : nil, routes: draft.routes, exec: tree.texts("exec"),
      commands: draft.container == nil ? tree.texts("cmd") : [],
      environment: pairs(tree["env"]).map { "\($0.key)=\($0.value)" }.sorted(),
      labels: pairs(tree["labels"]), config: draft.config, permanentNeighbors: isPermanent(draft),
      functions: draft.functions, pod: draft.pod, container: draft.container)
  }

  private func pairs(_ tree: Tree?) -> [String: String] {
    Dictionary((tree?.entries ?? []).map { ($0.key, $0.value.text ?? "") }, uniquingKeysWith: { first, _ in first })
  }

  private func interface(_ id: EndID, _ resolvedLinks: [ResolvedLink]) -> ResolvedInterface {
    let link = resolvedLinks[id.link]
    let (near, far) = (link[id.side], link[id.far.side])
    return ResolvedInterface(
      name: near.interface, index: near.ifindex, mac: near.mac, addresses: near.addresses, link: id.link,
      end: id.side, mtu: link.mtu, cost: link.cost, segment: links[id.link].segment, farNode: far.node,
      farInterface: far.interface)
  }

  private func bgp(_ index: Int, _ restartTime: UInt32) -> BGPSettings {
    let tree = nodes[index].merged["bgp"]
    return BGPSettings(
      multipath: tree?.number("multipath") ?? 1, routeReflector: isReflector(index),
      clusterID: tree?.text("cluster-id").flatMap { IPv4Address($0) },
      preferCustomer: tree?.bool("prefer-customer") ?? false, restartTime: restartTime)
  }

  private func restartTimes() -> [String: UInt32] {
    var times: [String: UInt32] = [:]
    for session in sessions {
      for end in [session.a, session.b] { times[end.node] = max(times[end.node] ?? 0, end.settings.gracefulRestart) }
    }
    return times
  }

  /// /etc/hosts: a router by its loopback, everything else by its first interface, in the order of the file. Of a host
  /// that others reach by one family, because somebody originates its subnet, the other family is left out: names must
  /// lead somewhere.
  private func hostsText(_ mesh: MeshSettings?) -> String {
    let networks = nodes.flatMap(\.networks)
    var text = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
    for node in nodes {
      let forwards = node.kind?.forwards == true
      let addresses = families.compactMap { family in
        let first = node.interfaces.lazy.compactMap { self.end($0).address(family)?.address }.first
        return (forwards ? node.loopback(family) : nil) ?? first ?? node.loopback(family)
      }
      let routed = forwards ? [] : addresses.filter { address in networks.contains { $0.contains(address) } }
      for address in routed.isEmpty ? addresses : routed { text += "\(address) \(node.name)\n" }
    }
    for service in mesh?.services ?? [] {
      for address in service.addresses { text += "\(address) \(service.name)\n" }
    }
    return text
  }
}

extension Array where Element == InterfaceAddress {
  /// IPv4 first, the order within a family kept.
  fileprivate var familySorted: [InterfaceAddress] {
    filter { $0.address.family == .ipv4 } + filter { $0.address.family == .ipv6 }
  }
}
