internal import NorthboundAPI
internal import NorthboundClient
internal import Topology

/// How long a flow was broken, from packets: beside a trace with `within:` that follows a fault, a stream of small
/// datagrams takes the same way from before the fault until the trace holds. What it lost in one piece is the outage, to
/// about a millisecond, whatever the trace itself takes to be asked again.
struct ProbeStream {
  static let packetsPerSecond: UInt32 = 1000
  private static let payload: UInt32 = 64
  /// Beside 5202, where the traffic of tests goes, so that neither takes the other's port.
  private static let firstPort: UInt16 = 5203
  /// What goes before the fault: an outage begins with the last packet that arrived.
  static let lead: Duration = .milliseconds(50)

  /// Positions in a list of steps.
  let start: Int
  let trace: Int
  let query: TrafficQuery

  /// The streams of a list: each begins before the first of the faults that stand together nearest before its trace. A
  /// flow that is traced twice after the same fault has one, until it is restored.
  static func plan(_ steps: [TestStep]) -> [ProbeStream] {
    var streams: [ProbeStream] = []
    var start: Int?
    for (index, step) in steps.enumerated() {
      if step.isFault {
        if index == 0 || !steps[index - 1].isFault { start = index }
        continue
      }
      guard case .trace(let trace) = step.action, step.withinMilliseconds != nil, trace.reachable != false, let start
      else { continue }
      let port = firstPort + UInt16(clamping: streams.count % 1000)
      let query = TrafficQuery(
        from: trace.from, to: trace.to, proto: "udp", port: port, family: trace.query.family,
        packetsPerSecond: packetsPerSecond, payload: payload)
      let isKnown = streams.contains {
        $0.start == start && ($0.query.from, $0.query.to, $0.query.family) == (query.from, query.to, query.family)
      }
      if !isKnown { streams.append(ProbeStream(start: start, trace: index, query: query)) }
    }
    return streams
  }

  /// What the stream adds to the trace's report.
  static func measured(_ state: TrafficState) -> String {
    if let error = state.error { return "no probe stream: \(error)" }
    guard let result = state.result else { return "no probe stream: it ended without a count" }
    guard result.packetsReceived > 0 else {
      return "no probe stream: none of its \(result.packetsSent) datagrams to udp/\(state.query.port ?? 0) arrived"
    }
    guard result.lost > 0 else { return "no packet of \(result.packetsSent) lost" }
    let outage = result.outages.first.map { "\(decimal($0.ms, places: 0)) ms without a packet, " } ?? ""
    return "\(outage)\(result.lost) lost"
  }
}
