public import BGPWire
public import NetTypes

/// What people ask: show, explain, counters. Nothing here is on the way of a route.
extension RoutingTable {
  public func counters(_ peer: PeerIndex, _ family: Family) -> FamilyCounters {
    let index = Int(peer.rawValue)
    guard !family.isFlowSpec else {
      let flows = peers[index].flows
      return FamilyCounters(
        received: flows.received[family], accepted: flows.accepted[family], sent: flows.sent[family],
        stale: flows.stale[family], endOfRIBReceived: peers[index].endOfRIBReceived.contains(family),
        endOfRIBSent: peers[index].endOfRIBSent.contains(family))
    }
    return FamilyCounters(
      received: peers[index].received[family], accepted: peers[index].accepted[family],
      sent: peers[index].sent[family], stale: peers[index].stale[family],
      endOfRIBReceived: peers[index].endOfRIBReceived.contains(family),
      endOfRIBSent: peers[index].endOfRIBSent.contains(family))
  }

  /// Routes by prefix (IPv4 first, then by address), the candidates of one prefix best first.
  /// - Returns: one page, and how many there are in all.
  public func routes(_ query: RouteQuery) -> (routes: [RouteView], total: Int) {
    var total = 0
    var result: [RouteView] = []
    for family in Family.unicast where query.family == nil || query.family == family {
      if let within = query.within, Family(within.family) != family { continue }
      for id in sortedIDs(family, within: query.within.map(PrefixKey.init)) {
        let count = routeCount(id, family, query.peers)
        if total + count > query.offset, result.count < query.limit {
          let wanted = ranked(id, family).views.filter { query.peers.isEmpty || query.peers.contains($0.peer) }
          result += wanted.dropFirst(max(query.offset - total, 0)).prefix(query.limit - result.count)
        }
        total += count
      }
    }
    return (result, total)
  }

  private func routeCount(_ id: UInt32, _ family: Family, _ wanted: [PeerIndex]) -> Int {
    wanted.isEmpty
      ? Int(tables[family][id].routeCount)
      : wanted.count { tables[family].position(id, of: $0.rawValue) != nil }
  }

  private func sortedIDs(_ family: Family, within: PrefixKey?) -> [UInt32] {
    var found: [(key: PrefixKey, id: UInt32)] = []
    for id in 1..<tables[family].bound where tables[family][id].routeCount > 0 {
      let key = tables[family].key(id)
      if within?.covers(key) ?? true { found.append((key, id)) }
    }
    return found.sorted { ($0.key.high, $0.key.low, $0.key.length) < ($1.key.high, $1.key.low, $1.key.length) }.map(
      \.id)
  }

  /// The prefix that covers the destination best among those with routes; nil: none does.
  public func explain(_ destination: IPPrefix) -> RouteExplanation? {
    let family = Family(destination.family)
    let key = PrefixKey(destination)
    for length in stride(from: Int(key.length), through: 0, by: -1) {
      let id = tables[family].find(key.cut(to: UInt8(length)))
      guard id != 0, tables[family][id].routeCount > 0 else { continue }
      let (views, paths) = ranked(id, family)
      return RouteExplanation(
        prefix: tables[family].key(id).prefix(family), candidates: views, comparisons: comparisons(paths))
    }
    return nil
  }

  // MARK: - Order of candidates

  /// Views and paths of one prefix: the usable ones best first, by taking the best away again and again; then the rest.
  private func ranked(_ id: UInt32, _ family: Family) -> (views: [RouteView], usable: [UInt32]) {
    let usable = rank(usablePaths(id, family))
    let installed = multipath(id, family)
    let start = tables[family][id].routes
    var entries = (start..<start + UInt32(tables[family][id].routeCount)).map { tables[family].arena[$0] }
    entries.sort { position($0.path, usable) < position($1.path, usable) }
    let views = entries.map { entry in
      var view = self.view(entry, tables[family].key(id).prefix(family))
      view.isBest = entry.path == tables[family][id].best
      view.isMultipath = !view.isBest && installed.contains(entry.path)
      view.because = reason(entry.path, usable)
      return view
    }
    return (views, usable)
  }

  private func rank(_ candidates: [UInt32]) -> [UInt32] {
    var left = candidates
    var result: [UInt32] = []
    while let best = bestPath(among: left) {
      result.append(best)
      left.removeAll { $0 == best }
    }
    return result
  }

  private func position(_ path: UInt32, _ ranked: [UInt32]) -> (Int, UInt16) {
    (ranked.firstIndex(of: path) ?? Int.max, paths[path].peer)
  }

