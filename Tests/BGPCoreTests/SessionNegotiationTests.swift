import BGPWire
import NetTypes
import Testing

@testable import BGPCore

@Suite struct SessionNegotiationTests {
  /// The NOTIFICATION that an OPEN is answered with; nil: it was accepted.
  private func answer(_ open: Open, _ harness: SessionHarness = SessionHarness()) -> BGPWire.Notification? {
    var harness = harness
    harness.feed(.start)
    let connection = harness.connect()
    harness.feed(.received(connection, .open(open)))
    for case .notification(let notification) in harness.actions.sent { return notification }
    return nil
  }

  @Test func anotherASNumberThanTheConfiguredOneIsABadPeerAS() {
    #expect(answer(SessionHarness.open(asn: 64502))?.code == .badPeerAS)
  }

  @Test func ourOwnIdentifierIsBadInsideAnASOnly() {
    #expect(answer(SessionHarness.open(id: SessionHarness.localID)) == nil)  // RFC 6286: eBGP may
    let inside = SessionHarness(asn: 64500)
    #expect(answer(SessionHarness.open(asn: 64500, id: SessionHarness.localID), inside)?.code == .badIdentifier)
    #expect(answer(SessionHarness.open(asn: 64500), inside) == nil)
  }

  @Test func noFamilyInCommonIsAnUnsupportedCapabilityAndNamesOurs() {
    let harness = SessionHarness { $0.families = .ipv6Unicast }
    let notification = answer(SessionHarness.open(families: [.ipv4Unicast]), harness)
    #expect(notification == Notification(.init(2, 7), data: [1, 4, 0, 2, 0, 1]))
  }

  @Test func aPeerWithoutCapabilitiesHasIPv4Unicast() {
    var harness = SessionHarness()
    _ = harness.establish(Open(asn: ASNumber(64501), holdTime: 30, identifier: 1, capabilities: []))
    #expect(harness.session.agreement?.families == .ipv4Unicast)
    #expect(harness.session.agreement?.hasFourOctetAS == false)
    #expect(harness.session.agreement?.hasRouteRefresh == false)
  }

  /// RFC 9234 section 4.2.
  @Test(arguments: [
    (Relation.customer, Role.provider, true), (.customer, .customer, false), (.customer, .peer, false),
    (.provider, .customer, true), (.provider, .provider, false), (.peer, .peer, true), (.peer, .provider, false),
    (.routeServer, .routeServerClient, true), (.routeServerClient, .routeServer, true),
    (.routeServer, .routeServer, false), (.sibling, .peer, true), (.open, .customer, true),
  ])
  func rolesHaveToFit(ours: Relation, theirs: Role, fits: Bool) {
    let notification = answer(SessionHarness.open(role: theirs), SessionHarness(role: ours))
    #expect(notification?.code == (fits ? nil : .roleMismatch))
  }

  @Test func aPeerWithoutARoleIsTaken() {
    #expect(answer(SessionHarness.open(role: nil), SessionHarness(role: .customer)) == nil)
  }

  @Test func twoRolesAreAMismatchEvenIfOneFits() {
    var open = SessionHarness.open(role: .provider)
    open.capabilities.append(.role(.peer))
    #expect(answer(open, SessionHarness(role: .customer))?.code == .roleMismatch)
    var twice = SessionHarness.open(role: .provider)
    twice.capabilities.append(.role(.provider))
    #expect(answer(twice, SessionHarness(role: .customer)) == nil)
  }

  @Test func rolesAreForExternalPeers() {
    let inside = SessionHarness(role: .customer, asn: 64500)
    #expect(inside.session.parameters.role == nil)
    #expect(answer(SessionHarness.open(asn: 64500, role: .customer), inside) == nil)
  }

  /// Configured hold and keepalive, offered hold → agreed (RFC 4271 sections 4.2 and 4.4).
  @Test(arguments: [
    (UInt16(90), UInt16(0), UInt16(180), UInt16(90), UInt16(30)), (90, 0, 9, 9, 3), (9, 3, 90, 9, 3),
    (90, 60, 90, 90, 30),
    (90, 10, 90, 90, 10), (90, 0, 0, 0, 0), (0, 5, 90, 0, 0), (90, 0, 4, 4, 1),
  ])
  func theSmallerHoldTimeHolds(hold: UInt16, keepalive: UInt16, offered: UInt16, agreed: UInt16, interval: UInt16) {
    var harness = SessionHarness {
      $0.timers.holdSeconds = hold
      $0.timers.keepaliveSeconds = keepalive
    }
    _ = harness.establish(SessionHarness.open(hold: offered))
    #expect(harness.session.agreement?.holdSeconds == agreed)
    #expect(harness.session.agreement?.keepaliveSeconds == interval)
  }

  @Test func whatBothEndsSentIsAgreedByName() {
    var harness = SessionHarness()
    _ = harness.establish(SessionHarness.open(families: [.ipv6Unicast]))
    #expect(
      harness.session.agreement?.capabilities
        == ["Multiprotocol Extensions ipv6", "Route Refresh", "4-octet AS number"])
  }
}
