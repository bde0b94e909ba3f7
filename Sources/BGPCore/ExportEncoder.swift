import BGPWire
import NetTypes

/// Writes the attribute list that one group of peers gets for one path. Works from the encoded list to the encoded
/// list; only what a policy or a rule changes is touched.
struct ExportEncoder {
  let key: ExportGroup.Key
  let edits: AttributeEdits
  let localASN: ASNumber
  let routerID: UInt32
  let clusterID: UInt32
  let family: Family
  /// nil: flow rules.
  let nextHop: IPAddress?
  let localPref: UInt32
  let source: RouteOrigin
  let learned: LearnedFrom
  /// Of the peer that the path came from.
  let sourceRouterID: UInt32

  /// Types that may be written though the list does not hold them.
  private static let additions = AttributeTypeSet([
    .asPath, .nextHop, .med, .localPref, .communities, .originatorID, .clusterList, .as4Path, .as4Aggregator,
    .largeCommunities, .otc,
  ])

  /// A route server is not on the path: it adds no number and changes no next hop (RFC 7947 section 2.2).
  private var isTransparent: Bool { key.isExternal && key.relation == .routeServer }
  private var isReflected: Bool { !key.isExternal && source == .ibgp }

  /// Room that `encode` needs at most.
  func capacity(_ index: borrowing AttributeIndex) -> Int {
    let lists = (edits.communities?.count ?? 0) * 4 + ((edits.largeCommunities?.count ?? 0) + 1) * 12
    return index.list.count * 2 + edits.prepended.count * 8 + lists + 256
  }

  /// IPv6: sixteen octets of next hop stand before the list, for MP_REACH_NLRI. Flow rules: the length of a next hop,
  /// and the next hop, which is there only where a redirect points to it.
  func encode(_ index: borrowing AttributeIndex, to target: UnsafeMutableRawPointer) -> Int {
    var writer = AttributeWriter(target)
    if family == .ipv6Unicast, case .v6(let address) = nextHop {
      writer.bigEndian(address.high)
      writer.bigEndian(address.low)
    } else if family.isFlowSpec {
      let target = index.value(of: .nextHop) ?? UnsafeRawBufferPointer(start: nil, count: 0)
      writer.octet(UInt8(truncatingIfNeeded: target.count))
      writer.bytes(target)
    }
    let path = ExportedPath(index, self)
    index.forEachType(adding: Self.additions) { type in
      encode(type, index, path, &writer)
    }
    return writer.count
  }

  private func encode(
    _ type: AttributeType, _ index: borrowing AttributeIndex, _ path: ExportedPath, _ writer: inout AttributeWriter
  ) {
    switch type {
    case .asPath: path.write(.asPath, index, &writer)
    case .nextHop: if family == .ipv4Unicast, let nextHop { writer.nextHop(nextHop) }
    case .med: encodeMED(index, &writer)
    case .localPref: if !key.isExternal { writer.attribute(.localPref, edits.localPref ?? localPref) }
    case .communities: encodeCommunities(index, &writer)
    case .originatorID:
      if isReflected { writer.attribute(.originatorID, index.unsigned32(.originatorID) ?? sourceRouterID) }
    case .clusterList: if isReflected { encodeClusterList(index, &writer) }
    case .extendedCommunities: encodeExtended(type, unit: 8, index, &writer)
    case .ipv6ExtendedCommunities: encodeExtended(type, unit: 20, index, &writer)
    case .aggregator where !key.hasFourOctetAS: encodeAggregator(index, &writer)
    case .as4Path: if !key.hasFourOctetAS { path.write(.as4Path, index, &writer) }
    case .as4Aggregator: if !key.hasFourOctetAS { encodeAS4Aggregator(index, &writer) }
    case .largeCommunities: encodeLargeCommunities(index, &writer)
    case .otc: encodeOTC(index, &writer)
    default: copy(type, index, &writer)
    }
  }

  private func copy(_ type: AttributeType, _ index: borrowing AttributeIndex, _ writer: inout AttributeWriter) {
    guard let value = index.value(of: type) else { return }
    writer.attribute(type, index.flags(of: type), value)
  }

  /// To a neighboring AS only what export policy sets: a MED that came from elsewhere is not for it (RFC 4271
  /// section 5.1.4).
  private func encodeMED(_ index: borrowing AttributeIndex, _ writer: inout AttributeWriter) {
    if let med = edits.med {
      writer.attribute(.med, med)
    } else if !key.isExternal || isTransparent {
      copy(.med, index, &writer)
    }
  }

