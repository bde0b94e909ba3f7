import BGPWire
import Testing

@testable import BGPCore

/// Every state of RFC 4271 section 8.2.2 with every event: the state after it, what is sent, and whether the connection
/// is closed. Rows are read from the RFC (and RFC 6608 for the subcodes), not from the code.
@Suite struct SessionStateTests {
  struct Row: Sendable, CustomTestStringConvertible {
    var state: SessionState
    var event: String
    var next: SessionState
    var sends: [MessageType] = []
    var notification: NotificationCode?
    var closes = false
    var testDescription: String { "\(state) + \(event)" }
  }

  static func event(_ name: String, _ connection: Connection) -> SessionEvent {
    switch name {
    case "start": .start
    case "stop": .stop(Notification(.administrativeShutdown))
    case "reset": .reset(Notification(.administrativeReset))
    case "link down": .linkDown
    case "link up": .linkUp
    case "connected": .connected(Connection(number: 77, isOutgoing: true))
    case "accepted": .accepted(Connection(number: 78, isOutgoing: false))
    case "connect failed": .connectFailed
    case "closed": .closed(connection)
    case "OPEN": .received(connection, .open(SessionHarness.open()))
    case "bad OPEN": .received(connection, .open(SessionHarness.open(asn: 1)))
    case "KEEPALIVE": .received(connection, .keepalive)
    case "UPDATE": .received(connection, .update)
    case "NOTIFICATION": .received(connection, .notification(Notification(.administrativeShutdown)))
    case "ROUTE-REFRESH": .received(connection, .routeRefresh(RouteRefresh(.ipv4Unicast)))
    case "header error": .failed(connection, Notification(.badMessageType, data: [9]))
    case "send hold": .sendHoldExpired
    case "End-of-RIB": .endOfRIB(.ipv4Unicast)
    default: .wake
    }
  }

