public import NetTypes

extension Packet {
  /// The packet in one line, as far as it was decoded: addresses, protocol, flags, length.
  public func line(wireLength: Int) -> String {
    guard let ip else {
      let kind = etherType == .arp ? "ARP" : "ethertype 0x\(String(etherType.rawValue, radix: 16))"
      return "\(sourceMAC) > \(destinationMAC) \(kind), length \(wireLength)"
    }
    let version = ip.source.family == .ipv4 ? "IP" : "IP6"
    let (source, destination) = endpoints(ip)
    return "\(version) \(source) > \(destination): \(transport.line(ip)), ttl \(ip.ttl)"
  }

  private func endpoints(_ ip: IPHeader) -> (String, String) {
    switch transport {
    case .tcp(let header):
      (endpoint(ip.source, header.sourcePort), endpoint(ip.destination, header.destinationPort))
    case .udp(let header):
      (endpoint(ip.source, header.sourcePort), endpoint(ip.destination, header.destinationPort))
    default: ("\(ip.source)", "\(ip.destination)")
    }
  }
}

/// `192.0.2.1:80`, `[2001:db8::1]:80`.
public func endpoint(_ address: IPAddress, _ port: UInt16) -> String {
  address.family == .ipv4 ? "\(address):\(port)" : "[\(address)]:\(port)"
}

extension Transport {
  fileprivate func line(_ ip: IPHeader) -> String {
    switch self {
    case .tcp(let header):
      "tcp \(header.flags) seq \(header.sequence) ack \(header.acknowledgment) win \(header.window), length \(header.length)"
    case .udp(let header): "udp, length \(header.length)"
    case .icmp(let header), .icmpv6(let header):
      "\(header.name(ip.proto)), length \(ip.payloadLength)"
    case .laterFragment: "fragment at \(ip.fragmentOffset) of id \(ip.identification), length \(ip.payloadLength)"
    case .other: "protocol \(ip.proto.rawValue), length \(ip.payloadLength)"
    case .truncated: "protocol \(ip.proto.rawValue) cut, length \(ip.payloadLength)"
    }
  }
}

extension TCPFlags: CustomStringConvertible {
  /// As tcpdump writes them: `[S.]`.
  public var description: String {
    let letters: [(TCPFlags, String)] = [
      (.fin, "F"), (.syn, "S"), (.rst, "R"), (.psh, "P"), (.urg, "U"), (.ece, "E"), (.cwr, "W"), (.ack, "."),
    ]
    let text = letters.filter { contains($0.0) }.map(\.1).joined()
    return "[\(text.isEmpty ? "none" : text)]"
  }
}

extension ICMPHeader {
  /// What the message says, e.g. `icmp echo request` or `destination unreachable (no route)`.
  public func name(_ proto: IPProtocol) -> String {
    proto == .icmp ? name4 : name6
  }

  private var name4: String {
    switch type {
    case 0: "icmp echo reply id \(identifier) seq \(sequence)"
    case 8: "icmp echo request id \(identifier) seq \(sequence)"
    case 3: "destination unreachable (\(Self.unreachable4[code] ?? "code \(code)"))"
    case 5: "redirect"
    case 11: code == 0 ? "time exceeded (TTL)" : "time exceeded (reassembly)"
    case 12: "parameter problem"
    default: "icmp type \(type) code \(code)"
    }
  }

  private var name6: String {
    switch type {
    case 128: "icmp6 echo request id \(identifier) seq \(sequence)"
    case 129: "icmp6 echo reply id \(identifier) seq \(sequence)"
    case 1: "destination unreachable (\(Self.unreachable6[code] ?? "code \(code)"))"
    case 2: "packet too big"
    case 3: code == 0 ? "time exceeded (hop limit)" : "time exceeded (reassembly)"
    case 4: "parameter problem"
    case 133: "router solicitation"
    case 134: "router advertisement"
    case 135: "neighbor solicitation"
    case 136: "neighbor advertisement"
    default: "icmp6 type \(type) code \(code)"
    }
  }

  /// RFC 792, RFC 1812 section 5.2.7.1.
  private static let unreachable4: [UInt8: String] = [
    0: "no route", 1: "host unreachable", 2: "protocol unreachable", 3: "port unreachable", 4: "fragmentation needed",
    5: "source route failed", 9: "network prohibited", 10: "host prohibited", 13: "administratively prohibited",
  ]

  /// RFC 4443 section 3.1.
  private static let unreachable6: [UInt8: String] = [
    0: "no route", 1: "administratively prohibited", 2: "beyond scope", 3: "address unreachable",
    4: "port unreachable", 5: "policy failed", 6: "reject route",
  ]
}
