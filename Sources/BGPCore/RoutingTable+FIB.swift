import BGPWire
public import NetTypes

/// Next hops: how they resolve, and which ones the kernel is to forward by.
extension RoutingTable {
  /// What next hops resolve through, whole. A next hop that is one of `ownAddresses` makes a route unusable.
  public mutating func setUnderlay(_ routes: [UnderlayRoute], ownAddresses: [IPAddress]) {
    let (changed, subnetsChanged) = nextHops.setUnderlay(routes, ownAddresses: ownAddresses)
    // Whether a third party's next hop may be told depends on the subnets.
    if subnetsChanged { exportAgain((1..<peers.count).filter { peers[$0].isExternal && peers[$0].group != nil }) }
    decideAgain(changed)
  }

  /// Addresses of ours that are known from a neighbor: what its session stands on, what it is told as next hop. One of a
  /// link is somebody else's on the next, so `resolveNextHop` looks at those.
  mutating func noteOwnAddresses(of peer: Int) {
    let settings = peers[peer].settings
    let known = [
      peers[peer].localAddress, settings.nextHopIPv4.map(IPAddress.v4), settings.nextHopIPv6.map(IPAddress.v6),
    ]
    let own = peers[peer].isConfigured ? known.compactMap(\.self).filter { !$0.isLinkLocal } : []
    guard own != peers[peer].ownAddresses else { return }
    let changed = nextHops.replaceSessionAddresses(peers[peer].ownAddresses, with: own)
    peers[peer].ownAddresses = own
    decideAgain(changed)
  }

  /// - Parameter changed: next hops that resolve otherwise than before, by id.
  private mutating func decideAgain(_ changed: [Bool]) {
    guard changed.contains(true) else { return }
    activity &+= 1
    for family in Family.unicast {
      for id in 1..<tables[family].bound {
        let start = tables[family][id].routes
        let end = start + UInt32(tables[family][id].routeCount)
        for position in start..<end where changed[Int(paths[tables[family].arena[position].path].nextHop)] {
          markDirty(id, family)
          break
        }
      }
    }
  }

  public var hasFIBChanges: Bool { Family.unicast.contains { !fibQueue[$0].isEmpty } }

  /// Hands over what changed since it was last called, at most `limit` prefixes. true: more remain.
  public mutating func drainFIB(limit: Int, _ body: (FIBChange) -> Void) -> Bool {
    var left = limit
    for family in Family.unicast {
      while left > 0, let id = fibQueue[family].popFirst() {
        left -= 1
        tables[family][id].flags.remove(.fibDirty)
        let set = forwardingSet(id, family)
        fibSets[family].extend(to: Int(id) + 1, with: 0)
        if fibSets[family][id] != set.rawValue {
          fibSets[family][id] = set.rawValue
          body(FIBChange(prefix: tables[family].key(id).prefix(family), nextHops: set))
        }
        tables[family].freeIfUnused(id)
      }
    }
    return hasFIBChanges
  }

  /// Every best route is handed over again by `drainFIB`.
  public mutating func replayFIB() {
    for family in Family.unicast {
      for id in 1..<tables[family].bound where tables[family][id].best != 0 {
        if Int(id) < fibSets[family].count { fibSets[family][id] = NextHopSet.none.rawValue }
        touchFIB(id, family)
      }
    }
  }

  private mutating func forwardingSet(_ id: UInt32, _ family: Family) -> NextHopSet {
    let best = tables[family][id].best
    guard best != 0, paths[best].source != .local else { return .none }
    let addresses = multipath(id, family).map { nextHops[paths[$0].nextHop].address }.sorted()
    if let known = nextHopSetIndex[addresses] { return NextHopSet(rawValue: known) }
    let number = UInt32(nextHopSets.count)
    nextHopSets.append(addresses)
    nextHopSetIndex[addresses] = number
    return NextHopSet(rawValue: number)
  }

  /// Sorted; empty for `NextHopSet.none`.
  public func nextHops(of set: NextHopSet) -> [IPAddress] {
    Int(set.rawValue) < nextHopSets.count ? nextHopSets[Int(set.rawValue)] : []
  }
}
