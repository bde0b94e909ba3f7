import NetTypes

extension LabResolver {
  func readNodes() {
    let defaults = tree["defaults"]
    var defaultsOfKind: [NodeKind?: Tree] = [:]
    let entries = tree["topology"]?["nodes"]?.entries ?? []
    nodes.reserveCapacity(entries.count)
    for entry in entries {
      let kind = readKind(entry, defaults)
      if let defaults, defaultsOfKind[kind] == nil { defaultsOfKind[kind] = narrow(defaults, to: kind) }
      let merged = defaultsOfKind[kind].map { entry.value.asMapping.merged(over: $0) } ?? entry.value
      let node = NodeDraft(
        name: entry.key, place: entry.keyPlace, own: entry.value, merged: merged, kind: kind)
      if let kind { checkKeys(entry.value, kind, entry.key) }
      readIdentity(node)
      readConfig(node)
      indexes[entry.key] = nodes.count
      nodes.append(node)
    }
    if entries.isEmpty, let topology = tree["topology"], let nodes = topology["nodes"],
      nodes.isMapping || nodes.isAbsent
    {
      reporter.error(nodes.place, "`nodes` is empty; expected at least one node")
    }
  }

  private func readKind(_ entry: Tree.Entry, _ defaults: Tree?) -> NodeKind? {
    if let kind = entry.value.text("kind") ?? defaults?.text("kind") { return NodeKind(rawValue: kind) }
    if entry.value["kind"] == nil, entry.value.isMapping || entry.value.isAbsent {
      reporter.error(
        entry.keyPlace, "node `\(entry.key)` has no `kind`; expected one of \(NodeKeys.kinds.joined(separator: ", "))")
    }
    return nil
  }

  /// `defaults:` without the keys that a kind has no use for.
  private func narrow(_ defaults: Tree, to kind: NodeKind?) -> Tree {
    let entries = defaults.entries.filter { entry in
      guard let kinds = NodeKeys.kindsOfKey[entry.key] else { return true }
      return kind.map(kinds.contains) ?? true
    }
    return Tree(place: defaults.place, content: .mapping(entries))
  }

  private func checkKeys(_ tree: Tree, _ kind: NodeKind, _ name: String) {
    for entry in tree.entries {
      guard let kinds = NodeKeys.kindsOfKey[entry.key], !kinds.contains(kind) else { continue }
      let list = NodeKind.allCases.filter(kinds.contains).map(\.rawValue).joined(separator: ", ")
      let reason = NodeKeys.reason(entry.key, on: kind).map { ": \($0)" } ?? ""
      reporter.error(
        entry.keyPlace,
        "`\(entry.key)` means nothing on the \(kind.rawValue) `\(name)`\(reason); expected on: \(list)")
    }
  }

  private func readIdentity(_ node: NodeDraft) {
    let tree = node.merged
    node.asn = tree.asn("asn")
    for item in tree.items("networks") {
      guard let prefix = item.text.flatMap({ IPPrefix($0) }) else { continue }
      if !families.contains(prefix.family) {
        reporter.error(item.place, "`\(prefix)` in a lab without \(prefix.family.title)")
      } else if node.networks.contains(prefix) {
        reporter.error(item.place, "`\(prefix)` stands twice in `networks`")
      } else if let reason = ScalarForm.unroutable(prefix) {
        reporter.error(item.place, "networks: `\(prefix)` holds \(reason), which no neighbor takes")
      } else {
        node.networks.append(prefix)
      }
    }
    if node.kind == .router, tree["asn"] == nil {
      for key in ["networks", "bgp", "route-reflector", "flowspec"] {
        guard let entry = node.own.entry(key) else { continue }
        reporter.error(
          entry.keyPlace, "`\(key)` on `\(node.name)`, which has no `asn`: a router without one runs no BGP")
      }
    }
    if let kind = node.kind, kind.isDaemon, let entry = node.own.entry("networks") {
      reporter.warning(
        entry.keyPlace, "`networks` of `\(node.name)` are not announced by netloom: \(kind.rawValue)'s own file decides"
      )
    }
    for item in tree.items("loopback") {
      guard let address = item.text.flatMap({ InterfaceAddress($0) }) else { continue }
      if !families.contains(address.address.family) {
        reporter.error(item.place, "`\(address)` in a lab without \(address.address.family.title)")
      }
      node.loopbacks.append(PlacedAddress(value: address, place: item.place))
    }
  }

  private func readConfig(_ node: NodeDraft) {
    guard let kind = node.kind else { return }
    if kind == .registry {
      node.config = node.merged.text("storage").map { FilePath.absolute(FilePath.join(baseDirectory, $0)) }
    }
    guard kind.isDaemon else { return }
    guard let path = node.merged.text("config") else {
      if node.merged["config"] == nil {
        reporter.error(node.place, "node `\(node.name)` has no `config`; \(kind.rawValue) needs its configuration file")
      }
      return
    }
    let absolute = FilePath.absolute(FilePath.join(baseDirectory, path))
    if let reason = FilePath.unreadable(absolute) {
      reporter.error(node.merged.place(of: "config"), "config: cannot read `\(path)`: \(reason)")
    }
    node.config = absolute
  }

  /// After addresses are known: written, else the IPv4 loopback, else the node's number in the file.
  func assignRouterIDs() {
    var owners: [RouterKey: Int] = [:]
    for index in nodes.indices where nodes[index].isNetloomSpeaker {
      let bgp = nodes[index].merged["bgp"]
      let written = bgp?.text("router-id").flatMap { IPv4Address($0) }
      var id = written ?? IPv4Address(rawValue: UInt32(index + 1))
      if written == nil, case .v4(let loopback) = nodes[index].loopback(.ipv4) { id = loopback }
      nodes[index].routerID = id
      let place = written == nil ? nodes[index].place : bgp?.place(of: "router-id") ?? nodes[index].place
      if id.isUnspecified { reporter.error(place, "router-id: `\(id)` is no router id (RFC 6286)") }
      guard let asn = nodes[index].asn else { continue }
      if let other = owners.updateValue(index, forKey: RouterKey(asn: asn, id: id)) {
        reporter.error(
          place, "router id \(id) of `\(nodes[index].name)` is that of `\(nodes[other].name)` in the same AS \(asn)")
      }
    }
  }
}

private struct RouterKey: Hashable {
  var asn: ASNumber
  var id: IPv4Address
}

extension Tree {
  /// A node of which nothing is written is an empty mapping.
  fileprivate var asMapping: Tree { isAbsent ? Tree(place: place, content: .mapping([])) : self }
}