  private func encodeCommunities(_ index: borrowing AttributeIndex, _ writer: inout AttributeWriter) {
    guard key.sendCommunities else { return }
    guard let communities = edits.communities else { return copy(.communities, index, &writer) }
    guard !communities.isEmpty else { return }
    writer.header(.communities, index.flagsToWrite(.communities), count: communities.count * 4)
    for community in communities { writer.bigEndian(community.rawValue) }
  }

  private func encodeLargeCommunities(_ index: borrowing AttributeIndex, _ writer: inout AttributeWriter) {
    let tag = tag
    let hasTag = index.contains(.largeCommunities) && source == .ibgp
    if edits.largeCommunities == nil, tag == nil, !hasTag {
      if key.sendCommunities { copy(.largeCommunities, index, &writer) }
      return
    }
    var communities = key.sendCommunities ? edits.largeCommunities(index, localASN) : []
    if let tag { communities.append(tag) }
    guard !communities.isEmpty else { return }
    writer.header(.largeCommunities, index.flagsToWrite(.largeCommunities), count: communities.count * 12)
    for community in communities {
      writer.bigEndian(community.global)
      writer.bigEndian(community.data1)
      writer.bigEndian(community.data2)
    }
  }

  /// Non-transitive ones stay inside the AS (RFC 4360 section 6; RFC 5701 section 2 for those of 20 octets). Without the
  /// actions that stand in them flow rules would mean something else, so those always have them.
  private func encodeExtended(
    _ type: AttributeType, unit: Int, _ index: borrowing AttributeIndex, _ writer: inout AttributeWriter
  ) {
    guard key.sendCommunities || family.isFlowSpec else { return }
    guard key.isExternal else { return copy(type, index, &writer) }
    writer.units(of: unit, type, index) { $0[0] & 0x40 == 0 }
  }

  /// Inside the AS, which side the route was learned from.
  private var tag: LargeCommunity? {
    guard !key.isExternal else { return nil }
    switch learned {
    case .own, .other: return nil
    case .customer, .peer, .provider:
      return LargeCommunity(localASN.rawValue, RelationTag.function, UInt32(learned.rawValue))
    }
  }

  /// RFC 4456 section 8: our cluster in front.
  private func encodeClusterList(_ index: borrowing AttributeIndex, _ writer: inout AttributeWriter) {
    let value = index.value(of: .clusterList)
    writer.header(.clusterList, count: (value?.count ?? 0) + 4)
    writer.bigEndian(clusterID)
    if let value { writer.bytes(value) }
  }

  private func encodeAggregator(_ index: borrowing AttributeIndex, _ writer: inout AttributeWriter) {
    guard let value = index.value(of: .aggregator), value.count == 8 else { return }
    writer.header(.aggregator, index.flags(of: .aggregator), count: 6)
    writer.bigEndian(UInt16(exactly: value.bigEndian32(at: 0)) ?? UInt16(ASNumber.trans.rawValue))
    writer.bigEndian(value.bigEndian32(at: 4))
  }

  private func encodeAS4Aggregator(_ index: borrowing AttributeIndex, _ writer: inout AttributeWriter) {
    guard let value = index.value(of: .aggregator), value.count == 8, value.bigEndian32(at: 0) > UInt16.max else {
      return
    }
    writer.attribute(.as4Aggregator, [.optional, .transitive], value)
  }

  /// RFC 9234 section 5, egress: to customers, peers and clients of a route server the attribute is added.
  private func encodeOTC(_ index: borrowing AttributeIndex, _ writer: inout AttributeWriter) {
    if index.contains(.otc) { return copy(.otc, index, &writer) }
    guard !family.isFlowSpec, key.isExternal, key.roles, [.provider, .peer, .routeServer].contains(key.relation) else {
      return
    }
    writer.attribute(.otc, localASN.rawValue)
  }
}

extension AttributeWriter {
  /// The attribute with those of its units that `isKept` wants; nothing if that is none.
  mutating func units(
    of size: Int, _ type: AttributeType, _ index: borrowing AttributeIndex,
    where isKept: (UnsafeRawBufferPointer) -> Bool
  ) {
    guard let value = index.value(of: type) else { return }
    let units = stride(from: 0, through: value.count - size, by: size).lazy.map {
      UnsafeRawBufferPointer(rebasing: value[$0..<$0 + size])
    }
    let count = units.count(where: isKept)
    guard count > 0 else { return }
    header(type, index.flags(of: type), count: count * size)
    for unit in units where isKept(unit) { bytes(unit) }
  }
}

