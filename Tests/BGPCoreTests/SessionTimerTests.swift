import BGPWire
import Testing

@testable import BGPCore

@Suite struct SessionTimerTests {
  /// The wakes of a list of actions, in milliseconds from the harness's clock.
  private func wakes(_ harness: SessionHarness) -> [UInt64] {
    harness.actions.compactMap { action in
      guard case .wake(let instant) = action else { return nil }
      return (instant.nanoseconds - harness.now.nanoseconds) / 1_000_000
    }
  }

  @Test func silenceForTheHoldTimeEndsTheSession() {
    var (harness, _) = SessionHarness.inState(.established)  // hold 90, keepalive 30
    harness.wake(afterMilliseconds: 30_000)
    #expect(harness.actions.types == [.keepalive])
    harness.wake(afterMilliseconds: 30_000)
    harness.wake(afterMilliseconds: 29_999)
    #expect(harness.state == .established)
    harness.wake(afterMilliseconds: 1)
    #expect(harness.actions.notifications() == [.holdTimerExpired])
    #expect(harness.actions.losses == [.down(.sent(Notification(.holdTimerExpired)), retaining: [])])
    #expect(harness.state == .active)
  }

  @Test func anyMessageRestartsTheHoldTimer() {
    for message in [Message.update, .keepalive] {
      var (harness, connection) = SessionHarness.inState(.established)
      for _ in 0..<10 {
        harness.advance(milliseconds: 60_000)
        harness.feed(.received(connection, message))
        harness.feed(.wake)
        #expect(harness.state == .established)
      }
    }
  }

  @Test func everyWakeThatIsDueIsAskedFor() {
    var (harness, connection) = SessionHarness.inState(.established)
    harness.advance(milliseconds: 1)
    harness.feed(.received(connection, .keepalive))
    while harness.state == .established, let next = harness.wakeAt {
      #expect(next > harness.now)
      harness.now = next
      harness.feed(.wake)
    }
    // Nobody but the asked-for wakes was needed to find that the peer is silent.
    #expect(harness.session.lastLoss == .sent(Notification(.holdTimerExpired)))
  }

  @Test func aHoldTimeOfZeroMeansNoTimers() {
    var harness = SessionHarness { $0.timers.holdSeconds = 0 }
    _ = harness.establish()
    harness.wake(afterMilliseconds: 86_400_000)
    #expect(harness.state == .established)
    #expect(harness.actions.sent.isEmpty)
  }

  @Test func aPeerThatNeverSaysItsOPENIsGivenUpAfterAMinute() {
    var harness = SessionHarness { $0.timers.holdSeconds = 9 }
    harness.feed(.start)
    _ = harness.connect()
    harness.wake(afterMilliseconds: 59_999)
    #expect(harness.state == .openSent)
    harness.wake(afterMilliseconds: 1)
    #expect(harness.actions.notifications() == [.holdTimerExpired])
  }

  @Test func aPeerThatNeverConfirmsIsGivenUpAfterTheHoldTime() {
    var (harness, _) = SessionHarness.inState(.openConfirm)
    for _ in 0..<2 { harness.wake(afterMilliseconds: 30_000) }
    #expect(harness.actions.types == [.keepalive])
    harness.wake(afterMilliseconds: 30_000)
    #expect(harness.actions.notifications() == [.holdTimerExpired])
  }

  @Test func theFirstAttemptIsImmediateAndThePausesGrowToTheConnectRetryTime() {
    var harness = SessionHarness()
    #expect(harness.feed(.start).first == .connect)
    var pauses: [UInt64] = []
    for _ in 0..<9 {
      harness.feed(.connectFailed)
      let start = harness.now
      while harness.state == .active { harness.wake(afterMilliseconds: 1) }
      pauses.append((harness.now.nanoseconds - start.nanoseconds) / 1_000_000)
    }
    #expect(pauses == [1, 50, 100, 200, 400, 800, 1000, 1000, 1000])  // the first is due at once
  }

  @Test func anAttemptWithoutAnswerIsMadeAgain() {
    var harness = SessionHarness()
    harness.feed(.start)
    #expect(wakes(harness) == [200])
    harness.wake(afterMilliseconds: 200)
    #expect(harness.actions.prefix(2) == [.cancelConnect, .connect])
    #expect(wakes(harness) == [400])
  }

  @Test func afterALossTheNextAttemptIsImmediateButNotInALoop() {
    var (harness, connection) = SessionHarness.inState(.established)
    harness.advance(milliseconds: 10_000)
    harness.feed(.closed(connection))
    harness.feed(.wake)
    #expect(harness.actions.contains(.connect))
    // A peer that lets every session fail at once is asked ever more slowly, but at least once a second.
    var pauses: [UInt64] = []
    for _ in 0..<8 {
      let next = harness.connect()
      harness.feed(.received(next, .open(SessionHarness.open())))
      harness.feed(.received(next, .keepalive))
      #expect(harness.state == .established)
      harness.feed(.failed(next, Notification(.malformedAttributeList)))
      let start = harness.now
      while harness.state == .active { harness.wake(afterMilliseconds: 1) }
      pauses.append((harness.now.nanoseconds - start.nanoseconds) / 1_000_000)
    }
    #expect(pauses == [50, 100, 200, 400, 800, 1000, 1000, 1000])
  }

  @Test func duringAPauseThePeerIsAcceptedAtOnce() {
    var harness = SessionHarness()
    harness.feed(.start)
    for _ in 0..<8 {
      harness.feed(.connectFailed)
      harness.wake(afterMilliseconds: 2_000)
    }
    harness.feed(.connectFailed)
    #expect(harness.state == .active)
    _ = harness.accept()
    #expect(harness.state == .openSent)
  }

  @Test func aLinkThatComesBackIsUsedAtOnce() {
    var (harness, _) = SessionHarness.inState(.established)
    harness.feed(.linkDown)
    #expect(harness.state == .idle)
    harness.wake(afterMilliseconds: 600_000)
    #expect(harness.state == .idle)
    #expect(harness.feed(.linkUp).contains(.connect))
  }

  @Test func aNeighborWhoseLinkIsDownFromTheBeginningWaitsForIt() {
    var harness = SessionHarness()
    harness.feed(.linkDown)
    #expect(harness.feed(.start) == [])
    #expect(harness.feed(.linkUp).contains(.connect))
  }
}
