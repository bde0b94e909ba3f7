import Testing

@testable import Probe

@Suite("What became of numbered packets")
struct TrafficLedgerTests {
  private static let interval: UInt64 = 1_000_000

  /// Sends so many, a millisecond apart from 1 s on.
  private func sent(_ count: Int) -> TrafficLedger {
    var ledger = TrafficLedger()
    for number in 0..<count { ledger.left(at: Self.time(number)) }
    return ledger
  }

  private static func time(_ number: Int) -> UInt64 { 1_000_000_000 + UInt64(number) * interval }

  private func arrive(_ ledger: inout TrafficLedger, _ numbers: [Int], after delay: UInt64 = 50_000) {
    for number in numbers {
      let time = Self.time(number)
      ledger.arrived(UInt32(number), sentAt: time, at: time + delay, bytes: 100)
    }
  }

  @Test("a gap lasts from when the packet before it was sent to when the one after it was")
  func gap() {
    var ledger = sent(10)
    arrive(&ledger, [0, 1, 2, 6, 7, 8, 9])
    #expect(ledger.received == 7 && ledger.duplicates == 0 && ledger.reordered == 0 && ledger.bytes == 700)
    #expect(ledger.outages(ended: true) == [.init(start: Self.time(2), end: Self.time(6), lost: 3)])
  }

  @Test("what comes late cuts its gap in two and is reordered; what comes again is a duplicate")
  func late() {
    var ledger = sent(10)
    arrive(&ledger, [0, 1, 2, 8, 9, 5, 5, 9, 0])
    #expect(ledger.received == 6 && ledger.reordered == 1 && ledger.duplicates == 3)
    #expect(
      ledger.outages(ended: true) == [
        .init(start: Self.time(2), end: Self.time(5), lost: 2), .init(start: Self.time(5), end: Self.time(8), lost: 2),
      ])
    arrive(&ledger, [3, 4, 7, 6])
    #expect(ledger.received == 10 && ledger.reordered == 5 && ledger.outages(ended: true) == [])
  }

  @Test(
    "what is lost at the beginning counts from the first packet, at the end to the last, and only once it has ended")
  func ends() {
    var ledger = sent(10)
    arrive(&ledger, [3, 4])
    #expect(ledger.outages(ended: false) == [.init(start: Self.time(0), end: Self.time(3), lost: 3)])
    #expect(
      ledger.outages(ended: true) == [
        .init(start: Self.time(4), end: Self.time(9), lost: 5), .init(start: Self.time(0), end: Self.time(3), lost: 3),
      ])
    #expect(sent(4).outages(ended: true) == [.init(start: Self.time(0), end: Self.time(3), lost: 4)])
    #expect(TrafficLedger().outages(ended: true) == [])
  }

  @Test("a number that was never sent is nobody's")
  func unknown() {
    var ledger = sent(3)
    arrive(&ledger, [3, 4])
    #expect(ledger.received == 0 && ledger.duplicates == 0)
  }

  @Test("against a plain count of sets, for random losses, repetitions and orders", arguments: 0..<20)
  func random(_ seed: UInt64) {
    var generator = SplitMix(state: seed)
    var ledger = sent(2000)
    let arrivals = (0..<2500).map { _ in Int.random(in: 0..<2000, using: &generator) }
    arrive(&ledger, arrivals)
    var known: Set<Int> = []
    var (duplicates, reordered, highest) = (0, 0, -1)
    for number in arrivals {
      if !known.insert(number).inserted { duplicates += 1 } else if number < highest { reordered += 1 }
      highest = max(highest, number)
    }
    #expect(ledger.received == UInt64(known.count) && ledger.duplicates == UInt64(duplicates))
    #expect(ledger.reordered == UInt64(reordered))
    // Runs of numbers that are missing, longest first.
    var runs: [Int] = []
    var length = 0
    for number in 0...2000 {
      if number < 2000, !known.contains(number) {
        length += 1
      } else if length > 0 {
        runs.append(length)
        length = 0
      }
    }
    let expected = runs.sorted(by: >).prefix(100).map(UInt64.init)
    #expect(ledger.outages(ended: true).map(\.lost).sorted(by: >).prefix(10) == expected.prefix(10))
  }

  @Test("intervals count losses when they were sent and payload when it came")
  func intervals() {
    var ledger = sent(300)
    arrive(&ledger, Array(0..<100) + Array(150..<300), after: 120_000_000)
    let all = ledger.intervals.all
    #expect(all.map { $0.sent - $0.arrived } == [0, 50, 0, 0, 0])
    #expect(all.map(\.sent) == [100, 100, 100, 0, 0])
    #expect(all.map(\.bytes) == [0, 8000, 5000, 10000, 2000])
    #expect(all[1].delay == 120_000_000)
  }

  @Test("ten minutes of intervals are kept, whatever the time")
  func memory() {
    var ledger = TrafficLedger()
    for number in 0..<20_000 { ledger.left(at: 1_000_000_000 + UInt64(number) * 100_000_000) }
    #expect(ledger.intervals.all.count == TrafficIntervals.kept)
    #expect(ledger.intervals.all.allSatisfy { $0.sent == 1 })
  }

  @Test("quantiles are right to a hundredth", arguments: [1, 7, 1000, 123_456, 98_765_432, UInt64.max / 3])
  func quantiles(_ unit: UInt64) {
    var delays = TrafficDelays()
    for step in (1...100).reversed() { delays.add(unit / 100 * UInt64(step) + unit % 100) }
    #expect(delays.least == unit / 100 + unit % 100)
    for (part, step) in [(0.5, 51), (0.99, 100), (0.0, 1)] {
      let exact = Double(unit / 100 * UInt64(step) + unit % 100)
      let found = Double(delays.quantile(part) ?? 0)
      #expect(abs(found - exact) <= exact / 100 + 1, "\(part): \(found) for \(exact)")
    }
    #expect(TrafficDelays().quantile(0.5) == nil)
  }
}

