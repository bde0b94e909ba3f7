internal import NorthboundAPI
internal import Scenario

/// What happened in a test and when: its steps, faults among them, load with its outages, and what the lab said. Drawn, and
/// as a list of the same moments.
struct Timeline {
  let identifier: String
  let test: TestReport
  private let start: Double
  private let end: Double

  private static let width = 980.0
  private static let (left, right) = (86.0, 966.0)
  private static let lane = 30.0
  /// Events listed; the log of the lab has all.
  private static let limit = 200

  /// Nil: nobody wrote down when anything happened.
  init?(_ test: TestReport, identifier: String) {
    let steps = test.steps.filter { $0.startedAt > 0 }
    let loads = test.results
    let starts = steps.map(\.startedAt) + loads.map(\.startedAt) + [test.startedAt].filter { $0 > 0 }
    guard let start = starts.min(), !steps.isEmpty || !loads.isEmpty else { return nil }
    self.test = test
    self.identifier = identifier
    self.start = start
    let ends = steps.map { $0.startedAt + $0.seconds * 1000 } + loads.map { $0.startedAt + $0.seconds * 1000 }
    end = max(ends.max() ?? start, start + 1)
  }

  private struct Happening {
    var at: Double
    var kind: String
    var text: String
  }

  func markup() -> Markup {
    let loads = test.results
    let events = self.events
    let rows = stepRows
    let stepLanes = (rows.values.max() ?? 0) + 1
    let lanes = stepLanes + loads.count + (events.isEmpty ? 0 : 1)
    let bottom = 12 + Double(lanes) * Self.lane
    let axis = Axis(from: 0, to: (end - start) / 1000, low: Self.left, high: Self.right, exact: true)
    var body = [grid(axis, bottom), stepLane(axis, 12, rows)]
    for (index, load) in loads.enumerated() {
      body.append(loadLane(load, axis, 12 + Double(index + stepLanes) * Self.lane, number: index + 1, of: loads.count))
    }
    if !events.isEmpty { body.append(eventLane(events, axis, 12 + Double(loads.count + stepLanes) * Self.lane)) }
    return """
      <figure class="timeline"><figcaption>Timeline</figcaption>
      <svg viewBox="0 0 \(px: Self.width) \(px: bottom + 40)" role="img" aria-labelledby="\(identifier)-t">
      <title id="\(identifier)-t">Timeline of \(test.name): the list below says the same</title>
      \(body.joined())
      </svg>
      <p class="legend"><span class="key step"></span> step \
      <span class="key fault"></span> fault <span class="key bad"></span> did not hold \
      \(loads.isEmpty ? nil : #"<span class="key load"></span> load <span class="key outage"></span> outage "#)\
      \(events.isEmpty ? nil : #"<span class="key event"></span> event of the lab "#)\
      \(events.contains { $0.kind == "converged" } ? #"<span class="key converged"></span> converged"# : nil)</p>
      \(list(events))
      </figure>
      """
  }

  private func x(_ milliseconds: Double, _ axis: Axis) -> Double { axis[(milliseconds - start) / 1000] }

  private func grid(_ axis: Axis, _ bottom: Double) -> Markup {
    let ticks = axis.ticks.map { tick -> Markup in
      """
      <path class="grid" d="M\(px: axis[tick]) 8V\(px: bottom)"/>\
      <text x="\(px: axis[tick])" y="\(px: bottom + 16)">\(axis.text(tick))</text>
      """
    }
    let name: Markup = """
      <path class="axis" d="M\(px: Self.left) \(px: bottom)H\(px: Self.right)"/>\
      <text class="unit" x="\(px: (Self.left + Self.right) / 2)" y="\(px: bottom + 33)">\
      seconds since the test began</text>
      """
    return (ticks + [name]).joined()
  }

  private func laneName(_ name: String, _ y: Double) -> Markup {
    #"<text class="end" x="\#(px: Self.left - 8)" y="\#(px: y + 16)">\#(name)</text>"#
  }

  /// Steps that go on at the same time, such as load, stand in rows of their own. By the number of the step.
  private var stepRows: [Int: Int] {
    var ends: [Double] = []
    return test.steps.indices.filter { test.steps[$0].startedAt > 0 }.reduce(into: [:]) { rows, index in
      let step = test.steps[index]
      let row = ends.firstIndex { $0 <= step.startedAt + 0.5 } ?? ends.count
      if row == ends.count { ends.append(0) }
      ends[row] = step.startedAt + step.seconds * 1000
      rows[index] = row
    }
  }

