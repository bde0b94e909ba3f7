import BGPWire
import Testing

@testable import BGPCore

/// Bytes of a peer that is broken or hostile, framed and fed as the speaker does it.
@Suite struct SessionBytesTests {
  /// Feeds a stream; returns all actions.
  private func feed(_ bytes: [UInt8], to harness: inout SessionHarness, on connection: Connection) -> [SessionAction] {
    var actions: [SessionAction] = []
    var rest = bytes[...]
    do throws(MessageError) {
      while true {
        guard let (message, length) = try next(rest) else { return actions }
        actions += harness.feed(.received(connection, message))
        rest = rest.dropFirst(length)
      }
    } catch {
      actions += harness.feed(.failed(connection, error.notification))
    }
    return actions
  }

  private func next(_ stream: ArraySlice<UInt8>) throws(MessageError) -> (Message, Int)? {
    try stream.withUnsafeBytes { bytes in
      Result { () throws(MessageError) in
        try MessageHeader.frame(bytes).map { (header) throws(MessageError) in
          (try Message(header, in: bytes), header.length)
        }
      }
    }.get()
  }

  static let messages: [[UInt8]] = [
    SessionHarness.open(role: .provider, restart: SessionHarness.gracefulRestart()).encode(),
    Keepalive.encoded,
    Notification.cease(.administrativeShutdown, text: "maintenance").encode(),
    RouteRefresh(.ipv6Unicast).encode(),
    [UInt8](repeating: 0xFF, count: 16) + [0, 23, 2, 0, 0, 0, 0],  // UPDATE: End-of-RIB
  ]

  /// Whatever happens: one NOTIFICATION on a connection at most, nothing after it but its close, and the machine goes
  /// on.
  private func check(_ actions: [SessionAction], _ harness: SessionHarness, _ connection: Connection) {
    #expect(actions.notifications(on: connection).count <= 1)
    if let position = actions.firstIndex(of: .close(connection)) {
      let later = actions[(position + 1)...].contains { action in
        if case .send(connection, _) = action { true } else { false }
      }
      #expect(!later)
    }
    var next = harness
    next.wake(afterMilliseconds: 3_000)
    next.wake(afterMilliseconds: 3_000)
    #expect(next.state != .idle)
  }

  @Test(arguments: [SessionState.openSent, .openConfirm, .established])
  func everyMessageCutAtEveryOffsetAndContinuedWithRubbish(state: SessionState) {
    for message in Self.messages {
      for count in 0..<message.count {
        var (harness, connection) = SessionHarness.inState(state)
        #expect(feed(Array(message[..<count]), to: &harness, on: connection).isEmpty)  // waits for the rest
        (harness, connection) = SessionHarness.inState(state)
        let rubbish = [UInt8](repeating: 0xA5, count: 64)
        check(feed(message[..<count] + rubbish, to: &harness, on: connection), harness, connection)
      }
    }
  }

  @Test(arguments: [SessionState.openSent, .openConfirm, .established])
  func everyMessageWithEveryBitFlipped(state: SessionState) {
    for message in Self.messages {
      for bit in 0..<(message.count * 8) {
        var bytes = message
        bytes[bit / 8] ^= 1 << (bit % 8)
        var (harness, connection) = SessionHarness.inState(state)
        let actions = feed(bytes + bytes, to: &harness, on: connection)
        check(actions, harness, connection)
        if bit < 128 { #expect(actions.notifications() == [.connectionNotSynchronized]) }
      }
    }
  }

  @Test func aFloodOfOnesIsABadLength() {
    var (harness, connection) = SessionHarness.inState(.established)
    let actions = feed([UInt8](repeating: 0xFF, count: 4096), to: &harness, on: connection)
    #expect(actions.sent == [.notification(Notification(.init(1, 2), data: [0xFF, 0xFF]))])
  }

  @Test func aFloodOfZeroesIsNotSynchronized() {
    var (harness, connection) = SessionHarness.inState(.openSent)
    let actions = feed([UInt8](repeating: 0, count: 4096), to: &harness, on: connection)
    #expect(actions.notifications() == [.connectionNotSynchronized])
  }

  @Test func aRecordingReplaysToTheSameActions() {
    var random: UInt64 = 7
    func next(_ bound: Int) -> Int {
      random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(random >> 33) % bound
    }
    var harness = SessionHarness()
    var recording: [(SessionEvent, Instant, [SessionAction])] = []
    let connections = (0..<4).map { Connection(number: UInt32($0), isOutgoing: $0 % 2 == 0) }
    let messages: [Message] = [
      .keepalive, .update, .open(SessionHarness.open(restart: SessionHarness.gracefulRestart())),
      .notification(Notification(.administrativeReset)), .routeRefresh(RouteRefresh(.ipv4Unicast)),
    ]
    for _ in 0..<20_000 {
      let connection = connections[next(4)]
      let events: [SessionEvent] = [
        .start, .linkUp, .linkDown, .connected(connection), .accepted(connection), .connectFailed, .closed(connection),
        .wake, .endOfRIB(.ipv4Unicast), .received(connection, messages[next(5)]),
        .received(connection, messages[next(5)]), .failed(connection, Notification(.malformedAttributeList)),
      ]
      let event = events[next(events.count)]
      harness.advance(milliseconds: UInt64(next(2000)))
      recording.append((event, harness.now, harness.feed(event)))
    }
    var replay = SessionHarness().session
    for (event, now, actions) in recording { #expect(replay.handle(event, now: now) == actions) }
    #expect(replay.state == harness.state)
  }
}
