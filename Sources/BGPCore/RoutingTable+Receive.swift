public import BGPWire
import NetTypes

/// UPDATE → Adj-RIB-In.
extension RoutingTable {
  /// The body of an UPDATE, behind the 19-octet header.
  public mutating func receive(update body: UnsafeRawBufferPointer, from peer: PeerIndex) -> UpdateOutcome {
    activity &+= 1
    guard let negotiated = peers[Int(peer.rawValue)].negotiated else { return .accepted }
    let context = peers[Int(peer.rawValue)].context
    do {
      var message = try read(body, context, negotiated.families)
      if let family = endOfRIB(message) { return endOfRIB(family, from: peer, negotiated.families) }
      let disabled = message.mayHoldRules ? readRules(&message, from: peer) : nil
      let outcome = apply(message, from: peer, context, negotiated.families)
      if let disabled, !outcome.endsSession { return .familyDisabled(disabled.family, disabled.fault) }
      return outcome
    } catch {
      return .sessionReset(messageIndex.notification(error), error)
    }
  }

  /// One message, cut up. Pointers are into the message.
  struct Message {
    var sections: UpdateSections
    var reach: MultiprotocolReach?
    var unreach: MultiprotocolUnreach?
    /// From headers; values are looked at only when the set is not known yet.
    var fault: UpdateFault?

    // Of flow rules, once `readRules` has taken them out of `reach` and `unreach`.
    var withdrawnRules: [FlowRule] = []
    var announcedRules: [FlowRule] = []
    var ruleNextHop: IPAddress?
    var ruleFamilies: FamilySet = []

    var announces: Bool { !sections.nlri.isEmpty || reach != nil || !announcedRules.isEmpty }
    var mayHoldRules: Bool { reach?.family?.isFlowSpec ?? false || unreach?.family?.isFlowSpec ?? false }
    /// Of a family that is not the session's nobody knows.
    var hasReachableNLRI: Bool {
      guard let reach else { return !sections.nlri.isEmpty || !ruleFamilies.isEmpty }
      return !sections.nlri.isEmpty || reach.family == nil || !reach.nlri.isEmpty
    }
  }

  /// Everything that leads to a session reset is found here, before any route is touched.
  private mutating func read(
    _ body: UnsafeRawBufferPointer, _ context: UpdateContext, _ families: FamilySet
  ) throws(UpdateFault) -> Message {
    let sections = try UpdateSections(body)
    guard NLRIReader.count(sections.withdrawn, .ipv4Unicast) != nil else {
      throw UpdateFault(.sessionReset, .withdrawnSyntax, code: .malformedAttributeList)
    }
    let fault = messageIndex.scan(sections.attributes, context)
    if let fault, fault.action == .sessionReset { throw fault }
    guard NLRIReader.count(sections.nlri, .ipv4Unicast) != nil else {
      throw UpdateFault(.sessionReset, .nlriSyntax, code: .invalidNetworkField)
    }
    var message = Message(sections: sections, fault: fault)
    if messageIndex.isCanonical { return message }
    if let value = messageIndex.value(of: .mpReach) { message.reach = try MultiprotocolReach(value, of: families) }
    if let value = messageIndex.value(of: .mpUnreach) {
      message.unreach = try MultiprotocolUnreach(value, of: families)
    }
    return message
  }

  private mutating func apply(
    _ message: Message, from peer: PeerIndex, _ context: UpdateContext, _ families: FamilySet
  ) -> UpdateOutcome {
    let known = knownSet(message)
    var fault = message.fault
    if known == 0, !message.sections.attributes.isEmpty || message.announces {
      fault = strongest(fault, messageIndex.validate(context))
      if message.announces {
        fault = strongest(fault, messageIndex.missing(needsNextHop: !message.sections.nlri.isEmpty))
      }
    }
    if let fault, fault.action == .treatAsWithdraw, !message.hasReachableNLRI {
      // RFC 7606 section 5.2: where NLRI may have been overlooked, withdrawing what was read is not enough.
      return .sessionReset(messageIndex.notification(fault), fault)
    }
    withdraw(message.sections.withdrawn, .ipv4Unicast, from: peer, families)
    if let unreach = message.unreach, let family = unreach.family {
      withdraw(unreach.nlri, family, from: peer, families)
    }
    if !message.withdrawnRules.isEmpty { withdrawRules(message.withdrawnRules, from: peer) }
    if let fault, fault.action == .treatAsWithdraw {
      withdraw(message.sections.nlri, .ipv4Unicast, from: peer, families)
      if let reach = message.reach, let family = reach.family { withdraw(reach.nlri, family, from: peer, families) }
      withdrawRules(message.announcedRules, from: peer)
      return .treatedAsWithdraw(fault)
    }
    if let exceeded = announce(message, known, from: peer, context, families) { return exceeded }
    return fault.map { .attributesDiscarded($0) } ?? .accepted
  }

