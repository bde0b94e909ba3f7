import BGPCore
import BGPWire
import CLinux
import EventLoop
import Glibc
import NetTypes
import Testing

@testable import BGPSpeaker

/// Speakers in one process on one loop, with real sockets on the loopback interface. Each listens on an address of its
/// own (127.0.N.1, or ::1) and a port that the kernel chose.
///
///     Speaker 1 ◄── TCP over lo ──► Speaker 2 …
final class SpeakerHarness {
  let loop: EventLoop
  private(set) var events: [String] = []
  private(set) var ports: [Int: UInt16] = [:]

  init() throws { loop = try EventLoop() }

  static func address(_ number: Int, _ family: AddressFamily) -> IPAddress {
    family == .ipv4
      ? .v4(IPv4Address(127, 0, UInt8(number), 1)) : .v6(IPv6Address(high: 0, low: 1))
  }

  /// A speaker that listens; its number names it in events and configurations.
  func speaker(_ number: Int, _ family: AddressFamily = .ipv4, preserved: FamilySet = []) throws -> Speaker {
    let listener = try TCPSocket.listen(Self.address(number, family), port: ports[number] ?? 0)
    let raw = listener.release()
    ports[number] = TCPSocket.local(raw)?.port ?? 0
    var options = TableOptions()
    options.assumesNextHopsReachable = true
    options.tracksFIB = true
    let speaker = Speaker(loop: loop, listeners: [raw], preserved: preserved, options: options)
    speaker.onEvent = { [weak self] in self?.events.append("\(number) \($0.neighbor) \($0.text)") }
    speaker.onFIB = { [weak speaker] in speaker?.update { table in while table.drainFIB(limit: 4096, { _ in }) {} } }
    return speaker
  }

  /// AS 64500 + number, with neighbors.
  func configuration(
    _ number: Int, networks: [String] = [], neighbors: [NeighborConfiguration] = []
  ) -> SpeakerConfiguration {
    var table = TableSettings(asn: ASNumber(UInt32(64500 + number)), routerID: UInt32(number))
    table.networks = networks.compactMap { IPPrefix($0) }
    var configuration = SpeakerConfiguration(table: table)
    configuration.neighbors = neighbors
    return configuration
  }

  /// Speaker `other` as a neighbor of speaker `number`; everything passes.
  func neighbor(
    _ other: Int, of number: Int, _ family: AddressFamily = .ipv4,
    _ adjust: (inout NeighborConfiguration) -> Void = { _ in }
  ) -> NeighborConfiguration {
    var peer = PeerSettings(
      name: "s\(other)", session: "s\(other)", asn: ASNumber(UInt32(64500 + other)),
      address: Self.address(other, family))
    peer.relation = .open
    peer.nextHopIPv4 = IPv4Address(10, 0, 0, UInt8(number))  // a loopback address is no next hop
    peer.nextHopIPv6 = IPv6Address(high: 0x2001_0DB8_0000_0000, low: UInt64(number))
    var neighbor = NeighborConfiguration(peer: peer)
    neighbor.transport.port = ports[other] ?? 0
    if family == .ipv4 { neighbor.transport.localAddress = Self.address(number, family) }
    neighbor.transport.interface = "link\(min(number, other))-\(max(number, other))"
    adjust(&neighbor)
    return neighbor
  }

  /// Two speakers that know each other.
  func pair(
    _ family: AddressFamily = .ipv4, networks: [String] = [], other: [String] = [],
    _ adjust: (inout NeighborConfiguration) -> Void = { _ in }
  ) throws -> (Speaker, Speaker) {
    let a = try speaker(1, family)
    let b = try speaker(2, family)
    try a.apply(configuration(1, networks: networks, neighbors: [neighbor(2, of: 1, family, adjust)]))
    try b.apply(configuration(2, networks: other, neighbors: [neighbor(1, of: 2, family, adjust)]))
    return (a, b)
  }

  /// Runs the loop until the condition holds. The limit is only there so that a failing test ends.
  func run(seconds: Double = 10, until condition: () -> Bool) throws -> Bool {
    let end = EventLoop.clock() + UInt64(seconds * 1e9)
    while !condition() {
      guard EventLoop.clock() < end else { return false }
      try loop.step(timeout: 5_000_000)
    }
    return true
  }

  /// Established and idle at both ends, everything sent processed.
  func settle(_ speakers: Speaker...) throws -> Bool {
    try run {
      let samples = speakers.map { $0.sample() }
      let sessions = samples.flatMap(\.sessions)
      return samples.allSatisfy(\.isIdle) && sessions.allSatisfy { $0.state == .established }
        && sessions.reduce(0) { $0 + $1.updatesSent } == sessions.reduce(0) { $0 + $1.updatesProcessed }
        && sessions.allSatisfy { $0.families.allSatisfy { !$0.isCarried || $0.endOfRIBSent } }
    }
  }
}

extension FamilySample {
  /// The harness's neighbors carry every family they are configured with.
  var isCarried: Bool { true }
}

extension Speaker {
  /// Prefixes with a best route, as text.
  var routes: Set<String> {
    Set(update { $0.routes(RouteQuery()) }.routes.filter(\.isBest).map(\.prefix.description))
  }

  var states: [SessionState] { sample().sessions.map(\.state) }
}

/// A peer without a machine: raw bytes over a blocking socket.
final class RawPeer {
  private let socket: FileDescriptor

  /// Connects from 127.0.`number`.1.
  init(from number: Int, to speaker: Int, port: UInt16) throws {
    let route = TCPSocket.Route(
      remote: Endpoint(address: SpeakerHarness.address(speaker, .ipv4), port: port),
      local: SpeakerHarness.address(number, .ipv4), scope: 0, reach: .link, key: nil)
    socket = try TCPSocket.connect(route)
  }

  func send(_ bytes: [UInt8]) -> Bool {
    Glibc.send(socket.rawValue, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
  }

  /// What has come; nil: nothing yet. Empty: the end, or a reset.
  func receive() -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: 65536)
    let count = recv(socket.rawValue, &bytes, bytes.count, Int32(MSG_DONTWAIT))
    if count < 0 { return errno == EAGAIN ? nil : [] }
    return Array(bytes[..<count])
  }
}

/// The messages of a stream.
func messages(_ stream: [UInt8]) -> [Message] {
  var result: [Message] = []
  var rest = stream[...]
  while let (message, length) = rest.withUnsafeBytes({ buffer -> (Message, Int)? in
    guard let header = try? MessageHeader.frame(buffer), let message = try? Message(header, in: buffer) else {
      return nil
    }
    return (message, header.length)
  }) {
    result.append(message)
    rest = rest.dropFirst(length)
  }
  return result
}