  private func stepLane(_ axis: Axis, _ top: Double, _ rows: [Int: Int]) -> Markup {
    let bars = test.steps.enumerated().filter { $0.element.startedAt > 0 }.map { index, step -> Markup in
      let y = top + Double(rows[index] ?? 0) * Self.lane
      let from = x(step.startedAt, axis)
      let width = max(3, x(step.startedAt + step.seconds * 1000, axis) - from)
      let style = step.isFault ? "fault" : step.outcome.holds ? "step" : "bad"
      let number: Markup? =
        width < 14 ? nil : #"<text x="\#(px: from + width / 2)" y="\#(px: y + 16)">\#(index + 1)</text>"#
      return """
        <g class="bar \(style)"><rect x="\(px: from)" y="\(px: y + 3)" width="\(px: width)" height="18" rx="2"/>\
        \(number)<title>\(index + 1). \(step.summary), \(duration(step.seconds))</title></g>
        """
    }
    return ([laneName("steps", top)] + bars).joined()
  }

  private func loadLane(
    _ load: TrafficResult, _ axis: Axis, _ y: Double, number: Int, of count: Int
  ) -> Markup {
    let from = x(load.startedAt, axis)
    let width = max(3, x(load.startedAt + load.seconds * 1000, axis) - from)
    let outages = load.outages.map { outage -> Markup in
      let left = x(outage.startedAt, axis)
      let wide = max(2, x(outage.startedAt + outage.ms, axis) - left)
      return """
        <g class="bar outage"><rect x="\(px: left)" y="\(px: y + 3)" width="\(px: wide)" height="18"/>\
        <title>\(outage.sentence)</title></g>
        """
    }
    let longest = load.outages.max { $0.ms < $1.ms }
    let label = longest.map { outage -> Markup in
      let middle = x(outage.startedAt + outage.ms / 2, axis)
      let anchor: Markup = middle > Self.right - 60 ? "end" : middle < Self.left + 60 ? "start" : "middle"
      return """
        <text class="note" style="text-anchor:\(anchor)" x="\(px: middle)" y="\(px: y + 30)">\
        \(decimal(outage.ms, places: 1)) ms</text>
        """
    }
    return """
      \(laneName(count == 1 ? "load" : "load \(number)", y))\
      <rect class="loaded" x="\(px: from)" y="\(px: y + 6)" width="\(px: width)" height="12"/>
      \(outages.joined())
      \(label)
      """
  }

  private func eventLane(_ events: [Happening], _ axis: Axis, _ y: Double) -> Markup {
    let marks = events.map { event -> Markup in
      let style: Markup = event.kind == "converged" ? "converged" : "event"
      return """
        <path class="mark \(style)" d="M\(px: x(event.at, axis)) \(px: y + 4)v18">\
        <title>\(event.text)</title></path>
        """
    }
    return ([laneName("events", y)] + marks).joined()
  }

  /// What the lab said between the begin and the end, oldest first.
  private var events: [Happening] {
    test.events.compactMap { event in
      guard let moment = Moment(rfc3339: event.at), (start...end + 1000).contains(moment.milliseconds) else {
        return nil
      }
      let words = [event.node, event.subject].filter { !$0.isEmpty }.joined(separator: " ")
      return Happening(at: moment.milliseconds, kind: event.kind, text: "\(event.kind): \(words): \(event.text)")
    }.prefix(Self.limit).sorted { $0.at < $1.at }
  }

  private func list(_ events: [Happening]) -> Markup {
    let steps = test.steps.enumerated().filter { $0.element.startedAt > 0 }.map { index, step in
      Happening(
        at: step.startedAt, kind: step.isFault ? "fault" : "step",
        text: "\(index + 1). \(step.summary) (\(duration(step.seconds)))")
    }
    let outages = test.results.flatMap(\.outages).map {
      Happening(at: $0.startedAt, kind: "outage", text: $0.sentence)
    }
    let rows = (steps + outages + events).sorted { $0.at < $1.at }.map { happening -> Markup in
      """
      <tr class="\(happening.kind)"><td class="number">\(decimal((happening.at - start) / 1000, places: 3)) s</td>\
      <td>\(happening.kind)</td><td>\(happening.text)</td></tr>
      """
    }
    let hidden = test.events.count - events.count
    let rest: Markup? = hidden > 0 ? "<p>\(hidden) more events of the lab are not shown.</p>" : nil
    return """
      <details><summary>The timeline as a list</summary><table class="moments">
      <thead><tr><th scope="col">time</th><th scope="col">what</th><th scope="col"></th></tr></thead>
      <tbody>\(rows.joined())</tbody></table>\(rest)</details>
      """
  }
}

extension TestReport {
  /// Load that has come to its end.
  var results: [TrafficResult] { steps.flatMap { $0.findings.traffic.compactMap(\.result) } }
}

extension TrafficOutage {
  /// `287.4 ms without a packet, 287 lost`
  var sentence: String { "\(decimal(ms, places: 1)) ms without a packet, \(lost) lost" }
}
