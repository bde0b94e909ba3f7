internal import NorthboundAPI
internal import Topology

extension TraceStep {
  /// Compares what is expected with what the packets showed. Only what is written is compared; a capture that is not
  /// whole decides nothing.
  func judge(_ trace: Trace) -> Outcome {
    if let reason = trace.undecided { return .undecided(reason) }
    guard trace.complete else { return .undecided("the capture is not complete") }
    var mismatches: [Mismatch] = []
    if let reachable, reachable != trace.reachable {
      mismatches.append(
        Mismatch("reachable", expected: yesNo(reachable), found: yesNo(trace.reachable) + Self.whyUnreachable(trace)))
    }
    if let forward, forward != trace.forward.path {
      mismatches.append(
        Mismatch("forward path", expected: arrows(forward), found: arrows(trace.forward.path)))
    }
    if let back, back != trace.return.path {
      mismatches.append(Mismatch("return path", expected: arrows(back), found: arrows(trace.return.path)))
    }
    if let symmetric, symmetric != trace.symmetric {
      let found = trace.symmetric.map { yesNo($0) + Self.whyAsymmetric(trace) } ?? "there is no return path"
      mismatches.append(Mismatch("symmetric", expected: yesNo(symmetric), found: found))
    }
    return mismatches.isEmpty ? .held : .failed(mismatches)
  }

  static func whyUnreachable(_ trace: Trace) -> String {
    guard !trace.reachable else { return "" }
    let last = trace.forward.lastSeen.map { "last seen at \($0)" }
    let reasons = (trace.notes + trace.icmpErrors + [last].compactMap { $0 }).joined(separator: "; ")
    return reasons.isEmpty ? "" : " (\(reasons))"
  }

  private static func whyAsymmetric(_ trace: Trace) -> String {
    guard trace.symmetric == false, let divergence = trace.divergence else { return "" }
    return " (\(divergence.node) decides \(divergence.prefix) by \(divergence.because): \(divergence.detail))"
  }
}

func yesNo(_ value: Bool) -> String { value ? "yes" : "no" }
