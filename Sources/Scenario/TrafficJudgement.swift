internal import NetTypes
internal import NorthboundAPI
internal import Topology

extension TrafficStep {
  var query: TrafficQuery {
    TrafficQuery(
      from: from, to: to, proto: transport.rawValue, port: port, family: family.map { $0 == .ipv4 ? "ipv4" : "ipv6" },
      rate: rate, packetsPerSecond: packetsPerSecond, payload: payload, dscp: dscp,
      durationMs: milliseconds.map(Int64.init))
  }

  /// Sender and receiver count every packet, so what they say needs no capture.
  func judge(_ state: TrafficState) -> Outcome {
    if let error = state.error { return .failed([Mismatch("traffic", expected: "packets on their way", found: error)]) }
    guard let result = state.result else { return .undecided("the traffic ended without a count") }
    var mismatches: [Mismatch] = []
    if let reachable, reachable != result.reachable {
      let sent = result.packetsSent == 0 ? "nothing was sent" : "\(result.packetsSent) packets sent"
      mismatches.append(
        Mismatch(
          "reachable", expected: yesNo(reachable),
          found: "\(yesNo(result.reachable)) (\(sent), "
            + "\(result.packetsReceived) received)"))
    }
    mismatches += judgeLoss(result)
    if isOutside(result.mbit, minimum, maximum) {
      mismatches.append(
        Mismatch(
          "rate", expected: wanted(minimum, maximum, places: 2, "Mbit/s"),
          found: "\(decimal(result.mbit, places: 2)) Mbit/s"))
    }
    guard mismatches.isEmpty else { return .failed(mismatches) }
    guard minimumDelay != nil || maximumDelay != nil else { return .held }
    guard let measured = result.delay else { return .undecided("no packet arrived whose delay could be measured") }
    guard isOutside(measured.median, minimumDelay, maximumDelay) else { return .held }
    return .failed([
      Mismatch(
        "delay", expected: "a median of \(wanted(minimumDelay, maximumDelay, places: 1, "ms"))",
        found: "\(decimal(measured.median, places: 1)) ms (99 %: \(decimal(measured.p99, places: 1)) ms)")
    ])
  }

  private func judgeLoss(_ result: TrafficResult) -> [Mismatch] {
    guard maximumLost != nil || minimumLoss != nil || maximumLoss != nil || maximumOutage != nil else { return [] }
    // Where nothing was sent, nothing was lost, and nothing was shown.
    guard result.packetsSent > 0 else { return [Mismatch("packets sent", expected: "some", found: "none")] }
    let found = "\(result.lost) of \(result.packetsSent) (\(decimal(result.lossPercent, places: 2)) %)"
    var mismatches: [Mismatch] = []
    if let maximumLost, result.lost > maximumLost {
      mismatches.append(Mismatch("packets lost", expected: "at most \(maximumLost)", found: found))
    }
    if isOutside(result.lossPercent, minimumLoss, maximumLoss) {
      mismatches.append(Mismatch("loss", expected: wanted(minimumLoss, maximumLoss, places: 2, "%"), found: found))
    }
    if let maximumOutage, let outage = result.outages.first, outage.ms > maximumOutage {
      mismatches.append(
        Mismatch(
          "outage", expected: "at most \(decimal(maximumOutage, places: 0)) ms without a packet",
          found: "\(decimal(outage.ms, places: 0)) ms, \(outage.lost) lost"))
    }
    return mismatches
  }
}

func isOutside(_ value: Double, _ least: Double?, _ most: Double?) -> Bool {
  least.map { value < $0 } ?? false || most.map { value > $0 } ?? false
}

/// `9.00 to 10.00 Mbit/s`
func wanted(_ minimum: Double?, _ maximum: Double?, places: Int, _ unit: String) -> String {
  switch (minimum, maximum) {
  case (let low?, let high?): "\(decimal(low, places: places)) to \(decimal(high, places: places)) \(unit)"
  case (let low?, nil): "at least \(decimal(low, places: places)) \(unit)"
  default: "at most \(decimal(maximum ?? 0, places: places)) \(unit)"
  }
}

extension TrafficResult {
  var lossPercent: Double { packetsSent == 0 ? 0 : 100 * Double(lost) / Double(packetsSent) }

  /// `5000 packets, 12 lost (0.24 %), 11 ms without a packet, 4.98 Mbit/s, delay 0.2 ms`
  var measured: String {
    var parts = [
      "\(packetsSent) packets", lost == 0 ? "none lost" : "\(lost) lost (\(decimal(lossPercent, places: 2)) %)",
    ]
    if let outage = outages.first { parts.append("\(decimal(outage.ms, places: 0)) ms without a packet") }
    if duplicates > 0 { parts.append("\(duplicates) twice") }
    if reordered > 0 { parts.append("\(reordered) out of order") }
    parts.append("\(decimal(mbit, places: 2)) Mbit/s")
    if let delay { parts.append("delay \(decimal(delay.median, places: 1)) ms") }
    return parts.joined(separator: ", ")
  }
}
