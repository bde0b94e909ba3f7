import NetTypes

/// The tree of a speaker file → `ResolvedSpeaker`.
struct SpeakerResolver {
  let tree: Tree
  let file: String
  let reporter: Reporter

  func resolve() -> ResolvedSpeaker? {
    let items = tree.items("neighbors")
    let names = Set(items.compactMap(Self.name))
    var policies = PolicyReader(tree["policies"], neighbors: names.contains, candidates: names.sorted(), reporter)
    let timers = NeighborReader.timers(
      tree["timers"], base: BGPTimers(keepalive: 30, hold: 90, connectMilliseconds: 1000), reporter)
    let reader = NeighborReader(reporter: reporter, timers: timers)
    let asn = tree.asn("asn")
    let neighbors = items.compactMap { neighbor($0, asn, reader, &policies) }
    policies.warnOfUnused()
    checkUnique(neighbors)
    if let id = tree["router-id"], IPv4Address(id.text ?? "")?.isUnspecified == true {
      reporter.error(id.place, "router-id: `0.0.0.0` is no router id (RFC 6286)")
    }
    guard !reporter.failed, let asn, let routerID = tree.text("router-id").flatMap({ IPv4Address($0) }) else {
      return nil
    }
    return ResolvedSpeaker(
      file: file, asn: asn, routerID: routerID, fib: tree.bool("fib") ?? false, networks: tree.prefixes("networks"),
      policies: policies.policies, neighbors: neighbors, multipath: tree.number("multipath") ?? 1,
      clusterID: tree.text("cluster-id").flatMap { IPv4Address($0) },
      routeReflector: neighbors.contains(where: \.settings.client),
      restartTime: neighbors.map(\.settings.gracefulRestart).max() ?? 0,
      listenPort: tree.number("listen-port").flatMap { UInt16(exactly: $0) } ?? 179)
  }

  private static func name(_ item: Tree) -> String? { item.text("name") ?? item.text("address") }

  private func neighbor(
    _ item: Tree, _ ours: ASNumber?, _ reader: NeighborReader, _ policies: inout PolicyReader
  ) -> SpeakerNeighbor? {
    let theirs = item.asn("asn")
    let isInternal = theirs != nil && theirs == ours
    var settings = reader.settings(item, isInternal: isInternal, policies: &policies)
    settings.client = item.bool("route-reflector-client") ?? false
    guard let theirs, let ours, let name = Self.name(item),
      let address = item.text("address").flatMap({ IPAddress($0) })
    else { return nil }
    let local = item.text("local-address").flatMap { IPAddress($0) }
    if let local, local.family != address.family {
      reporter.error(
        item.place(of: "local-address"), "local-address: `\(local)` for `\(address)`; expected the same family")
    }
    if isInternal {
      for key in ["relation", "roles", "multihop"] where item[key] != nil {
        reporter.error(item.place(of: key), "`\(key)` towards a router of the same AS \(ours); expected on eBGP")
      }
    } else {
      if item.bool("route-reflector-client") == true {
        reporter.error(
          item.place(of: "route-reflector-client"), "`route-reflector-client` on eBGP; expected in the same AS")
      }
      if settings.multihop, settings.ttlSecurity {
        reporter.error(item.place(of: "ttl-security"), "`ttl-security` beside `multihop`; expected one of them")
      }
      if settings.role == nil, item["roles"] != nil {
        reporter.error(item.place(of: "roles"), "`roles` without a `relation`; expected both")
      }
      warnOfSilence(item, name, settings)
    }
    return SpeakerNeighbor(
      place: item.place, name: name, address: address, asn: theirs, localAddress: local,
      families: item.families("families") ?? [.ipv4, .ipv6], settings: settings)
  }

  private func warnOfSilence(_ item: Tree, _ name: String, _ settings: NeighborSettings) {
    guard settings.role == nil else { return }
    let missing = [("import", settings.importPolicy), ("export", settings.exportPolicy)].filter { $0.1 == .unset }.map(
      \.0)
    guard !missing.isEmpty else { return }
    reporter.warning(
      item.place,
      "eBGP neighbor `\(name)` has no \(missing.joined(separator: " and ")) policy: nothing passes (RFC 8212)")
  }

  private func checkUnique(_ neighbors: [SpeakerNeighbor]) {
    var names: [String: Int] = [:]
    var addresses: [IPAddress: Int] = [:]
    for neighbor in neighbors {
      if let line = addresses.updateValue(neighbor.place.line, forKey: neighbor.address) {
        reporter.error(neighbor.place, "a second neighbor at \(neighbor.address), the first is in line \(line)")
      } else if let line = names.updateValue(neighbor.place.line, forKey: neighbor.name) {
        reporter.error(neighbor.place, "a second neighbor `\(neighbor.name)`, the first is in line \(line)")
      }
    }
  }
}
