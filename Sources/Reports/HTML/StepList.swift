internal import NorthboundAPI
internal import Scenario
internal import Topology

/// A test's steps in order: what each was, how it ended, what it measured, and what was found instead.
struct StepList {
  let test: TestReport
  /// `lab-1-test-2`
  let identifier: String

  func markup() -> Markup {
    let items = test.steps.enumerated().map { index, step in item(step, "\(identifier)-step-\(index + 1)") }
    return test.steps.isEmpty ? "" : #"<ol class="steps">\#(items.joined())</ol>"#
  }

  private func item(_ step: StepReport, _ identifier: String) -> Markup {
    let (style, word): (Markup, String) =
      switch step.outcome {
      case .held: step.isFault ? ("fault", "fault") : ("passed", "holds")
      case .failed: ("failed", "failed")
      case .undecided: ("undecided", "undecided")
      }
    let time = step.seconds > 0 ? duration(step.seconds) : step.heldAfter.map(duration)
    return """
      <li class="\(style)"><p class="head"><b class="badge \(style)">\(word)</b> <code>\(step.summary)</code>
      <span class="facts">\(time.map { "\($0), " })\(step.place.description)</span></p>
      \(within(step))
      \(step.measured.map { text -> Markup in "<p>\(text)</p>" })
      \(outcome(step.outcome))
      \(findings(step.findings, identifier))
      </li>
      """
  }

  private func within(_ step: StepReport) -> Markup? {
    guard let within = step.withinMilliseconds else { return nil }
    let limit = duration(Double(within) / 1000)
    guard let after = step.heldAfter else { return step.outcome.holds ? nil : "<p>not within \(limit)</p>" }
    return "<p>held after \(duration(after)), within \(limit)</p>"
  }

  private func outcome(_ outcome: Outcome) -> Markup? {
    switch outcome {
    case .held: return nil
    case .undecided(let reason): return "<p>There is no verdict: \(reason)</p>"
    case .failed(let mismatches):
      let rows = mismatches.map { mismatch -> Markup in
        """
        <tr><th scope="row">\(mismatch.subject)</th><td><pre>\(mismatch.expected)</pre></td>\
        <td><pre>\(mismatch.found)</pre></td></tr>
        """
      }
      return """
        <div class="scroll"><table class="mismatches"><thead><tr><th scope="col"></th><th scope="col">expected</th>\
        <th scope="col">found</th></tr></thead><tbody>\(rows.joined())</tbody></table></div>
        """
    }
  }

  private func findings(_ findings: Findings, _ identifier: String) -> Markup {
    let rates = findings.rates.enumerated().map { Self.rate($1, "\(identifier)-rate-\($0)") }
    let loads = findings.traffic.enumerated().map { Self.load($1, "\(identifier)-load-\($0)") }
    let checks: [Markup] = findings.checks.isEmpty ? [] : [CheckTable(checks: findings.checks).markup()]
    return (rates + loads + checks).joined()
  }

  private static func rate(_ result: RateResult, _ identifier: String) -> Markup {
    var facts = ["\(decimal(result.mbit, places: 2)) Mbit/s of payload in \(duration(result.seconds))"]
    facts.append("\(result.packetsReceived) of \(result.packetsSent) packets arrived")
    if result.retransmits > 0 { facts.append("\(result.retransmits) sent again") }
    if let delay = result.delay { facts.append(delay.sentence) }
    let limited =
      switch result.limitedBy {
      case .shaping: "limited by shaping"
      case .policing: "limited by policing"
      case RateResult.LimitedBy.none?: "limited by no queue and no policer"
      case nil: "what limited it is undecided"
      }
    let place = result.place.map { " at \($0)" } ?? ""
    let title = "\(decimal(result.mbit, places: 2)) Mbit/s, \(limited)\(place)"
    let reason = result.undecided ?? result.because
    let plot = Plot(
      identifier: identifier, title: title, summary: facts.joined(separator: "; ") + ". " + reason,
      intervals: result.intervals, seconds: result.seconds)
    return "\(plot.markup())<p>\(facts.joined(separator: "; ")).\(reason.isEmpty ? "" : " Because: \(reason)")</p>"
  }

