public import NetTypes

/// The headers of a TCP segment or UDP datagram as far as measuring a flow needs them: decoded without what `Packet` makes
/// room for, since there are a hundred thousand a second.
public struct FlowSegment {
  public var destinationMAC: MACAddress
  public var sourceMAC: MACAddress
  /// Stands for both addresses and ports.
  public var flow: UInt64
  /// Of TCP; 0 for UDP.
  public var sequence: UInt32
  public var flags: TCPFlags
  /// TSval of RFC 7323: when the sender made the segment, in ms of a clock of its own.
  public var timestamp: UInt32?
  /// Bytes of data on the wire.
  public var length: Int
  /// Where the data begins; it may lie beyond what was captured.
  public var dataOffset: Int

  /// Nil for anything else: other protocols, tags, extension headers, cut headers.
  /// - Parameter wireLength: of the frame, for aggregates whose headers cannot say their length.
  public init?(_ frame: UnsafeRawBufferPointer, wireLength: Int) {
    guard let type = frame.network16(12), let version = frame.byte(14) else { return nil }
    let isIPv4 = EtherType(rawValue: type) == .ipv4
    guard isIPv4 || EtherType(rawValue: type) == .ipv6 else { return nil }
    let header = isIPv4 ? Int(version & 0xF) * 4 : 40
    guard let stated = frame.network16(isIPv4 ? 16 : 18), let proto = frame.byte(isIPv4 ? 23 : 20) else { return nil }
    if isIPv4, frame.network16(20).map({ $0 & 0x1FFF != 0 }) ?? true { return nil }
    let transport = 14 + header
    let rest = stated == 0 ? wireLength - transport : Int(stated) - (isIPv4 ? header : 0)
    guard header >= 20, rest >= 8, transport + 8 <= frame.count else { return nil }
    destinationMAC = MACAddress(rawValue: UInt64(frame.network32(0) ?? 0) << 16 | UInt64(frame.network16(4) ?? 0))
    sourceMAC = MACAddress(rawValue: UInt64(frame.network16(6) ?? 0) << 32 | UInt64(frame.network32(8) ?? 0))
    flow = Self.fingerprint(frame, addresses: isIPv4 ? 26..<34 : 22..<54, ports: transport)
    sequence = 0
    flags = []
    timestamp = nil
    switch IPProtocol(rawValue: proto) {
    case .udp:
      length = rest - 8
      dataOffset = transport + 8
    case .tcp:
      guard let words = frame.byte(transport + 12), let bits = frame.byte(transport + 13) else { return nil }
      let size = Int(words >> 4) * 4
      guard size >= 20, size <= rest else { return nil }
      sequence = frame.network32(transport + 4) ?? 0
      flags = TCPFlags(rawValue: bits)
      length = rest - size
      dataOffset = transport + size
      timestamp = Self.timestamp(frame, transport + 20..<transport + size)
    default: return nil
    }
  }

  /// The multiplier of FNV-1a for 64 bits, a word at a time.
  private static func fingerprint(_ frame: UnsafeRawBufferPointer, addresses: Range<Int>, ports: Int) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for offset in stride(from: addresses.lowerBound, to: addresses.upperBound, by: 4) {
      hash = (hash ^ UInt64(frame.network32(offset) ?? 0)) &* 0x100_0000_01B3
      hash ^= hash >> 29
    }
    return (hash ^ UInt64(frame.network32(ports) ?? 0)) &* 0x100_0000_01B3
  }

  /// Walks through the options: kind 8, length 10, value, echo (RFC 7323 section 3.2).
  private static func timestamp(_ frame: UnsafeRawBufferPointer, _ options: Range<Int>) -> UInt32? {
    var offset = options.lowerBound
    while offset < options.upperBound, let kind = frame.byte(offset), kind != 0 {
      if kind == 1 {
        offset += 1
        continue
      }
      guard let size = frame.byte(offset + 1), size >= 2 else { return nil }
      if kind == 8, size == 10 { return frame.network32(offset + 2) }
      offset += Int(size)
    }
    return nil
  }
}

extension FlowSegment {
  /// Four bytes of the data as a number; nil where they were not captured.
  public static func word(_ frame: UnsafeRawBufferPointer, _ offset: Int) -> UInt32? { frame.network32(offset) }

  public static func longWord(_ frame: UnsafeRawBufferPointer, _ offset: Int) -> UInt64? { frame.network64(offset) }
}
