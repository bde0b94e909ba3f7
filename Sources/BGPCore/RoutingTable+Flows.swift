import BGPWire
import NetTypes

/// Flow rules: UPDATE and configuration → Adj-RIB-In.
extension RoutingTable {
  // MARK: - Receiving

  /// Decodes the rules of a message, before any route is touched.
  ///
  /// RFC 8955 section 4.2 leaves malformed NLRI to RFC 7606, which asks for a session reset or for disabling the family
  /// where NLRI do not parse (section 3 j). The family is disabled (RFC 4760 section 7): a rule that we cannot read must
  /// not take the prefixes of the session away.
  mutating func readRules(
    _ message: inout Message, from peer: PeerIndex
  ) -> (family: Family, fault: FlowRuleFault)? {
    var disabled: (family: Family, fault: FlowRuleFault)?
    if let unreach = message.unreach, let family = unreach.family, family.isFlowSpec {
      message.unreach = nil
      message.withdrawnRules = rules(unreach.nlri, family, from: peer, &disabled)
      message.ruleFamilies.insert(FamilySet(family))
    }
    if let reach = message.reach, let family = reach.family, family.isFlowSpec {
      message.reach = nil
      message.announcedRules = rules(reach.nlri, family, from: peer, &disabled)
      message.ruleNextHop = reach.nextHop
      message.ruleFamilies.insert(FamilySet(family))
    }
    return disabled
  }

  private mutating func rules(
    _ nlri: UnsafeRawBufferPointer, _ family: Family, from peer: PeerIndex,
    _ disabled: inout (family: Family, fault: FlowRuleFault)?
  ) -> [FlowRule] {
    guard !peers[Int(peer.rawValue)].flows.disabled.contains(family) else { return [] }
    do throws(FlowRuleFault) {
      return try FlowRule.list(nlri, family.addressFamily)
    } catch {
      disabled = (family, error)
      peers[Int(peer.rawValue)].flows.disabled.insert(FamilySet(family))
      dropRules(Int(peer.rawValue), family)
      return []
    }
  }

  mutating func withdrawRules(_ rules: [FlowRule], from peer: PeerIndex) {
    for rule in rules {
      guard let id = flows.find(rule) else { continue }
      removeRule(id, of: peer.rawValue)
    }
  }

  /// The attributes are those of the message that was read last.
  /// - Returns: a Cease when there are too many.
  mutating func announceRules(
    _ message: Message, from peer: PeerIndex, _ context: UpdateContext
  ) -> UpdateOutcome? {
    guard !message.announcedRules.isEmpty else { return nil }
    // A next hop means nothing to a rule, unless a community sends packets there (draft-simpson-idr-flowspec-redirect).
    let nextHop = messageIndex.redirectsToNextHop ? message.ruleNextHop : nil
    messageIndex.remove(AttributeTypeSet([.nextHop]))
    scratch.reserve(messageIndex.canonicalCapacity)
    let count = messageIndex.encodeCanonical(context, nextHop: nextHop, to: scratch.base)
    let set = attributes.intern(scratch.bytes(count))
    attributes.retain(set)
    defer { attributes.release(set) }
    guard actions(of: set) != nil else {
      withdrawRules(message.announcedRules, from: peer)
      return .treatedAsWithdraw(
        UpdateFault(.treatAsWithdraw, .value, .extendedCommunities, code: .optionalAttribute))
    }
    let limit = Int(peers[Int(peer.rawValue)].settings.maxPrefix)
    for rule in message.announcedRules {
      insertRule(rule, set, from: peer)
      let family = Family(flowSpec: rule.family)
      if limit > 0, peers[Int(peer.rawValue)].flows.received[family] > limit {
        return .maxPrefixesExceeded(exceeded(family, limit))
      }
    }
    return nil
  }

  /// nil: they do not decode.
  mutating func actions(of set: UInt32) -> FlowActions? {
    setIndex.load(canonical: attributes.bytes(set))
    return try? FlowActions(setIndex)
  }

  // MARK: - Originating

  /// Rules of ours are not validated (RFC 9117 section 4.1: they come from inside the AS).
  mutating func setFlowRules(from old: [OriginatedFlowRule], to new: [OriginatedFlowRule]) {
    guard old != new else { return }
    let wanted = Set(new.map(\.rule))
    withdrawRules(old.map(\.rule).filter { !wanted.contains($0) }, from: .local)
    for originated in new {
      var list = PathAttributes()
      let communities = originated.actions.communities(settings.asn)
      let flags: AttributeFlags = [.optional, .transitive]
      if !communities.isEmpty {
        list.others.append(
          PathAttributes.Opaque(
            flags: flags, type: .extendedCommunities, value: ExtendedCommunity.encode(communities)))
      }
      let ipv6 = originated.actions.ipv6Communities
      if !ipv6.isEmpty {
        list.others.append(
          PathAttributes.Opaque(
            flags: flags, type: .ipv6ExtendedCommunities, value: IPv6ExtendedCommunity.encode(ipv6)))
      }
      let set = list.encodeCanonical().withUnsafeBytes { attributes.intern($0) }
      attributes.retain(set)
      insertRule(originated.rule, set, from: .local)
      attributes.release(set)
    }
  }

