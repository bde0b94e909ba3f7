import BGPWire
import NetTypes

/// Flow rules: best route → Adj-RIB-Out → UPDATE messages. The rules of unicast hold (relation, policy, RFC 8212, route
/// reflection, well-known communities); a policy that asks for prefixes is answered with the rule's destination. Not
/// RFC 9234: OTC is for unicast only (section 5).
extension RoutingTable {
  private func takes(_ peer: Int, _ family: Family) -> Bool {
    peers[peer].group != nil && peers[peer].negotiated?.families.contains(family) == true
  }

  mutating func exportRuleToAll(_ id: Int) {
    let family = Family(flowSpec: flows[id].rule.family)
    for peer in 1..<max(peers.count, 1) where takes(peer, family) { exportRule(id, family, to: peer) }
  }

  /// - Parameter repeats: announce again what was announced in the same words.
  mutating func exportRules(to peer: Int, repeats: Bool = false, _ families: [Family] = Family.flowSpec) {
    guard !flows.isEmpty else { return }
    for family in families where takes(peer, family) {
      for id in flows.live where flows[id].rule.family == family.addressFamily {
        exportRule(id, family, to: peer, repeats: repeats)
      }
    }
  }

  private mutating func exportRule(_ id: Int, _ family: Family, to peer: Int, repeats: Bool = false) {
    guard let group = peers[peer].group else { return }
    let best = flows[id].best
    // Never back to where it came from.
    let wanted = best != 0 && Int(paths[best].peer) != peer ? outgoingRuleSet(best, group, flows[id].rule, family) : 0
    var state = peers[peer].flows.out[id] ?? PeerFlows.State(wanted: 0)
    guard state.wanted != wanted || (repeats && state.isAdvertised) else { return }
    if wanted != 0 { outgoing.retain(wanted) }
    if state.wanted != 0 { outgoing.release(state.wanted) }
    state.wanted = wanted
    if !state.isWaiting {
      state.isWaiting = true
      peers[peer].flows.waiting[family].append(id)
    }
    if peers[peer].flows.out.updateValue(state, forKey: id) == nil { flows[id].users += 1 }
  }

  private mutating func outgoingRuleSet(_ path: UInt32, _ group: Int, _ rule: FlowRule, _ family: Family) -> UInt32 {
    var prefixClass: UInt32 = 0
    if case .program(let program) = groups[group].binding, program.asksForPrefix {
      prefixClass = program.prefixClass(flowKey(rule), Family(rule.family)) &+ 1
    }
    var result = groups[group].outgoing(path, prefixClass)
    if result == ExportGroup.unknown {
      result = encodeOutgoing(path, group, prefixClass, family)
      if result != ExportGroup.nothing { outgoing.retain(result) }
      groups[group].remember(result, path, prefixClass)
    }
    guard result != ExportGroup.nothing else { return 0 }
    // A rule that leaves no room for its attributes cannot be told at all.
    let size = UpdateMessage.flowRulesOverhead + outgoing.bytes(result).count + rule.nlri.count
    return size <= MessageHeader.maximumLength ? result : 0
  }

  /// Session over: nothing was told.
  mutating func clearRulesOut(_ peer: Int) {
    guard !peers[peer].flows.out.isEmpty else { return }
    let out = peers[peer].flows.out
    peers[peer].flows.out = [:]
    peers[peer].flows.waiting = PerFamily([])
    peers[peer].flows.sent = PerFamily(0)
    for (id, state) in out {
      if state.wanted != 0 { outgoing.release(state.wanted) }
      flows[id].users -= 1
      flows.freeIfUnused(id)
    }
  }

  // MARK: - Messages

  func hasRulesOutput(_ peer: Int, _ families: FamilySet) -> Bool {
    guard !families.isDisjoint(with: .flowSpec) else { return false }
    return Family.flowSpec.contains {
      families.contains($0) && (!peers[peer].flows.waiting[$0].isEmpty || endOfRulesIsReady(peer, $0))
    }
  }

  private func endOfRulesIsReady(_ peer: Int, _ family: Family) -> Bool {
    peers[peer].endOfRIBDue.contains(family) && peers[peer].flows.waiting[family].isEmpty && !flows.hasWork
  }

  mutating func writeRules(
    _ peer: Int, _ negotiated: Negotiated, _ writer: inout UpdateWriter, _ output: inout OutputBuffer
  ) {
    guard !negotiated.families.isDisjoint(with: .flowSpec) else { return }
    for family in Family.flowSpec where negotiated.families.contains(family) {
      while !writer.isFull, !peers[peer].flows.waiting[family].isEmpty {
        writeRules(peer, family, min(negotiated.maxMessageSize, MessageHeader.maximumLength), &writer, &output)
      }
      if !writer.isFull, endOfRulesIsReady(peer, family) {
        writer.endOfRIB(family, &output)
        peers[peer].endOfRIBDue.remove(FamilySet(family))
        peers[peer].endOfRIBSent.insert(FamilySet(family))
      }
    }
  }

  /// One message: the first rule that waits, and others that wait for the same words, as many as fit.
  private mutating func writeRules(
    _ peer: Int, _ family: Family, _ maxSize: Int, _ writer: inout UpdateWriter, _ output: inout OutputBuffer
  ) {
    var rules: [FlowRule] = []
    var set: UInt32?
    var size = UpdateMessage.flowRulesOverhead
    var left: [Int] = []
    for id in peers[peer].flows.waiting[family] {
      guard var state = peers[peer].flows.out[id] else { continue }
      if state.wanted == 0, !state.isAdvertised {
        forgetRule(id, peer)  // came and went before it was told
        continue
      }
      let rule = flows[id].rule
      let added = rule.nlri.count + (set == nil && state.wanted != 0 ? outgoing.bytes(state.wanted).count : 0)
      guard set == nil || set == state.wanted, rules.isEmpty || size + added <= maxSize else {
        left.append(id)
        continue
      }
      set = state.wanted
      size += added
      rules.append(rule)
      if state.wanted == 0 {
        peers[peer].flows.sent[family] -= 1
        forgetRule(id, peer)
      } else {
        if !state.isAdvertised { peers[peer].flows.sent[family] += 1 }
        state.isAdvertised = true
        state.isWaiting = false
        peers[peer].flows.out[id] = state
      }
    }
    peers[peer].flows.waiting[family] = left
    if let set, !rules.isEmpty { writer.flowRules(rules, family, set == 0 ? nil : outgoing.bytes(set), &output) }
  }

  private mutating func forgetRule(_ id: Int, _ peer: Int) {
    guard peers[peer].flows.out.removeValue(forKey: id) != nil else { return }
    flows[id].users -= 1
    flows.freeIfUnused(id)
  }
}

extension UpdateWriter {
  /// - Parameter block: an outgoing set, which begins with the length of a next hop and the next hop; nil: withdrawn.
  mutating func flowRules(
    _ rules: [FlowRule], _ family: Family, _ block: UnsafeRawBufferPointer?, _ output: inout OutputBuffer
  ) {
    guard let block else { return append(UpdateMessage.flowRulesWithdrawn(rules, family), &output) }
    let split = 1 + Int(block[0])
    append(
      UpdateMessage.flowRules(
        rules, family, nextHop: UnsafeRawBufferPointer(rebasing: block[1..<split]),
        attributes: UnsafeRawBufferPointer(rebasing: block[split...])), &output)
  }
}
