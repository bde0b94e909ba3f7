import BGPWire
import NetTypes

/// Attribute set of a peer → path: loop checks, roles, policy. Once per (set, peer, prefix class).
extension RoutingTable {
  func importClass(_ key: PrefixKey, _ family: Family, of peer: PeerIndex) -> UInt32 {
    guard case .program(let program) = peers[Int(peer.rawValue)].importing else { return 0 }
    return program.prefixClass(key, family)
  }

  mutating func importedPath(_ set: UInt32, from peer: PeerIndex, prefixClass: UInt32) -> UInt32 {
    let key = PathTable.Key(
      received: set, peer: peer.rawValue, epoch: peers[Int(peer.rawValue)].epoch, prefixClass: prefixClass)
    let known = paths.find(key)
    return known != 0 ? known : makePath(key)
  }

  /// The new path has no references yet, but holds its sets and its next hop.
  private mutating func makePath(_ key: PathTable.Key) -> UInt32 {
    let peer = Int(key.peer)
    setIndex.load(canonical: attributes.bytes(key.received))
    var record = read(key)
    var edits = AttributeEdits()
    record.fault = loopFault(peer)
    if record.source != .local {
      enterRelation(&record, &edits)
      enterPolicy(&record, &edits, key.prefixClass & ~PathTable.flowClass)
    }
    record.attributes = edits.changesList ? rewritten(edits) : key.received
    record.weight = edits.weight ?? 0
    record.localPref = edits.localPref ?? record.localPref
    record.med = edits.med ?? record.med
    record.pathLength = UInt16(clamping: Int(record.pathLength) + edits.prepended.count)
    if let first = edits.prepended.first { record.neighborAS = first.rawValue }
    resolveNextHop(&record, edits)
    attributes.retain(record.received)
    attributes.retain(record.attributes)
    return paths.insert(record)
  }

  /// The numbers of the decision process, as received.
  private func read(_ key: PathTable.Key) -> PathTable.Record {
    let path = setIndex.value(of: .asPath).map { EncodedASPath($0) }
    let isLocal = key.peer == PeerIndex.local.rawValue
    let source: RouteOrigin = isLocal ? .local : peers[Int(key.peer)].isExternal ? .ebgp : .ibgp
    return PathTable.Record(
      received: key.received, attributes: key.received, prefixClass: key.prefixClass, references: 0, weight: 0,
      localPref: setIndex.unsigned32(.localPref) ?? 100, med: setIndex.unsigned32(.med) ?? 0,
      neighborAS: path?.first?.rawValue ?? 0, nextHop: 0, originatorID: setIndex.unsigned32(.originatorID) ?? 0,
      peer: key.peer, epoch: key.epoch, pathLength: UInt16(clamping: path?.length ?? 0),
      clusterLength: UInt16(clamping: (setIndex.value(of: .clusterList)?.count ?? 0) / 4),
      origin: setIndex.value(of: .origin)?.first ?? 2, source: source, learned: .own, fault: .none)
  }

  private func loopFault(_ peer: Int) -> PathFault {
    guard peer != 0 else { return .none }
    if let path = setIndex.value(of: .asPath),
      EncodedASPath(path).count(of: settings.asn) > peers[peer].settings.allowOwnAS
    {
      return .ownAS  // RFC 4271 section 9.1.2
    }
    guard !peers[peer].isExternal else { return .none }
    // RFC 4456 section 8.
    if setIndex.unsigned32(.originatorID) == settings.routerID { return .ownOriginator }
    guard let clusters = setIndex.value(of: .clusterList) else { return .none }
    let own = settings.clusterID ?? settings.routerID
    for offset in stride(from: 0, to: clusters.count - 3, by: 4) where clusters.bigEndian32(at: offset) == own {
      return .ownCluster
    }
    return .none
  }

  // MARK: - Relations

  private func enterRelation(_ record: inout PathTable.Record, _ edits: inout AttributeEdits) {
    let peer = Int(record.peer)
    let large = LargeCommunity.list(setIndex)
    let tag = large.first { RelationTag.isTag($0, of: settings.asn.rawValue) }
    guard peers[peer].isExternal else {
      let isOwn = setIndex.value(of: .asPath)?.isEmpty ?? true
      record.learned = tag.flatMap { LearnedFrom(rawValue: UInt8(clamping: $0.data2)) } ?? (isOwn ? .own : .other)
      return
    }
    record.learned = peers[peer].settings.relation.learned
    if tag != nil {
      edits.largeCommunities = large.filter { !RelationTag.isTag($0, of: settings.asn.rawValue) }
    }
    edits.dropsOriginValidation = hasOriginValidationState
    if settings.preferCustomer { edits.localPref = peers[peer].settings.relation.preference }
    enterOTC(&record, &edits)
  }

  private var hasOriginValidationState: Bool {
    guard let value = setIndex.value(of: .extendedCommunities) else { return false }
    return stride(from: 0, to: value.count - 7, by: 8).contains {
      UnsafeRawBufferPointer(rebasing: value[$0..<$0 + 8]).isOriginValidationState
    }
  }

