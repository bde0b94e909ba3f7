import BGPWire
import NetTypes
import Testing

@testable import BGPCore

/// RFC 4271 section 6.8: two connections at once. Our identifier is 10.0.0.2; the side with the greater one keeps the
/// connection that it made.
///
///     us ──outgoing──► peer
///     us ◄─incoming─── peer
@Suite struct SessionCollisionTests {
  private func both(_ harness: inout SessionHarness) -> (outgoing: Connection, incoming: Connection) {
    harness.feed(.start)
    let outgoing = harness.connect()
    return (outgoing, harness.accept())
  }

  @Test(arguments: [true, false])
  func theOutgoingConnectionIsKeptWhenOurIdentifierIsGreater(outgoingFirst: Bool) {
    var harness = SessionHarness()
    let (outgoing, incoming) = both(&harness)
    let open = Message.open(SessionHarness.open(id: SessionHarness.smallerID))
    harness.feed(.received(outgoingFirst ? outgoing : incoming, open))
    if outgoingFirst {
      #expect(harness.actions.notifications(on: incoming) == [.collisionResolution])
    } else {
      #expect(harness.actions.sent.isEmpty)  // held back: the other one is to win
      harness.feed(.received(outgoing, open))
      #expect(harness.actions.notifications(on: incoming) == [.collisionResolution])
    }
    #expect(harness.actions.closed == [incoming])
    harness.feed(.received(outgoing, .keepalive))
    #expect(harness.state == .established)
    #expect(harness.session.connection == outgoing)
  }

  @Test(arguments: [true, false])
  func theIncomingConnectionIsKeptWhenThePeersIdentifierIsGreater(outgoingFirst: Bool) {
    var harness = SessionHarness()
    let (outgoing, incoming) = both(&harness)
    let open = Message.open(SessionHarness.open(id: SessionHarness.greaterID))
    harness.feed(.received(outgoingFirst ? outgoing : incoming, open))
    if outgoingFirst { harness.feed(.received(incoming, open)) }
    #expect(harness.actions.notifications(on: outgoing) == [.collisionResolution])
    harness.feed(.received(incoming, .keepalive))
    #expect(harness.session.connection == incoming)
  }

  @Test func equalIdentifiersAreDecidedByTheASNumber() {
    var harness = SessionHarness()  // ours 64500, the peer's 64501
    let (outgoing, incoming) = both(&harness)
    harness.feed(.received(incoming, .open(SessionHarness.open(id: SessionHarness.localID))))
    #expect(harness.actions.closed == [outgoing])
  }

  @Test func aLosingConnectionIsConfirmedWhenTheWinnerComesToNothing() {
    var harness = SessionHarness()
    let (outgoing, incoming) = both(&harness)
    harness.feed(.received(incoming, .open(SessionHarness.open(id: SessionHarness.smallerID))))
    harness.feed(.received(incoming, .keepalive))
    #expect(harness.state == .openConfirm)
    harness.wake(afterMilliseconds: 1_000)
    #expect(harness.state == .established)
    #expect(harness.session.connection == incoming)
    // The would-be winner is still there; its OPEN comes too late.
    harness.feed(.received(outgoing, .open(SessionHarness.open(id: SessionHarness.smallerID))))
    #expect(harness.actions.notifications(on: outgoing) == [.collisionResolution])
    #expect(harness.state == .established)
  }

  @Test func aLosingConnectionIsConfirmedAtOnceWhenTheWinnerFails() {
    var harness = SessionHarness()
    let (outgoing, incoming) = both(&harness)
    harness.feed(.received(incoming, .open(SessionHarness.open(id: SessionHarness.smallerID))))
    harness.feed(.closed(outgoing))
    #expect(harness.actions.types == [.keepalive])
    harness.feed(.received(incoming, .keepalive))
    #expect(harness.session.connection == incoming)
  }

  @Test func anAttemptInProgressIsGivenUpForAConnectionThatHasItsOpen() {
    var harness = SessionHarness()
    harness.feed(.start)
    let incoming = harness.accept()
    harness.feed(.received(incoming, .open(SessionHarness.open())))
    #expect(harness.actions.first == .cancelConnect)
    harness.feed(.received(incoming, .keepalive))
    #expect(harness.state == .established)
  }

  @Test func aSecondConnectionOfThePeerReplacesItsFirst() {
    var harness = SessionHarness()
    harness.feed(.start)
    let first = harness.accept()
    let second = harness.accept()
    #expect(harness.actions.closed == [first])
    harness.feed(.received(second, .open(SessionHarness.open())))
    harness.feed(.received(second, .keepalive))
    #expect(harness.session.connection == second)
  }

  @Test func anEstablishedSessionIsProbedAndKeptWhenASecondConnectionComes() {
    var (harness, connection) = SessionHarness.inState(.established)
    let rival = harness.accept()
    #expect(harness.actions.types == [.keepalive, .open])  // the KEEPALIVE finds out whether the old one is dead
    harness.feed(.received(rival, .open(SessionHarness.open())))
    #expect(harness.actions.notifications(on: rival) == [.collisionResolution])
    #expect(harness.session.connection == connection)
  }

