internal import NorthboundAPI
internal import Scenario

/// Rate over time in steps of the measurement, delay on a second axis, losses as marks on the ground, and spans that are
/// shaded. Shaping smooths the rate and lengthens the delay; policing clips the rate and loses packets.
struct Plot {
  struct Sample {
    /// Seconds.
    var start: Double
    var length: Double
    var mbit: Double
    var lost: UInt64
    /// nil: no packet arrived.
    var delay: Double?
  }

  struct Span {
    var start: Double
    var end: Double
    var label: String
  }

  let identifier: String
  let title: String
  /// In words, for who does not see it.
  let summary: String
  let samples: [Sample]
  var spans: [Span] = []

  private static let width = 720.0
  private static let height = 240.0
  private static let area = (left: 56.0, right: 664.0, top: 14.0, bottom: 200.0)
  /// More points than pixels say nothing.
  private static let limit = 600

  init(identifier: String, title: String, summary: String, intervals: [RateInterval], seconds: Double) {
    self.identifier = identifier
    self.title = title
    self.summary = summary
    samples = Self.samples(intervals, seconds: seconds)
  }

  /// Intervals of 100 ms, the last one shorter where the time ended in it.
  static func samples(_ intervals: [RateInterval], seconds: Double) -> [Sample] {
    let group = max(1, (intervals.count + limit - 1) / limit)
    return stride(from: 0, to: intervals.count, by: group).map { first in
      let part = intervals[first..<min(first + group, intervals.count)]
      let start = Double(first) * 0.1
      let rest = seconds - start
      let full = Double(part.count) * 0.1
      let length = rest > 0.01 ? min(full, rest) : full
      let bytes = part.reduce(0.0) { $0 + Double($1.bytes) }
      let delays = part.filter { $0.bytes > 0 }.map(\.delayMs)
      return Sample(
        start: start, length: length, mbit: bytes * 8 / length / 1e6,
        lost: part.reduce(0) { $0 &+ $1.lost },
        delay: delays.isEmpty ? nil : delays.reduce(0, +) / Double(delays.count))
    }
  }

  func markup() -> Markup {
    let end = max(samples.last.map { $0.start + $0.length } ?? 0, spans.map(\.end).max() ?? 0, 0.1)
    let time = Axis(from: 0, to: end, low: Self.area.left, high: Self.area.right, exact: true)
    let rate = Axis(to: samples.map(\.mbit).max() ?? 1, low: Self.area.bottom, high: Self.area.top)
    let delay = Axis(to: (samples.compactMap(\.delay).max() ?? 1) * 1.1, low: Self.area.bottom, high: Self.area.top)
    let delays = samples.contains { $0.delay != nil }
    return """
      <figure class="plot"><figcaption>\(title)</figcaption>
      <svg viewBox="0 0 \(px: Self.width) \(px: Self.height)" role="img" aria-labelledby="\(identifier)-t \(identifier)-d">
      <title id="\(identifier)-t">\(title)</title><desc id="\(identifier)-d">\(summary)</desc>
      \(shades(time))
      \(grid(time, rate))
      \(delays ? rightAxis(delay) : nil)
      \(line(time, rate))
      \(delays ? delayLine(time, delay) : nil)
      \(losses(time))
      </svg>
      <p class="legend"><span class="key rate"></span> payload received, Mbit/s\
      \(delays ? #" <span class="key delay"></span> delay one way, ms"# : nil)\
      \(samples.contains { $0.lost > 0 } ? #" <span class="key lost"></span> packets lost"# : nil)\
      \(spans.isEmpty ? nil : #" <span class="key outage"></span> outage"#)</p>
      </figure>
      """
  }

  private func grid(_ time: Axis, _ rate: Axis) -> Markup {
    let (left, right, _, bottom) = Self.area
    let rates = rate.ticks.map { tick -> Markup in
      """
      <path class="grid" d="M\(px: left) \(px: rate[tick])H\(px: right)"/>\
      <text class="end" x="\(px: left - 6)" y="\(px: rate[tick] + 4)">\(rate.text(tick))</text>
      """
    }
    let times = time.ticks.map { tick -> Markup in
      """
      <path class="axis" d="M\(px: time[tick]) \(px: bottom)v4"/>\
      <text x="\(px: time[tick])" y="\(px: bottom + 17)">\(time.text(tick))</text>
      """
    }
    let names: Markup = """
      <path class="axis" d="M\(px: left) \(px: bottom)H\(px: right)"/>\
      <text class="unit" transform="translate(14 \(px: (bottom + Self.area.top) / 2)) rotate(-90)">Mbit/s</text>\
      <text class="unit" x="\(px: (left + right) / 2)" y="\(px: bottom + 34)">seconds</text>
      """
    return (rates + times + [names]).joined()
  }

