internal import NetTypes
internal import NorthboundAPI
internal import Topology

extension RateStep {
  /// `directory`: where the pcapng goes.
  func query(directory: String?) -> RateQuery {
    RateQuery(
      from: from, to: to, proto: transport.rawValue, port: port, durationMs: Int64(milliseconds), rate: offered,
      family: family.map { $0 == .ipv4 ? "ipv4" : "ipv6" }, dscp: dscp, directory: directory)
  }

  /// The rate is what the receiver counted, which no capture can lose; what limited it and the delay come from captured
  /// packets, and decide nothing where those are not whole.
  func judge(_ result: RateResult) -> Outcome {
    guard result.reachable else {
      return .failed([Mismatch("reachable", expected: "yes", found: "no (\(result.because))")])
    }
    var mismatches: [Mismatch] = []
    if minimum.map({ result.mbit < $0 }) ?? false || maximum.map({ result.mbit > $0 }) ?? false {
      mismatches.append(
        Mismatch(
          "rate", expected: wanted(minimum, maximum, places: 2, "Mbit/s"),
          found: "\(decimal(result.mbit, places: 2)) Mbit/s"))
    }
    if minimum == nil, maximum == nil, result.bytes == 0 {
      mismatches.append(Mismatch("rate", expected: "some payload", found: "none (\(result.because))"))
    }
    guard mismatches.isEmpty else { return .failed(mismatches) }
    guard limitedBy != nil || minimumDelay != nil || maximumDelay != nil else { return .held }
    if let reason = result.undecided { return .undecided(reason) }
    guard result.complete else { return .undecided("the capture is not complete") }
    if let limitedBy, limitedBy.rawValue != result.limitedBy?.rawValue {
      let place = result.place.map { " at \($0)" } ?? ""
      let found = result.limitedBy?.rawValue ?? "nothing that can be told"
      mismatches.append(
        Mismatch("limited by", expected: limitedBy.rawValue, found: "\(found)\(place) (\(result.because))"))
    }
    if minimumDelay != nil || maximumDelay != nil {
      guard let measured = result.delay else { return .undecided("no packet was seen at both ends") }
      if isOutside(measured.median, minimumDelay, maximumDelay) {
        mismatches.append(
          Mismatch(
            "delay", expected: "a median of \(wanted(minimumDelay, maximumDelay, places: 1, "ms"))",
            found: "\(decimal(measured.median, places: 1)) ms (99 %: \(decimal(measured.p99, places: 1)) ms)"))
      }
    }
    return mismatches.isEmpty ? .held : .failed(mismatches)
  }
}

extension RateResult {
  /// `9.61 Mbit/s, limited by shaping at customer:eth1, delay 41.2 ms`
  var measured: String {
    var parts = ["\(decimal(mbit, places: 2)) Mbit/s"]
    if let limitedBy { parts.append("limited by \(limitedBy.rawValue)" + (place.map { " at \($0)" } ?? "")) }
    if let delay { parts.append("delay \(decimal(delay.median, places: 1)) ms") }
    if packetsSent > packetsReceived { parts.append("\(packetsSent - packetsReceived) packets lost") }
    return parts.joined(separator: ", ")
  }
}
