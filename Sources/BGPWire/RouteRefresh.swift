/// A ROUTE-REFRESH (RFC 2918 section 3).
public struct RouteRefresh: Hashable, Sendable {
  public var afi: AFI
  public var safi: SAFI
  /// 0 is the request; 1 and 2 mark begin and end for those who negotiated RFC 7313, which we do not offer.
  public var subtype: UInt8

  public init(_ family: Family) {
    afi = family.afi
    safi = family.safi
    subtype = 0
  }

  /// From the body of a framed message, four octets.
  public init(decoding body: UnsafeRawBufferPointer) throws(MessageError) {
    guard body.count == 4 else { throw .badLength(UInt16(clamping: body.count + MessageHeader.size)) }
    afi = AFI(rawValue: body.bigEndian16(at: 0))
    subtype = body[2]
    safi = SAFI(rawValue: body[3])
  }

  public func encode() -> [UInt8] {
    MessageHeader.message(.routeRefresh) {
      $0.appendBigEndian(afi.rawValue)
      $0.append(subtype)
      $0.append(safi.rawValue)
    }
  }
}

/// A KEEPALIVE has no content (RFC 4271 section 4.4).
public enum Keepalive {
  public static let encoded: [UInt8] = MessageHeader.message(.keepalive) { _ in }
}
