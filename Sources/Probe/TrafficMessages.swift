import ControlProtocol

extension NLTrafficReply {
  /// - Parameter ended: otherwise the account so far.
  init(_ plan: TrafficPlan, _ ledger: TrafficLedger, ended: Bool) {
    self.init()
    id = plan.id
    running = !ended
    reachable = ledger.received > 0
    packetsSent = UInt64(ledger.sent)
    packetsReceived = ledger.received
    duplicates = ledger.duplicates
    reordered = ledger.reordered
    bytes = ledger.bytes
    seconds = Double(ledger.lastSent > ledger.firstSent ? ledger.lastSent - ledger.firstSent : 0) / 1e9
    delayMinMs = Self.milliseconds(ledger.delays.least)
    delayMedianMs = Self.milliseconds(ledger.delays.quantile(0.5))
    delayP99Ms = Self.milliseconds(ledger.delays.quantile(0.99))
    startedNs = ledger.firstSent
    outages = ledger.outages(ended: ended).map { outage in
      var message = NLOutage()
      (message.startNs, message.endNs, message.lost) = (outage.start, outage.end, outage.lost)
      return message
    }
    guard ended else { return }
    intervals = ledger.intervals.all.map { interval in
      var message = NLRateInterval()
      message.bytes = interval.bytes
      message.lost = interval.sent > interval.arrived ? interval.sent - interval.arrived : 0
      message.delayMs = Self.milliseconds(interval.delay)
      return message
    }
  }

  private static func milliseconds(_ time: UInt64?) -> Double { Double(time ?? 0) / 1e6 }
}
