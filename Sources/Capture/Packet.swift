public import NetTypes

/// One captured Ethernet frame, decoded as deep as its bytes go. Addresses are as on the wire; nothing is verified
/// (checksums are left to hardware that a veth has not).
public struct Packet: Sendable, Equatable {
  public var destinationMAC: MACAddress
  public var sourceMAC: MACAddress
  public var etherType: EtherType
  /// Absent: no IP, or its header was cut.
  public var ip: IPHeader?
  public var transport: Transport
  /// What the transport carries, as offsets into the captured bytes; shorter than on the wire where the capture was cut.
  public var payload: Range<Int>
}

/// IEEE 802 Numbers, "EtherType".
public struct EtherType: RawRepresentable, Hashable, Sendable {
  public let rawValue: UInt16
  public init(rawValue: UInt16) { self.rawValue = rawValue }
  public static let ipv4 = EtherType(rawValue: 0x0800)
  public static let arp = EtherType(rawValue: 0x0806)
  public static let vlan = EtherType(rawValue: 0x8100)
  public static let serviceVLAN = EtherType(rawValue: 0x88A8)
  public static let ipv6 = EtherType(rawValue: 0x86DD)
}

/// IANA "Assigned Internet Protocol Numbers".
public struct IPProtocol: RawRepresentable, Hashable, Sendable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }
  public static let hopByHop = IPProtocol(rawValue: 0)
  public static let icmp = IPProtocol(rawValue: 1)
  public static let tcp = IPProtocol(rawValue: 6)
  public static let udp = IPProtocol(rawValue: 17)
  public static let routing = IPProtocol(rawValue: 43)
  public static let fragment = IPProtocol(rawValue: 44)
  public static let authentication = IPProtocol(rawValue: 51)
  public static let icmpv6 = IPProtocol(rawValue: 58)
  public static let noNext = IPProtocol(rawValue: 59)
  public static let destinationOptions = IPProtocol(rawValue: 60)
}

/// What both versions of IP say.
public struct IPHeader: Sendable, Equatable {
  public var source: IPAddress
  public var destination: IPAddress
  /// TTL, or hop limit.
  public var ttl: UInt8
  /// Of the transport, after any extension headers.
  public var proto: IPProtocol
  /// IPv4 (RFC 791): the identification field; IPv6: of the fragment header, 0 without one.
  public var identification: UInt32
  /// In bytes; 0 for the first fragment and whole packets.
  public var fragmentOffset: Int
  public var moreFragments: Bool
  /// Bytes after the last IP header, on the wire.
  public var payloadLength: Int
}

public enum Transport: Sendable, Equatable {
  case tcp(TCPHeader)
  case udp(UDPHeader)
  case icmp(ICMPHeader)
  case icmpv6(ICMPHeader)
  /// A fragment other than the first: it has no transport header.
  case laterFragment
  case other
  /// The header is longer than the captured bytes, or says something impossible.
  case truncated
}

/// RFC 9293.
public struct TCPHeader: Sendable, Equatable {
  public var sourcePort: UInt16
  public var destinationPort: UInt16
  public var sequence: UInt32
  public var acknowledgment: UInt32
  public var flags: TCPFlags
  public var window: UInt16
  /// Bytes of data on the wire.
  public var length: Int

  /// How far it moves the sequence number: data, and one each for SYN and FIN.
  public var span: UInt32 {
    UInt32(truncatingIfNeeded: length) &+ (flags.contains(.syn) ? 1 : 0) &+ (flags.contains(.fin) ? 1 : 0)
  }
}

public struct TCPFlags: OptionSet, Sendable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }
  public static let fin = TCPFlags(rawValue: 1)
  public static let syn = TCPFlags(rawValue: 2)
  public static let rst = TCPFlags(rawValue: 4)
  public static let psh = TCPFlags(rawValue: 8)
  public static let ack = TCPFlags(rawValue: 16)
  public static let urg = TCPFlags(rawValue: 32)
  public static let ece = TCPFlags(rawValue: 64)
  public static let cwr = TCPFlags(rawValue: 128)
}

/// RFC 768.
public struct UDPHeader: Sendable, Equatable {
  public var sourcePort: UInt16
  public var destinationPort: UInt16
  /// Bytes of data on the wire.
  public var length: Int
}

/// RFC 792 and RFC 4443; the IP version says whose numbers `type` and `code` are.
public struct ICMPHeader: Sendable, Equatable {
  public var type: UInt8
  public var code: UInt8
  /// Of echo messages; elsewhere the bytes that stand there.
  public var identifier: UInt16
  public var sequence: UInt16
  /// What the error is about.
  public var quoted: QuotedPacket?
}

/// The beginning of a packet inside an ICMP error (RFC 792: header and 8 bytes; RFC 1812 and RFC 4443: as much as fits).
public struct QuotedPacket: Sendable, Equatable {
  public var ip: IPHeader
  /// Of TCP and UDP; 0 when cut, and for other protocols.
  public var sourcePort: UInt16
  public var destinationPort: UInt16
  /// Of TCP, nil for other protocols and when cut.
  public var sequence: UInt32?
  /// Of ICMP echo messages.
  public var icmpType: UInt8?
  /// What its transport carried, as offsets into the captured bytes.
  public var payload: Range<Int>
}
