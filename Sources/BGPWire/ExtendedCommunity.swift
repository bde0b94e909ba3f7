/// An extended community (RFC 4360): eight octets, the first one or two of them the type. Those of twenty octets (RFC
/// 5701) stand in an attribute of their own. Unknown ones are carried as they came.
public struct ExtendedCommunity: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt64
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// - Parameter value: the last six octets.
  @inlinable public init(_ type: Kind, _ value: UInt64) {
    rawValue = UInt64(type.rawValue) << 48 | value & 0xFFFF_FFFF_FFFF
  }

  /// Type and sub-type (IANA "Border Gateway Protocol (BGP) Extended Communities").
  public struct Kind: RawRepresentable, Hashable, Sendable {
    public var rawValue: UInt16
    @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }

    // RFC 8955 section 7.
    public static let trafficRateBytes = Kind(rawValue: 0x8006)
    public static let trafficAction = Kind(rawValue: 0x8007)
    public static let redirectAS2 = Kind(rawValue: 0x8008)
    public static let trafficMarking = Kind(rawValue: 0x8009)
    public static let trafficRatePackets = Kind(rawValue: 0x800C)
    public static let redirectIPv4 = Kind(rawValue: 0x8108)
    public static let redirectAS4 = Kind(rawValue: 0x8208)
    /// draft-ietf-idr-flowspec-redirect-ip: to the address in the community.
    public static let redirectToIPv4 = Kind(rawValue: 0x010C)
    /// draft-simpson-idr-flowspec-redirect: to the next hop of MP_REACH_NLRI.
    public static let redirectToNextHop = Kind(rawValue: 0x0800)
  }

  public var kind: Kind { Kind(rawValue: UInt16(truncatingIfNeeded: rawValue >> 48)) }
  /// The last six octets.
  public var value: UInt64 { rawValue & 0xFFFF_FFFF_FFFF }

  /// The value of the attribute.
  public static func list(_ value: UnsafeRawBufferPointer) -> [ExtendedCommunity] {
    stride(from: 0, to: value.count - 7, by: 8).map { ExtendedCommunity(rawValue: value.bigEndian64(at: $0)) }
  }

  public static func encode(_ list: [ExtendedCommunity]) -> [UInt8] {
    var bytes: [UInt8] = []
    for community in list { bytes.appendBigEndian(community.rawValue) }
    return bytes
  }
}

extension ExtendedCommunity: CustomStringConvertible {
  /// As tools write what they do not know: `0x8006:0x00000000`…
  public var description: String {
    let digits = String(rawValue, radix: 16)
    return "0x" + String(repeating: "0", count: 16 - digits.count) + digits
  }
}
