import ControlProtocol
import PathProof

extension NLRateReply.LimitedBy {
  init(_ limit: RateVerdict.Limit) {
    switch limit {
    case .none: self = .none
    case .shaping: self = .shaping
    case .policing: self = .policing
    }
  }
}

extension NLRateReply {
  mutating func setDelays(_ arrivals: [RateVerdict.Arrival]) {
    let delays = arrivals.map(\.delay).sorted()
    guard let least = delays.first else { return }
    delayMinMs = Double(least) / 1e6
    delayMedianMs = Double(delays[delays.count / 2]) / 1e6
    delayP99Ms = Double(delays[delays.count * 99 / 100]) / 1e6
  }

  /// - Parameter perPacket: units of a packet.
  mutating func setIntervals(_ received: ReceiverAccount, _ verdict: RateVerdict, perPacket: Double) {
    let index = { (time: UInt64) -> Int? in
      guard time >= received.first else { return 0 }
      let place = Int((time - received.first) / ReceiverAccount.interval)
      return place < received.intervals.count ? place : nil
    }
    var lost = [Int](repeating: 0, count: received.intervals.count)
    var delays = [[UInt64]](repeating: [], count: received.intervals.count)
    for loss in verdict.losses { if let place = index(loss) { lost[place] += 1 } }
    for arrival in verdict.arrivals { if let place = index(arrival.time) { delays[place].append(arrival.delay) } }
    intervals = received.intervals.indices.map { place in
      var interval = NLRateInterval()
      interval.bytes = received.intervals[place]
      interval.lost = UInt64((Double(lost[place]) / perPacket).rounded())
      let sorted = delays[place].sorted()
      if !sorted.isEmpty { interval.delayMs = Double(sorted[sorted.count / 2]) / 1e6 }
      return interval
    }
  }
}
