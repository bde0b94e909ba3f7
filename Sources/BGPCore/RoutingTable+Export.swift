public import BGPWire
import NetTypes

/// Best route → Adj-RIB-Out of one peer → UPDATE messages.
extension RoutingTable {
  /// Makes the peer's Adj-RIB-Out want what the best route of the prefix asks for.
  /// - Parameter repeats: announce again what was announced in the same words.
  mutating func export(_ id: UInt32, _ family: Family, to peer: Int, repeats: Bool) {
    guard let group = peers[peer].group else { return }
    let best = tables[family][id].best
    var wanted: UInt32 = 0
    // Never back to where it came from.
    if best != 0, Int(paths[best].peer) != peer { wanted = outgoingSet(best, group, id, family) }
    let state = peers[peer].out[family].state(id)
    if state.wanted == wanted {
      if repeats, state.isAdvertised, !state.isWaiting { enqueue(id, family, peer, state.word) }
      return
    }
    if wanted != 0 { outgoing.retain(wanted) }
    outgoing.release(state.wanted)
    if state.word == 0 { tables[family][id].users &+= 1 }
    let word = wanted | (state.word & (AdjRIBOut.State.advertisedBit | AdjRIBOut.State.waitingBit))
    if state.isWaiting {
      peers[peer].out[family].states[id].word = word
    } else {
      enqueue(id, family, peer, word)
    }
  }

  @inline(__always) private mutating func enqueue(_ id: UInt32, _ family: Family, _ peer: Int, _ word: UInt32) {
    peers[peer].out[family].states.extend(to: Int(id) + 1, with: AdjRIBOut.State(word: 0))
    peers[peer].out[family].states[id].word = word | AdjRIBOut.State.waitingBit
    peers[peer].out[family].enqueue(id)
  }

  /// What the group is sent for the path; 0: nothing.
  @inline(__always) private mutating func outgoingSet(
    _ path: UInt32, _ group: Int, _ id: UInt32, _ family: Family
  ) -> UInt32 {
    var prefixClass: UInt32 = 0
    if case .program(let program) = groups[group].binding, program.asksForPrefix {
      // Class 0 of a group's memo is for policies that do not ask.
      prefixClass = program.prefixClass(tables[family].key(id), family) &+ 1
    }
    var result = groups[group].outgoing(path, prefixClass)
    if result == ExportGroup.unknown {
      result = encodeOutgoing(path, group, prefixClass, family)
      if result != ExportGroup.nothing { outgoing.retain(result) }
      groups[group].remember(result, path, prefixClass)
    }
    return result == ExportGroup.nothing ? 0 : result
  }

  /// Once per path and group; kept out of line so that `export`, once per prefix, stays small.
  @inline(never) mutating func encodeOutgoing(
    _ path: UInt32, _ group: Int, _ prefixClass: UInt32, _ family: Family
  ) -> UInt32 {
    let record = paths[path]
    setIndex.load(canonical: attributes.bytes(record.attributes))
    let key = groups[group].key
    guard mayLeave(record, key) else { return ExportGroup.nothing }
    var edits = AttributeEdits()
    switch groups[group].binding {
    case .reject: return ExportGroup.nothing
    case .accept: break
    case .valleyFree:
      guard record.learned == .own || record.learned == .customer else { return ExportGroup.nothing }
    case .program(let program):
      let subject = PolicySubject(source: record.source, neighbor: key.neighbor, localASN: settings.asn)
      guard program.evaluate(setIndex, prefixClass &- 1, subject, &edits) else { return ExportGroup.nothing }
    }
    let nextHop = family.isFlowSpec ? nil : nextHopToSend(record, key, edits, family)
    guard nextHop != nil || family.isFlowSpec else { return ExportGroup.nothing }
    let encoder = ExportEncoder(
      key: key, edits: edits, localASN: settings.asn, routerID: settings.routerID,
      clusterID: settings.clusterID ?? settings.routerID, family: family, nextHop: nextHop,
      localPref: record.localPref, source: record.source, learned: record.learned,
      sourceRouterID: peers[Int(record.peer)].routerID)
    scratch.reserve(encoder.capacity(setIndex))
    let count = encoder.encode(setIndex, to: scratch.base)
    // What leaves no room for one prefix in a message cannot be told at all.
    guard count + UpdateWriter.overhead + 17 <= MessageHeader.maximumLength else { return ExportGroup.nothing }
    return outgoing.intern(scratch.bytes(count))
  }

  /// Rules that hold before any policy.
  private func mayLeave(_ record: PathTable.Record, _ key: ExportGroup.Key) -> Bool {
    // RFC 1997.
    if let communities = setIndex.value(of: .communities) {
      for offset in stride(from: 0, to: communities.count - 3, by: 4) {
        switch Community(rawValue: communities.bigEndian32(at: offset)) {
        case .noAdvertise: return false
        case .noExport, .noExportSubconfed: if key.isExternal { return false }
        default: break
        }
      }
    }
    guard key.isExternal else {
      // RFC 4271 section 9.2, RFC 4456 section 6.
      guard record.source == .ibgp else { return true }
      return settings.routeReflector && (key.isClient || peers[Int(record.peer)].settings.routeReflectorClient)
    }
    // RFC 9234 section 5, egress.
    if key.roles, !record.isFlow, setIndex.contains(.otc),
      [.customer, .peer, .routeServerClient].contains(key.relation)
    {
      return false
    }
    return true
  }

