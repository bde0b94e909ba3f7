import Capture
import NetTypes

/// Decides which probe and way a record belongs to, by what NAT leaves alone: nonces and sequence numbers.
struct RecordMatcher {
  /// How far a connection's sequence numbers may run from their initial one and still be its own.
  static let window: UInt32 = 1 << 18
  /// Bytes of a datagram by which it is told from others of its flow and length.
  static let datagramMark = 32

  private let flow: TracedFlow
  private var probesByNonce: [[UInt8]: Int] = [:]
  private var connections: [Connection] = []
  /// Sequence number / `window` → the connections whose client may have sent it, or the one before.
  private var clients: [UInt32: [Int]] = [:]
  private var tuples: [Tuple: Int] = [:]

  private struct Connection {
    var probe: Int
    var client: UInt32
    var servers: Set<UInt32> = []
  }

  private struct Tuple: Hashable {
    var source: Endpoint
    var destination: Endpoint
  }

  init(flow: TracedFlow, observations: [Observation], order: [Int]) {
    self.flow = flow
    for (index, probe) in flow.probes.enumerated() {
      switch probe.identity {
      case .nonce(let nonce): probesByNonce[nonce] = index
      case .sequence(let client): connections.append(Connection(probe: index, client: client))
      }
    }
    for (index, connection) in connections.enumerated() {
      for place in [connection.client, connection.client &+ Self.window] {
        clients[place / Self.window, default: []].append(index)
      }
    }
    if flow.kind == .tcp { learnServers(observations) }
    if flow.returnByTuple { learnTuples(observations, order) }
  }

  /// The initial sequence numbers of every SYN-ACK that acknowledges one of the SYNs.
  private mutating func learnServers(_ observations: [Observation]) {
    for observation in observations {
      guard case .tcp(let header) = observation.packet.transport, header.flags.isSuperset(of: [.syn, .ack]) else {
        continue
      }
      for index in near(header.acknowledgment) where connections[index].client == header.acknowledgment &- 1 {
        connections[index].servers.insert(header.sequence)
      }
    }
  }

  /// The connections to whose client's numbers this one may belong.
  private func near(_ number: UInt32) -> [Int] { clients[number / Self.window] ?? [] }

  /// The tuples under which our probes were seen, reversed: those of their answers before and after each NAT.
  private mutating func learnTuples(_ observations: [Observation], _ order: [Int]) {
    for index in order {
      let packet = observations[index].packet
      guard case .udp = packet.transport, let probe = nonceProbe(observations[index].frame, packet.payload),
        let (source, destination) = packet.endpoints
      else { continue }
      tuples[Tuple(source: destination, destination: source)] = probe
    }
  }

  /// None: not ours. More than one: it could be either.
  func claims(_ observation: Observation) -> [Claim] {
    switch observation.packet.transport {
    case .tcp(let header):
      Set(near(header.sequence) + near(header.acknowledgment)).sorted().flatMap { claims(header, connections[$0]) }
    case .udp(let header): claim(header, observation).map { [$0] } ?? []
    case .icmp(let header): claim(header, request: 8, reply: 0, observation).map { [$0] } ?? []
    case .icmpv6(let header): claim(header, request: 128, reply: 129, observation).map { [$0] } ?? []
    default: []
    }
  }

  // MARK: ICMP and UDP

  private func nonceProbe(_ frame: [UInt8], _ payload: Range<Int>) -> Int? {
    guard payload.count >= ProbeIdentity.nonceLength else { return nil }
    return probesByNonce[Array(frame[payload.prefix(ProbeIdentity.nonceLength)])]
  }

  private func claim(_ header: ICMPHeader, request: UInt8, reply: UInt8, _ observation: Observation) -> Claim? {
    guard flow.kind == .icmp, header.type == request || header.type == reply,
      let probe = nonceProbe(observation.frame, observation.packet.payload)
    else { return nil }
    return Claim(probe: probe, way: header.type == request ? .forward : .back, content: .whole)
  }