  private func rightAxis(_ delay: Axis) -> Markup {
    let right = Self.area.right
    let ticks = delay.ticks.map { tick -> Markup in
      #"<text class="start" x="\#(px: right + 6)" y="\#(px: delay[tick] + 4)">\#(delay.text(tick))</text>"#
    }
    let middle = (Self.area.bottom + Self.area.top) / 2
    let name: Markup = #"<text class="unit" transform="translate(710 \#(px: middle)) rotate(90)">ms</text>"#
    return (ticks + [name]).joined()
  }

  private func line(_ time: Axis, _ rate: Axis) -> Markup {
    let steps = samples.enumerated().map { index, sample in
      "\(index == 0 ? "M" : "V")"
        + (index == 0
          ? "\(coordinate(time[sample.start])) \(coordinate(rate[sample.mbit]))" : coordinate(rate[sample.mbit]))
        + "H\(coordinate(time[sample.start + sample.length]))"
    }
    return samples.isEmpty ? "" : #"<path class="series rate" d="\#(steps.joined())"/>"#
  }

  /// Broken where nothing arrived.
  private func delayLine(_ time: Axis, _ delay: Axis) -> Markup {
    var path = ""
    var begins = true
    for sample in samples {
      guard let value = sample.delay else {
        begins = true
        continue
      }
      let x = time[sample.start + sample.length / 2]
      path += "\(begins ? "M" : "L")\(coordinate(x)) \(coordinate(delay[value]))"
      // A point alone is a dot.
      if begins { path += "h0.1" }
      begins = false
    }
    return #"<path class="series delay" d="\#(path)"/>"#
  }

  private func losses(_ time: Axis) -> Markup {
    samples.filter { $0.lost > 0 }.map { sample in
      let x = time[sample.start + sample.length / 2]
      let count = "\(sample.lost) lost at \(decimal(sample.start, places: 1)) s"
      return #"<path class="series lost" d="M\#(px: x) \#(px: Self.area.bottom)v-8"><title>\#(count)</title></path>"#
    }.joined()
  }

  private func shades(_ time: Axis) -> Markup {
    spans.map { span in
      let x = time[span.start]
      let width = max(2, time[span.end] - x)
      return """
        <rect class="outage" x="\(px: x)" y="\(px: Self.area.top)" width="\(px: width)" \
        height="\(px: Self.area.bottom - Self.area.top)"><title>\(span.label)</title></rect>
        """
    }.joined()
  }
}

/// Values to coordinates, and marks at round values.
struct Axis {
  let from: Double
  let to: Double
  private let low: Double
  private let high: Double
  private let step: Double

  /// - Parameter exact: the axis ends at `to`; otherwise at the next mark.
  init(from: Double = 0, to: Double, low: Double, high: Double, exact: Bool = false) {
    let span = to.isFinite && to > from ? to - from : 1
    step = Self.round(span / 5)
    self.from = from
    self.to = exact ? from + span : from + step * (span / step).rounded(.up)
    self.low = low
    self.high = high
  }

  subscript(value: Double) -> Double {
    low + (high - low) * min(max((value - from) / (to - from), 0), 1)
  }

  var ticks: [Double] {
    (0...Int(((to - from) / step + 1e-6).rounded(.down))).map { from + Double($0) * step }
  }

  func text(_ tick: Double) -> String {
    var places = 0
    var scaled = step
    while places < 6, abs(scaled - scaled.rounded()) > 1e-6 {
      scaled *= 10
      places += 1
    }
    return decimal(tick, places: places)
  }

  /// 1, 2 or 5 times a power of ten, at least `value`.
  private static func round(_ value: Double) -> Double {
    var power = 1.0
    while power > value { power /= 10 }
    while power * 10 <= value { power *= 10 }
    return [1, 2, 5, 10].map { $0 * power }.first { $0 >= value * 0.999 } ?? power * 10
  }
}
