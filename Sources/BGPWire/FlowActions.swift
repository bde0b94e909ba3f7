public import NetTypes

/// What is done with the packets of a flow rule (RFC 8955 section 7). Without any of them the packets pass, and later
/// rules are not asked.
///
/// Of several limits of one kind the lowest counts, of other actions that contradict each other the first (section 7.7
/// leaves it to us, and asks that it be the same each time).
public struct FlowActions: Hashable, Sendable {
  public enum Redirect: Hashable, Sendable {
    /// Forwarded as a packet to this address would be. `copies`: a copy of it is, too.
    case address(IPAddress, copies: Bool)
    /// To the instance that imports this route target: `64500:100`.
    case routeTarget(String)
  }

  /// Bytes a second; 0: dropped. nil: no limit.
  public var rateBytes: Float?
  /// Packets a second; 0: dropped. nil: no limit.
  public var ratePackets: Float?
  /// Differentiated services code point that packets are given.
  public var dscp: UInt8?
  public var isSampled = false
  /// The T bit of traffic-action: later rules are asked as well. (RFC 8955 section 7.3: when it is *set*, evaluation
  /// goes on.)
  public var continues = false
  public var redirect: Redirect?

  public init() {}

  public var isEmpty: Bool { self == FlowActions() }

  /// Packets do not pass at all.
  public var drops: Bool { rateBytes == 0 || ratePackets == 0 }
}

/// An action that cannot be decoded: its routes are withdrawn (RFC 8955 section 10, RFC 7606 section 7.14).
public enum FlowActionFault: Error, Hashable, Sendable {
  /// A rate that is no number.
  case rate
}

// MARK: - From attributes

extension FlowActions {
  /// - Parameter nextHop: of MP_REACH_NLRI, where it holds one.
  public init(
    _ communities: [ExtendedCommunity], ipv6: [IPv6ExtendedCommunity] = [], nextHop: IPAddress? = nil
  ) throws(FlowActionFault) {
    for community in communities {
      let low = UInt32(truncatingIfNeeded: community.value)
      switch community.kind {
      case .trafficRateBytes: rateBytes = Self.lower(rateBytes, try Self.rate(low))
      case .trafficRatePackets: ratePackets = Self.lower(ratePackets, try Self.rate(low))
      case .trafficAction:
        isSampled = isSampled || low & 2 != 0
        continues = continues || low & 1 != 0
      case .trafficMarking: dscp = dscp ?? UInt8(truncatingIfNeeded: low & 0x3F)
      default:
        redirect = redirect ?? Self.redirect(community, nextHop)
      }
    }
    for community in ipv6 where redirect == nil && community.kind == IPv6ExtendedCommunity.redirectToIPv6 {
      redirect = .address(.v6(community.address), copies: community.local & 1 != 0)
    }
  }

  /// From an attribute list in canonical form.
  public init(_ index: borrowing AttributeIndex) throws(FlowActionFault) {
    try self.init(
      index.value(of: .extendedCommunities).map(ExtendedCommunity.list) ?? [],
      ipv6: index.value(of: .ipv6ExtendedCommunities).map(IPv6ExtendedCommunity.list) ?? [],
      nextHop: index.value(of: .nextHop).flatMap { IPAddress(bytes: $0) })
  }

  private static func redirect(_ community: ExtendedCommunity, _ nextHop: IPAddress?) -> Redirect? {
    let value = community.value
    let low16 = value & 0xFFFF
    switch community.kind {
    case .redirectAS2: return .routeTarget("\(value >> 32):\(value & 0xFFFF_FFFF)")
    case .redirectAS4: return .routeTarget("\(value >> 16):\(low16)")
    case .redirectIPv4:
      return .routeTarget("\(IPv4Address(rawValue: UInt32(truncatingIfNeeded: value >> 16))):\(low16)")
    case .redirectToIPv4:
      let address = IPv4Address(rawValue: UInt32(truncatingIfNeeded: value >> 16))
      return .address(.v4(address), copies: low16 & 1 != 0)
    case .redirectToNextHop: return nextHop.map { .address($0, copies: low16 & 1 != 0) }
    default: return nil
    }
  }

