import Testing

@testable import Relay

@Suite struct DelayModelTests {
  @Test func withoutJitterEveryPacketIsDueItsDelayAfterItsArrival() {
    var model = DelayModel(LinkDelay(microseconds: 5000), seed: 1)
    #expect([0, 10, 11, 4_000_000].map { model.due(arrival: $0) } == [5_000_000, 5_000_010, 5_000_011, 9_000_000])
  }

  @Test func jitterIsSpreadEvenlyBetweenItsBounds() {
    var model = DelayModel(LinkDelay(microseconds: 1000, jitter: 400), seed: 2)
    // Far enough apart that none waits for the one before it.
    let delays = (1...20_000).map { number in
      model.due(arrival: UInt64(number) * 10_000_000) - UInt64(number) * 10_000_000
    }
    #expect(delays.min().map { (600_000...601_000).contains($0) } == true)
    #expect(delays.max().map { (1_399_000...1_400_000).contains($0) } == true)
    // In each tenth of the range a tenth of the packets; 6 standard deviations.
    for tenth in 0..<10 {
      let bounds = 600_000 + UInt64(tenth) * 80_000..<600_000 + UInt64(tenth + 1) * 80_000
      #expect((1746...2254).contains(delays.count { bounds.contains($0) }), "tenth \(tenth)")
    }
  }

  @Test func packetsKeepTheirOrderHoweverJitterFallsAndWhenTheDelayIsLowered() {
    var model = DelayModel(LinkDelay(microseconds: 1000, jitter: 900), seed: 3)
    var dues = (0..<5000).map { model.due(arrival: UInt64($0) * 1000) }
    model.delay = LinkDelay(microseconds: 0)
    dues += (5000..<5100).map { model.due(arrival: UInt64($0) * 1000) }
    #expect(zip(dues, dues.dropFirst()).allSatisfy { $0 <= $1 })
    #expect(model.due(arrival: 60_000_000) == 60_000_000)
  }

  @Test func jitterLargerThanTheDelayNeverMakesAPacketDueBeforeItArrived() {
    var model = DelayModel(LinkDelay(microseconds: 100, jitter: 1000), seed: 4)
    for number in 1...2000 as ClosedRange<UInt64> {
      #expect(model.due(arrival: number * 10_000_000) >= number * 10_000_000)
    }
  }

  @Test func stampsOfAClockThatWasSetAreNotBelieved() {
    let clocks = Clocks(now: 50_000_000_000, real: 1_700_000_000_000_000_000)
    #expect(clocks.monotonic(1_700_000_000_000_000_000 - 30_000) == 50_000_000_000 - 30_000)
    #expect(clocks.monotonic(1_700_000_000_000_000_000 + 1) == 50_000_000_000)
    #expect(clocks.monotonic(1_700_000_000_000_000_000 - 3_600_000_000_000) == 50_000_000_000)
    #expect(clocks.monotonic(nil) == 50_000_000_000)
  }

  @Test func latenessIsCountedToAnEighth() {
    var lateness = Lateness()
    #expect(lateness.quantile(0.5) == 0)
    for value in 1...10_000 as ClosedRange<UInt64> { lateness.record(value * 1000) }
    #expect(lateness.count == 10_000)
    #expect(lateness.largest == 10_000_000)
    for (share, exact) in [(0.5, 5_000_000), (0.99, 9_900_000), (0.01, 100_000)] as [(Double, Double)] {
      let found = Double(lateness.quantile(share))
      #expect(found <= exact && found > exact * 7 / 8, "\(share): \(found)")
    }
    lateness.record(.max)
    #expect(lateness.largest == .max)
  }

  @Test func ordersAndAnswersMeanTheSameAtBothEnds() {
    let link = RelayedLink(
      id: 3, a: 8, b: 9, aToB: LinkDelay(microseconds: 5000, jitter: 100), bToA: LinkDelay(microseconds: 4_294_967_295),
      nameOfA: "r1:eth1", nameOfB: "r2:eth7")
    let orders: [RelayOrder] = [
      .link(link), .delay(link: 7, aToB: LinkDelay(microseconds: 1, jitter: 2), bToA: LinkDelay(microseconds: 3)),
      .count(link: 4_294_967_295),
    ]
    #expect(orders[0].text == "link 3 8 9 5000 100 4294967295 0 r1:eth1 r2:eth7")
    let packet = Array(orders.map(\.text).joined(separator: "\n").utf8)
    #expect(packet.withUnsafeBytes { RelayOrder.all(in: $0) } == orders)
    for text in [
      "", "link", "link 3 8 9 5000 0 1 0 a", "delay 1 2 3 4 -5", "delay 1 2 3 4 4294967296", "gather 1", "count",
      "count -1", "count 1 2",
    ] {
      #expect(RelayOrder(text) == nil, "\(text)")
    }
    let carried = CarriedPackets(packets: .max, dropped: 2, lateMedian: 3, lateP99: 4, latest: 5)
    let none = CarriedPackets(packets: 0, dropped: 0, lateMedian: 0, lateP99: 0, latest: 0)
    for answer in [
      RelayAnswer.ready, .set(link: 9), .counts(link: 7, aToB: carried, bToA: none), .failed("socket: no such device"),
    ] {
      #expect(RelayAnswer(answer.text) == answer)
    }
    for text in ["set nine", "counts 7 1 2 3 4 5 6 7 8 9", "counts 7 1 2 3 4 5 6 7 8 9 -1", "counts", "counts a 1"] {
      #expect(RelayAnswer(text) == nil, "\(text)")
    }
  }
}
