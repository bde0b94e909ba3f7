import NetTypes

extension LabResolver {
  /// Customers of customers that come back to the first: routing between such ASes may never settle (Gao and Rexford
  /// show that it does where there is no such loop). A lab may want just that, so it is a warning.
  func warnOfRelationLoops() {
    var providers: [ASNumber: Set<ASNumber>] = [:]
    for session in sessions {
      switch session.a.settings.role {
      case .customer: providers[session.a.asn, default: []].insert(session.b.asn)
      case .provider: providers[session.b.asn, default: []].insert(session.a.asn)
      default: break
      }
    }
    guard let loop = Self.loop(in: providers) else { return }
    let path = (loop + loop.prefix(1)).map { "AS \($0)" }.joined(separator: " is a customer of ")
    let last = sessions.last { session in
      let pair = Set([session.a.asn, session.b.asn])
      return pair == Set([loop[loop.count - 1], loop[0]])
    }
    let place = last?.link.map { links[$0].tree.place(of: "relation") } ?? nodes.first?.place
    if let place { reporter.warning(place, "relations form a loop, routing may never settle: \(path)") }
  }

  /// Some loop, starting at its smallest AS; nil: there is none.
  private static func loop(in edges: [ASNumber: Set<ASNumber>]) -> [ASNumber]? {
    // Takes away, again and again, what nobody points to; what stays is on a loop or behind one.
    var incoming: [ASNumber: Int] = [:]
    for targets in edges.values { for target in targets { incoming[target, default: 0] += 1 } }
    var ready = edges.keys.filter { incoming[$0] == nil }
    var left = Set(edges.keys)
    while let node = ready.popLast() {
      left.remove(node)
      for target in edges[node] ?? [] {
        incoming[target, default: 0] -= 1
        if incoming[target] == 0 { ready.append(target) }
      }
    }
    // Every node that is left is pointed to by another that is left: walking backwards must repeat.
    var backwards: [ASNumber: ASNumber] = [:]
    for node in left.sorted().reversed() {
      for target in edges[node] ?? [] where left.contains(target) { backwards[target] = node }
    }
    guard var node = left.filter({ backwards[$0] != nil }).min() else { return nil }
    var seen: Set<ASNumber> = []
    while seen.insert(node).inserted, let previous = backwards[node] { node = previous }
    var loop = [node]
    while let previous = backwards[loop[loop.count - 1]], previous != node { loop.append(previous) }
    loop.reverse()
    let smallest = loop.indices.min { loop[$0] < loop[$1] } ?? 0
    return Array(loop[smallest...] + loop[..<smallest])
  }
}
