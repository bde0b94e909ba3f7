import BGPWire
import NetTypes

/// Flow rules: which are feasible, and which route of each is the best.
extension RoutingTable {
  /// Decides for all rules that wait. Called when no prefix does, so that rules are validated against routes that stand.
  mutating func processRules() {
    if flows.hasUncounted { countInsideDestinations() }
    for id in flows.takeDirty() {
      decideRule(id)
      flows.freeIfUnused(id)
    }
  }

  private mutating func decideRule(_ id: Int) {
    for place in flows[id].routes.indices {
      let path = flows[id].routes[place].path
      flows[id].routes[place].infeasible = infeasibility(path, flows[id].rule)
    }
    let candidates = flows[id].routes.filter { isUsable($0.path) && $0.infeasible == nil }.map(\.path)
    let best = bestPath(among: candidates) ?? 0
    let old = flows[id].best
    guard best != old else { return }
    if best != 0 { paths.retain(best) }
    flows[id].best = best
    activity &+= 1
    flowVersion &+= 1
    exportRuleToAll(id)
    releasePath(old)
  }

  // MARK: - Validation

  /// The best route of a prefix is another now; called while both paths are held.
  mutating func noteBestForRules(_ id: UInt32, _ family: Family, old: UInt32, new: UInt32) {
    let prefix = tables[family].key(id).prefix(family)
    let before = old == 0 ? nil : receivedNeighborAS(old)
    let after = new == 0 ? nil : receivedNeighborAS(new)
    flows.noteBest(prefix, old: before, new: after)
  }

  private mutating func countInsideDestinations() {
    for family in Family.unicast {
      for id in 1..<tables[family].bound where tables[family][id].best != 0 {
        flows.countFirst(tables[family].key(id).prefix(family), receivedNeighborAS(tables[family][id].best))
      }
    }
    flows.endCount()
  }

  /// Before import policy prepends; 0: our own AS.
  private mutating func receivedNeighborAS(_ path: UInt32) -> UInt32 {
    setIndex.load(canonical: attributes.bytes(paths[path].received))
    return setIndex.value(of: .asPath).flatMap { EncodedASPath($0).first }?.rawValue ?? 0
  }

  /// RFC 8955 section 6 with the changes of RFC 9117; nil: feasible.
  private mutating func infeasibility(_ path: UInt32, _ rule: FlowRule) -> FlowInfeasibility? {
    let record = paths[path]
    guard record.source != .local else { return nil }
    guard let destination = rule.destination else { return .noDestination }
    let neighborAS = receivedNeighborAS(path)
    // RFC 9117 section 4.1, rule b.2: from inside our AS. (Confederation segments do not get this far.)
    let isInternal = record.source == .ibgp && receivedPathIsEmpty(path)
    guard let best = longestMatch(destination) else { return isInternal ? nil : .noRoute }
    let bestAS = receivedNeighborAS(best)
    if !isInternal {
      guard hasOneOriginator(record, paths[best]) else { return .originator }
      // RFC 9117 section 4.2, for what comes over eBGP.
      if record.source == .ebgp, neighborAS == 0 || neighborAS != bestAS { return .neighborAS }
    }
    let inside = flows.destinations[destination]?.inside ?? [:]
    return inside.keys.allSatisfy { $0 == bestAS } ? nil : .moreSpecific
  }

  private mutating func receivedPathIsEmpty(_ path: UInt32) -> Bool {
    setIndex.load(canonical: attributes.bytes(paths[path].received))
    return setIndex.value(of: .asPath)?.isEmpty ?? true
  }

  private func longestMatch(_ destination: IPPrefix) -> UInt32? {
    let family = Family(destination.family)
    let key = PrefixKey(destination)
    for length in stride(from: Int(key.length), through: 0, by: -1) {
      let id = tables[family].find(key.cut(to: UInt8(length)))
      if id != 0, tables[family][id].best != 0 { return tables[family][id].best }
    }
    return nil
  }

  /// The RFC compares ORIGINATOR_ID, or the peer's address where that is not there. We compare router ids in the second
  /// case too, of one AS: a router that speaks one session a family, or several links' worth of them, is one originator.
  private func hasOneOriginator(_ a: PathTable.Record, _ b: PathTable.Record) -> Bool {
    guard a.source == b.source else { return false }
    if a.source == .ebgp, a.peer == b.peer { return true }
    return originator(a) == originator(b)
      && peers[Int(a.peer)].settings.asn == peers[Int(b.peer)].settings.asn
  }

  private func originator(_ record: PathTable.Record) -> UInt32 {
    record.originatorID != 0 ? record.originatorID : peers[Int(record.peer)].routerID
  }
}
