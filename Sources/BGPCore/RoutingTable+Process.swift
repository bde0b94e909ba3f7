import BGPWire

/// Decision: dirty prefixes → best routes → what peers and the FIB are to be told.
extension RoutingTable {
  /// Decides for at most `budget` prefixes. true: more remain.
  public mutating func process(budget: Int) -> Bool {
    guard !isDeferring else { return false }
    var left = budget
    for family in Family.unicast {
      while left > 0, let id = dirty[family].popFirst() {
        decide(id, family)
        left -= 1
      }
    }
    for peer in 1..<max(peers.count, 1) where peers[peer].group != nil && left > 0 {
      for family in Family.unicast where peers[peer].walks[family].cursor != 0 { walk(peer, family, &left) }
    }
    if flows.hasWork, !Family.unicast.contains(where: { !dirty[$0].isEmpty }) { processRules() }
    return hasWork
  }

  /// `process` has work.
  public var hasWork: Bool {
    guard !isDeferring else { return false }
    if flows.hasWork { return true }
    for family in Family.unicast {
      if !dirty[family].isEmpty { return true }
      for peer in exporters[family] where peers[Int(peer)].walks[family].cursor != 0 { return true }
    }
    return false
  }

  /// Restarting speaker (RFC 4724 section 4.1): no decision is made, and nothing announced, until `endDeferral`.
  public mutating func beginDeferral() { isDeferring = true }
  public mutating func endDeferral() { isDeferring = false }

  private mutating func decide(_ id: UInt32, _ family: Family) {
    tables[family][id].flags.remove(.dirty)
    let old = tables[family][id].best
    let best = bestPath(id, family)
    if best != old {
      if best != 0 { paths.retain(best) }
      bestCount += (best != 0 ? 1 : 0) - (old != 0 ? 1 : 0)
      tables[family][id].best = best
      activity &+= 1
      if flows.isWatching { noteBestForRules(id, family, old: old, new: best) }
      for peer in exporters[family] { export(id, family, to: Int(peer), repeats: false) }
      releasePath(old)
    }
    if best != old || hasSpread { markFIB(id, family) }
    tables[family].freeIfUnused(id)
  }

  @inline(__always) private mutating func markFIB(_ id: UInt32, _ family: Family) {
    version &+= 1
    guard options.tracksFIB, !tables[family][id].flags.contains(.fibDirty) else { return }
    tables[family][id].flags.insert(.fibDirty)
    fibQueue[family].append(id)
  }

  /// The same path, but its next hop moved.
  mutating func touchFIB(_ id: UInt32, _ family: Family) { markFIB(id, family) }

  /// Goes on announcing the whole table to one peer.
  private mutating func walk(_ peer: Int, _ family: Family, _ left: inout Int) {
    let repeats = peers[peer].walks[family].repeats
    var cursor = peers[peer].walks[family].cursor
    let bound = tables[family].bound
    while cursor < bound, left > 0 {
      if tables[family][cursor].best != 0 || peers[peer].out[family].state(cursor).word != 0 {
        export(cursor, family, to: peer, repeats: repeats)
        left -= 1
      }
      cursor &+= 1
    }
    peers[peer].walks[family].cursor = cursor < bound ? cursor : 0
  }

  // MARK: - Comparing

  /// Has no fault, and its next hop resolves.
  @inline(__always) func isUsable(_ path: UInt32) -> Bool {
    paths[path].fault == .none && nextHops.entries[Int(paths[path].nextHop)].isReachable
  }

  /// 0: none.
  @inline(__always) private func bestPath(_ id: UInt32, _ family: Family) -> UInt32 {
    let start = tables[family][id].routes
    let end = start &+ UInt32(tables[family][id].routeCount)
    var best: UInt32 = 0
    var medsDiffer = false
    for position in start..<end {
      let path = tables[family].arena[position].path
      guard isUsable(path) else { continue }
      if best == 0 {
        best = path
      } else {
        if paths[path].med != paths[best].med { medsDiffer = true }
        if compare(path, best, withMED: false).aIsBetter { best = path }
      }
    }
    guard medsDiffer else { return best }
    return bestPath(among: usablePaths(id, family)) ?? 0
  }

  func usablePaths(_ id: UInt32, _ family: Family) -> [UInt32] {
    let start = tables[family][id].routes
    return (start..<start + UInt32(tables[family][id].routeCount)).compactMap {
      let path = tables[family].arena[$0].path
      return isUsable(path) ? path : nil
    }
  }

  /// The two stages of `Decision`. nil: no candidates.
  func bestPath(among candidates: [UInt32]) -> UInt32? {
    let winners = candidates.filter { path in
      candidates.allSatisfy { other in
        other == path || paths[other].neighborAS != paths[path].neighborAS
          || compare(path, other, withMED: true).aIsBetter
      }
    }
    guard var best = winners.first else { return nil }
    for path in winners.dropFirst() where compare(path, best, withMED: false).aIsBetter { best = path }
    return best
  }

  @inline(__always) func compare(
    _ a: UInt32, _ b: UInt32, withMED: Bool
  ) -> (aIsBetter: Bool, reason: BestPathReason) {
    if let early = Decision.compareAttributes(paths[a], paths[b], withMED: withMED) { return early }
    return Decision.compareLast(facts(a), facts(b), paths[a].clusterLength, paths[b].clusterLength)
  }

  private func facts(_ path: UInt32) -> Decision.Facts {
    let peer = Int(paths[path].peer)
    let originator = paths[path].originatorID
    return Decision.Facts(
      igpCost: nextHops[paths[path].nextHop].cost,
      // RFC 4456 section 9: the originator stands for the peer.
      routerID: originator != 0 ? originator : peers[peer].routerID,
      addressHigh: peers[peer].addressKey.high, addressLow: peers[peer].addressKey.low, peer: paths[path].peer)
  }

  /// The rule by which two candidates differ in the two-stage order: MED counts inside one neighboring AS.
  func difference(_ a: UInt32, _ b: UInt32) -> (aIsBetter: Bool, reason: BestPathReason) {
    compare(a, b, withMED: paths[a].neighborAS == paths[b].neighborAS)
  }

  /// Paths that are installed beside the best (the best first): equal through MED and igp-cost, distinct next hops,
  /// in the order of the rules after those.
  func multipath(_ id: UInt32, _ family: Family) -> [UInt32] {
    let best = tables[family][id].best
    guard best != 0 else { return [] }
    guard settings.multipath > 1, paths[best].source != .local else { return [best] }
    let candidates = usablePaths(id, family)
    let equal = candidates.filter { path in
      path != best && isEqual(path, best)
        && !candidates.contains { other in
          paths[other].neighborAS == paths[path].neighborAS && paths[other].med < paths[path].med
            && Decision.compareAttributes(paths[other], paths[path], withMED: false) == nil
        }
    }
    var result = [best]
    for path in equal.sorted(by: { compare($0, $1, withMED: false).aIsBetter }) where result.count < settings.multipath
    {
      if !result.contains(where: { paths[$0].nextHop == paths[path].nextHop }) { result.append(path) }
    }
    return result
  }

  private func isEqual(_ path: UInt32, _ best: UInt32) -> Bool {
    let sameAS = paths[path].neighborAS == paths[best].neighborAS
    return Decision.compareAttributes(paths[path], paths[best], withMED: sameAS) == nil
      && nextHops[paths[path].nextHop].cost == nextHops[paths[best].nextHop].cost
  }
}