  private func strongest(_ a: UpdateFault?, _ b: UpdateFault?) -> UpdateFault? {
    guard let a else { return b }
    guard let b else { return a }
    return b.action > a.action ? b : a
  }

  // MARK: - End-of-RIB

  /// RFC 4724 section 2: no NLRI at all, or nothing but an empty MP_UNREACH_NLRI.
  private func endOfRIB(_ message: Message) -> Family? {
    guard message.sections.withdrawn.isEmpty, message.sections.nlri.isEmpty else { return nil }
    if message.sections.attributes.isEmpty { return .ipv4Unicast }
    guard let unreach = message.unreach, unreach.nlri.isEmpty, message.reach == nil, message.fault == nil else {
      return nil
    }
    var types = 0
    messageIndex.forEachType { _ in types += 1 }
    return types == 1 ? unreach.family : nil
  }

  private mutating func endOfRIB(_ family: Family, from peer: PeerIndex, _ families: FamilySet) -> UpdateOutcome {
    guard families.contains(family) else { return .accepted }
    peers[Int(peer.rawValue)].endOfRIBReceived.insert(FamilySet(family))
    return .endOfRIB(family)
  }

  // MARK: - Announcements

  /// The set of a message that carries a canonical list, if it was seen before: then it was found good then.
  private func knownSet(_ message: Message) -> UInt32 {
    // The table also holds sets without NEXT_HOP (ours) and with sixteen octets of it (IPv6).
    guard messageIndex.isCanonical, !message.sections.nlri.isEmpty, messageIndex.value(of: .nextHop)?.count == 4 else {
      return 0
    }
    return attributes.find(message.sections.attributes, hash: attributes.hash(message.sections.attributes))
  }

  private mutating func announce(
    _ message: Message, _ known: UInt32, from peer: PeerIndex, _ context: UpdateContext, _ families: FamilySet
  ) -> UpdateOutcome? {
    if !message.sections.nlri.isEmpty, families.contains(.ipv4Unicast) {
      let set = known != 0 ? known : intern(message.sections.attributes, context, nextHop: nil)
      if let exceeded = announce(message.sections.nlri, .ipv4Unicast, set, from: peer) { return exceeded }
    }
    if let reach = message.reach, let family = reach.family, families.contains(family), !reach.nlri.isEmpty {
      let set = intern(message.sections.attributes, context, nextHop: reach.nextHop)
      if let exceeded = announce(reach.nlri, family, set, from: peer) { return exceeded }
    }
    return announceRules(message, from: peer, context)
  }

  private mutating func intern(
    _ list: UnsafeRawBufferPointer, _ context: UpdateContext, nextHop: IPAddress?
  ) -> UInt32 {
    if messageIndex.isCanonical, nextHop == nil { return attributes.intern(list) }
    scratch.reserve(messageIndex.canonicalCapacity)
    let count = messageIndex.encodeCanonical(context, nextHop: nextHop, to: scratch.base)
    return attributes.intern(scratch.bytes(count))
  }

  private mutating func announce(
    _ nlri: UnsafeRawBufferPointer, _ family: Family, _ set: UInt32, from peer: PeerIndex
  ) -> UpdateOutcome? {
    // Held while the message is worked on: its routes may replace the last ones of the same set.
    attributes.retain(set)
    defer { attributes.release(set) }
    let asksForPrefix = peers[Int(peer.rawValue)].importing.asksForPrefix
    let limit = Int(peers[Int(peer.rawValue)].settings.maxPrefix)
    var path = asksForPrefix ? 0 : importedPath(set, from: peer, prefixClass: 0)
    if path != 0 { paths.retain(path) }
    defer { if !asksForPrefix { releasePath(path) } }
    var reader = NLRIReader(nlri, family)
    while let key = reader.next() {
      if key.isMartian(family) { continue }
      if asksForPrefix {
        path = importedPath(set, from: peer, prefixClass: importClass(key, family, of: peer))
      }
      insert(key, family, path, from: peer)
      if limit > 0, peers[Int(peer.rawValue)].received[family] > limit {
        return .maxPrefixesExceeded(exceeded(family, limit))
      }
    }
    return nil
  }

