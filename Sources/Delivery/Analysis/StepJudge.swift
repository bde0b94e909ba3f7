internal import Scenario
internal import Topology

/// What was seen of one version during a window.
struct VersionView: Equatable, Sendable {
  var traffic = VersionTraffic()
  var network = NetworkView()
}

/// Compares what was measured of the new version with the thresholds of the file, and with the running version.
struct StepJudge {
  let analysis: PipelineAnalysis
  /// Differences of p99 below this do not count as a regression: buckets and schedulers make as much.
  static let p99Floor = 50.0

  typealias Measure = StepJudgement.Measure

  func judge(new: VersionView, running: VersionView) -> [Measure] {
    var measures: [Measure] = []
    if analysis.successRate != nil || analysis.comparesSuccessRate {
      measures.append(successRate(analysis.successRate, new.traffic, running.traffic))
    }
    if analysis.p99 != nil || analysis.comparesP99 { measures.append(p99(analysis.p99, new.traffic, running.traffic)) }
    guard let network = analysis.network else { return measures }
    if network.pathUnchanged { measures.append(path(new.network, running.network)) }
    if let threshold = network.loss {
      measures.append(simple("loss", threshold, new.network.loss, running.network.loss, 3))
    }
    if let threshold = network.retransmissions {
      measures.append(
        simple("retransmissions", threshold, new.network.retransmissions, running.network.retransmissions, 3))
    }
    if let threshold = network.queueing {
      measures.append(simple("queueing", threshold, new.network.queueing, running.network.queueing, 1))
    }
    return measures
  }

  private func enough(_ traffic: VersionTraffic) -> Bool { traffic.requests >= UInt64(analysis.minimumRequests) }

  private func noData(_ name: String, _ threshold: String, _ traffic: VersionTraffic, _ running: String?) -> Measure {
    Measure(
      name: name, measured: "no data", threshold: threshold, running: running, verdict: .noData,
      detail: "\(traffic.requests) requests, \(analysis.minimumRequests) are needed; `load:` sends some")
  }

  /// Without a threshold the running version is one: without data of it nothing can be said.
  private func successRate(_ threshold: PipelineThreshold?, _ new: VersionTraffic, _ running: VersionTraffic) -> Measure
  {
    let asked = threshold?.description ?? "at most \(decimal(analysis.regression.successRate, 2)) points lower"
    let runningRate = enough(running) ? running.successRate : nil
    let shown = runningRate.map { decimal($0, 2) + "%" }
    guard enough(new), let rate = new.successRate else { return noData("success-rate", asked, new, shown) }
    if threshold == nil, runningRate == nil { return noData("success-rate", asked, running, shown) }
    var measure = Measure(
      name: "success-rate", measured: decimal(rate, 2) + "%", threshold: asked, running: shown,
      verdict: .holds, detail: nil)
    if threshold?.holds(rate) == false {
      measure.verdict = .violated
      measure.detail = "\(new.failures) of \(new.requests) requests failed"
    } else if let runningRate, runningRate - rate > analysis.regression.successRate {
      measure.verdict = .violated
      measure.detail =
        "\(decimal(runningRate - rate, 2)) points below the running version, "
        + "\(decimal(analysis.regression.successRate, 2)) are allowed"
    }
    return measure
  }

  private func p99(_ threshold: PipelineThreshold?, _ new: VersionTraffic, _ running: VersionTraffic) -> Measure {
    let asked = threshold?.description ?? "at most \(decimal(analysis.regression.p99, 1)) times as long"
    let runningP99 = enough(running) ? running.p99 : nil
    let shown = runningP99.map { decimal($0, 1) + "ms" }
    guard enough(new), let value = new.p99 else { return noData("p99", asked, new, shown) }
    if threshold == nil, runningP99 == nil { return noData("p99", asked, running, shown) }
    var measure = Measure(
      name: "p99", measured: decimal(value, 1) + "ms", threshold: asked, running: shown,
      verdict: .holds, detail: nil)
    if threshold?.holds(value) == false {
      measure.verdict = .violated
      measure.detail = "one request of a hundred took longer, of \(new.requests)"
    } else if let runningP99, value > runningP99 * analysis.regression.p99, value - runningP99 > Self.p99Floor {
      measure.verdict = .violated
      measure.detail =
        "\(decimal(value / runningP99, 1)) times the running version's, "
        + "\(decimal(analysis.regression.p99, 1)) are allowed"
    }
    return measure
  }

  /// Ways of the new version that the running one does not take.
  private func path(_ new: NetworkView, _ running: NetworkView) -> Measure {
    var changes: [String] = []
    for (direction, ways) in new.ways.sorted(by: { $0.key < $1.key }) {
      let known = running.ways[direction] ?? []
      for way in ways.subtracting(known).map(\.description).sorted() {
        changes.append("\(direction): \(way), the running version's: \(list(known.map(\.description)))")
      }
    }
    for (direction, systems) in new.crossed.sorted(by: { $0.key < $1.key }) {
      let known = running.crossed[direction] ?? []
      let fresh = systems.subtracting(known)
      if !fresh.isEmpty {
        changes.append(
          "\(direction) cross \(list(fresh.sorted().map { "AS\($0)" })), the running version's "
            + "\(list(known.sorted().map { "AS\($0)" }))")
      }
    }
    let seen = !new.ways.isEmpty && new.ways.keys.allSatisfy { !(running.ways[$0] ?? []).isEmpty }
    let shown = list(Set(running.ways.values.flatMap { $0.map(\.description) }).sorted())
    var measure = Measure(
      name: "path", measured: changes.isEmpty ? "unchanged" : "changed", threshold: "unchanged", running: shown,
      verdict: changes.isEmpty ? .holds : .violated, detail: changes.isEmpty ? nil : changes.joined(separator: "; "))
    if changes.isEmpty, !seen {
      measure.measured = "no data"
      measure.verdict = .noData
      measure.detail = new.undecided ?? running.undecided ?? "no packets were seen"
    }
    return measure
  }

  private func list(_ texts: [String]) -> String { texts.isEmpty ? "none" : texts.sorted().joined(separator: ", ") }

  private func simple(_ name: String, _ threshold: PipelineThreshold, _ new: Double?, _ running: Double?, _ places: Int)
    -> Measure
  {
    let unit = threshold.unit.rawValue
    let shown = running.map { decimal($0, places) + unit }
    guard let new else {
      return Measure(
        name: name, measured: "no data", threshold: threshold.description, running: shown, verdict: .noData,
        detail: "nothing was measured")
    }
    return Measure(
      name: name, measured: decimal(new, places) + unit, threshold: threshold.description, running: shown,
      verdict: threshold.holds(new) ? .holds : .violated, detail: nil)
  }
}

/// A number with at most so many decimals, whatever the locale.
func decimal(_ value: Double, _ places: Int) -> String {
  guard value.isFinite else { return "-" }
  var text = decimal(value, places: places)
  if places > 0 {
    while text.hasSuffix("0") { text.removeLast() }
    if text.hasSuffix(".") { text.removeLast() }
  }
  return text
}

extension StepJudgement {
  /// `p99 412ms (<= 200ms, running 12ms): one request of a hundred took longer`
  public static func line(_ measure: Measure) -> String {
    let running = measure.running.map { ", running \($0)" } ?? ""
    let detail = measure.detail.map { ": \($0)" } ?? ""
    return "\(measure.name) \(measure.measured) (\(measure.threshold)\(running))\(detail)"
  }
}