  /// The best: the rule that beat the runner-up. Others: the rule that the best beat them by.
  private func reason(_ path: UInt32, _ ranked: [UInt32]) -> BestPathReason? {
    guard let best = ranked.first, ranked.contains(path) else { return nil }
    guard ranked.count > 1 else { return .onlyPath }
    return decidingRule(best, path == best ? ranked[1] : path, ranked).reason
  }

  /// What beat `loser`. Usually the best itself; where a path of its own neighboring AS beat it by MED and the best,
  /// compared directly, would have lost to it, that path.
  private func decidingRule(
    _ best: UInt32, _ loser: UInt32, _ candidates: [UInt32]
  ) -> (winner: UInt32, reason: BestPathReason) {
    let direct = difference(best, loser)
    if direct.aIsBetter { return (best, direct.reason) }
    for other in candidates where other != loser && paths[other].neighborAS == paths[loser].neighborAS {
      let rule = compare(other, loser, withMED: true)
      if rule.aIsBetter { return (other, rule.reason) }
    }
    return (best, direct.reason)
  }

  private func comparisons(_ ranked: [UInt32]) -> [RouteExplanation.Comparison] {
    guard let best = ranked.first else { return [] }
    return ranked.indices.dropFirst().map { loser in
      let rule = decidingRule(best, ranked[loser], ranked)
      return RouteExplanation.Comparison(
        winner: ranked.firstIndex(of: rule.winner) ?? 0, loser: loser, because: rule.reason,
        detail: detail(rule.reason, rule.winner, ranked[loser]))
    }
  }

  /// The two values that the rule compared, e.g. `64500 over 64496 64500`.
  private func detail(_ reason: BestPathReason, _ winner: UInt32, _ loser: UInt32) -> String {
    "\(value(reason, winner)) over \(value(reason, loser))"
  }

  private func value(_ reason: BestPathReason, _ path: UInt32) -> String {
    let record = paths[path]
    switch reason {
    case .onlyPath: return ""
    case .weight: return "\(record.weight)"
    case .localPref: return "\(record.localPref)"
    case .localOrigin: return record.source == .local ? "originated here" : "learned from \(name(record.peer))"
    case .asPathLength: return asPathText(record.attributes)
    case .origin: return ["igp", "egp", "incomplete"][Int(min(record.origin, 2))]
    case .med: return "\(record.med)"
    case .ebgpOverIbgp: return record.source == .ebgp ? "ebgp" : "ibgp"
    case .igpCost: return "\(nextHops[record.nextHop].cost)"
    case .routerID:
      let id = record.originatorID != 0 ? record.originatorID : peers[Int(record.peer)].routerID
      return IPv4Address(rawValue: id).description
    case .clusterListLength: return "\(record.clusterLength)"
    case .neighborAddress: return peers[Int(record.peer)].settings.address.description
    }
  }

  private func name(_ peer: UInt16) -> String {
    let name = peers[Int(peer)].settings.name
    return name.isEmpty ? peers[Int(peer)].settings.address.description : name
  }

  private func asPathText(_ set: UInt32) -> String {
    let text = PathAttributes(canonical: attributes.bytes(set)).asPath.description
    return text.isEmpty ? "an empty path" : text
  }

  // MARK: - Views

  private func view(_ entry: RouteEntry, _ prefix: IPPrefix) -> RouteView {
    let record = paths[entry.path]
    let peer = Int(record.peer)
    var list = PathAttributes(canonical: attributes.bytes(record.attributes))
    list.largeCommunities.removeAll { RelationTag.isTag($0, of: settings.asn.rawValue) }
    list.localPref = record.localPref
    var view = RouteView(prefix: prefix, peer: PeerIndex(rawValue: record.peer), attributes: list)
    view.neighbor = peers[peer].settings.name
    view.session = peers[peer].settings.session
    view.peerRouterID = peers[peer].routerID
    view.isFromIBGP = record.source == .ibgp
    view.weight = record.weight
    view.isStale = entry.isStale != 0
    view.isRejected = record.fault == .rejected
    view.unusableBecause = record.fault.text
    guard record.nextHop != 0 else { return view }
    let nextHop = nextHops[record.nextHop]
    view.nextHop = nextHop.address
    view.igpCost = nextHop.isReachable ? nextHop.cost : nil
    if record.fault == .none, !nextHop.isReachable { view.unusableBecause = "next hop unreachable" }
    return view
  }
}