  // MARK: - Adj-RIB-In

  /// Puts the peer's route to the rule in place of the one it had.
  private mutating func insertRule(_ rule: FlowRule, _ set: UInt32, from peer: PeerIndex) {
    let path = importedPath(set, from: peer, prefixClass: flowClass(rule, of: peer))
    paths.retain(path)
    let id = flows.findOrInsert(rule)
    if let place = flows[id].routes.firstIndex(where: { $0.peer == peer.rawValue }) {
      replaceRule(id, place, path, isStale: false)
    } else {
      let family = Family(flowSpec: rule.family)
      paths.retain(path)
      flows[id].routes.append(FlowTable.Route(path: path, peer: peer.rawValue))
      peers[Int(peer.rawValue)].flows.received[family] += 1
      if paths[path].fault == .none { peers[Int(peer.rawValue)].flows.accepted[family] += 1 }
      flows.markDirty(id)
    }
    releasePath(path)
  }

  private mutating func replaceRule(_ id: Int, _ place: Int, _ path: UInt32, isStale: Bool) {
    let family = Family(flowSpec: flows[id].rule.family)
    let old = flows[id].routes[place]
    let peer = Int(old.peer)
    if old.isStale != isStale {
      peers[peer].flows.stale[family] += isStale ? 1 : -1
      flows[id].routes[place].isStale = isStale
    }
    guard old.path != path else { return }
    peers[peer].flows.accepted[family] +=
      (paths[path].fault == .none ? 1 : 0) - (paths[old.path].fault == .none ? 1 : 0)
    paths.retain(path)
    flows[id].routes[place].path = path
    releasePath(old.path)
    flows.markDirty(id)
  }

  private mutating func removeRule(_ id: Int, of peer: UInt16) {
    guard let place = flows[id].routes.firstIndex(where: { $0.peer == peer }) else { return }
    let family = Family(flowSpec: flows[id].rule.family)
    let old = flows[id].routes.remove(at: place)
    peers[Int(peer)].flows.received[family] -= 1
    if old.isStale { peers[Int(peer)].flows.stale[family] -= 1 }
    if paths[old.path].fault == .none { peers[Int(peer)].flows.accepted[family] -= 1 }
    releasePath(old.path)
    flows.markDirty(id)
  }

  /// Policies ask for prefixes: of a rule that is its destination, or all addresses where it names none.
  func flowKey(_ rule: FlowRule) -> PrefixKey {
    rule.destination.map(PrefixKey.init) ?? PrefixKey(high: 0, low: 0, length: 0)
  }

  private func flowClass(_ rule: FlowRule, of peer: PeerIndex) -> UInt32 {
    importClass(flowKey(rule), Family(rule.family), of: peer) | PathTable.flowClass
  }

  // MARK: - Sessions and policies

  /// A new path for every rule of the peer.
  mutating func importRulesAgain(_ peer: Int) {
    let index = PeerIndex(rawValue: UInt16(peer))
    for id in flows.live {
      guard let place = flows[id].routes.firstIndex(where: { $0.peer == index.rawValue }) else { continue }
      let route = flows[id].routes[place]
      let path = importedPath(
        paths[route.path].received, from: index, prefixClass: flowClass(flows[id].rule, of: index))
      paths.retain(path)
      replaceRule(id, place, path, isStale: route.isStale)
      releasePath(path)
    }
  }

  private func rules(of peer: Int, _ family: Family) -> [Int] {
    guard peers[peer].flows.received[family] > 0 else { return [] }
    return flows.live.filter { id in
      flows[id].rule.family == family.addressFamily && flows[id].routes.contains { Int($0.peer) == peer }
    }
  }

  mutating func dropRules(_ peer: Int, _ family: Family) {
    for id in rules(of: peer, family) { removeRule(id, of: UInt16(peer)) }
  }

  /// What was stale already goes (RFC 4724 section 4.2).
  mutating func markRulesStale(_ peer: Int, _ family: Family) {
    for id in rules(of: peer, family) {
      guard let place = flows[id].routes.firstIndex(where: { Int($0.peer) == peer }) else { continue }
      if flows[id].routes[place].isStale {
        removeRule(id, of: UInt16(peer))
      } else {
        flows[id].routes[place].isStale = true
        peers[peer].flows.stale[family] += 1
      }
    }
  }

  mutating func sweepStaleRules(_ peer: Int, _ family: Family) {
    guard peers[peer].flows.stale[family] > 0 else { return }
    for id in rules(of: peer, family) where flows[id].routes.contains(where: { Int($0.peer) == peer && $0.isStale }) {
      removeRule(id, of: UInt16(peer))
    }
  }
}

extension AttributeIndex {
  fileprivate var redirectsToNextHop: Bool {
    value(of: .extendedCommunities).map(ExtendedCommunity.list)?.contains { $0.kind == .redirectToNextHop } ?? false
  }
}