  /// nil: we have no address of the family on that session.
  private func nextHopToSend(
    _ record: PathTable.Record, _ key: ExportGroup.Key, _ edits: AttributeEdits, _ family: Family
  ) -> IPAddress? {
    if let nextHop = edits.nextHop, nextHop.family == family.addressFamily { return nextHop }
    let own: IPAddress? =
      family == .ipv4Unicast ? key.nextHopIPv4.map(IPAddress.v4) : key.nextHopIPv6.map(IPAddress.v6)
    guard record.source != .local else { return own }
    let received = nextHops[record.nextHop].address
    guard key.isExternal else {
      // A link-local one is of no use off its link (RFC 2545 section 3).
      if family == .ipv6Unicast, received.isLinkLocal { return own }
      // A reflector does not change it (RFC 4456 section 10).
      return key.nextHopSelf && record.source == .ebgp ? own : received
    }
    if key.relation == .routeServer { return received }
    guard !key.nextHopSelf, !key.isMultihop, let peer = key.peerAddress, received != peer,
      received.family == peer.family, nextHops.shareSubnet(peer, received)
    else { return own }
    return received
  }

  // MARK: - Messages

  /// `writeMessages` has something to write.
  public func hasOutput(for peer: PeerIndex) -> Bool {
    let peer = Int(peer.rawValue)
    guard let negotiated = peers[peer].negotiated, !isDeferring else { return false }
    return Family.unicast.contains { !peers[peer].out[$0].isDrained || endOfRIBIsReady(peer, $0) }
      || hasRulesOutput(peer, negotiated.families)
  }

  private func endOfRIBIsReady(_ peer: Int, _ family: Family) -> Bool {
    peers[peer].endOfRIBDue.contains(family) && peers[peer].walks[family].cursor == 0
      && peers[peer].out[family].isDrained && dirty[family].isEmpty
  }

  /// Whole UPDATE messages, until nothing is left or at least `limit` bytes were written.
  /// - Returns: how many were written, and whether more wait.
  public mutating func writeMessages(
    for peer: PeerIndex, into output: inout OutputBuffer, limit: Int
  ) -> (messages: Int, more: Bool) {
    let index = Int(peer.rawValue)
    guard let negotiated = peers[index].negotiated, !isDeferring else { return (0, false) }
    var writer = UpdateWriter(limit: limit, maxMessageSize: min(negotiated.maxMessageSize, MessageHeader.maximumLength))
    for family in Family.unicast where negotiated.families.contains(family) {
      writeSets(index, family, &writer, &output)
      if !writer.isFull, endOfRIBIsReady(index, family) {
        writer.endOfRIB(family, &output)
        peers[index].endOfRIBDue.remove(FamilySet(family))
        peers[index].endOfRIBSent.insert(FamilySet(family))
      }
    }
    writeRules(index, negotiated, &writer, &output)
    return (writer.messages, hasOutput(for: peer))
  }

  private mutating func writeSets(
    _ peer: Int, _ family: Family, _ writer: inout UpdateWriter, _ output: inout OutputBuffer
  ) {
    while !writer.isFull, let set = peers[peer].out[family].currentSet(setBound: outgoing.bound) {
      writeSet(set, peer, family, &writer, &output)
    }
  }

  /// One or more messages with prefixes of one outgoing set, or with withdrawals (set 0).
  private mutating func writeSet(
    _ set: UInt32, _ peer: Int, _ family: Family, _ writer: inout UpdateWriter, _ output: inout OutputBuffer
  ) {
    var isOpen = false
    while !writer.isFull {
      let id = peers[peer].out[family].takeFirst(of: set)
      if id == 0 { break }
      let state = peers[peer].out[family].states[id]
      if state.wanted != set {
        peers[peer].out[family].enqueue(id)  // changed while it waited
        continue
      }
      if set == 0, !state.isAdvertised {
        forget(id, family, peer)
        continue
      }
      if !isOpen {
        if set == 0 {
          writer.openWithdrawal(family, &output)
        } else {
          writer.open(outgoing.bytes(set), family, &output)
        }
        isOpen = true
      }
      writer.append(tables[family].key(id))
      settle(id, set, state, family, peer)
      if !writer.hasRoom {
        writer.close(&output)
        isOpen = false
      }
    }
    if isOpen { writer.close(&output) }
  }

  /// The peer has been told.
  @inline(__always) private mutating func settle(
    _ id: UInt32, _ set: UInt32, _ state: AdjRIBOut.State, _ family: Family, _ peer: Int
  ) {
    if set == 0 {
      peers[peer].sent[family] -= 1
      forget(id, family, peer)
    } else {
      if !state.isAdvertised { peers[peer].sent[family] += 1 }
      peers[peer].out[family].states[id].word = set | AdjRIBOut.State.advertisedBit
    }
  }

  @inline(__always) private mutating func forget(_ id: UInt32, _ family: Family, _ peer: Int) {
    peers[peer].out[family].states[id].word = 0
    tables[family][id].users &-= 1
    tables[family].freeIfUnused(id)
  }
}