  static let rows: [Row] = [
    // Idle: refuses everything but a start.
    Row(state: .idle, event: "start", next: .connect),
    Row(state: .idle, event: "stop", next: .idle),
    Row(state: .idle, event: "reset", next: .idle),
    Row(state: .idle, event: "link down", next: .idle),
    Row(state: .idle, event: "link up", next: .idle),
    Row(state: .idle, event: "connected", next: .idle, closes: true),
    Row(state: .idle, event: "accepted", next: .idle, notification: .connectionRejected, closes: true),
    Row(state: .idle, event: "connect failed", next: .idle),
    Row(state: .idle, event: "closed", next: .idle),
    Row(state: .idle, event: "OPEN", next: .idle),
    Row(state: .idle, event: "KEEPALIVE", next: .idle),
    Row(state: .idle, event: "NOTIFICATION", next: .idle),
    Row(state: .idle, event: "header error", next: .idle),
    Row(state: .idle, event: "wake", next: .idle),
    // Connect: events 1 and 3 are ignored; the connection brings OpenSent, its failure Active.
    Row(state: .connect, event: "start", next: .connect),
    Row(state: .connect, event: "stop", next: .idle),
    Row(state: .connect, event: "reset", next: .connect),
    Row(state: .connect, event: "link down", next: .idle),
    Row(state: .connect, event: "link up", next: .connect),
    Row(state: .connect, event: "connected", next: .openSent, sends: [.open]),
    Row(state: .connect, event: "accepted", next: .openSent, sends: [.open]),
    Row(state: .connect, event: "connect failed", next: .active),
    Row(state: .connect, event: "closed", next: .connect),
    Row(state: .connect, event: "KEEPALIVE", next: .connect),
    Row(state: .connect, event: "header error", next: .connect),
    Row(state: .connect, event: "wake", next: .connect),
    Row(state: .connect, event: "send hold", next: .connect),
    // Active.
    Row(state: .active, event: "start", next: .active),
    Row(state: .active, event: "stop", next: .idle),
    Row(state: .active, event: "reset", next: .connect),
    Row(state: .active, event: "link down", next: .idle),
    Row(state: .active, event: "link up", next: .connect),
    Row(state: .active, event: "connected", next: .active, closes: true),
    Row(state: .active, event: "accepted", next: .openSent, sends: [.open]),
    Row(state: .active, event: "connect failed", next: .active),
    Row(state: .active, event: "OPEN", next: .active),
    Row(state: .active, event: "wake", next: .connect),
    // OpenSent: only an OPEN is in place.
    Row(state: .openSent, event: "start", next: .openSent),
    Row(state: .openSent, event: "stop", next: .idle, notification: .administrativeShutdown, closes: true),
    Row(state: .openSent, event: "reset", next: .connect, notification: .administrativeReset, closes: true),
    Row(state: .openSent, event: "link down", next: .idle, closes: true),
    Row(state: .openSent, event: "link up", next: .openSent),
    Row(state: .openSent, event: "connected", next: .openSent, closes: true),
    Row(state: .openSent, event: "accepted", next: .openSent, sends: [.open]),
    Row(state: .openSent, event: "connect failed", next: .openSent),
    Row(state: .openSent, event: "closed", next: .active),
    Row(state: .openSent, event: "OPEN", next: .openConfirm, sends: [.keepalive]),
    Row(state: .openSent, event: "bad OPEN", next: .active, notification: .badPeerAS, closes: true),
    Row(state: .openSent, event: "KEEPALIVE", next: .active, notification: .unexpectedInOpenSent, closes: true),
    Row(state: .openSent, event: "UPDATE", next: .active, notification: .unexpectedInOpenSent, closes: true),
    Row(state: .openSent, event: "ROUTE-REFRESH", next: .active, notification: .unexpectedInOpenSent, closes: true),
    Row(state: .openSent, event: "NOTIFICATION", next: .active, closes: true),
    Row(state: .openSent, event: "header error", next: .active, notification: .badMessageType, closes: true),
    Row(state: .openSent, event: "End-of-RIB", next: .openSent),
    // OpenConfirm: only a KEEPALIVE is in place.
    Row(state: .openConfirm, event: "start", next: .openConfirm),
    Row(state: .openConfirm, event: "stop", next: .idle, notification: .administrativeShutdown, closes: true),
    Row(state: .openConfirm, event: "reset", next: .connect, notification: .administrativeReset, closes: true),
    Row(state: .openConfirm, event: "link down", next: .idle, closes: true),
    Row(state: .openConfirm, event: "connected", next: .openConfirm, closes: true),
    Row(state: .openConfirm, event: "accepted", next: .openConfirm, sends: [.open]),
    Row(state: .openConfirm, event: "closed", next: .active),
    Row(state: .openConfirm, event: "KEEPALIVE", next: .established),
    Row(state: .openConfirm, event: "OPEN", next: .active, notification: .unexpectedInOpenConfirm, closes: true),
    Row(state: .openConfirm, event: "UPDATE", next: .active, notification: .unexpectedInOpenConfirm, closes: true),
    Row(
      state: .openConfirm, event: "ROUTE-REFRESH", next: .active, notification: .unexpectedInOpenConfirm, closes: true),
    Row(state: .openConfirm, event: "NOTIFICATION", next: .active, closes: true),
    Row(state: .openConfirm, event: "header error", next: .active, notification: .badMessageType, closes: true),
    // Established.
    Row(state: .established, event: "start", next: .established),
    Row(state: .established, event: "stop", next: .idle, notification: .administrativeShutdown, closes: true),
    Row(state: .established, event: "reset", next: .connect, notification: .administrativeReset, closes: true),
    Row(state: .established, event: "link down", next: .idle, closes: true),
    Row(state: .established, event: "link up", next: .established),
    Row(state: .established, event: "connected", next: .established, closes: true),
    Row(state: .established, event: "accepted", next: .established, sends: [.keepalive, .open]),
    Row(state: .established, event: "connect failed", next: .established),
    Row(state: .established, event: "closed", next: .active),
    Row(state: .established, event: "KEEPALIVE", next: .established),
    Row(state: .established, event: "UPDATE", next: .established),
    Row(state: .established, event: "ROUTE-REFRESH", next: .established),
    Row(state: .established, event: "OPEN", next: .active, notification: .unexpectedInEstablished, closes: true),
    Row(state: .established, event: "NOTIFICATION", next: .active, closes: true),
    Row(state: .established, event: "header error", next: .active, notification: .badMessageType, closes: true),
    Row(state: .established, event: "send hold", next: .active, notification: .sendHoldTimerExpired, closes: true),
    Row(state: .established, event: "End-of-RIB", next: .established),
  ]