extension UnsafeRawBufferPointer {
  /// RFC 8097 section 2, of an extended community.
  var isOriginValidationState: Bool { self[0] == 0x43 && self[1] == 0 }
}

/// The AS path as it leaves: private numbers taken out, policy's prepends, then our own number on eBGP.
private struct ExportedPath {
  /// Leftmost first.
  private let prepended: [ASNumber]
  /// nil: the path stands as it was received behind what is prepended.
  private let rewritten: ASPath?
  private let hasFourOctetAS: Bool

  init(_ index: borrowing AttributeIndex, _ encoder: ExportEncoder) {
    let key = encoder.key
    hasFourOctetAS = key.hasFourOctetAS
    // A route server stays out of others' paths, not out of those of its own networks.
    let addsOwn = key.isExternal && (key.relation != .routeServer || encoder.source == .local)
    prepended = (addsOwn ? [encoder.localASN] : []) + encoder.edits.prepended
    var path: ASPath?
    if key.isExternal, key.privateASRemoval != .keep {
      path = Self.decoded(index).removingPrivate(key.privateASRemoval, keeping: key.peerASN, own: encoder.localASN)
    }
    rewritten = hasFourOctetAS ? path : (path ?? Self.decoded(index))
  }

  private static func decoded(_ index: borrowing AttributeIndex) -> ASPath {
    index.value(of: .asPath).map { EncodedASPath($0).decoded } ?? ASPath()
  }

  func write(_ type: AttributeType, _ index: borrowing AttributeIndex, _ writer: inout AttributeWriter) {
    if let rewritten {
      writeRewritten(type, rewritten.prepending(prepended), &writer)
    } else {
      writeEncoded(index, &writer)
    }
  }

  private func writeRewritten(_ type: AttributeType, _ path: ASPath, _ writer: inout AttributeWriter) {
    if type == .as4Path {
      // RFC 6793 section 4.2.2: only where the 2-octet path had to lie.
      guard path.asns.contains(where: { $0.rawValue > UInt16.max }) else { return }
      let value = path.encode()
      writer.header(.as4Path, count: value.count)
      writer.bytes(value)
    } else {
      let value = path.encode(width: hasFourOctetAS ? 4 : 2)
      writer.header(.asPath, count: value.count)
      writer.bytes(value)
    }
  }

  /// The common case: numbers go in front of the first sequence, the rest is copied.
  private func writeEncoded(_ index: borrowing AttributeIndex, _ writer: inout AttributeWriter) {
    let value = index.value(of: .asPath) ?? UnsafeRawBufferPointer(start: nil, count: 0)
    guard !prepended.isEmpty else {
      writer.header(.asPath, count: value.count)
      writer.bytes(value)
      return
    }
    let joins = value.count >= 2 && value[0] == 2 && Int(value[1]) + prepended.count <= 255
    let count = min(prepended.count, 255)
    writer.header(.asPath, count: value.count + count * 4 + (joins ? 0 : 2))
    writer.octet(ASPath.Segment.Kind.sequence.rawValue)
    writer.octet(UInt8(truncatingIfNeeded: joins ? Int(value[1]) + count : count))
    for asn in prepended.prefix(count) { writer.bigEndian(asn.rawValue) }
    writer.bytes(joins ? UnsafeRawBufferPointer(rebasing: value[2...]) : value)
  }
}

extension ASPath {
  func prepending(_ asns: [ASNumber]) -> ASPath {
    guard !asns.isEmpty else { return self }
    guard let first = segments.first, first.kind == .sequence else {
      return ASPath([Segment(.sequence, asns)] + segments)
    }
    return ASPath([Segment(.sequence, asns + first.asns)] + segments.dropFirst())
  }

  /// The neighbor's own number stays, so that it sees its loops.
  func removingPrivate(_ removal: PrivateASRemoval, keeping peer: ASNumber, own: ASNumber) -> ASPath {
    switch removal {
    case .keep: return self
    case .remove where !asns.allSatisfy(\.isPrivate): return self
    case .replace:
      return ASPath(segments.map { Segment($0.kind, $0.asns.map { $0.isPrivate && $0 != peer ? own : $0 }) })
    case .remove, .all:
      let kept = segments.map { Segment($0.kind, $0.asns.filter { !$0.isPrivate || $0 == peer }) }
      return ASPath(kept.filter { !$0.asns.isEmpty })
    }
  }
}