  @Test func aSecondConnectionTakesOverWhenTheOldOneTurnsOutDead() {
    var (harness, connection) = SessionHarness.inState(.established)
    let rival = harness.accept()
    harness.feed(.closed(connection))
    #expect(harness.state == .openSent)
    harness.feed(.received(rival, .open(SessionHarness.open())))
    harness.feed(.received(rival, .keepalive))
    #expect(harness.session.connection == rival)
  }

  /// Both ends are machines of ours, every order of delivery: exactly one connection remains at both ends.
  ///
  ///     a (10.0.0.1) ══ a's connection, b's connection ══ b (10.0.0.2)
  @Test func twoMachinesAgreeOnOneConnectionInEveryOrderOfDelivery() {
    for seed in 0..<500 {
      var pair = SessionPair(seed: UInt64(seed))
      pair.run()
      #expect(pair.a.state == .established, "seed \(seed)")
      #expect(pair.b.state == .established, "seed \(seed)")
      #expect(pair.a.connection?.number == pair.b.connection?.number, "seed \(seed)")
      #expect(pair.a.flaps + pair.b.flaps == 0, "seed \(seed)")
    }
  }
}

/// Two machines and a network between them that delivers each connection's bytes in order, but the connections in any
/// order against each other. Deterministic by its seed.
struct SessionPair {
  var a: Session
  var b: Session
  private var random: UInt64
  private var now = Instant(nanoseconds: 1_000_000_000)
  /// By receiver (0: a) and connection number.
  private var queues: [Key: [Item]] = [:]
  private var next: UInt32 = 0
  private var dead: Set<Key> = []

  private struct Key: Hashable, Comparable {
    var side: Int
    var number: UInt32
    static func < (x: Key, y: Key) -> Bool { (x.side, x.number) < (y.side, y.number) }
  }
  private enum Item {
    case opened(isOutgoing: Bool)
    case message([UInt8])
    case end
  }
  /// Which side made a connection.
  private var makers: [UInt32: Int] = [:]

  init(seed: UInt64) {
    a = Session(Self.parameters(asn: 64500, id: 1, peer: 64501))
    b = Session(Self.parameters(asn: 64501, id: 2, peer: 64500))
    random = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1
  }

  private static func parameters(asn: UInt32, id: UInt32, peer: UInt32) -> SessionParameters {
    let speaker = SpeakerConfiguration(table: TableSettings(asn: .init(asn), routerID: id))
    let settings = PeerSettings(name: "p", session: "p", asn: .init(peer), address: .v4(.init(192, 0, 2, 1)))
    return SessionParameters(speaker, NeighborConfiguration(peer: settings))
  }

  mutating func run() {
    deliver(.start, to: 0)
    deliver(.start, to: 1)
    for _ in 0..<2000 {
      let ready = queues.filter { !$0.value.isEmpty }.keys.sorted()
      guard !ready.isEmpty else {
        if a.state == .established, b.state == .established { return }
        now = now.adding(milliseconds: 10)
        deliver(.wake, to: 0)
        deliver(.wake, to: 1)
        continue
      }
      random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let key = ready[Int(random >> 33) % ready.count]
      take(queues[key]?.removeFirst() ?? .end, key)
    }
  }

  private mutating func take(_ item: Item, _ key: Key) {
    let id = Connection(number: key.number, isOutgoing: makers[key.number] == key.side)
    guard !dead.contains(key) else { return }
    switch item {
    case .opened: deliver(id.isOutgoing ? .connected(id) : .accepted(id), to: key.side)
    case .message(let bytes):
      let message = bytes.withUnsafeBytes { buffer in
        (try? MessageHeader.frame(buffer)).flatMap { $0 }.flatMap { try? Message($0, in: buffer) }
      }
      if let message { deliver(.received(id, message), to: key.side) }
    case .end:
      dead.insert(key)
      deliver(.closed(id), to: key.side)
    }
  }

  private mutating func deliver(_ event: SessionEvent, to side: Int) {
    let actions = side == 0 ? a.handle(event, now: now) : b.handle(event, now: now)
    for action in actions { perform(action, of: side) }
  }

  private mutating func perform(_ action: SessionAction, of side: Int) {
    switch action {
    case .connect:
      next += 1
      makers[next] = side
      queues[Key(side: side, number: next)] = [.opened(isOutgoing: true)]
      queues[Key(side: 1 - side, number: next)] = [.opened(isOutgoing: false)]
    case .cancelConnect:
      // The far end may have accepted already: it sees an end.
      for (number, maker) in makers where maker == side {
        let own = Key(side: side, number: number)
        guard case .opened? = queues[own]?.first else { continue }
        queues[own] = []
        dead.insert(own)
        queues[Key(side: 1 - side, number: number), default: []].append(.end)
      }
    case .send(let id, let bytes): queues[Key(side: 1 - side, number: id.number), default: []].append(.message(bytes))
    case .close(let id):
      dead.insert(Key(side: side, number: id.number))
      queues[Key(side: 1 - side, number: id.number), default: []].append(.end)
    default: break
    }
  }
}
