import BGPWire
import Testing

@testable import BGPCore

/// RFC 4724 on a clock that is set by hand.
@Suite struct SessionGracefulRestartTests {
  private func up(_ adjust: (inout NeighborConfiguration) -> Void = { _ in }) -> (SessionHarness, Connection) {
    var harness = SessionHarness(adjust)
    let connection = harness.establish(SessionHarness.open(restart: SessionHarness.gracefulRestart()))
    return (harness, connection)
  }

  /// The peer comes back on a connection of its own.
  private func comeBack(_ harness: inout SessionHarness, _ restart: Capability.GracefulRestart?) -> [SessionAction] {
    let connection = harness.accept()
    harness.feed(.received(connection, .open(SessionHarness.open(restart: restart))))
    return harness.feed(.received(connection, .keepalive))
  }

  @Test func ourOpenOffersIt() throws {
    var harness = SessionHarness()
    harness.feed(.start)
    _ = harness.connect()
    let open = try #require(harness.actions.open)
    #expect(open.gracefulRestart?.restartTime == 120)
    #expect(open.gracefulRestart?.isRestarting == false)
    #expect(open.gracefulRestart?.entries.map(\.isForwardingPreserved) == [true, true])
  }

  @Test func aRestartedSpeakerSaysSoAndWhatItsKernelKept() throws {
    var harness = SessionHarness(restart: RestartAnnouncement(isRestarting: true, preserved: .ipv6Unicast))
    harness.feed(.start)
    _ = harness.connect()
    let open = try #require(harness.actions.open)
    #expect(open.gracefulRestart?.isRestarting == true)
    #expect(open.gracefulRestart?.entries.map(\.isForwardingPreserved) == [false, true])
  }

  @Test func switchedOffItIsNotOfferedAndNothingIsKept() {
    var (harness, connection) = up { $0.gracefulRestart = 0 }
    #expect(harness.session.agreement?.gracefulRestart == nil)
    #expect(harness.session.agreement?.peerSendsEndOfRIB == true)
    harness.feed(.closed(connection))
    #expect(harness.actions.losses == [.down(.connectionLost, retaining: [])])
  }

  @Test func aLostConnectionKeepsTheRoutes() {
    var (harness, connection) = up()
    harness.feed(.closed(connection))
    #expect(harness.actions.losses == [.down(.connectionLost, retaining: .unicast)])
    #expect(harness.session.staleFamilies == .unicast)
  }

  @Test func everyOtherEndDropsThem() {
    let ends: [(inout SessionHarness, Connection) -> Void] = [
      { $0.feed(.received($1, .notification(Notification(.administrativeReset)))) },
      { $0.feed(.failed($1, Notification(.malformedAttributeList))) },
      { harness, _ in harness.feed(.linkDown) },
      { harness, _ in harness.feed(.stop(Notification(.administrativeShutdown))) },
      { harness, _ in harness.feed(.reset(Notification(.administrativeReset))) },
      { harness, _ in harness.wake(afterMilliseconds: 90_000) },
    ]
    for end in ends {
      var (harness, connection) = up()
      end(&harness, connection)
      #expect(harness.actions.losses.map(\.retained) == [[]])
      #expect(harness.session.staleFamilies.isEmpty)
    }
  }

  @Test func aPeerThatDoesNotComeBackLosesItsRoutesAfterItsRestartTime() {
    var harness = SessionHarness()
    let connection = harness.establish(
      SessionHarness.open(restart: SessionHarness.gracefulRestart(time: 30)))
    harness.feed(.closed(connection))
    harness.wake(afterMilliseconds: 29_999)
    #expect(!harness.actions.contains(.dropStale(.unicast)))
    harness.wake(afterMilliseconds: 1)
    #expect(harness.actions.contains(.dropStale(.unicast)))
    #expect(harness.session.staleFamilies.isEmpty)
  }

  @Test func ourOwnLimitIsTheLongest() {
    var (harness, connection) = up { $0.gracefulRestart = 5 }
    harness.feed(.closed(connection))
    harness.wake(afterMilliseconds: 5_000)
    #expect(harness.actions.contains(.dropStale(.unicast)))
  }

  @Test func routesStayUntilTheEndOfRIBOfTheirFamily() {
    var (harness, connection) = up()
    harness.feed(.closed(connection))
    harness.advance(milliseconds: 2_000)
    let actions = comeBack(&harness, SessionHarness.gracefulRestart(isRestarting: true))
    #expect(actions.isUp)
    #expect(!actions.contains { if case .dropStale = $0 { true } else { false } })
    #expect(harness.feed(.endOfRIB(.ipv4Unicast)) == [.dropStale(.ipv4Unicast)])
    #expect(harness.session.staleFamilies == .ipv6Unicast)
    #expect(harness.feed(.endOfRIB(.ipv6Unicast)) == [.dropStale(.ipv6Unicast)])
    #expect(harness.feed(.endOfRIB(.ipv6Unicast)) == [])
  }

  @Test func routesOfAFamilyWhoseForwardingWasLostGoAtOnce() {
    var (harness, connection) = up()
    harness.feed(.closed(connection))
    let actions = comeBack(&harness, SessionHarness.gracefulRestart(isRestarting: true, preserved: false))
    #expect(actions.contains(.dropStale(.unicast)))
  }

  @Test func aPeerThatComesBackWithoutTheCapabilityLosesThemAtOnce() {
    var (harness, connection) = up()
    harness.feed(.closed(connection))
    #expect(comeBack(&harness, nil).contains(.dropStale(.unicast)))
  }

  @Test func anEndOfRIBThatNeverComesIsNotAwaitedForEver() {
    var (harness, connection) = up { $0.timers.holdSeconds = 0 }
    harness.feed(.closed(connection))
    _ = comeBack(&harness, SessionHarness.gracefulRestart(isRestarting: true))
    harness.wake(afterMilliseconds: 120_000)
    #expect(harness.actions.contains(.dropStale(.unicast)))
    #expect(harness.state == .established)
  }

  @Test func aLinkLostDuringTheRestartDropsThem() {
    var (harness, connection) = up()
    harness.feed(.closed(connection))
    harness.feed(.linkDown)
    #expect(harness.actions.contains(.dropStale(.unicast)))
    #expect(harness.state == .idle)
  }

  /// The peer's process was killed and is back before its old connection was seen to end.
  @Test func aRestartedPeerTakesItsOldSessionOver() {
    var (harness, connection) = up()
    let rival = harness.accept()
    let restart = SessionHarness.gracefulRestart(isRestarting: true)
    harness.feed(.received(rival, .open(SessionHarness.open(restart: restart))))
    #expect(harness.actions.closed == [connection])
    #expect(harness.actions.losses == [.down(.connectionLost, retaining: .unicast)])
    #expect(harness.state == .openConfirm)
    harness.feed(.received(rival, .keepalive))
    #expect(harness.session.connection == rival)
    #expect(harness.session.staleFamilies == .unicast)
  }
}
