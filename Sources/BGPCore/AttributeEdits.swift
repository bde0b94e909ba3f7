import BGPWire
import NetTypes

/// What policy, or a rule of the RFCs, changes in an attribute set on its way in or out. nil and empty: as it stands.
struct AttributeEdits: Equatable {
  var localPref: UInt32?
  var med: UInt32?
  var weight: UInt32?
  var nextHop: IPAddress?
  /// In front of the path, leftmost first.
  var prepended: [ASNumber] = []
  var communities: [Community]?
  var largeCommunities: [LargeCommunity]?
  /// RFC 9234: OTC is not there and gets this number.
  var otc: ASNumber?
  /// The origin validation state of a neighboring AS is not ours to believe (RFC 8097 section 2).
  var dropsOriginValidation = false

  /// Something changes in the attribute list (a weight does not stand in it).
  var changesList: Bool {
    var copy = self
    copy.weight = nil
    return copy != AttributeEdits()
  }
}

/// The attribute set that policy looks at: as it came, with what statements changed so far.
struct PolicySubject {
  var source: RouteOrigin
  /// Where the route came from on import, goes to on export.
  var neighbor: String
  var localASN: ASNumber
}

extension AttributeEdits {
  func communities(_ index: borrowing AttributeIndex) -> [Community] {
    if let communities { return communities }
    guard let value = index.value(of: .communities) else { return [] }
    return stride(from: 0, to: value.count - 3, by: 4).map { Community(rawValue: value.bigEndian32(at: $0)) }
  }

  /// Without relation tags.
  func largeCommunities(_ index: borrowing AttributeIndex, _ localASN: ASNumber) -> [LargeCommunity] {
    if let largeCommunities { return largeCommunities }
    return LargeCommunity.list(index).filter { !RelationTag.isTag($0, of: localASN.rawValue) }
  }

  func path(_ index: borrowing AttributeIndex) -> ASPath {
    let path = index.value(of: .asPath).map { EncodedASPath($0).decoded } ?? ASPath()
    return prepended.isEmpty ? path : ASPath([ASPath.Segment(.sequence, prepended)] + path.segments)
  }

  /// Carries out what a statement sets.
  mutating func apply(_ set: SetActions, _ index: borrowing AttributeIndex, _ subject: PolicySubject) {
    if let localPref = set.localPref { self.localPref = localPref }
    if let med = set.med { self.med = med }
    if let weight = set.weight { self.weight = weight }
    if let nextHop = set.nextHop { self.nextHop = nextHop }
    if set.prependTimes > 0 {
      let asn = set.prependASN ?? subject.localASN
      prepended = Array(repeating: asn, count: min(set.prependTimes, 255)) + prepended
    }
    applyCommunities(set, index)
    applyLargeCommunities(set, index, subject)
  }

  private mutating func applyCommunities(_ set: SetActions, _ index: borrowing AttributeIndex) {
    guard set.replaceCommunities != nil || !set.removeCommunities.isEmpty || !set.addCommunities.isEmpty else { return }
    var list = set.replaceCommunities ?? communities(index)
    list.removeAll { community in set.removeCommunities.contains { $0.matches(community) } }
    for community in set.addCommunities where !list.contains(community) { list.append(community) }
    communities = list.sorted()
  }

  private mutating func applyLargeCommunities(
    _ set: SetActions, _ index: borrowing AttributeIndex, _ subject: PolicySubject
  ) {
    guard
      set.replaceLargeCommunities != nil || !set.removeLargeCommunities.isEmpty || !set.addLargeCommunities.isEmpty
    else { return }
    var list = set.replaceLargeCommunities ?? largeCommunities(index, subject.localASN)
    list.removeAll { community in set.removeLargeCommunities.contains { $0.matches(community) } }
    for community in set.addLargeCommunities where !list.contains(community) { list.append(community) }
    largeCommunities = list.sorted()
  }
}

extension LargeCommunity {
  static func list(_ index: borrowing AttributeIndex) -> [LargeCommunity] {
    guard let value = index.value(of: .largeCommunities) else { return [] }
    return stride(from: 0, to: value.count - 11, by: 12).map {
      LargeCommunity(value.bigEndian32(at: $0), value.bigEndian32(at: $0 + 4), value.bigEndian32(at: $0 + 8))
    }
  }
}
