import Testing

@testable import Controller

struct FlapDamperTests {
  private let start = ContinuousClock.now

  private func at(_ seconds: Double) -> ContinuousClock.Instant { start + .milliseconds(Int64(seconds * 1000)) }

  @Test func oneFailureIsBelievedAtOnceAndSoIsTheRecovery() {
    var damper = FlapDamper(now: start)
    damper.observe(false, now: at(1))
    #expect(!damper.isWell && damper.wakeAt == nil)
    damper.observe(true, now: at(1.5))
    #expect(damper.isWell && damper.wakeAt == nil)
  }

  @Test func whoFallsBackHasToBeWellForLongerEachTime() {
    var damper = FlapDamper(now: start)
    var time = 1.0
    for hold in [0.0, 1, 2, 4, 8, 16, 30, 30] {
      damper.observe(false, now: at(time))
      damper.observe(true, now: at(time + 0.1))
      if hold > 0 {
        #expect(!damper.isWell && damper.wakeAt == at(time + 0.1 + hold), "hold \(hold)")
        damper.observe(true, now: at(time + 0.1 + hold - 0.01))
        #expect(!damper.isWell)
        damper.observe(true, now: at(time + 0.1 + hold))
      }
      #expect(damper.isWell, "hold \(hold)")
      time += hold + 1
    }
  }

  @Test func flappingForAMinuteIsAHandfulOfChanges() {
    var damper = FlapDamper(now: start)
    var changes = 0
    for step in 0..<600 {
      let before = damper.isWell
      damper.observe(step % 2 == 1, now: at(Double(step) / 10))
      if damper.isWell != before { changes += 1 }
    }
    #expect(changes == 3, "down, up at once, down for good")
  }

  @Test func aMinuteOfHealthIsForgiving() {
    var damper = FlapDamper(now: start)
    for second in [1.0, 2, 3] {
      damper.observe(false, now: at(second))
      damper.observe(true, now: at(second + 0.1))
    }
    #expect(!damper.isWell)
    damper.observe(true, now: at(6))
    #expect(damper.isWell && damper.falls == 2)
    damper.observe(false, now: at(67))
    damper.observe(true, now: at(68))
    #expect(damper.isWell && damper.falls == 1)
  }

  @Test func whatWasIllBeforeARestartIsIllUntilItIsSeenWell() {
    var damper = FlapDamper(isWell: false, now: start)
    #expect(!damper.isWell)
    damper.observe(true, now: at(0.1))
    #expect(damper.isWell)
  }
}
