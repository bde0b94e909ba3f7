public import NetTypes

/// An OPEN (RFC 4271 section 4.2) with its capabilities, in whichever of the layouts in use they came: each in a
/// parameter of its own (FRR), all in one (the others), or with two-octet lengths (RFC 9072).
public struct Open: Hashable, Sendable {
  /// Of the sender: the number of capability 65 where it was sent, otherwise the two-octet field (RFC 6793).
  public var asn: ASNumber
  /// As offered, seconds: 0 or at least 3.
  public var holdTime: UInt16
  public var identifier: UInt32
  /// In the order they came, repetitions included.
  public var capabilities: [Capability]

  public init(asn: ASNumber, holdTime: UInt16, identifier: UInt32, capabilities: [Capability]) {
    self.asn = asn
    self.holdTime = holdTime
    self.identifier = identifier
    self.capabilities = capabilities
  }

  /// From the body of a framed message. Checks all that needs no configuration (RFC 4271 section 6.2).
  public init(decoding body: UnsafeRawBufferPointer) throws(MessageError) {
    guard body.count >= 10 else { throw .badLength(UInt16(clamping: body.count + MessageHeader.size)) }
    guard body[0] == 4 else { throw .unsupportedVersion(body[0]) }
    let field = body.bigEndian16(at: 1)
    holdTime = body.bigEndian16(at: 3)
    identifier = body.bigEndian32(at: 5)
    capabilities = []
    try Self.decodeParameters(UnsafeRawBufferPointer(rebasing: body[9...]), into: &capabilities)
    asn = ASNumber(UInt32(field))
    for case .fourOctetAS(let number) in capabilities { asn = ASNumber(number) }
    guard asn.rawValue != 0 else { throw .badPeerAS }  // RFC 7607
    guard identifier != 0 else { throw .badIdentifier }  // RFC 6286 section 2.2
    guard holdTime == 0 || holdTime >= 3 else { throw .unacceptableHoldTime(holdTime) }
  }

  /// `bytes` begins with the length octet and ends with the message.
  private static func decodeParameters(
    _ bytes: UnsafeRawBufferPointer, into capabilities: inout [Capability]
  ) throws(MessageError) {
    // RFC 9072 section 2: a first type of 255 means two-octet lengths; the octet before it then says nothing.
    let isExtended = bytes.count >= 2 && bytes[0] != 0 && bytes[1] == 255
    if isExtended {
      guard bytes.count >= 4, Int(bytes.bigEndian16(at: 2)) == bytes.count - 4 else { throw .malformedOpen }
    } else {
      guard Int(bytes[0]) == bytes.count - 1 else { throw .malformedOpen }
    }
    var rest = bytes.dropFirst(isExtended ? 4 : 1)
    let head = isExtended ? 3 : 2
    while !rest.isEmpty {
      guard rest.count >= head else { throw .malformedOpen }
      let type = rest[rest.startIndex]
      let length = isExtended ? Int(bytes.bigEndian16(at: rest.startIndex + 1)) : Int(rest[rest.startIndex + 1])
      rest = rest.dropFirst(head)
      guard rest.count >= length else { throw .malformedOpen }
      guard type == Self.capabilitiesParameter else { throw .unsupportedParameter }
      try Capability.decode(UnsafeRawBufferPointer(rebasing: rest.prefix(length)), into: &capabilities)
      rest = rest.dropFirst(length)
    }
  }

  /// Optional parameter type (RFC 5492 section 4).
  private static let capabilitiesParameter: UInt8 = 2

  /// The whole message, all capabilities in one parameter; RFC 9072 only where they do not fit otherwise.
  public func encode() -> [UInt8] {
    let encoded = Capability.encode(capabilities)
    return MessageHeader.message(.open) {
      $0.append(4)
      $0.appendBigEndian(UInt16(exactly: asn.rawValue) ?? UInt16(ASNumber.trans.rawValue))
      $0.appendBigEndian(holdTime)
      $0.appendBigEndian(identifier)
      if encoded.isEmpty {
        $0.append(0)
      } else if encoded.count <= 253 {
        $0.append(UInt8(encoded.count + 2))
        $0.append(Self.capabilitiesParameter)
        $0.append(UInt8(encoded.count))
      } else {
        $0.append(contentsOf: [255, 255])
        $0.appendBigEndian(UInt16(clamping: encoded.count + 3))
        $0.append(Self.capabilitiesParameter)
        $0.appendBigEndian(UInt16(clamping: encoded.count))
      }
      $0.append(contentsOf: encoded)
    }
  }

  // MARK: What the capabilities say

  /// Families of RFC 4760 that we know. An OPEN without any such capability means IPv4 unicast (RFC 4760 section 8).
  public var families: FamilySet {
    var families: FamilySet = []
    var isAnyOffered = false
    for case .multiprotocol(let afi, let safi) in capabilities {
      isAnyOffered = true
      if let family = Family(afi: afi, safi: safi) { families.insert(FamilySet(family)) }
    }
    return isAnyOffered ? families : .ipv4Unicast
  }

  public var hasFourOctetAS: Bool { capabilities.contains { $0.code == .fourOctetAS } }
  public var hasRouteRefresh: Bool { capabilities.contains { $0.code == .routeRefresh } }

  /// The last one sent (RFC 4724 section 3).
  public var gracefulRestart: Capability.GracefulRestart? {
    for case .gracefulRestart(let restart) in capabilities.reversed() { return restart }
    return nil
  }

  /// Every role sent; more than one value is an error (RFC 9234 section 4.2).
  public var roles: Set<Role> {
    var roles: Set<Role> = []
    for case .role(let role) in capabilities { roles.insert(role) }
    return roles
  }
}