  @Test(arguments: rows)
  func aStateAndAnEventGiveWhatTheRFCSays(row: Row) {
    var (harness, connection) = SessionHarness.inState(row.state)
    #expect(harness.state == row.state)
    if row.event == "wake" { harness.advance(milliseconds: 60_000) }
    let actions = harness.feed(Self.event(row.event, connection))
    #expect(harness.state == row.next)
    let sends = row.sends + (row.notification == nil ? [] : [.notification])
    #expect(actions.types == sends)
    #expect(actions.notifications() == [row.notification].compactMap(\.self))
    #expect(!actions.closed.isEmpty == row.closes)
    if row.state == .established { #expect(actions.losses.count == (row.next == .established ? 0 : 1)) }
  }

  @Test func aNotificationIsNeverAnsweredByOne() {
    for state in [SessionState.openSent, .openConfirm, .established] {
      var (harness, connection) = SessionHarness.inState(state)
      #expect(harness.feed(Self.event("NOTIFICATION", connection)).sent.isEmpty)
      // FRR goes on talking after its own NOTIFICATION; the connection is gone for us.
      #expect(harness.feed(.received(connection, .keepalive)).sent.isEmpty)
    }
  }

  @Test func anFSMErrorNamesTheMessageThatCausedIt() {
    var (harness, connection) = SessionHarness.inState(.openSent)
    let sent = harness.feed(.received(connection, .update)).sent
    #expect(sent == [.notification(Notification(.init(5, 1), data: [2]))])
  }

  @Test func aPassiveSessionWaitsInActiveAndNeverConnects() {
    var harness = SessionHarness { $0.transport.isPassive = true }
    #expect(harness.feed(.start) == [])
    #expect(harness.state == .active)
    let connection = harness.accept()
    harness.feed(.closed(connection))
    harness.wake(afterMilliseconds: 3_600_000)
    #expect(!harness.actions.contains(.connect))
    #expect(harness.state == .active)
  }

  @Test func tooManyPrefixesKeepTheSessionDownUntilItIsReset() {
    var (harness, connection) = SessionHarness.inState(.established)
    let actions = harness.feed(.failed(connection, Notification(.maximumPrefixes, data: [0, 1, 1])))
    #expect(actions.notifications() == [.maximumPrefixes])
    #expect(harness.state == .idle)
    #expect(harness.session.isHeldDown)
    harness.wake(afterMilliseconds: 600_000)
    #expect(harness.state == .idle)
    harness.feed(.reset(Notification(.administrativeReset)))
    #expect(harness.state == .connect)
  }

  @Test func aRefreshOfAnAgreedFamilyIsPassedOn() {
    var harness = SessionHarness()
    let connection = harness.establish(SessionHarness.open(families: [.ipv4Unicast]))
    #expect(harness.feed(.received(connection, .routeRefresh(RouteRefresh(.ipv4Unicast)))) == [.refresh(.ipv4Unicast)])
    #expect(harness.feed(.received(connection, .routeRefresh(RouteRefresh(.ipv6Unicast)))) == [])
    var mark = RouteRefresh(.ipv4Unicast)
    mark.subtype = 1
    #expect(harness.feed(.received(connection, .routeRefresh(mark))) == [])
  }
}
