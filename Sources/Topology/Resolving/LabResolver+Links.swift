import NetTypes

extension LabResolver {
  func readLinks() {
    for item in tree["topology"]?.items("links") ?? [] {
      guard let link = readLink(item) else {
        linksAreWhole = false
        continue
      }
      links.append(link)
    }
    claimWrittenInterfaces()
    nameInterfaces()
  }

  private func readLink(_ item: Tree) -> LinkDraft? {
    let endpoints = item.items("endpoints")
    guard endpoints.count == 2 else { return nil }
    // Both are looked up, so that both are reported.
    let a = readEndpoint(endpoints[0])
    let b = readEndpoint(endpoints[1])
    guard let a, let b else { return nil }
    if a.node == b.node {
      reporter.error(endpoints[1].place, "a link from `\(nodes[a.node].name)` to itself; expected two nodes")
      return nil
    }
    let link = LinkDraft(place: item.place, tree: item, a: a, b: b)
    if let addresses = item["addresses"], addresses.list.count == 2 {
      for (side, list) in zip([LinkSide.a, .b], addresses.list) {
        link[side].addresses = list.list.compactMap { tree in
          tree.interfaceAddress.map { PlacedAddress(value: $0, place: tree.place) }
        }
      }
    }
    return link
  }

  private func readEndpoint(_ tree: Tree) -> EndDraft? {
    guard let text = tree.text, !text.isEmpty else { return nil }
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    guard let node = lookUp(String(parts[0]), at: tree.place) else { return nil }
    return EndDraft(node: node, place: tree.place, interface: parts.count == 2 ? String(parts[1]) : "")
  }

  private struct InterfaceKey: Hashable {
    var node: Int
    var name: String
  }

  private func claimWrittenInterfaces() {
    var owners: [InterfaceKey: Place] = [:]
    for index in links.indices {
      for side in [LinkSide.a, .b] {
        let end = links[index][side]
        nodes[end.node].interfaces.append(EndID(link: index, side: side))
        links[index][side].ifindex = UInt32(nodes[end.node].interfaces.count + 1)
        guard !end.interface.isEmpty else { continue }
        let key = InterfaceKey(node: end.node, name: end.interface)
        if let first = owners[key] {
          reporter.error(
            end.place,
            "interface `\(nodes[end.node].name):\(end.interface)` is already used by the link in line \(first.line)")
        } else {
          owners[key] = end.place
        }
      }
    }
  }

  /// Interfaces left out: the next free ethN, from eth1, around those that are written anywhere in the file.
  private func nameInterfaces() {
    for index in nodes.indices {
      let unnamed = nodes[index].interfaces.filter { end($0).interface.isEmpty }
      guard !unnamed.isEmpty else { continue }
      let written = Set(nodes[index].interfaces.map { end($0).interface })
      var number = 0
      for id in unnamed {
        repeat { number += 1 } while written.contains("eth\(number)")
        links[id.link][id.side].interface = "eth\(number)"
      }
    }
  }

  /// Switches that are linked with each other make one segment.
  func joinSegments() {
    var sets = DisjointSets(count: nodes.count)
    for link in links where isSwitch(link.a.node) && isSwitch(link.b.node) { sets.join(link.a.node, link.b.node) }
    var segmentOfRoot: [Int: Int] = [:]
    for index in nodes.indices where isSwitch(index) {
      let root = sets.root(index)
      let segment = segmentOfRoot[root] ?? segments.count
      if segment == segments.count {
        segmentOfRoot[root] = segment
        segments.append(SegmentDraft())
      }
      segments[segment].switches.append(index)
    }
    for index in links.indices {
      for side in [LinkSide.a, .b] where isSwitch(links[index][side].node) {
        guard let segment = segmentOfRoot[sets.root(links[index][side].node)] else { continue }
        links[index].segment = segment
        let far = EndID(link: index, side: side).far
        if !isSwitch(end(far).node) { segments[segment].members.append(far) }
      }
    }
  }

  func isSwitch(_ node: Int) -> Bool { nodes[node].kind == .switch }
}

/// Union-find with path halving.
struct DisjointSets {
  private var parents: [Int]

  init(count: Int) { parents = Array(0..<count) }

  mutating func root(_ element: Int) -> Int {
    var element = element
    while parents[element] != element {
      parents[element] = parents[parents[element]]
      element = parents[element]
    }
    return element
  }

  /// The smaller root stays, so that results follow the order of the file.
  mutating func join(_ a: Int, _ b: Int) {
    let (a, b) = (root(a), root(b))
    parents[max(a, b)] = min(a, b)
  }
}
