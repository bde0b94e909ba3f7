import NorthboundAPI

/// A trace for people: both ways hop by hop, where they part and why, and the verdict as the last line.
struct TraceText {
  private let trace: Trace
  private let palette: Palette

  init(_ trace: Trace, palette: Palette) {
    self.trace = trace
    self.palette = palette
  }

  var lines: [String] {
    var lines = [heading]
    lines += way("forward", trace.forward)
    lines += way("return", trace.return)
    lines.append("")
    lines += trace.notes.map { palette.yellow("note: ") + $0 }
    lines += trace.icmpErrors.map { palette.yellow("answered: ") + $0 }
    if let divergence = trace.divergence {
      lines.append(
        "the way back leaves the way there at \(palette.bold(divergence.node)): it chose its path to "
          + "\(divergence.prefix) by \(palette.bold(divergence.because)) (\(divergence.detail))")
    }
    lines.append(verdict)
    if let capture = trace.capture { lines.append("capture: \(capture)") }
    return lines
  }

  private var heading: String {
    let flow = trace.flow
    var text = palette.bold("\(flow.from) → \(flow.to)") + "  \(flow.proto)" + (flow.port.map { "/\($0)" } ?? "")
    if let source = flow.source, let destination = flow.destination { text += "  \(source) → \(destination)" }
    return text
  }

  private func way(_ name: String, _ path: TracedPath) -> [String] {
    guard !path.path.isEmpty else {
      return ["", "\(palette.bold(name))  nothing was seen"] + path.drops.map { drop($0) }
    }
    var counts = "\(path.packets) \(path.packets == 1 ? "packet" : "packets")"
    if path.lost > 0 { counts += ", \(path.lost) lost" + (path.lastSeen.map { ", last seen at \($0)" } ?? "") }
    var lines = ["", "\(palette.bold(name))  \(path.path.joined(separator: " → "))  \(palette.dim("(\(counts))"))"]
    var table = Table("NODE", "IN", "OUT", ">µs", "REWRITES", "JOINED BY")
    for hop in path.hops {
      table.add(
        hop.node, hop.in, hop.out, hop.us.map { fixed($0, 1) }, hop.nat.map(rewrites), hop.joinedBy)
    }
    if !table.isEmpty { lines += table.lines(indent: "  ", palette: palette) }
    if path.paths.count > 1 {
      lines.append("  \(path.paths.count) paths were used:")
      lines += path.paths.map { "    \($0.path.joined(separator: " → "))  \(palette.dim("(\($0.packets) packets)"))" }
    }
    return lines + path.drops.map { drop($0) }
  }

  /// E.g. `  3 ended in isp1, come in by eth1: filter (rule counted 3)`.
  private func drop(_ drop: TracedDrop) -> String {
    let place =
      drop.interface.isEmpty
      ? "in \(drop.node), before they left it"
      : drop.sent ? "on the link from \(drop.node):\(drop.interface)" : "in \(drop.node), come in by \(drop.interface)"
    let reason = drop.reason == "unknown" ? palette.yellow(drop.reason) : palette.red(drop.reason)
    return "  \(drop.packets) ended \(place): \(reason)  \(palette.dim("(\(drop.detail))"))"
  }

  private func rewrites(_ rewrite: TracedRewrite) -> String {
    let parts = [
      rewrite.source.map { "source \($0.from) → \($0.to)" },
      rewrite.destination.map { "destination \($0.from) → \($0.to)" },
    ]
    return parts.compactMap { $0 }.joined(separator: ", ")
  }

  private var verdict: String {
    if let reason = trace.undecided { return palette.yellow("undecided") + ": \(reason)" }
    if !trace.complete { return palette.yellow("undecided") + ": a capture is not complete" }
    guard trace.reachable else {
      return palette.red("not reachable") + (trace.forward.lastSeen.map { ", last seen at \($0)" } ?? "")
    }
    let symmetry =
      switch trace.symmetric {
      case true?: ", " + palette.green("symmetric")
      case false?: ", " + palette.yellow("asymmetric")
      case nil: ""
      }
    return palette.green("reachable") + symmetry + palette.dim(", every interface captured without a drop")
  }
}
