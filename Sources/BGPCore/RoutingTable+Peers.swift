public import BGPWire
import NetTypes

/// Settings, neighbors and their sessions.
extension RoutingTable {
  // MARK: - Settings

  /// Networks come and go, changed policies are evaluated again over the routes that are held. `asn` and `routerID` are
  /// taken as they are; sessions that depend on them are the driver's to reset.
  public mutating func reconfigure(_ settings: TableSettings) {
    let old = self.settings
    guard old != settings else { return }
    self.settings = settings
    peers[0].routerID = settings.routerID
    setNetworks(from: old.networks, to: settings.networks)
    let policiesChanged = old.policies != settings.policies
    if policiesChanged { programs = Self.compile(settings.policies) }
    let identityChanged =
      old.asn != settings.asn || old.routerID != settings.routerID || old.clusterID != settings.clusterID
      || old.routeReflector != settings.routeReflector || old.preferCustomer != settings.preferCustomer
    var exporting: [Int] = []
    for peer in 1..<peers.count where peers[peer].isConfigured {
      peers[peer].isExternal = peers[peer].settings.asn != settings.asn
      if identityChanged || (policiesChanged && peers[peer].settings.usesNamedImport) { importAgain(peer) }
      if identityChanged || (policiesChanged && peers[peer].settings.usesNamedExport) { exporting.append(peer) }
    }
    exportAgain(exporting)
    setFlowRules(from: old.flowRules, to: settings.flowRules)
    hasSpread = hasSpread || settings.multipath > 1
    if old.multipath != settings.multipath { markAllDirty() }
  }

  mutating func setNetworks(from old: [IPPrefix], to new: [IPPrefix]) {
    let wanted = Set(new)
    for prefix in Set(old).subtracting(wanted) {
      withdraw(PrefixKey(prefix), Family(prefix.family), from: .local)
    }
    guard !wanted.isEmpty else { return }
    let list = PathAttributes().encodeCanonical()
    let set = list.withUnsafeBytes { attributes.intern($0) }
    attributes.retain(set)
    for family in Family.unicast {
      // One path per family: what is sent for a path is encoded once, and its next hop is of one family. Received paths
      // differ by their next hop; ours have none, so the class of prefixes tells them apart.
      let path = importedPath(set, from: .local, prefixClass: UInt32(family.rawValue))
      paths.retain(path)
      for prefix in new where Family(prefix.family) == family { insert(PrefixKey(prefix), family, path, from: .local) }
      releasePath(path)
    }
    attributes.release(set)
  }

  private mutating func markAllDirty() {
    for family in Family.unicast {
      for id in 1..<tables[family].bound where tables[family][id].routeCount > 0 { markDirty(id, family) }
    }
  }

  // MARK: - Neighbors

  public mutating func addPeer(_ settings: PeerSettings) -> PeerIndex {
    let isExternal = settings.asn != self.settings.asn
    var index = 1
    while index < peers.count, peers[index].isConfigured { index += 1 }
    precondition(index <= Int(UInt16.max), "more than 65535 neighbors")
    if index == peers.count {
      peers.append(Peer(settings, isExternal: isExternal))
    } else {
      let epoch = peers[index].epoch
      peers[index] = Peer(settings, isExternal: isExternal)
      peers[index].epoch = epoch &+ 1
    }
    bindPolicies(index)
    noteOwnAddresses(of: index)
    return PeerIndex(rawValue: UInt16(index))
  }

  /// Changed policies are evaluated again over the routes that are held; nothing is asked of the neighbor.
  public mutating func updatePeer(_ peer: PeerIndex, _ settings: PeerSettings) {
    let index = Int(peer.rawValue)
    let old = peers[index].settings
    guard old != settings else { return }
    peers[index].settings = settings
    peers[index].isExternal = settings.asn != self.settings.asn
    peers[index].addressKey = PrefixKey(hostOf: settings.address)
    noteOwnAddresses(of: index)
    if old.importSide != settings.importSide { importAgain(index) }
    if old.exportSide != settings.exportSide { exportAgain([index]) }
  }

  /// Drops its routes; the index may be given to another neighbor later.
  public mutating func removePeer(_ peer: PeerIndex) {
    sessionDown(peer)
    for family in Family.unicast { drop(Int(peer.rawValue), family) }
    for family in Family.flowSpec { dropRules(Int(peer.rawValue), family) }
    peers[Int(peer.rawValue)].isConfigured = false
    noteOwnAddresses(of: Int(peer.rawValue))
  }

  private mutating func bindPolicies(_ peer: Int) {
    let settings = peers[peer].settings
    peers[peer].importing = .importing(settings, isExternal: peers[peer].isExternal, programs)
    peers[peer].exporting = .exporting(settings, isExternal: peers[peer].isExternal, programs)
  }