@Suite("A steady pace")
struct TrafficScheduleTests {
  @Test("a thread that wakes at random times holds the pace and never sends more at once than it may")
  func pace() {
    var generator = SplitMix(state: 3)
    var schedule = TrafficSchedule(pace: 1000, start: 0)
    var (now, sent) = (UInt64(0), 0)
    while now < 10_000_000_000 {
      let allowed = max(0, schedule.allowance(now))
      #expect(allowed <= schedule.burst)
      schedule.take(allowed, now)
      sent += allowed
      #expect(Double(sent) <= Double(now) / 1e6 + 1)
      // Mostly on time, now and then late by as much as 200 ms.
      let late =
        UInt64.random(in: 0..<100, using: &generator) == 0 ? UInt64.random(in: 0..<200_000_000, using: &generator) : 0
      now = max(now + 200_000, schedule.next) + late
    }
    #expect(abs(sent - 10_000) <= 200, "\(sent)")
  }

  @Test("what is late by more than a second is not made up for")
  func standstill() {
    var schedule = TrafficSchedule(pace: 1000, start: 0)
    schedule.take(schedule.allowance(0), 0)
    let later: UInt64 = 60_000_000_000
    var sent = 0
    for step in 0..<100 {
      let now = later + UInt64(step) * 1_000_000
      let allowed = max(0, schedule.allowance(now))
      schedule.take(allowed, now)
      sent += allowed
    }
    #expect(sent <= 100 + schedule.burst)
  }

  @Test("a full queue ends the turn, and what it held back is not sent later")
  func fullQueue() {
    var schedule = TrafficSchedule(pace: 1000, start: 0)
    var room = 3
    let attempt = {
      room -= 1
      return room >= 0
    }
    schedule.run(19_000_000, attempt)
    #expect(room == -1 && schedule.next == 20_000_000)
  }
}

/// https://prng.di.unimi.it/splitmix64.c
private struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
    return value ^ value >> 31
  }
}