  private static func load(_ state: TrafficState, _ identifier: String) -> Markup {
    let query = state.query
    let name = "load \(query.from) → \(query.to) \(query.proto)" + (query.port.map { "/\($0)" } ?? "")
    guard let result = state.result else {
      return "<p>\(name): \(state.error ?? (state.running ? "still running" : "no result"))</p>"
    }
    let share = result.packetsSent == 0 ? 0 : Double(result.lost) / Double(result.packetsSent) * 100
    var facts = [
      "\(decimal(result.mbit, places: 2)) Mbit/s of payload in \(duration(result.seconds))",
      "\(result.lost) of \(result.packetsSent) packets lost (\(decimal(share, places: 2)) %)",
    ]
    if result.reordered > 0 { facts.append("\(result.reordered) out of order") }
    if result.duplicates > 0 { facts.append("\(result.duplicates) twice") }
    if let delay = result.delay { facts.append(delay.sentence) }
    let outages = result.outages.prefix(5).map { "\($0.sentence) at \(Moment($0.startedAt).text)" }
    var plot = Plot(
      identifier: identifier, title: name, summary: (facts + outages).joined(separator: "; "),
      intervals: result.intervals, seconds: result.seconds)
    plot.spans = result.outages.map { outage in
      let start = (outage.startedAt - result.startedAt) / 1000
      return .init(start: start, end: start + outage.ms / 1000, label: outage.sentence)
    }
    let list = outages.map { text -> Markup in "<li>\(text)</li>" }
    return """
      \(plot.markup())<p>\(facts.joined(separator: "; ")).</p>\
      \(list.isEmpty ? nil : "<p>Longest outages:</p><ul>\(list.joined())</ul>")
      """
  }
}

extension DelaySummary {
  /// `delay one way 1.2 ms (median), 0.9 ms (least), 4.0 ms (99 %)`
  var sentence: String {
    let (least, middle, most) = (decimal(min, places: 2), decimal(median, places: 2), decimal(p99, places: 2))
    return "delay one way \(middle) ms (median), \(least) ms (least), \(most) ms (99 %)"
  }
}

/// Verdicts on the whole lab, each with what violates it, who decided, and why.
struct CheckTable {
  let checks: [CheckResult]

  /// Violations shown per check.
  private static let limit = 200

  func markup() -> Markup {
    let rows = checks.map { check -> Markup in
      let (style, word): (Markup, String) =
        check.undecided != nil
        ? ("undecided", "undecided") : check.holds ? ("passed", "holds") : ("failed", "violated")
      let violations = check.violations.prefix(Self.limit).map(violation)
      let hidden = check.violations.count - violations.count
      return """
        <tr><th scope="row">\(check.check)</th><td><b class="badge \(style)">\(word)</b></td>\
        <td class="number">\(check.examined)</td><td>\(check.undecided ?? "")\
        \(violations.isEmpty ? nil : #"<ul class="violations">\#(violations.joined())</ul>"#)\
        \(hidden > 0 ? "<p>\(hidden) more are not shown.</p>" : nil)</td></tr>
        """
    }
    return """
      <div class="scroll"><table class="checks"><thead><tr><th scope="col">check</th><th scope="col">verdict</th>\
      <th scope="col">looked at</th><th scope="col">violations and reasons</th></tr></thead>
      <tbody>\(rows.joined())</tbody></table></div>
      """
  }

  private func violation(_ violation: Violation) -> Markup {
    let style: Markup = violation.severity == .failure ? "failed" : "undecided"
    let prefix = violation.prefix.map { ", \($0)" } ?? ""
    let ways = violation.ways.map { text -> Markup in "<br>\(text)" }
    return """
      <li><b class="\(style)">\(violation.severity.rawValue)</b> <b>\(violation.node)</b>\(prefix): \
      \(violation.detail) <span class="facts">(\(violation.because))</span>\(ways.joined())</li>
      """
  }
}
