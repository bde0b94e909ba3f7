public import NetTypes

/// MP_REACH_NLRI (RFC 4760 section 3), cut: family, next hop, NLRI.
public struct MultiprotocolReach {
  public let afi: AFI
  public let safi: SAFI
  /// nil: none that the session carries. Nothing else was looked at then.
  public let family: Family?
  /// The global address (RFC 2545 section 3 lets a link-local one follow it). Flow rules: usually none.
  public let nextHop: IPAddress?
  /// Of flow rules neither checked nor cut.
  public let nlri: UnsafeRawBufferPointer

  /// - Parameter families: those of the session. An attribute of another one is ignored, whatever it holds: nothing of
  ///   it was agreed on (RFC 4760 section 8).
  /// - Throws: a session reset where the NLRI cannot be found or do not parse (RFC 7606 sections 5.3, 7.11).
  public init(_ value: UnsafeRawBufferPointer, of families: FamilySet = .all) throws(UpdateFault) {
    guard value.count >= 5 else {
      throw UpdateFault(.sessionReset, .length, .mpReach, code: .optionalAttribute)
    }
    afi = AFI(rawValue: value.bigEndian16(at: 0))
    safi = SAFI(rawValue: value[2])
    family = Family(afi: afi, safi: safi).flatMap { families.contains($0) ? $0 : nil }
    let nextHopLength = Int(value[3])
    guard let family else {
      nextHop = nil
      nlri = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    guard value.count >= 5 + nextHopLength else {
      throw UpdateFault(.sessionReset, .length, .mpReach, code: .optionalAttribute)
    }
    switch (family, nextHopLength) {
    case (.ipv4FlowSpec, _), (.ipv6FlowSpec, _):
      // RFC 8955 section 4: sent with length 0, and ignored (where no redirect asks for it).
      let start = value[4..<4 + nextHopLength]
      nextHop = IPAddress(bytes: UnsafeRawBufferPointer(rebasing: start))
    case (.ipv4Unicast, 4):
      nextHop = .v4(IPv4Address(rawValue: value.bigEndian32(at: 4)))
    case (.ipv6Unicast, 16):
      nextHop = .v6(IPv6Address(value, at: 4))
    case (.ipv6Unicast, 32):
      // A peer without a global address leaves the first one empty, or repeats the second: as BIRD, use the second.
      let (global, local) = (IPv6Address(value, at: 4), IPv6Address(value, at: 20))
      nextHop = .v6((global.isUnspecified || global.isLinkLocal) && local.isLinkLocal ? local : global)
    default:
      throw UpdateFault(.sessionReset, .nextHop, .mpReach, code: .optionalAttribute)
    }
    // One reserved octet stands between the next hop and the NLRI.
    nlri = value.dropping(5 + nextHopLength)
    guard family.isFlowSpec || NLRIReader.count(nlri, family) != nil else {
      throw UpdateFault(.sessionReset, .nlriSyntax, .mpReach, code: .optionalAttribute)
    }
  }
}

/// MP_UNREACH_NLRI (RFC 4760 section 4), cut: family, withdrawn NLRI.
public struct MultiprotocolUnreach {
  public let afi: AFI
  public let safi: SAFI
  /// nil: none that the session carries. Nothing else was looked at then.
  public let family: Family?
  /// Of flow rules not checked.
  public let nlri: UnsafeRawBufferPointer

  /// - Parameter families: those of the session. An attribute of another one is ignored (RFC 4760 section 8).
  /// - Throws: a session reset where the NLRI do not parse (RFC 7606 sections 5.3, 7.12).
  public init(_ value: UnsafeRawBufferPointer, of families: FamilySet = .all) throws(UpdateFault) {
    guard value.count >= 3 else {
      throw UpdateFault(.sessionReset, .length, .mpUnreach, code: .optionalAttribute)
    }
    afi = AFI(rawValue: value.bigEndian16(at: 0))
    safi = SAFI(rawValue: value[2])
    family = Family(afi: afi, safi: safi).flatMap { families.contains($0) ? $0 : nil }
    nlri = value.dropping(3)
    if let family, !family.isFlowSpec, NLRIReader.count(nlri, family) == nil {
      throw UpdateFault(.sessionReset, .nlriSyntax, .mpUnreach, code: .optionalAttribute)
    }
  }
}

extension IPv6Address {
  fileprivate init(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
    self.init(high: bytes.bigEndian64(at: offset), low: bytes.bigEndian64(at: offset + 8))
  }
}