  private func claim(_ header: UDPHeader, _ observation: Observation) -> Claim? {
    guard flow.kind == .udp else { return nil }
    let payload = observation.packet.payload
    if let probe = nonceProbe(observation.frame, payload), payload.count > ProbeIdentity.nonceLength,
      let way = Way(rawValue: observation.frame[payload.lowerBound + ProbeIdentity.nonceLength])
    {
      return Claim(probe: probe, way: way, content: .whole)
    }
    guard flow.returnByTuple, let (source, destination) = observation.packet.endpoints,
      let probe = tuples[Tuple(source: source, destination: destination)]
    else { return nil }
    // Of the first fragment that is what every hop sees alike, however it cuts: an IPv4 link takes 68 bytes (RFC 791).
    var hasher = Hasher()
    hasher.combine(header.length)
    hasher.combine(observation.frame[payload.prefix(Self.datagramMark)])
    return Claim(probe: probe, way: .back, content: .part(.datagram(hasher.finalize())))
  }

  // MARK: TCP

  private func claims(_ header: TCPHeader, _ connection: Connection) -> [Claim] {
    guard flow.kind == .tcp else { return [] }
    return [forward(header, connection), back(header, connection)].compactMap { $0 }
  }

  private func forward(_ header: TCPHeader, _ connection: Connection) -> Claim? {
    let offset = header.sequence &- connection.client
    guard offset < Self.window else { return nil }
    let fits =
      header.flags.contains(.ack)
      ? connection.servers.contains { header.acknowledgment &- $0 < Self.window }
      : header.flags.contains(.rst) || (header.flags.contains(.syn) && offset == 0)
    return fits ? claim(header, connection.probe, .forward, offset, base: connection.servers.min() ?? 0) : nil
  }

  private func back(_ header: TCPHeader, _ connection: Connection) -> Claim? {
    let acknowledged = header.acknowledgment &- connection.client
    guard header.flags.contains(.ack), acknowledged > 0, acknowledged < Self.window else { return nil }
    if let server = connection.servers.first(where: { header.sequence &- $0 < Self.window }) {
      return claim(header, connection.probe, .back, header.sequence &- server, base: connection.client)
    }
    // A refusal: no SYN-ACK came before it, so its sequence number is nobody's (RFC 9293 section 3.10.7.1).
    guard header.flags.contains(.rst) else { return nil }
    return claim(header, connection.probe, .back, header.sequence, base: connection.client)
  }

  private func claim(_ header: TCPHeader, _ probe: Int, _ way: Way, _ offset: UInt32, base: UInt32) -> Claim {
    guard header.span > 0, !header.flags.contains(.rst) else {
      return Claim(
        probe: probe, way: way,
        content: .part(
          .bare(
            sequence: offset, acknowledgment: header.acknowledgment &- base, flags: header.flags.rawValue)))
    }
    return Claim(probe: probe, way: way, content: .range(offset..<offset + header.span))
  }
}

extension RecordMatcher {
  /// Which probe and way the packet quoted in an ICMP error belongs to.
  func quoted(_ packet: QuotedPacket, _ frame: [UInt8]) -> (probe: Int, way: Way)? {
    switch flow.kind {
    case .tcp:
      guard packet.ip.proto == .tcp, let sequence = packet.sequence else { return nil }
      for connection in connections {
        if sequence &- connection.client < Self.window { return (connection.probe, .forward) }
        if connection.servers.contains(where: { sequence &- $0 < Self.window }) { return (connection.probe, .back) }
      }
      return nil
    case .udp:
      guard let probe = nonceProbe(frame, packet.payload) else { return nil }
      let place = packet.payload.lowerBound + ProbeIdentity.nonceLength
      return (probe, place < frame.count ? Way(rawValue: frame[place]) ?? .forward : .forward)
    case .icmp:
      guard let probe = nonceProbe(frame, packet.payload), let type = packet.icmpType else { return nil }
      return (probe, type == 8 || type == 128 ? .forward : .back)
    }
  }
}
