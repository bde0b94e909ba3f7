import BGPWire
import NetTypes

@testable import BGPCore

/// A session machine with a clock that is set by hand and a peer that is played by the test.
///
///     test ── event, now ──► Session ── actions ──► kept here, in order
struct SessionHarness {
  var session: Session
  var now = Instant(nanoseconds: 1_000_000_000_000)
  /// Of the last event.
  var actions: [SessionAction] = []
  /// When the machine last asked to be woken, and has not been since.
  private(set) var wakeAt: Instant?
  private var connections: UInt32 = 0

  static let localID: UInt32 = 0x0A00_0002
  static let smallerID: UInt32 = 0x0A00_0001
  static let greaterID: UInt32 = 0x0A00_0003

  init(
    restart: RestartAnnouncement = .none, role: Relation = .none, asn: UInt32 = 64501,
    _ adjust: (inout NeighborConfiguration) -> Void = { _ in }
  ) {
    let speaker = SpeakerConfiguration(table: TableSettings(asn: ASNumber(64500), routerID: Self.localID))
    var peer = PeerSettings(
      name: "peer", session: "peer", asn: ASNumber(asn), address: .v4(IPv4Address(192, 0, 2, 1)))
    peer.relation = role
    peer.roles = true
    var neighbor = NeighborConfiguration(peer: peer)
    adjust(&neighbor)
    session = Session(SessionParameters(speaker, neighbor), restart: restart)
  }

  var state: SessionState { session.state }

  @discardableResult
  mutating func feed(_ event: SessionEvent) -> [SessionAction] {
    if event == .wake { wakeAt = nil }
    actions = session.handle(event, now: now)
    for case .wake(let instant) in actions { wakeAt = instant }
    return actions
  }

  mutating func advance(milliseconds: UInt64) { now = now.adding(milliseconds: milliseconds) }

  /// Moves the clock to the next wake that the machine asks for, and wakes it.
  mutating func wake(afterMilliseconds: UInt64) {
    advance(milliseconds: afterMilliseconds)
    feed(.wake)
  }

  mutating func connect() -> Connection {
    connections += 1
    let connection = Connection(number: connections, isOutgoing: true)
    feed(.connected(connection))
    return connection
  }

  mutating func accept() -> Connection {
    connections += 1
    let connection = Connection(number: connections, isOutgoing: false)
    feed(.accepted(connection))
    return connection
  }

  /// What the peer says in its OPEN.
  static func open(
    asn: UInt32 = 64501, hold: UInt16 = 90, id: UInt32 = smallerID, role: Role? = nil,
    restart: Capability.GracefulRestart? = nil, families: [Family] = [.ipv4Unicast, .ipv6Unicast]
  ) -> Open {
    var capabilities: [Capability] = families.map { .multiprotocol($0.afi, $0.safi) }
    capabilities += [.routeRefresh, .fourOctetAS(asn)]
    if let restart { capabilities.append(.gracefulRestart(restart)) }
    if let role { capabilities.append(.role(role)) }
    return Open(asn: ASNumber(asn), holdTime: hold, identifier: id, capabilities: capabilities)
  }

  static func gracefulRestart(
    isRestarting: Bool = false, time: UInt16 = 120, preserved: Bool = true
  ) -> Capability.GracefulRestart {
    Capability.GracefulRestart(
      isRestarting: isRestarting, restartTime: time,
      entries: Family.allCases.map { .init(afi: $0.afi, safi: $0.safi, isForwardingPreserved: preserved) })
  }

  /// Brings the session up on a connection of ours.
  mutating func establish(_ open: Open = open()) -> Connection {
    feed(.start)
    let connection = connect()
    feed(.received(connection, .open(open)))
    feed(.received(connection, .keepalive))
    return connection
  }

  /// A session in each state, and the connection that it is on.
  static func inState(_ state: SessionState) -> (SessionHarness, Connection) {
    var harness = SessionHarness()
    var connection = Connection(number: 999, isOutgoing: true)
    guard state > .idle else { return (harness, connection) }
    harness.feed(.start)
    if state == .active { harness.feed(.connectFailed) }
    if state >= .openSent { connection = harness.connect() }
    if state >= .openConfirm { harness.feed(.received(connection, .open(open()))) }
    if state == .established { harness.feed(.received(connection, .keepalive)) }
    return (harness, connection)
  }
}

extension SessionAction {
  /// Of a `down`.
  var retained: FamilySet? {
    guard case .down(_, let retained) = self else { return nil }
    return retained
  }
}

extension [SessionAction] {
  /// The OPEN among what was sent.
  var open: Open? {
    for case .open(let open) in sent { return open }
    return nil
  }

  /// Messages sent, as type and content, in order.
  var sent: [Message] {
    compactMap { action in
      guard case .send(_, let bytes) = action else { return nil }
      return bytes.withUnsafeBytes { buffer in
        guard let header = try? MessageHeader.frame(buffer) else { return nil }
        return try? Message(header, in: buffer)
      }
    }
  }

  /// NOTIFICATIONs sent on a connection.
  func notifications(on connection: Connection? = nil) -> [NotificationCode] {
    filter { action in
      guard let connection, case .send(let id, _) = action else { return true }
      return id == connection
    }.sent.compactMap { message in
      guard case .notification(let notification) = message else { return nil }
      return notification.code
    }
  }

  var types: [MessageType] { sent.map(\.type) }

  var closed: [Connection] {
    compactMap { action in
      guard case .close(let connection) = action else { return nil }
      return connection
    }
  }

  var losses: [SessionAction] { filter { if case .down = $0 { true } else { false } } }

  var isUp: Bool { contains { if case .up = $0 { true } else { false } } }
}
