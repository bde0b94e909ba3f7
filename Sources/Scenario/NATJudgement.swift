internal import NetTypes
internal import NorthboundAPI
internal import Topology

extension NATStep {
  var query: NATQuery {
    NATQuery(
      node: node, from: from, to: to, proto: transport.rawValue, port: port,
      family: family.map { $0 == .ipv4 ? "ipv4" : "ipv6" })
  }

  /// What the node's conntrack entry of the flow says. A step that expects nothing in particular expects a translation.
  func judge(_ result: NATResult) -> Outcome {
    if let reason = result.trace.undecided { return .undecided(reason) }
    guard result.trace.complete else { return .undecided("the capture is not complete") }
    var mismatches: [Mismatch] = []
    if let reachable, reachable != result.reachable {
      mismatches.append(
        Mismatch(
          "reachable", expected: yesNo(reachable),
          found: yesNo(result.reachable) + TraceStep.whyUnreachable(result.trace)))
    }
    if untouched { mismatches += judgeUntouched(result) }
    let rewrites = [result.source, result.destination].compactMap(\.self)
    if let translated, !rewrites.contains(where: { $0.isTo(translated) }) {
      mismatches.append(Mismatch("translated", expected: "\(translated)", found: found(result)))
    }
    for (name, expected, rewrite) in [
      ("source", source, result.source), ("destination", destination, result.destination),
    ] {
      guard let expected, rewrite?.isTo(expected) != true else { continue }
      mismatches.append(
        Mismatch(name, expected: "\(expected)", found: rewrite.map { "\($0.from) → \($0.to)" } ?? found(result)))
    }
    if expectsNothing, rewrites.isEmpty {
      mismatches.append(Mismatch("translated", expected: "an address", found: found(result)))
    }
    return mismatches.isEmpty ? .held : .failed(mismatches)
  }

  private var expectsNothing: Bool {
    translated == nil && source == nil && destination == nil && !untouched && reachable == nil
  }

  /// A node that the flow never met has not let it pass.
  private func judgeUntouched(_ result: NATResult) -> [Mismatch] {
    if result.source != nil || result.destination != nil {
      return [Mismatch("translated", expected: "nothing", found: found(result))]
    }
    let met = result.connection != nil || result.trace.forward.hops.contains { $0.node == node }
    return met || result.trace.forward.path.contains(node)
      ? [] : [Mismatch("translated", expected: "the flow passes \(node) as it is", found: "it does not pass \(node)")]
  }

  private func found(_ result: NATResult) -> String {
    let parts = [
      result.source.map { "source \($0.from) → \($0.to)" },
      result.destination.map { "destination \($0.from) → \($0.to)" },
    ].compactMap(\.self)
    if !parts.isEmpty { return parts.joined(separator: ", ") }
    if result.connection != nil { return "not translated" }
    let last = result.trace.forward.lastSeen.map { "; the flow was last seen at \($0)" } ?? ""
    return "\(node) has no connection entry of the flow" + last
  }
}

extension Rewrite {
  /// Texts of one address may differ (IPv6), values do not.
  fileprivate func isTo(_ address: IPAddress) -> Bool { IPAddress(to).map { $0 == address } ?? false }
}
