import PathProof
import Testing

/// h1:eth1 ─ r1:eth0 ─ r1:eth1 ─ web:eth1, and what becomes of numbered units there. Times in ms.
private struct RateScene {
  var sent: [PassedUnits] = []
  var received: [PassedUnits] = []
  var places = [
    RatePlace(InterfacePlace("web", "eth1"), outbound: false), RatePlace(InterfacePlace("r1", "eth1"), outbound: true),
    RatePlace(InterfacePlace("r1", "eth0"), outbound: false), RatePlace(InterfacePlace("h1", "eth1"), outbound: true),
  ]
  var isStream = false

  static func nanoseconds(_ milliseconds: Double) -> UInt64 { 1_000_000_000 + UInt64(milliseconds * 1e6) }

  /// - Parameter leaves: when it leaves r1; nil: never.
  mutating func pass(_ unit: Int, count: Int = 1, at time: Double, leaves: Double?) {
    func units(_ time: Double) -> PassedUnits {
      PassedUnits(time: Self.nanoseconds(time), first: UInt32(unit), count: UInt32(count))
    }
    sent.append(units(time))
    places[3].passed.append(units(time + 0.01))
    places[2].passed.append(units(time + 0.02))
    guard let leaves else { return }
    places[1].passed.append(units(leaves))
    places[0].passed.append(units(leaves + 0.01))
    received.append(units(leaves + 0.02))
  }

  var repeated: Int?

  var verdict: RateVerdict {
    var observations = RateObservations(
      from: "h1", to: "web", isStream: isStream, unitBytes: 1000, sent: sent, places: places,
      received: isStream ? nil : received)
    observations.repeatedCopies = repeated
    return RateJudge.judge(observations)
  }
}

@Suite struct RateJudgeTests {
  @Test("packets that wait for each other behind a router's interface: shaping, there")
  func queue() {
    var scene = RateScene()
    var free = 0.0
    for unit in 0..<500 {
      let time = Double(unit)
      guard free - time < 50 else {
        scene.pass(unit, at: time, leaves: nil)  // the queue holds 50 ms
        continue
      }
      free = max(free, time + 0.03) + 2
      scene.pass(unit, at: time, leaves: free)
    }
    let verdict = scene.verdict
    #expect(verdict.limit == .shaping && verdict.place == InterfacePlace("r1", "eth1"), "\(verdict.because)")
    #expect(verdict.because.contains("found the queue full"), "\(verdict.because)")
  }

  @Test("a queue that others keep full, so that every packet waits or is lost: shaping")
  func fullOfOthers() {
    var scene = RateScene()
    for unit in 0..<200 {
      let time = Double(unit) * 22
      scene.pass(unit, at: time, leaves: unit % 3 == 0 ? time + 49 + Double(unit % 5) / 10 : nil)
    }
    let verdict = scene.verdict
    #expect(verdict.limit == .shaping && verdict.place == InterfacePlace("r1", "eth1"), "\(verdict.because)")
  }

  @Test("a queue that others keep full, in which packets are for less than half of the time: shaping all the same")
  func fullOfOthersForAFewPackets() {
    var scene = RateScene()
    for unit in 0..<100 {
      let time = Double(unit) * 22
      scene.pass(unit, at: time, leaves: unit % 5 == 0 ? time + 48 + Double(unit % 5) / 10 : nil)
    }
    scene.pass(100, at: 2400, leaves: 2400.04)  // and then they are gone
    let verdict = scene.verdict
    #expect(verdict.limit == .shaping && verdict.place == InterfacePlace("r1", "eth1"), "\(verdict.because)")
    #expect(verdict.because.contains("found the queue full"), "\(verdict.because)")
  }

  @Test("every second packet gone and none held up: policing, where they came in")
  func policer() {
    var scene = RateScene()
    for unit in 0..<500 { scene.pass(unit, at: Double(unit), leaves: unit % 2 == 0 ? Double(unit) + 0.04 : nil) }
    let verdict = scene.verdict
    #expect(verdict.limit == .policing && verdict.place == InterfacePlace("r1", "eth0"), "\(verdict.because)")
    #expect(verdict.losses.count >= 249 && verdict.arrivals.count == 250)
    #expect(verdict.arrivals.allSatisfy { (49_990...50_010).contains($0.delay) })  // 0.04 + 0.01 ms
  }

  @Test("what a capture missed and a later one saw is not lost, and losing a packet in a hundred limits nothing")
  func missed() {
    var scene = RateScene()
    for unit in 0..<500 { scene.pass(unit, at: Double(unit), leaves: unit % 100 == 7 ? nil : Double(unit) + 0.04) }
    scene.places[2].passed.removeAll { $0.first % 3 == 0 }
    scene.places[1].passed.removeAll { $0.first % 5 == 0 }
    let verdict = scene.verdict
    #expect(verdict.limit == .none && verdict.losses.count == 5, "\(verdict.because)")
  }

  @Test("a stream's aggregates that a shaper cuts are followed by their bytes; delay of the link is no queue")
  func aggregates() {
    var scene = RateScene()
    scene.isStream = true
    for burst in 0..<40 {
      let time = Double(burst) * 40
      scene.pass(burst * 40, count: 40, at: time, leaves: nil)
      for part in 0..<40 {
        let unit = PassedUnits(
          time: RateScene.nanoseconds(time + 20 + Double(part) + 1), first: UInt32(burst * 40 + part))
        scene.places[1].passed.append(unit)
        scene.places[0].passed.append(PassedUnits(time: unit.time + 5_000_000, first: unit.first))
      }
    }
    let verdict = scene.verdict
    #expect(verdict.limit == .shaping && verdict.place == InterfacePlace("r1", "eth1"), "\(verdict.because)")
    #expect(verdict.losses.isEmpty && verdict.arrivals.count == 1600)
  }

  @Test("a stream whose lost segments come again and arrive: policing, also on the receiver's own interface")
  func repeated() {
    for atReceiver in [false, true] {
      var scene = RateScene()
      scene.isStream = true
      for unit in 0..<500 {
        let time = Double(unit)
        let isLost = unit % 20 == 3
        scene.pass(unit, at: time, leaves: isLost && !atReceiver ? nil : time + 0.04)
        if isLost { scene.pass(unit, at: time + 0.4, leaves: time + 0.44) }
      }
      let verdict = scene.verdict
      #expect(verdict.limit == .policing, "\(verdict.because)")
      #expect(verdict.place == (atReceiver ? InterfacePlace("web", "eth1") : InterfacePlace("r1", "eth0")))
      #expect(verdict.losses.count == 25)
    }
  }

  @Test("a stream that sent nothing again has lost nothing, whatever the captures miss")
  func blind() {
    var scene = RateScene()
    scene.isStream = true
    for unit in 0..<500 { scene.pass(unit, at: Double(unit), leaves: unit % 9 == 3 ? nil : Double(unit) + 0.04) }
    #expect(scene.verdict.limit == .policing)
    scene.repeated = 0
    #expect(scene.verdict.limit == .none && scene.verdict.losses.isEmpty)
  }

  @Test("nothing seen at all is no verdict about anything, and no crash")
  func nothing() {
    #expect(RateScene().verdict.limit == .none)
    var scene = RateScene()
    scene.places[0].passed = [PassedUnits(time: 5, first: 70_000, count: 3)]
    #expect(scene.verdict.limit == .none)
  }
}
