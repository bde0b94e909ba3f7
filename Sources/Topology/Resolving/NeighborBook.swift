import NetTypes

/// Everything written under `bgp: {neighbors: ...}`, by node and far end, and which of it some session has used.
struct NeighborBook {
  /// One key of `neighbors:`.
  struct Wish {
    var node: Int
    /// nil: all sessions with the node.
    var interface: String?
    var tree: Tree
    var place: Place
    /// Written on the node itself; what comes from `defaults:` fits where it fits.
    var own: Bool
    var used = false
  }

  private let lab: LabResolver
  private var wishes: [Int: [Wish]] = [:]

  init(lab: LabResolver) {
    self.lab = lab
    for index in lab.nodes.indices where lab.nodes[index].kind == .router {
      guard let neighbors = lab.nodes[index].merged["bgp"]?["neighbors"] else { continue }
      let own = Set(lab.nodes[index].own["bgp"]?["neighbors"]?.entries.map(\.key) ?? [])
      wishes[index] = neighbors.entries.compactMap { wish($0, of: index, own: own.contains($0.key)) }
    }
  }

  private func wish(_ entry: Tree.Entry, of index: Int, own: Bool) -> Wish? {
    let parts = entry.key.split(separator: ":", maxSplits: 1)
    guard let name = parts.first, let node = lab.lookUp(String(name), at: entry.keyPlace) else { return nil }
    if node == index {
      if own { lab.reporter.error(entry.keyPlace, "`\(name)` as its own neighbor; expected another node") }
      return nil
    }
    let interface = parts.count == 2 ? String(parts[1]) : nil
    return Wish(node: node, interface: interface, tree: entry.value, place: entry.keyPlace, own: own)
  }

  func wishes(of node: Int) -> [Wish] { wishes[node] ?? [] }

  /// What `from` says about the session with the interface `to`: the keys of NODE:IFACE over those of NODE.
  mutating func look(from: Int, to: EndID) -> Tree? {
    look(from: from, node: lab.end(to).node, interface: lab.end(to).interface)
  }

  /// The same for a session between loopbacks.
  mutating func look(from: Int, to node: Int) -> Tree? { look(from: from, node: node, interface: nil) }

  private mutating func look(from: Int, node: Int, interface: String?) -> Tree? {
    guard wishes[from] != nil else { return nil }
    var general: Tree?
    var exact: Tree?
    for index in wishes[from, default: []].indices where wishes[from, default: []][index].node == node {
      let wish = wishes[from, default: []][index]
      guard wish.interface == nil || wish.interface == interface else { continue }
      wishes[from]?[index].used = true
      if wish.interface == nil { general = wish.tree } else { exact = wish.tree }
    }
    guard let general else { return exact }
    return exact?.merged(over: general) ?? general
  }

  /// A key that no session has used is a mistake, unless the link that would have used it was refused.
  func reportUnused() {
    guard lab.linksAreWhole else { return }
    for index in lab.nodes.indices where lab.nodes[index].isNetloomSpeaker {
      for wish in wishes(of: index) where !wish.used && wish.own {
        let far = lab.nodes[wish.node]
        let us = lab.nodes[index].name
        if far.asnWasRefused { continue }
        let reason: String
        if !far.isSpeaker {
          reason = "`\(far.name)` speaks no BGP"
        } else if let interface = wish.interface, lab.find(wish.node, interface: interface) == nil {
          reason = "`\(far.name)` has no interface `\(interface)`"
        } else {
          reason = "no link or switch joins `\(us)` with it, and they are not in one AS"
        }
        lab.reporter.error(wish.place, "no session between `\(us)` and `\(far.name)`: \(reason)")
      }
    }
  }
}
