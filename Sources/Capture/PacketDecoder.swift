import NetTypes

extension Packet {
  /// Decodes an Ethernet II frame (DLT_EN10MB). Every read is bounded by what was captured; a layer that is cut or
  /// impossible leaves `transport` `.truncated` and what is above it decoded.
  /// - Parameter wireLength: length of the frame before the snapshot length cut it; used where a header leaves its
  ///   own length at 0 (segmentation offload of more than 64 KiB).
  /// - Returns: nil when not even the Ethernet header is whole.
  public init?(_ frame: UnsafeRawBufferPointer, wireLength: Int) {
    guard frame.count >= 14 else { return nil }
    destinationMAC = MACAddress(rawValue: UInt64(frame.network32(0) ?? 0) << 16 | UInt64(frame.network16(4) ?? 0))
    sourceMAC = MACAddress(rawValue: UInt64(frame.network16(6) ?? 0) << 32 | UInt64(frame.network32(8) ?? 0))
    var offset = 12
    var type = EtherType(rawValue: frame.network16(offset) ?? 0)
    offset += 2
    while type == .vlan || type == .serviceVLAN, let inner = frame.network16(offset + 2) {
      type = EtherType(rawValue: inner)
      offset += 4
    }
    etherType = type
    transport = .other
    payload = min(offset, frame.count)..<frame.count
    guard type == .ipv4 || type == .ipv6 else { return }
    guard let network = IPLayer(frame, at: offset, type: type, wireLength: max(wireLength, frame.count)) else {
      transport = .truncated
      return
    }
    ip = network.header
    let end = min(frame.count, network.payloadOffset + network.header.payloadLength)
    let bytes = UnsafeRawBufferPointer(rebasing: frame[0..<max(end, network.payloadOffset)])
    (transport, payload) = Transport.decode(bytes, at: network.payloadOffset, network.header)
  }

  /// Decodes bytes that were kept.
  public init?(_ frame: [UInt8], wireLength: Int? = nil) {
    guard let packet = frame.withUnsafeBytes({ Packet($0, wireLength: wireLength ?? frame.count) }) else { return nil }
    self = packet
  }
}

/// An IP header and where what it carries begins.
private struct IPLayer {
  var header: IPHeader
  var payloadOffset: Int

  init?(_ bytes: UnsafeRawBufferPointer, at offset: Int, type: EtherType, wireLength: Int) {
    let layer =
      type == .ipv4
      ? IPLayer.version4(bytes, offset, wireLength) : IPLayer.version6(bytes, offset, wireLength)
    guard let layer, layer.payloadOffset <= bytes.count else { return nil }
    self = layer
  }

  private init(header: IPHeader, payloadOffset: Int) {
    self.header = header
    self.payloadOffset = payloadOffset
  }

  /// RFC 791 section 3.1; options are stepped over.
  private static func version4(_ bytes: UnsafeRawBufferPointer, _ offset: Int, _ wireLength: Int) -> IPLayer? {
    guard let first = bytes.byte(offset), first >> 4 == 4, let total = bytes.network16(offset + 2),
      let identification = bytes.network16(offset + 4), let fragment = bytes.network16(offset + 6),
      let ttl = bytes.byte(offset + 8), let proto = bytes.byte(offset + 9), let source = bytes.network32(offset + 12),
      let destination = bytes.network32(offset + 16)
    else { return nil }
    let headerLength = Int(first & 0xF) * 4
    let length = total == 0 ? wireLength - offset : Int(total)
    guard headerLength >= 20, length >= headerLength else { return nil }
    let header = IPHeader(
      source: .v4(IPv4Address(rawValue: source)), destination: .v4(IPv4Address(rawValue: destination)), ttl: ttl,
      proto: IPProtocol(rawValue: proto), identification: UInt32(identification),
      fragmentOffset: Int(fragment & 0x1FFF) * 8, moreFragments: fragment & 0x2000 != 0,
      payloadLength: length - headerLength)
    return IPLayer(header: header, payloadOffset: offset + headerLength)
  }

  /// RFC 8200 section 3, and the extension headers of section 4.
  private static func version6(_ bytes: UnsafeRawBufferPointer, _ offset: Int, _ wireLength: Int) -> IPLayer? {
    guard let first = bytes.byte(offset), first >> 4 == 6, let stated = bytes.network16(offset + 4),
      let next = bytes.byte(offset + 6), let ttl = bytes.byte(offset + 7), let source = bytes.address6(offset + 8),
      let destination = bytes.address6(offset + 24)
    else { return nil }
    let length = stated == 0 ? max(wireLength - offset - 40, 0) : Int(stated)
    var header = IPHeader(
      source: source, destination: destination, ttl: ttl, proto: IPProtocol(rawValue: next), identification: 0,
      fragmentOffset: 0, moreFragments: false, payloadLength: length)
    var position = offset + 40
    for _ in 0..<8 {
      guard header.fragmentOffset == 0 else { break }
      let skipped: Int
      switch header.proto {
      case .hopByHop, .routing, .destinationOptions:
        guard let units = bytes.byte(position + 1) else { return nil }
        skipped = (Int(units) + 1) * 8
      case .authentication:
        guard let units = bytes.byte(position + 1) else { return nil }
        skipped = (Int(units) + 2) * 4
      case .fragment:
        guard let place = bytes.network16(position + 2), let id = bytes.network32(position + 4) else { return nil }
        header.fragmentOffset = Int(place & 0xFFF8)
        header.moreFragments = place & 1 != 0
        header.identification = id
        skipped = 8
      default: return IPLayer(header: header, payloadOffset: position)
      }
      guard let following = bytes.byte(position), header.payloadLength >= skipped else { return nil }
      header.proto = IPProtocol(rawValue: following)
      header.payloadLength -= skipped
      position += skipped
    }
    return IPLayer(header: header, payloadOffset: position)
  }

