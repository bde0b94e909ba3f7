public import NetTypes

/// Flags of a TCP segment (RFC 9293 section 3.1).
public struct TCPFlags: OptionSet, Hashable, Sendable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let fin = TCPFlags(rawValue: 1)
  public static let syn = TCPFlags(rawValue: 2)
  public static let reset = TCPFlags(rawValue: 4)
  public static let push = TCPFlags(rawValue: 8)
  public static let acknowledge = TCPFlags(rawValue: 16)
}

// Conditions on the transport header and on the connection.
extension Match {
  public static func transportProtocol(_ transport: TransportProtocol) -> Match {
    transportProtocol(anyOf: [transport])
  }

  public static func transportProtocol(anyOf transports: [TransportProtocol]) -> Match {
    var match = Match([.meta(Expression.Meta(.transportProtocol))])
    if transports.count == 1 {
      match.clause.expressions.append(.compare(Expression.Compare([transports[0].rawValue])))
    } else {
      let elements = transports.map { SetElement(SetKey([$0.rawValue])) }
      match.clause.expressions.append(
        .lookup(Expression.Lookup(.inline(SetContents(SetShape([.transportProtocol]), elements)))))
    }
    match.clause.statesTransports = transports
    return match
  }

  /// What has ports, for conditions on ports of rules that name no protocol.
  static let withPorts: [TransportProtocol] = [.tcp, .udp]

  public static func sourcePort(_ port: UInt16) -> Match { ports(0, [port...port]) }
  public static func destinationPort(_ port: UInt16) -> Match { ports(2, [port...port]) }
  public static func sourcePort(_ range: ClosedRange<UInt16>) -> Match { ports(0, [range]) }
  public static func destinationPort(_ range: ClosedRange<UInt16>) -> Match { ports(2, [range]) }
  public static func sourcePort(anyOf ranges: [ClosedRange<UInt16>]) -> Match { ports(0, ranges) }
  public static func destinationPort(anyOf ranges: [ClosedRange<UInt16>]) -> Match { ports(2, ranges) }

  private static func ports(_ offset: UInt32, _ ranges: [ClosedRange<UInt16>]) -> Match {
    let load = Expression.payload(Expression.Payload(.transportHeader, at: offset, 2))
    if let range = ranges.first, ranges.count == 1 {
      let (first, last) = (Datum.port(range.lowerBound), Datum.port(range.upperBound))
      return Match(
        transports: withPorts,
        [load] + (range.count == 1 ? [.compare(Expression.Compare(first))] : between(first, last)))
    }
    let elements = ranges.map { SetElement(SetKey(Datum.port($0.lowerBound), through: Datum.port($0.upperBound))) }
    let shape = SetShape([.port], isInterval: ranges.contains { $0.count > 1 })
    return Match(transports: withPorts, [load, .lookup(Expression.Lookup(.inline(SetContents(shape, elements))))])
  }

  /// Of the flags in `mask` exactly those in `flags` are set.
  public static func tcpFlags(_ flags: TCPFlags, of mask: TCPFlags) -> Match {
    Match(
      transports: [.tcp],
      [
        .payload(Expression.Payload(.transportHeader, at: 13, 1)),
        .bitwise(Expression.Bitwise(mask: [mask.rawValue])), .compare(Expression.Compare([flags.rawValue])),
      ])
  }

  /// Of ICMP (RFC 792).
  public static func icmpType(_ type: UInt8) -> Match { icmpType(type, .icmp) }
  /// Of ICMPv6 (RFC 4443).
  public static func icmpv6Type(_ type: UInt8) -> Match { icmpType(type, .icmpv6) }

  private static func icmpType(_ type: UInt8, _ transport: TransportProtocol) -> Match {
    Match(
      transports: [transport],
      [.payload(Expression.Payload(.transportHeader, at: 0, 1)), .compare(Expression.Compare([type]))])
  }

  // MARK: The connection

  /// Any of these states.
  public static func connectionState(_ states: ConnectionState) -> Match { anyBit(.state, states.rawValue) }
  /// Any of these (`.sourceTranslated`, `.destinationTranslated`, ...).
  public static func connectionStatus(_ status: ConntrackStatus) -> Match { anyBit(.status, status.rawValue) }

  private static func anyBit(_ key: ConnectionKey, _ bits: UInt32) -> Match {
    Match([
      .connectionTracking(Expression.ConnectionTracking(key)),
      .bitwise(Expression.Bitwise(mask: Datum.hostNumber(bits))),
      .compare(Expression.Compare(.notEqual, Datum.hostNumber(0))),
    ])
  }

  public static func connectionDirection(_ direction: ConnectionDirection) -> Match {
    Match([
      .connectionTracking(Expression.ConnectionTracking(.direction)),
      .compare(Expression.Compare([direction.rawValue])),
    ])
  }

  /// The address that the connection was opened to, before any translation.
  public static func originalDestination(_ address: IPAddress) -> Match {
    let key: ConnectionKey = address.family == .ipv4 ? .destinationIPv4 : .destinationIPv6
    return tuple(key, .original, address.bytes)
  }

  /// The address that opened the connection, before any translation.
  public static func originalSource(_ address: IPAddress) -> Match {
    tuple(address.family == .ipv4 ? .sourceIPv4 : .sourceIPv6, .original, address.bytes)
  }

  public static func originalDestinationPort(_ port: UInt16) -> Match {
    tuple(.destinationPort, .original, Datum.port(port), withPorts)
  }

  private static func tuple(
    _ key: ConnectionKey, _ direction: ConnectionDirection, _ value: [UInt8], _ transports: [TransportProtocol] = []
  ) -> Match {
    Match(
      transports: transports,
      [.connectionTracking(Expression.ConnectionTracking(key, direction)), .compare(Expression.Compare(value))])
  }
}