  /// The Cease that a neighbor has coming which has announced more than its limit, lowered since; nil: it has not.
  public func maxPrefixesExceeded(by peer: PeerIndex) -> Notification? {
    let limit = Int(peers[Int(peer.rawValue)].settings.maxPrefix)
    guard limit > 0 else { return nil }
    return Family.allCases.first { counters(peer, $0).received > limit }.map { exceeded($0, limit) }
  }

  /// RFC 4486 section 4: the family and the bound are told.
  func exceeded(_ family: Family, _ limit: Int) -> Notification {
    let bound = UInt32(truncatingIfNeeded: limit)
    return Notification(
      .maximumPrefixes,
      data: [0, UInt8(family.afi.rawValue), family.safi.rawValue] + IPv4Address(rawValue: bound).bytes)
  }

  // MARK: - Adj-RIB-In

  /// Puts the peer's route to the prefix in place of the one it had.
  @inline(__always) mutating func insert(_ key: PrefixKey, _ family: Family, _ path: UInt32, from peer: PeerIndex) {
    let id = tables[family].findOrInsert(key)
    guard let position = tables[family].position(id, of: peer.rawValue) else {
      paths.retain(path)
      tables[family].addRoute(id, RouteEntry(path: path, peer: peer.rawValue))
      peers[Int(peer.rawValue)].received[family] += 1
      if paths[path].fault == .none { peers[Int(peer.rawValue)].accepted[family] += 1 }
      markDirty(id, family)
      return
    }
    replace(id, family, position, path, isStale: 0)
  }

  mutating func replace(_ id: UInt32, _ family: Family, _ position: UInt32, _ path: UInt32, isStale: UInt16) {
    let old = tables[family].arena[position]
    let peer = Int(old.peer)
    if old.isStale != isStale {
      peers[peer].stale[family] += isStale != 0 ? 1 : -1
      tables[family].arena[position].isStale = isStale
    }
    guard old.path != path else { return }
    peers[peer].accepted[family] += (paths[path].fault == .none ? 1 : 0) - (paths[old.path].fault == .none ? 1 : 0)
    paths.retain(path)
    tables[family].arena[position].path = path
    releasePath(old.path)
    markDirty(id, family)
  }

  private mutating func withdraw(
    _ nlri: UnsafeRawBufferPointer, _ family: Family, from peer: PeerIndex, _ families: FamilySet
  ) {
    guard !nlri.isEmpty, families.contains(family) else { return }
    var reader = NLRIReader(nlri, family)
    while let key = reader.next() { withdraw(key, family, from: peer) }
  }

  mutating func withdraw(_ key: PrefixKey, _ family: Family, from peer: PeerIndex) {
    let id = tables[family].find(key)
    guard id != 0, let position = tables[family].position(id, of: peer.rawValue) else { return }
    remove(id, family, position)
  }

  mutating func remove(_ id: UInt32, _ family: Family, _ position: UInt32) {
    let old = tables[family].arena[position]
    let peer = Int(old.peer)
    peers[peer].received[family] -= 1
    if old.isStale != 0 { peers[peer].stale[family] -= 1 }
    if paths[old.path].fault == .none { peers[peer].accepted[family] -= 1 }
    tables[family].removeRoute(id, at: position)
    releasePath(old.path)
    markDirty(id, family)
  }

  @inline(__always) mutating func markDirty(_ id: UInt32, _ family: Family) {
    if tables[family][id].flags.contains(.dirty) { return }
    tables[family][id].flags.insert(.dirty)
    dirty[family].append(id)
  }

  /// Drops one reference on a path, and what the path held with the last one.
  @inline(__always) mutating func releasePath(_ path: UInt32) {
    if path != 0, paths.dropReference(path) { removePath(path) }
  }

  private mutating func removePath(_ path: UInt32) {
    let record = paths[path]
    for group in 0..<groups.count where groups[group].members > 0 {
      groups[group].forget(path) { outgoing.release($0) }
    }
    attributes.release(record.received)
    attributes.release(record.attributes)
    nextHops.release(record.nextHop)
    paths.remove(path)
  }
}
