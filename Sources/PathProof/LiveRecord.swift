import Capture
import NetTypes

/// What a packet of a flow says about itself that neither routers nor NAT change, and where it was seen.
struct LiveRecord {
  enum Content: Hashable {
    /// Of TCP: where its sequence space begins, how much of it, and what it acknowledges.
    case segment(sequence: UInt32, span: UInt32, acknowledgment: UInt32, flags: UInt8)
    /// Anything else, by what it carries.
    case datagram(Int)
  }

  var content: Content
  var interface: Int
  var outbound: Bool
  var time: UInt64
  var ttl: UInt8
  var frame: Sighting.FrameAddresses
}

extension LiveRecord {
  /// Which of a flow's packets are followed: all at level 0, and about half as many at each level more. Whatever a level
  /// keeps on one interface it keeps on all: datagrams are chosen by what they carry, segments by whether a multiple of
  /// some power of two lies in their sequence space, which aggregation and its undoing leave alone. What a level keeps, the
  /// levels below it keep too.
  static func keeps(_ content: Content, _ level: UInt8) -> Bool {
    guard level > 0 else { return true }
    switch content {
    case .datagram(let hash): return isKept(UInt64(bitPattern: Int64(hash)), level)
    case .segment(let sequence, 0, let acknowledgment, _):
      return isKept(UInt64(sequence) << 32 | UInt64(acknowledgment), level)
    case .segment(let sequence, let span, _, _):
      return UInt64(firstMark(sequence, level) &- sequence) < UInt64(span)
    }
  }

  static let deepest: UInt8 = 20

  static func markSpacing(_ level: UInt8) -> UInt32 { 512 << UInt32(level) }

  /// The first mark from a sequence number on.
  static func firstMark(_ sequence: UInt32, _ level: UInt8) -> UInt32 {
    let spacing = markSpacing(level)
    return (sequence &+ (spacing - 1)) & ~(spacing - 1)
  }

  /// Fibonacci hashing: neighbouring numbers end far apart.
  private static func isKept(_ value: UInt64, _ level: UInt8) -> Bool {
    (value &* 0x9E37_79B9_7F4A_7C15) >> (64 - UInt64(level)) == 0
  }
}

/// A packet as the flow table sees it.
struct LivePacket {
  var tuple: LiveTuple
  var way: Way
  var content: LiveRecord.Content
  /// It says that its sender began: a SYN, an echo request.
  var begins: Bool

  /// Nil for what belongs to no flow between two addresses: errors, neighbour discovery, groups, later fragments.
  init?(_ packet: Packet, _ frame: UnsafeRawBufferPointer) {
    guard let ip = packet.ip, !ip.destination.isMulticast, !ip.source.isUnspecified, !ip.destination.isUnspecified,
      ip.destination != .v4(IPv4Address(rawValue: .max))
    else { return nil }
    var (source, destination) = (Endpoint(ip.source), Endpoint(ip.destination))
    begins = false
    switch packet.transport {
    case .tcp(let header):
      (source.port, destination.port) = (header.sourcePort, header.destinationPort)
      begins = header.flags.contains(.syn) && !header.flags.contains(.ack)
      content = .segment(
        sequence: header.sequence, span: header.flags.contains(.rst) ? 0 : header.span,
        acknowledgment: header.acknowledgment, flags: header.flags.rawValue)
    case .udp(let header):
      (source.port, destination.port) = (header.sourcePort, header.destinationPort)
      content = .datagram(Self.hash(frame, packet.payload, UInt64(header.length)))
    case .icmp(let header), .icmpv6(let header):
      let types: (request: UInt8, reply: UInt8) = ip.proto == .icmp ? (8, 0) : (128, 129)
      guard header.type == types.request || header.type == types.reply else { return nil }
      (source.port, destination.port) = (header.identifier, header.identifier)
      begins = header.type == types.request
      content = .datagram(Self.hash(frame, packet.payload, UInt64(header.sequence)))
    case .laterFragment, .truncated: return nil
    case .other: content = .datagram(Self.hash(frame, packet.payload, UInt64(ip.payloadLength)))
    }
    var way = Way.forward
    tuple = LiveTuple(ip.proto.rawValue, source, destination, &way)
    self.way = way
  }

  /// Of what all captures keep of it.
  private static let mostBytes = 96

  /// FNV-1a for 64 bits. A fragment that is cut further on its way is told by its beginning.
  private static func hash(_ frame: UnsafeRawBufferPointer, _ payload: Range<Int>, _ seed: UInt64) -> Int {
    var hash = (0xCBF2_9CE4_8422_2325 ^ seed) &* 0x100_0000_01B3
    for byte in frame[payload.prefix(mostBytes)] { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    return Int(truncatingIfNeeded: hash ^ hash >> 32)
  }
}
