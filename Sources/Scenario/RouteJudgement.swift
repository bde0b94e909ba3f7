internal import NetTypes
internal import NorthboundAPI
internal import Topology

extension RouteStep {
  /// `table`: the node's BGP routes for the prefix; nil for a node whose RIB netloom does not hold (no BGP, or a real
  /// daemon), which is judged by its kernel alone. `kernel`: the kernel's routes for the prefix.
  ///
  /// `next-hop` is the BGP next hop of the best path (of all installed paths with multipath), which is what
  /// next-hop-self is about; without a RIB it is the kernel's.
  func judge(table: BGPTable?, kernel: [KernelRoute]) -> Outcome {
    let installed = kernel.first { $0.prefix == prefix.description }
    let used = table?.routes.filter { $0.prefix == prefix.description && ($0.best || $0.multipath) } ?? []
    let best = used.first(where: \.best)
    var mismatches: [Mismatch] = []
    if let mismatch = judgePresence(best: best, inTable: table, installed: installed) { mismatches.append(mismatch) }
    if let asPath {
      let found = best.map(\.asPathText) ?? noBest(table)
      if best?.asPath != asPath.map(\.rawValue) || best?.asPathText != text(asPath) {
        mismatches.append(Mismatch("AS path", expected: text(asPath), found: found.isEmpty ? "empty" : found))
      }
    }
    if let nextHops, let mismatch = judgeNextHops(nextHops, used: used, hasTable: table != nil, installed) {
      mismatches.append(mismatch)
    }
    if let bestBecause, best?.because != bestBecause {
      mismatches.append(
        Mismatch("best because of", expected: bestBecause, found: best.map { $0.because ?? "nothing" } ?? noBest(table))
      )
    }
    return mismatches.isEmpty ? .held : .failed(mismatches)
  }

  private func judgePresence(best: BGPRoute?, inTable table: BGPTable?, installed: KernelRoute?) -> Mismatch? {
    guard let present else { return nil }
    let inRIB = table == nil || best != nil
    if present == (inRIB && installed != nil) { return nil }
    let found =
      switch (inRIB, installed != nil) {
      case (true, true): "it is there"
      case (true, false): table == nil ? "not in the kernel" : "best in Loc-RIB, but not in the kernel"
      case (false, true): "in the kernel, but \(unusable(table))"
      case (false, false): unusable(table)
      }
    return Mismatch("route \(prefix)", expected: present ? "present" : "absent", found: found)
  }

  private func judgeNextHops(
    _ expected: [String], used: [BGPRoute], hasTable: Bool, _ installed: KernelRoute?
  ) -> Mismatch? {
    // Each hop goes by two names: its node's and its address.
    let found: [(node: String?, address: String?)] =
      hasTable
      ? used.map { ($0.nextHopNode, $0.nextHop) }
      : (installed?.nextHops ?? []).map { ($0.node, $0.address) }
    let allFound = expected.allSatisfy { name in found.contains { $0.node == name || $0.address == name } }
    let allExpected = found.allSatisfy { hop in expected.contains { $0 == hop.node || $0 == hop.address } }
    if allFound, allExpected, !found.isEmpty { return nil }
    let words = found.map { $0.node ?? $0.address ?? "itself" }.joined(separator: ", ")
    return Mismatch("next hop", expected: expected.joined(separator: ", "), found: words.isEmpty ? "none" : words)
  }

  /// Why nothing is best, where the table knows.
  private func unusable(_ table: BGPTable?) -> String {
    let reasons = (table?.routes ?? []).filter { $0.prefix == prefix.description && !$0.usable }.map {
      "from \($0.neighbor ?? "itself"): \($0.unusableBecause ?? "not usable")"
    }
    return reasons.isEmpty ? "not in Loc-RIB" : "no usable path (\(reasons.joined(separator: "; ")))"
  }

  private func noBest(_ table: BGPTable?) -> String {
    table == nil ? "this node's RIB is not netloom's" : unusable(table)
  }

  private func text(_ path: [ASNumber]) -> String { path.map(\.description).joined(separator: " ") }
}
