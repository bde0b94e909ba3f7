internal import NorthboundAPI
internal import Topology

extension NoTransitStep {
  /// Routes and packets that cross the node's AS between two others, each by name.
  func judge(_ result: NoTransitResult) -> Outcome {
    if result.holds { return result.undecided.map(Outcome.undecided) ?? .held }
    let expected = "AS \(result.asn) is nobody's transit"
    let packets = result.transits.flatMap { trace in
      let ways = [("packets", trace.forward.path), ("answers", trace.return.path)]
      return ways.filter { $0.1.dropFirst().dropLast().contains(node) }.map { name, path in
        Mismatch(
          "\(name) \(path.first ?? "") → \(path.last ?? "")", expected: expected, found: "they took \(arrows(path))")
      }
    }
    let routes = result.leaks.map { leak in
      let path = leak.asPath.map(String.init).joined(separator: " ")
      return Mismatch(
        "route \(leak.prefix) at \(leak.node)", expected: expected,
        found: "AS path \(path)" + (leak.best ? ", and it is the best" : ""))
    }
    let mismatches = packets + routes
    if mismatches.isEmpty {
      return result.undecided.map(Outcome.undecided)
        ?? .failed([Mismatch("transit", expected: expected, found: "it is, and no route or packet was named")])
    }
    return .failed(mismatches)
  }
}