  /// The header quoted in an ICMP error: its lengths speak of the whole packet, so they bound nothing here.
  init?(quoted bytes: UnsafeRawBufferPointer, at offset: Int, type: EtherType) {
    self.init(bytes, at: offset, type: type, wireLength: bytes.count)
  }
}

extension UnsafeRawBufferPointer {
  fileprivate func address6(_ offset: Int) -> IPAddress? {
    guard let high = network64(offset), let low = network64(offset + 8) else { return nil }
    return .v6(IPv6Address(high: high, low: low))
  }
}

extension Transport {
  /// The transport header at an offset and the range of what follows it.
  fileprivate static func decode(
    _ bytes: UnsafeRawBufferPointer, at offset: Int, _ ip: IPHeader
  ) -> (Transport, Range<Int>) {
    let rest = offset..<max(offset, bytes.count)
    if ip.fragmentOffset > 0 { return (.laterFragment, rest) }
    switch ip.proto {
    case .tcp: return decodeTCP(bytes, offset, ip) ?? (.truncated, rest)
    case .udp: return decodeUDP(bytes, offset, ip) ?? (.truncated, rest)
    case .icmp, .icmpv6: return decodeICMP(bytes, offset, ip) ?? (.truncated, rest)
    default: return (.other, rest)
    }
  }

  private static func decodeTCP(
    _ bytes: UnsafeRawBufferPointer, _ offset: Int, _ ip: IPHeader
  ) -> (Transport, Range<Int>)? {
    guard let source = bytes.network16(offset), let destination = bytes.network16(offset + 2),
      let sequence = bytes.network32(offset + 4), let acknowledgment = bytes.network32(offset + 8),
      let words = bytes.byte(offset + 12), let flags = bytes.byte(offset + 13),
      let window = bytes.network16(offset + 14), bytes.count >= offset + 20
    else { return nil }
    let headerLength = Int(words >> 4) * 4
    guard headerLength >= 20, headerLength <= ip.payloadLength else { return nil }
    let header = TCPHeader(
      sourcePort: source, destinationPort: destination, sequence: sequence, acknowledgment: acknowledgment,
      flags: TCPFlags(rawValue: flags), window: window, length: ip.payloadLength - headerLength)
    let start = min(offset + headerLength, bytes.count)
    return (.tcp(header), start..<bytes.count)
  }

  private static func decodeUDP(
    _ bytes: UnsafeRawBufferPointer, _ offset: Int, _ ip: IPHeader
  ) -> (Transport, Range<Int>)? {
    guard let source = bytes.network16(offset), let destination = bytes.network16(offset + 2),
      let length = bytes.network16(offset + 4), bytes.count >= offset + 8, ip.payloadLength >= 8
    else { return nil }
    // A length of 0 is left by segmentation offload; one beyond a whole packet is a lie, and the packet's end holds.
    let most = ip.moreFragments ? Int(UInt16.max) : ip.payloadLength
    let data = length < 8 ? ip.payloadLength - 8 : min(Int(length), most) - 8
    let header = UDPHeader(sourcePort: source, destinationPort: destination, length: data)
    return (.udp(header), offset + 8..<min(bytes.count, offset + 8 + data))
  }

  private static func decodeICMP(
    _ bytes: UnsafeRawBufferPointer, _ offset: Int, _ ip: IPHeader
  ) -> (Transport, Range<Int>)? {
    guard let type = bytes.byte(offset), let code = bytes.byte(offset + 1),
      let identifier = bytes.network16(offset + 4), let sequence = bytes.network16(offset + 6)
    else { return nil }
    var header = ICMPHeader(type: type, code: code, identifier: identifier, sequence: sequence)
    let payload = offset + 8..<bytes.count
    if header.isError(ip.proto) {
      header.quoted = QuotedPacket(bytes, at: offset + 8, type: ip.proto == .icmp ? .ipv4 : .ipv6)
    }
    return (ip.proto == .icmp ? .icmp(header) : .icmpv6(header), payload)
  }
}

extension ICMPHeader {
  /// Whether messages of this type quote the packet that they are about: RFC 792 types 3, 4, 5, 11 and 12, and RFC 4443
  /// section 2.1, everything below 128.
  public func isError(_ proto: IPProtocol) -> Bool {
    proto == .icmp ? [3, 4, 5, 11, 12].contains(type) : type < 128
  }
}

extension QuotedPacket {
  fileprivate init?(_ bytes: UnsafeRawBufferPointer, at offset: Int, type: EtherType) {
    guard let layer = IPLayer(quoted: bytes, at: offset, type: type) else { return nil }
    ip = layer.header
    sourcePort = 0
    destinationPort = 0
    let start = layer.payloadOffset
    var data = bytes.count
    switch ip.proto {
    case .tcp, .udp:
      sourcePort = bytes.network16(start) ?? 0
      destinationPort = bytes.network16(start + 2) ?? 0
      if ip.proto == .tcp { sequence = bytes.network32(start + 4) }
      let tcpLength = bytes.byte(start + 12).map { Int($0 >> 4) * 4 } ?? 20
      data = start + (ip.proto == .tcp ? tcpLength : 8)
    case .icmp, .icmpv6:
      icmpType = bytes.byte(start)
      data = start + 8
    default: break
    }
    payload = min(data, bytes.count)..<bytes.count
  }
}
