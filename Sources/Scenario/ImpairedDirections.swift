public import NorthboundAPI
internal import NorthboundClient
internal import Topology

/// One direction of a link that delays, loses or holds back.
public struct ImpairedDirection: Sendable, Equatable {
  /// `NODE:IFACE` that sends.
  public let from: String
  public let to: String
  public let detail: ImpairmentDetail

  public init(from: String, to: String, detail: ImpairmentDetail) {
    self.from = from
    self.to = to
    self.detail = detail
  }
}

extension TestRunner {
  /// What the links of the file that declare something did until now; what cannot be asked is left out.
  func impairments() async -> [ImpairedDirection] {
    let links = lab.links.filter { $0.impairment != nil }
    let ends = links.flatMap { [$0.a.name, $0.b.name] }
    var found: [String: ImpairedDirection] = [:]
    for node in Set(links.flatMap { [$0.a.node, $0.b.node] }).sorted() {
      for link in (try? await api.links(of: node)) ?? [] {
        guard let detail = link.impairment, let peer = link.peer else { continue }
        let name = "\(node):\(link.interface)"
        found[name] = ImpairedDirection(from: name, to: peer, detail: detail)
      }
    }
    return ends.compactMap { found[$0] }
  }
}

extension ImpairmentDetail {
  /// `delay 20 ms, jitter 2 ms, loss 0.1 %, rate 100 Mbit/s`
  package var asked: String {
    let parts = [
      delayMs > 0 || achieved.packets != nil ? "delay \(shortened(delayMs, places: 3)) ms" : nil,
      jitterMs > 0 ? "jitter \(shortened(jitterMs, places: 3)) ms" : nil,
      lossPercent > 0 ? "loss \(shortened(lossPercent, places: 4)) %" : nil,
      rate.map { "rate \(shortened(Double($0) / 1_000_000, places: 3)) Mbit/s" },
    ]
    let text = parts.compactMap(\.self).joined(separator: ", ")
    return text.isEmpty ? "nothing" : text
  }
}

extension AchievedImpairment {
  /// `1042 packets, 0 dropped, late 0.01 ms (median), 0.05 ms (p99), 0.3 ms (most)`; empty: no relay counts.
  package var passed: String {
    guard let packets else { return "" }
    var text = "\(packets) packets, \(dropped ?? 0) dropped"
    if let lateMedianMs, let lateP99Ms, let lateMaxMs {
      let late = [lateMedianMs, lateP99Ms, lateMaxMs].map { decimal($0, places: 3) + " ms" }
      text += ", late \(late[0]) (median), \(late[1]) (p99), \(late[2]) (most)"
    }
    return text
  }

  /// `lost 10 of 1042 (0.96 %)`; empty: nobody counts.
  package var losses: String {
    guard let offered, let lost else { return "" }
    let share = offered > 0 ? " (\(decimal(Double(lost) / Double(offered) * 100, places: 2)) %)" : ""
    return "lost \(lost) of \(offered)\(share)"
  }

  /// All that was counted, in one line.
  package var text: String {
    let parts = [passed, losses, rateDropped.map { "\($0) dropped at the rate" } ?? ""]
    let text = parts.filter { !$0.isEmpty }.joined(separator: "; ")
    return text.isEmpty ? "not counted" : text
  }
}

/// Without noughts at the end: `20`, `0.1`.
private func shortened(_ value: Double, places: Int) -> String {
  var text = decimal(value, places: places)
  while text.contains("."), text.last == "0" || text.last == "." { text.removeLast() }
  return text
}
