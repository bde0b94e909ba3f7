// From a probe's report to the verdict of the API, and where two paths part.

internal import ControlProtocol
internal import Foundation
internal import NetTypes
internal import NorthboundAPI

extension NLTraceReply {
  /// Without the divergence, which takes a question to a router.
  func trace(_ endpoints: Endpoints, proto: String, port: UInt16?) -> Trace {
    let decided = undecidedBecause.isEmpty && complete
    let undecided =
      undecidedBecause.nonEmpty ?? (complete ? nil : incompleteBecause.nonEmpty ?? "the capture is incomplete")
    return Trace(
      flow: TracedFlow(
        from: endpoints.from, to: endpoints.to.nonEmpty ?? endpoints.destination.description, proto: proto,
        port: proto == "icmp" ? nil : port, source: addressText(source),
        destination: addressText(destination) ?? endpoints.destination.description),
      reachable: reachable, symmetric: decided ? symmetric.answer : nil, forward: forward.traced,
      return: `return`.traced, divergence: nil, complete: complete, undecided: undecided, icmpErrors: icmpErrors,
      notes: notes, capture: capture.nonEmpty)
  }
}

extension NLTraceReply.Verdict {
  /// nil: nothing to compare, or undecided.
  var answer: Bool? {
    switch self {
    case .yes: true
    case .no: false
    case .undecided, .notApplicable, .UNRECOGNIZED: nil
    }
  }
}

extension NLPathReport {
  var traced: TracedPath {
    TracedPath(
      path: path, hops: hops.map(\.traced),
      paths: paths.map { TracedAlternative(path: $0.path, packets: $0.packets) }, packets: packets, lost: lost,
      lastSeen: lastSeen.nonEmpty, drops: drops.map(\.traced))
  }
}

extension NLDrop {
  var traced: TracedDrop {
    TracedDrop(node: node, interface: interface, sent: sent, packets: packets, reason: reason, detail: detail)
  }
}

extension NLHop {
  var traced: TracedHop {
    TracedHop(
      node: node, in: `in`.nonEmpty, out: out.nonEmpty, us: `in`.isEmpty || out.isEmpty ? nil : us,
      nat: hasNat ? nat.traced : nil, joinedBy: joinedBy)
  }
}

extension NLNATRewrite {
  var traced: TracedRewrite {
    TracedRewrite(
      source: sourceTo.isEmpty ? nil : Rewrite(from: sourceFrom, to: sourceTo),
      destination: destinationTo.isEmpty ? nil : Rewrite(from: destinationFrom, to: destinationTo))
  }
}

/// Where the way back leaves the way there.
struct Parting: Equatable, Sendable {
  /// The router that decided to send the packet another way.
  var node: String
  /// Its neighbor on the way there, reversed; nil: it is not on the way there.
  var expected: String?
  /// The neighbor it chose.
  var chosen: String?
  /// What the packet is addressed to at that router.
  var destination: String

  /// nil: the paths do not part.
  init?(_ trace: Trace) {
    let back = trace.return.path
    let there = Array(trace.forward.path.reversed())
    guard !back.isEmpty, !there.isEmpty else { return nil }
    let common = zip(back, there).prefix { $0 == $1 }.count
    let at = Self.otherLink(trace, common) ?? common - 1
    guard at >= 0, at + 1 < back.count || at + 1 < there.count else { return nil }
    node = back[at]
    chosen = at + 1 < back.count ? back[at + 1] : nil
    expected = at + 1 < there.count ? there[at + 1] : nil
    destination = Self.address(in: trace, after: node)
  }

  /// The same nodes, but by another of several links between two of them.
  private static func otherLink(_ trace: Trace, _ common: Int) -> Int? {
    let entered = Dictionary(trace.forward.hops.map { ($0.node, $0.in) }) { first, _ in first }
    return trace.return.path.prefix(max(0, common - 1)).firstIndex { node in
      guard let out = trace.return.hops.first(where: { $0.node == node })?.out, let came = entered[node] ?? nil else {
        return false
      }
      return out != came
    }
  }

  /// The source address of the flow as the packet left `node` on its way there, which is what the way back goes to.
  private static func address(in trace: Trace, after node: String) -> String {
    var address = trace.flow.source ?? ""
    for hop in trace.forward.hops {
      // The node that rewrites on the way there restores on the way back before it routes.
      if hop.node == node { break }
      if let rewritten = hop.nat?.source?.to { address = Self.host(rewritten) }
    }
    return address
  }

  /// The address of "ADDRESS", "ADDRESS:PORT" or "[ADDRESS]:PORT".
  private static func host(_ text: String) -> String {
    if text.hasPrefix("[") { return String(text.dropFirst().prefix { $0 != "]" }) }
    let colons = text.count { $0 == ":" }
    return colons == 1 ? String(text.prefix { $0 != ":" }) : text
  }
}