  /// A new path for every route of the peer.
  private mutating func importAgain(_ peer: Int) {
    peers[peer].epoch &+= 1
    bindPolicies(peer)
    importRulesAgain(peer)
    let index = PeerIndex(rawValue: UInt16(peer))
    for family in Family.unicast where peers[peer].received[family] > 0 {
      for id in 1..<tables[family].bound {
        guard let position = tables[family].position(id, of: index.rawValue) else { continue }
        let entry = tables[family].arena[position]
        let prefixClass = importClass(tables[family].key(id), family, of: index)
        let path = importedPath(paths[entry.path].received, from: index, prefixClass: prefixClass)
        replace(id, family, position, path, isStale: entry.isStale)
      }
    }
  }

  /// The whole table is exported again; what comes out the same is not sent.
  /// - Parameter changed: they leave their groups together, so that no group outlives what it was made for.
  mutating func exportAgain(_ changed: [Int]) {
    for peer in changed {
      bindPolicies(peer)
      leaveGroup(peer)
    }
    for peer in changed where peers[peer].negotiated != nil {
      joinGroup(peer)
      for family in Family.unicast { startWalk(peer, family, repeats: false) }
      exportRules(to: peer)
    }
  }

  // MARK: - Sessions

  public mutating func sessionUp(_ peer: PeerIndex, _ negotiated: Negotiated) {
    let index = Int(peer.rawValue)
    activity &+= 1
    if peers[index].negotiated != nil { endSession(index) }
    peers[index].negotiated = negotiated
    peers[index].routerID = negotiated.peerRouterID
    peers[index].localAddress = negotiated.localAddress
    noteOwnAddresses(of: index)
    peers[index].context = UpdateContext(
      hasFourOctetAS: negotiated.fourOctetAS, isExternal: peers[index].isExternal)
    peers[index].endOfRIBReceived = []
    peers[index].endOfRIBSent = []
    peers[index].endOfRIBDue = negotiated.families
    peers[index].flows.disabled = []
    joinGroup(index)
    for family in Family.unicast { startWalk(index, family, repeats: false) }
    exportRules(to: index)
  }

  /// Routes of `retainingStale` stay, marked stale (RFC 4724 section 4.2); those that were stale already, and those of
  /// other families, are withdrawn.
  public mutating func sessionDown(_ peer: PeerIndex, retainingStale: FamilySet = []) {
    let index = Int(peer.rawValue)
    guard peers[index].negotiated != nil else { return }
    activity &+= 1
    endSession(index)
    for family in Family.unicast {
      if retainingStale.contains(family) { markStale(index, family) } else { drop(index, family) }
    }
    for family in Family.flowSpec {
      if retainingStale.contains(family) { markRulesStale(index, family) } else { dropRules(index, family) }
    }
  }

  private mutating func endSession(_ peer: Int) {
    leaveGroup(peer)
    for family in Family.unicast {
      clearAdjRIBOut(peer, family)
      peers[peer].walks[family] = Peer.Walk()
    }
    clearRulesOut(peer)
    peers[peer].negotiated = nil
    peers[peer].endOfRIBDue = []
  }

  private mutating func clearAdjRIBOut(_ peer: Int, _ family: Family) {
    for id in 0..<UInt32(truncatingIfNeeded: peers[peer].out[family].states.count) {
      let state = peers[peer].out[family].states[id]
      guard state.word != 0 else { continue }
      outgoing.release(state.wanted)
      tables[family][id].users &-= 1
      tables[family].freeIfUnused(id)
    }
    peers[peer].out[family].removeAll()
    peers[peer].sent[family] = 0
  }

  private mutating func drop(_ peer: Int, _ family: Family) {
    var id: UInt32 = 1
    while peers[peer].received[family] > 0, id < tables[family].bound {
      if let position = tables[family].position(id, of: UInt16(peer)) { remove(id, family, position) }
      id &+= 1
    }
  }

  private mutating func markStale(_ peer: Int, _ family: Family) {
    for id in 1..<tables[family].bound {
      guard let position = tables[family].position(id, of: UInt16(peer)) else { continue }
      if tables[family].arena[position].isStale != 0 {
        remove(id, family, position)
      } else {
        tables[family].arena[position].isStale = 1
        peers[peer].stale[family] += 1
      }
    }
  }

