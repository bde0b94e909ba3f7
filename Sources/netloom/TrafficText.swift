import NorthboundAPI

/// What became of background load, for people.
struct TrafficText {
  private let state: TrafficState
  private let palette: Palette

  init(_ state: TrafficState, palette: Palette) {
    self.state = state
    self.palette = palette
  }

  var lines: [String] {
    let query = state.query
    let port = query.proto == "icmp" ? "" : "/\(query.port ?? 5202)"
    var lines = [palette.bold("\(query.from) → \(query.to)") + "  \(query.proto)\(port)\(offer)"]
    if let error = state.error { lines.append(palette.red("ended") + ": \(error)") }
    guard let result = state.result else { return lines }
    guard result.reachable else {
      return lines + [palette.red("not reachable") + ": none of \(result.packetsSent) packets arrived"]
    }
    lines.append(packets(result))
    lines.append("rate     \(palette.bold(fixed(result.mbit, 2) + " Mbit/s")) over \(fixed(result.seconds, 1)) s")
    let bytes = result.intervals.map { Double($0.bytes) }
    if bytes.count > 1 { lines.append("         \(RateText.sparkline(bytes))") }
    if let delay = result.delay {
      lines.append(
        "delay    median \(fixed(delay.median, 3)) ms, least \(fixed(delay.min, 3)) ms, 99 % below "
          + "\(fixed(delay.p99, 3)) ms, \(query.proto == "icmp" ? "there and back" : "one way")")
    }
    return lines + outages(result)
  }

  private var offer: String {
    if let rate = state.query.rate { return ", \(rateText(rate)) offered" }
    return state.query.packetsPerSecond.map { ", \($0) packets/s offered" } ?? ""
  }

  private func packets(_ result: TrafficResult) -> String {
    let lost = "\(result.lost) lost"
    let share = result.packetsSent == 0 ? 0 : Double(result.lost) / Double(result.packetsSent) * 100
    let text = result.lost == 0 ? lost : palette.red(lost) + " (\(fixed(share, 2)) %)"
    return "packets  \(result.packetsSent) sent, \(result.packetsReceived) received, \(text), "
      + "\(result.duplicates) twice, \(result.reordered) out of order"
  }

  private static let mostOutages = 5

  private func outages(_ result: TrafficResult) -> [String] {
    let shown = result.outages.prefix(Self.mostOutages).enumerated().map { index, outage in
      let after = fixed((outage.startedAt - result.startedAt) / 1000, 1)
      return (index == 0 ? "outages  " : "         ")
        + "\(fixed(outage.ms, 1)) ms, \(outage.lost) packets, after \(after) s"
    }
    let more = result.outages.count - shown.count
    return more > 0 ? shown + ["         and \(more) shorter"] : shown
  }

  /// One line, renewed while it runs.
  static func progress(_ state: TrafficState) -> String {
    guard let result = state.result else { return "\(state.query.from) → \(state.query.to): started" }
    let limit = state.query.durationMs.map { " of \(fixed(Double($0) / 1000, 0))" } ?? ""
    let delay = result.delay.map { ", \(fixed($0.median, 2)) ms" } ?? ""
    return "\(fixed(result.seconds, 0))\(limit) s: \(result.packetsSent) sent, \(result.lost) lost, "
      + "\(fixed(result.mbit, 2)) Mbit/s\(delay)"
  }
}
