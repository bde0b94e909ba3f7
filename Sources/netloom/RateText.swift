import NorthboundAPI

/// A measured rate for people: over time, what limited it and how that is known.
struct RateText {
  private let result: RateResult
  private let palette: Palette
  private let verbose: Bool

  init(_ result: RateResult, palette: Palette, verbose: Bool) {
    self.result = result
    self.palette = palette
    self.verbose = verbose
  }

  func lines(_ heading: String) -> [String] {
    var lines = [heading]
    guard result.reachable else {
      return lines + [palette.red("not reachable") + ": \(result.because)"] + captureLine
    }
    lines.append("rate     \(palette.bold(fixed(result.mbit, 2) + " Mbit/s")) over \(fixed(result.seconds, 1)) s")
    let rates = Self.megabits(result.intervals)
    if rates.count > 1 {
      let (low, high) = (rates.min() ?? 0, rates.max() ?? 0)
      lines.append("         \(Self.sparkline(rates))  \(palette.dim("\(fixed(low, 1)) to \(fixed(high, 1))"))")
    }
    if let delay = result.delay {
      lines.append(
        "delay    median \(fixed(delay.median, 2)) ms, least \(fixed(delay.min, 2)) ms, 99 % below "
          + "\(fixed(delay.p99, 2)) ms, one way")
    }
    let lost = result.packetsSent - min(result.packetsSent, result.packetsReceived)
    lines.append("packets  \(result.packetsSent) sent, \(lost) lost, \(result.retransmits) sent again")
    if verbose { lines += table }
    lines.append(verdict)
    return lines + captureLine
  }

  private var captureLine: [String] { result.capture.map { ["capture: \($0)"] } ?? [] }

  private var verdict: String {
    if let reason = result.undecided { return palette.yellow("undecided") + ": \(reason)" }
    if !result.complete { return palette.yellow("undecided") + ": a capture is not complete" }
    let place = result.place.map { " at \(palette.bold($0))" } ?? ""
    switch result.limitedBy {
    case .shaping?: return "limited by \(palette.bold("shaping"))\(place): \(result.because)"
    case .policing?: return "limited by \(palette.bold("policing"))\(place): \(result.because)"
    case RateResult.LimitedBy.none?: return "limited by no queue and no policer: \(result.because)"
    case nil: return palette.yellow("undecided") + ": \(result.because)"
    }
  }

  private var table: [String] {
    var table = Table(">FROM", ">MBIT/S", ">LOST", ">DELAY MS")
    for (index, interval) in result.intervals.enumerated() {
      table.add(
        "\(fixed(Double(index) / 10, 1)) s", fixed(Self.megabits(interval), 2), "\(interval.lost)",
        fixed(interval.delayMs, 2))
    }
    return table.isEmpty ? [] : table.lines(indent: "  ", palette: palette)
  }

  /// An interval is 100 ms long.
  private static func megabits(_ interval: RateInterval) -> Double { Double(interval.bytes) * 8 / 0.1 / 1e6 }

  private static func megabits(_ intervals: [RateInterval]) -> [Double] { intervals.map { megabits($0) } }

  /// Eighths of a line's height from zero to the largest, at most sixty columns: neighbours share one, averaged.
  static func sparkline(_ values: [Double]) -> String {
    let blocks = Array("▁▂▃▄▅▆▇█")
    let share = max(1, (values.count + 59) / 60)
    let columns = stride(from: 0, to: values.count, by: share).map { start in
      let part = values[start..<min(start + share, values.count)]
      return part.reduce(0, +) / Double(part.count)
    }
    guard let top = columns.max(), top > 0 else { return String(repeating: blocks[0], count: columns.count) }
    return String(columns.map { blocks[max(0, min(7, Int(($0 / top * 8).rounded(.up)) - 1))] })
  }
}
