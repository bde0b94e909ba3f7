import NorthboundAPI

/// Live flows for people: a line each, the ways below it.
struct FlowsText {
  private let found: LiveFlows
  private let palette: Palette
  private let verbose: Bool

  init(_ found: LiveFlows, palette: Palette, verbose: Bool) {
    self.found = found
    self.palette = palette
    self.verbose = verbose
  }

  var lines: [String] {
    var lines = found.flows.flatMap(text)
    if lines.isEmpty { lines.append("no flows") }
    lines.append(palette.dim(summary))
    if found.dropped > 0 {
      lines.append(palette.yellow("\(found.dropped) packets were lost by the captures: their flows are undecided"))
    }
    if found.flowsOverLimit > 0 { lines.append(palette.yellow("\(found.flowsOverLimit) smaller flows are not shown")) }
    return lines
  }

  private var summary: String {
    "\(found.flows.count) flows in \(fixed(found.seconds, 1)) s, \(found.captured) packets captured, "
      + "\(found.dropped) lost by the captures, \(found.notOurs) of no flow"
  }

  private func text(_ flow: LiveFlow) -> [String] {
    let volume = "\(rate(flow.forwardBytes)) / \(rate(flow.returnBytes))"
    let heading =
      "\(palette.bold(end(flow.client))) → \(palette.bold(end(flow.server)))  \(flow.proto)  \(verdict(flow))"
    return [heading + "  \(volume)"] + way("there", flow.forward) + way("back ", flow.return)
  }

  private func verdict(_ flow: LiveFlow) -> String {
    if let reason = flow.undecided { return palette.yellow("undecided") + ": \(reason)" }
    switch flow.symmetric {
    case true?: return palette.green("symmetric")
    case false?: return palette.red("asymmetric")
    case nil: return "one way"
    }
  }

  private func end(_ end: FlowEnd) -> String {
    let address = end.port.map { end.address.contains(":") ? "[\(end.address)]:\($0)" : "\(end.address):\($0)" }
    let text = address ?? end.address
    return end.node.map { "\($0) (\(text))" } ?? text
  }

  private func rate(_ bytes: UInt64) -> String {
    rateText(UInt64((Double(bytes) * 8 / max(found.seconds, 0.001)).rounded()))
  }

  private func way(_ name: String, _ path: TracedPath) -> [String] {
    guard !path.path.isEmpty else { return [] }
    let lost = path.lost == 0 ? "" : "  " + palette.red("\(path.lost) of \(path.packets) lost")
    let last = path.lost == 0 ? "" : path.lastSeen.map { ", last seen on \($0)" } ?? ""
    var lines = ["  \(name)  \(path.path.joined(separator: " → "))\(lost)\(last)"]
    for other in path.paths.dropFirst() {
      lines.append("         \(other.path.joined(separator: " → "))  \(other.packets) packets")
    }
    for hop in path.hops { lines += rewrite(hop) }
    return lines
  }

  private func rewrite(_ hop: TracedHop) -> [String] {
    let parts = [("source", hop.nat?.source), ("destination", hop.nat?.destination)].compactMap { name, change in
      change.map { "\(name) \($0.from) → \($0.to)" }
    }
    return parts.isEmpty ? [] : ["         \(hop.node): \(parts.joined(separator: ", "))"]
  }
}