  private static func lower(_ a: Float?, _ b: Float) -> Float { min(a ?? b, b) }

  /// IEEE 754 single precision; negative ones are zero (RFC 8955 section 7.1).
  private static func rate(_ bits: UInt32) throws(FlowActionFault) -> Float {
    let rate = Float(bitPattern: bits)
    guard !rate.isNaN else { throw .rate }
    return max(rate, 0)
  }
}

// MARK: - To attributes

extension FlowActions {
  /// - Parameter asn: of who limits, for information; written where it fits in two octets (RFC 8955 section 7.1).
  public func communities(_ asn: ASNumber) -> [ExtendedCommunity] {
    let informative = UInt64(UInt16(exactly: asn.rawValue) ?? 0) << 32
    var list: [ExtendedCommunity] = []
    if let rateBytes {
      list.append(ExtendedCommunity(.trafficRateBytes, informative | UInt64(rateBytes.bitPattern)))
    }
    if let ratePackets {
      list.append(ExtendedCommunity(.trafficRatePackets, informative | UInt64(ratePackets.bitPattern)))
    }
    if isSampled || continues {
      list.append(ExtendedCommunity(.trafficAction, (isSampled ? 2 : 0) | (continues ? 1 : 0)))
    }
    if case .address(.v4(let address), let copies)? = redirect {
      list.append(ExtendedCommunity(.redirectToIPv4, UInt64(address.rawValue) << 16 | (copies ? 1 : 0)))
    }
    if let dscp { list.append(ExtendedCommunity(.trafficMarking, UInt64(dscp & 0x3F))) }
    return list
  }

  public var ipv6Communities: [IPv6ExtendedCommunity] {
    guard case .address(.v6(let address), let copies)? = redirect else { return [] }
    return [IPv6ExtendedCommunity(IPv6ExtendedCommunity.redirectToIPv6, address, copies ? 1 : 0)]
  }

  /// For people, one text an action.
  public var texts: [String] {
    var texts: [String] = []
    if drops { texts.append("drop") }
    if let rateBytes, rateBytes > 0 { texts.append("rate \(Self.text(rateBytes)) bytes/s") }
    if let ratePackets, ratePackets > 0 { texts.append("rate \(Self.text(ratePackets)) packets/s") }
    if let dscp { texts.append("mark dscp \(dscp)") }
    if isSampled { texts.append("sample") }
    switch redirect {
    case .address(let address, let copies)?: texts.append("\(copies ? "copy" : "redirect") to \(address)")
    case .routeTarget(let target)?: texts.append("redirect to route target \(target)")
    case nil: break
    }
    if continues { texts.append("go on") }
    return texts.isEmpty ? ["accept"] : texts
  }

  private static func text(_ rate: Float) -> String {
    rate < 1e15 && rate == rate.rounded() ? "\(UInt64(rate))" : "\(rate)"
  }
}

/// An IPv6 address specific extended community (RFC 5701): type, an address, two octets.
public struct IPv6ExtendedCommunity: Hashable, Sendable {
  /// draft-ietf-idr-flowspec-redirect-ip.
  public static let redirectToIPv6: UInt16 = 0x000C

  public var kind: UInt16
  public var address: IPv6Address
  public var local: UInt16

  public init(_ kind: UInt16, _ address: IPv6Address, _ local: UInt16) {
    self.kind = kind
    self.address = address
    self.local = local
  }

  /// The value of the attribute.
  public static func list(_ value: UnsafeRawBufferPointer) -> [IPv6ExtendedCommunity] {
    stride(from: 0, to: value.count - 19, by: 20).map {
      IPv6ExtendedCommunity(
        value.bigEndian16(at: $0),
        IPv6Address(high: value.bigEndian64(at: $0 + 2), low: value.bigEndian64(at: $0 + 10)),
        value.bigEndian16(at: $0 + 18))
    }
  }

  public static func encode(_ list: [IPv6ExtendedCommunity]) -> [UInt8] {
    var bytes: [UInt8] = []
    for community in list {
      bytes.appendBigEndian(community.kind)
      bytes.appendBigEndian(community.address.high)
      bytes.appendBigEndian(community.address.low)
      bytes.appendBigEndian(community.local)
    }
    return bytes
  }
}
