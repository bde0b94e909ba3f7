internal import NorthboundAPI
internal import Scenario

/// One traced flow in words and numbers: both ways hop by hop, with the time each took.
struct FlowView {
  let trace: Trace

  static func name(_ flow: TracedFlow) -> String {
    "\(flow.from) → \(flow.to) \(flow.proto)" + (flow.port.map { "/\($0)" } ?? "")
  }

  func markup() -> Markup {
    let longest = (trace.forward.hops + trace.return.hops).compactMap(\.us).max() ?? 1
    let rows = [("there", trace.forward), ("back", trace.return)].map { way, path -> Markup in
      path.hops.isEmpty ? "" : self.rows(path.hops, way, longest)
    }
    let empty = trace.forward.hops.isEmpty && trace.return.hops.isEmpty
    return """
      <dl class="flow">
      <dt>verdict</dt><dd>\(verdict)</dd>
      <dt>way there</dt><dd>\(way(trace.forward))</dd>
      <dt>way back</dt><dd>\(way(trace.return))</dd>
      \(trace.divergence.map(divergence))
      \(remarks)
      </dl>
      \(empty ? nil : table(rows.joined()))
      """
  }

  private var verdict: Markup {
    if let undecided = trace.undecided { return #"<b class="undecided">undecided</b>: \#(undecided)"# }
    let reach: Markup =
      trace.reachable ? #"<b class="passed">reachable</b>"# : #"<b class="failed">not reachable</b>"#
    let symmetric = trace.symmetric.map { $0 ? ", symmetric" : ", asymmetric" } ?? ""
    return "\(reach)\(symmetric)\(trace.complete ? "" : ", not every packet was captured")"
  }

  private func way(_ path: TracedPath) -> Markup {
    let nodes = path.path.isEmpty ? "no node saw a packet" : path.path.joined(separator: " → ")
    let lost = path.lost == 0 ? "" : ", \(path.lost) lost"
    let others = path.paths.filter { $0.path != path.path }.map { other -> Markup in
      "<br>also \(other.path.joined(separator: " → ")) (\(packets(other.packets)))"
    }
    let drops = path.drops.map { drop -> Markup in #"<br><span class="failed">\#(drop.sentence)</span>"# }
    return "\(nodes) (\(packets(path.packets))\(lost))\((others + drops).joined())"
  }

  private func packets(_ count: UInt64) -> String { "\(count) \(count == 1 ? "packet" : "packets")" }

  private func divergence(_ divergence: Divergence) -> Markup {
    """
    <dt>they part at</dt><dd>\(divergence.node), \(divergence.prefix): \(divergence.because) (\(divergence.detail))</dd>
    """
  }

  private var remarks: Markup? {
    let texts = trace.icmpErrors.map { "ICMP: \($0)" } + trace.notes
    return texts.isEmpty ? nil : "<dt>also seen</dt><dd>\(texts.joined(separator: "; "))</dd>"
  }

  private func table(_ rows: Markup) -> Markup {
    """
    <div class="scroll"><table class="hops"><caption>Hop by hop: the median time a packet took from interface to \
    interface, in microseconds (µs)</caption>
    <thead><tr><th scope="col">way</th><th scope="col">node</th><th scope="col">in</th><th scope="col">out</th>\
    <th scope="col" colspan="2">time in the node, µs</th><th scope="col">NAT</th><th scope="col">joined by</th></tr>\
    </thead><tbody>\(rows)</tbody></table></div>
    """
  }

  private func rows(_ hops: [TracedHop], _ way: String, _ longest: Double) -> Markup {
    hops.map { hop -> Markup in
      let time: Markup
      if let us = hop.us {
        let width = max(1, us / max(longest, 1e-9) * 120)
        time = """
          <td class="number">\(decimal(us, places: us < 100 ? 1 : 0))</td><td class="bar"><svg width="122" height="10" \
          aria-hidden="true"><rect class="latency" width="\(px: width)" height="10"/></svg></td>
          """
      } else {
        time = #"<td class="number">–</td><td class="bar"></td>"#
      }
      return """
        <tr><td>\(way)</td><th scope="row">\(hop.node)</th><td>\(hop.in ?? "–")</td><td>\(hop.out ?? "–")</td>\(time)\
        <td>\(hop.nat.map(rewrite) ?? "–")</td><td>\(hop.joinedBy)</td></tr>
        """
    }.joined()
  }

  private func rewrite(_ nat: TracedRewrite) -> String {
    let parts = [("source", nat.source), ("destination", nat.destination)]
    return parts.compactMap { name, rewrite in rewrite.map { "\(name) \($0.from) → \($0.to)" } }.joined(separator: ", ")
  }
}