  /// RFC 9234 section 5, ingress. Of prefixes only, as the RFC has it.
  private func enterOTC(_ record: inout PathTable.Record, _ edits: inout AttributeEdits) {
    let peer = Int(record.peer)
    guard peers[peer].settings.roles, !record.isFlow else { return }
    let otc = setIndex.unsigned32(.otc)
    switch peers[peer].settings.relation {
    case .provider, .routeServer:
      if otc != nil, record.fault == .none { record.fault = .leak }
    case .peer:
      if let otc {
        if otc != peers[peer].settings.asn.rawValue, record.fault == .none { record.fault = .leak }
      } else {
        edits.otc = peers[peer].settings.asn
      }
    case .customer, .routeServerClient:
      if otc == nil { edits.otc = peers[peer].settings.asn }
    case .none, .sibling, .open:
      break
    }
  }

  private func enterPolicy(_ record: inout PathTable.Record, _ edits: inout AttributeEdits, _ prefixClass: UInt32) {
    let peer = Int(record.peer)
    let subject = PolicySubject(
      source: record.source, neighbor: peers[peer].settings.name, localASN: settings.asn)
    let isAccepted =
      switch peers[peer].importing {
      case .accept, .valleyFree: true
      case .reject: false
      case .program(let program): program.evaluate(setIndex, prefixClass, subject, &edits)
      }
    if !isAccepted, record.fault == .none { record.fault = .rejected }
    // A policy may serve both families; a next hop of the other one is not for this route.
    let octets = record.isFlow ? nil : setIndex.value(of: .nextHop)?.count
    if let nextHop = edits.nextHop, octets != nextHop.family.bits / 8 { edits.nextHop = nil }
  }

  // MARK: - The set after import

  private mutating func rewritten(_ edits: AttributeEdits) -> UInt32 {
    let lists = (edits.communities?.count ?? 0) * 4 + (edits.largeCommunities?.count ?? 0) * 12
    scratch.reserve(setIndex.list.count + lists + edits.prepended.count * 4 + 128)
    let count = ImportEncoder(edits: edits).encode(setIndex, to: scratch.base)
    return attributes.intern(scratch.bytes(count))
  }

  private mutating func resolveNextHop(_ record: inout PathTable.Record, _ edits: AttributeEdits) {
    guard record.source != .local, !record.isFlow else { return }
    guard let address = edits.nextHop ?? setIndex.value(of: .nextHop).flatMap({ IPAddress(bytes: $0) }) else {
      if record.fault == .none { record.fault = .badNextHop }
      return
    }
    record.nextHop = nextHops.retain(address)
    // RFC 4271 section 6.3, softened: the route is of no use, the session is not at fault.
    let isUnicast = !address.isLoopback && !address.isMulticast && !address.isUnspecified && !address.isReservedIPv4
    if !isUnicast, record.fault == .none { record.fault = .badNextHop }
    // All others that are ours do not resolve (`NextHopTable`).
    let isOurs = address.isLinkLocal && address == peers[Int(record.peer)].localAddress
    if isOurs, record.fault == .none { record.fault = .ownNextHop }
  }
}

extension IPAddress {
  fileprivate var isReservedIPv4: Bool {
    if case .v4(let address) = self { return address.isReserved }
    return false
  }
}

/// Writes a canonical list with what import changes.
struct ImportEncoder {
  let edits: AttributeEdits

  private static let additions = AttributeTypeSet([
    .asPath, .nextHop, .med, .localPref, .communities, .largeCommunities, .otc,
  ])

  func encode(_ index: borrowing AttributeIndex, to target: UnsafeMutableRawPointer) -> Int {
    var writer = AttributeWriter(target)
    index.forEachType(adding: Self.additions) { encode($0, index, &writer) }
    return writer.count
  }

  private func encode(_ type: AttributeType, _ index: borrowing AttributeIndex, _ writer: inout AttributeWriter) {
    switch type {
    case .asPath where !edits.prepended.isEmpty:
      let value = edits.path(index).joined.encode()
      writer.header(.asPath, count: value.count)
      writer.bytes(value)
    case .nextHop where edits.nextHop != nil:
      if let nextHop = edits.nextHop { writer.nextHop(nextHop) }
    case .med where edits.med != nil:
      if let med = edits.med { writer.attribute(.med, med) }
    case .localPref where edits.localPref != nil:
      if let localPref = edits.localPref { writer.attribute(.localPref, localPref) }
    case .otc where edits.otc != nil:
      if let otc = edits.otc { writer.attribute(.otc, otc.rawValue) }
    case .communities where edits.communities != nil:
      encode(.communities, (edits.communities ?? []).map(\.rawValue), index, &writer)
    case .largeCommunities where edits.largeCommunities != nil:
      let numbers = (edits.largeCommunities ?? []).flatMap { [$0.global, $0.data1, $0.data2] }
      encode(.largeCommunities, numbers, index, &writer)
    case .extendedCommunities where edits.dropsOriginValidation:
      writer.units(of: 8, type, index) { !$0.isOriginValidationState }
    default:
      if let value = index.value(of: type) { writer.attribute(type, index.flags(of: type), value) }
    }
  }

  private func encode(
    _ type: AttributeType, _ numbers: [UInt32], _ index: borrowing AttributeIndex, _ writer: inout AttributeWriter
  ) {
    guard !numbers.isEmpty else { return }
    writer.header(type, index.flagsToWrite(type), count: numbers.count * 4)
    for number in numbers { writer.bigEndian(number) }
  }
}

extension ASPath {
  /// Two leading sequences as one.
  fileprivate var joined: ASPath {
    guard segments.count > 1, segments[0].kind == .sequence, segments[1].kind == .sequence else { return self }
    return ASPath([Segment(.sequence, segments[0].asns + segments[1].asns)] + segments.dropFirst(2))
  }
}