  /// Withdraws what is still stale.
  public mutating func sweepStale(_ peer: PeerIndex, _ family: Family) {
    let index = Int(peer.rawValue)
    guard !family.isFlowSpec else { return sweepStaleRules(index, family) }
    var id: UInt32 = 1
    while peers[index].stale[family] > 0, id < tables[family].bound {
      if let position = tables[family].position(id, of: peer.rawValue), tables[family].arena[position].isStale != 0 {
        remove(id, family, position)
      }
      id &+= 1
    }
  }

  /// ROUTE-REFRESH received: everything is announced again.
  public mutating func sendAgain(_ peer: PeerIndex, _ family: Family) {
    activity &+= 1
    guard !family.isFlowSpec else { return exportRules(to: Int(peer.rawValue), repeats: true, [family]) }
    startWalk(Int(peer.rawValue), family, repeats: true)
  }

  private mutating func startWalk(_ peer: Int, _ family: Family, repeats: Bool) {
    guard peers[peer].group != nil, peers[peer].negotiated?.families.contains(family) == true,
      tables[family].bound > 1
    else { return }
    let goesOn = peers[peer].walks[family].cursor != 0 && peers[peer].walks[family].repeats
    peers[peer].walks[family] = Peer.Walk(cursor: 1, repeats: repeats || goesOn)
  }

  // MARK: - Export groups

  private mutating func joinGroup(_ peer: Int) {
    guard let negotiated = peers[peer].negotiated else { return }
    let key = exportKey(peer, negotiated)
    let group: Int
    if let known = groupIndex[key] {
      group = known
    } else if let free = freeGroups.popLast() {
      groups[free] = ExportGroup(key, peers[peer].exporting)
      group = free
    } else {
      group = groups.count
      groups.append(ExportGroup(key, peers[peer].exporting))
    }
    groupIndex[key] = group
    groups[group].members += 1
    peers[peer].group = group
    // A peer that is told nothing costs nothing, unless it was told something under an earlier policy.
    for family in Family.unicast where negotiated.families.contains(family) {
      let toldNothing = peers[peer].out[family].states.isEmpty
      if !(peers[peer].exporting.rejectsEverything && toldNothing) { exporters[family].append(UInt16(peer)) }
    }
  }

  private mutating func leaveGroup(_ peer: Int) {
    guard let group = peers[peer].group else { return }
    peers[peer].group = nil
    for family in Family.unicast { exporters[family].removeAll { Int($0) == peer } }
    groups[group].members -= 1
    guard groups[group].members == 0 else { return }
    groups[group].forgetAll { outgoing.release($0) }
    groupIndex[groups[group].key] = nil
    freeGroups.append(group)
  }

  private func exportKey(_ peer: Int, _ negotiated: Negotiated) -> ExportGroup.Key {
    let settings = peers[peer].settings
    let isExternal = peers[peer].isExternal
    var nextHopIPv4 = settings.nextHopIPv4
    var nextHopIPv6 = settings.nextHopIPv6
    switch negotiated.localAddress {
    case .v4(let address): nextHopIPv4 = nextHopIPv4 ?? address
    case .v6(let address): nextHopIPv6 = nextHopIPv6 ?? address
    }
    var namesNeighbor = false
    if case .named = settings.exportPolicy { namesNeighbor = true }
    return ExportGroup.Key(
      isExternal: isExternal, isClient: settings.routeReflectorClient, relation: settings.relation,
      roles: settings.roles, policy: settings.exportPolicy, neighbor: namesNeighbor ? settings.name : "",
      nextHopSelf: settings.nextHopSelf, nextHopIPv4: nextHopIPv4, nextHopIPv6: nextHopIPv6,
      privateASRemoval: settings.privateASRemoval, sendCommunities: settings.sendCommunities,
      hasFourOctetAS: negotiated.fourOctetAS, peerAddress: isExternal ? settings.address : nil, peerASN: settings.asn,
      isMultihop: settings.multihop)
  }
}

extension PeerSettings {
  var usesNamedImport: Bool { if case .named = importPolicy { true } else { false } }
  var usesNamedExport: Bool { if case .named = exportPolicy { true } else { false } }

  /// With everything that import does not depend on made equal.
  fileprivate var importSide: PeerSettings {
    var copy = self
    copy.session = ""
    copy.exportPolicy = .accept
    copy.nextHopSelf = false
    copy.privateASRemoval = .keep
    copy.sendCommunities = false
    copy.maxPrefix = 0
    copy.nextHopIPv4 = nil
    copy.nextHopIPv6 = nil
    copy.multihop = false
    return copy
  }

  /// With everything that export does not depend on made equal.
  fileprivate var exportSide: PeerSettings {
    var copy = self
    copy.session = ""
    copy.importPolicy = .accept
    copy.allowOwnAS = 0
    copy.maxPrefix = 0
    return copy
  }
}
