import NetTypes

/// What two speakers need to know about each other before their sessions exist.
struct Adjacency {
  var kind: ResolvedSession.Kind
  var a: Speaker
  var b: Speaker
  /// Index of the point-to-point link, if it runs over one.
  var link: Int?
  /// Where complaints about the pair go.
  var place: Place

  struct Speaker {
    var node: Int
    /// Its interface, unless the session runs between loopbacks.
    var end: EndID?
    var addresses: [AddressFamily: IPAddress]
    /// What it says about the other.
    var neighbor: Tree?
  }
}

extension LabResolver {
  /// Derives every session that has a netloom router at one end: eBGP per link, eBGP on switches where it is written,
  /// iBGP inside each connected part of an AS.
  func deriveSessions() {
    var book = NeighborBook(lab: self)
    var builder = SessionBuilder(lab: self)
    for index in links.indices {
      if let adjacency = adjacency(overLink: index, &book) { builder.add(adjacency) }
    }
    for adjacency in adjacenciesOnSwitches(&book) { builder.add(adjacency) }
    for adjacency in internalAdjacencies(&book) { builder.add(adjacency) }
    sessions = builder.sessions
    book.reportUnused()
    warnOfRelationLoops()
  }

  private func adjacency(overLink index: Int, _ book: inout NeighborBook) -> Adjacency? {
    let link = links[index]
    let (a, b) = (nodes[link.a.node], nodes[link.b.node])
    checkRelation(of: link, a, b)
    warnOfMissingASN(a, b)
    guard link.segment == nil, a.isSpeaker, b.isSpeaker, a.asn != b.asn, a.isNetloomSpeaker || b.isNetloomSpeaker
    else { return nil }
    let ends = [EndID(link: index, side: .a), EndID(link: index, side: .b)]
    return Adjacency(
      kind: .external, a: speaker(ends[0], neighbor: book.look(from: link.a.node, to: ends[1])),
      b: speaker(ends[1], neighbor: book.look(from: link.b.node, to: ends[0])), link: index, place: link.place)
  }

  /// `relation:` stands between two speakers of two ASes.
  private func checkRelation(of link: LinkDraft, _ a: NodeDraft, _ b: NodeDraft) {
    guard let text = link.tree.text("relation"), LinkRelation(rawValue: text) != nil else { return }
    let place = link.tree.place(of: "relation")
    if link.segment != nil {
      reporter.error(
        place, "`relation` on a link to a switch; expected under `bgp: {neighbors: {NODE: {relation: ...}}}`")
    } else if let silent = [a, b].first(where: { !$0.isSpeaker && $0.kind != nil && !$0.asnWasRefused }) {
      reporter.error(
        place, "`relation` on a link of `\(silent.name)`, which speaks no BGP; expected two nodes with an `asn`")
    } else if let asn = a.asn, asn == b.asn {
      reporter.error(place, "`relation` inside AS \(asn); expected on a link between two ASes")
    }
  }

  private func warnOfMissingASN(_ a: NodeDraft, _ b: NodeDraft) {
    for (daemon, router) in [(a, b), (b, a)]
    where daemon.kind?.isDaemon == true && daemon.merged["asn"] == nil && router.isNetloomSpeaker {
      reporter.warning(daemon.place, "`\(daemon.name)` has no `asn`: `\(router.name)` has no BGP session with it")
    }
  }

  private func speaker(_ id: EndID, neighbor: Tree?) -> Adjacency.Speaker {
    var addresses: [AddressFamily: IPAddress] = [:]
    for family in families { addresses[family] = end(id).address(family)?.address }
    return Adjacency.Speaker(node: end(id).node, end: id, addresses: addresses, neighbor: neighbor)
  }

  /// On a switch nobody is a neighbor by standing there: one end names the other, by `NODE:IFACE`, or by `NODE` with
  /// a `relation` or where no direct link joins the two.
  private func adjacenciesOnSwitches(_ book: inout NeighborBook) -> [Adjacency] {
    var found: [Adjacency] = []
    var known: Set<EndPair> = []
    for index in nodes.indices where nodes[index].isNetloomSpeaker {
      let ours = nodes[index].interfaces.filter { links[$0.link].segment != nil }
      guard !ours.isEmpty else { continue }
      for wish in book.wishes(of: index) {
        guard nodes[wish.node].isSpeaker, nodes[wish.node].asn != nodes[index].asn else { continue }
        for mine in ours {
          for theirs in nodes[wish.node].interfaces where links[theirs.link].segment == links[mine.link].segment {
            guard wish.interface.map({ end(theirs).interface == $0 }) ?? wishMeansSwitch(wish, from: index),
              known.insert(EndPair(mine, theirs)).inserted
            else { continue }
            found.append(
              Adjacency(
                kind: .external, a: speaker(mine, neighbor: book.look(from: index, to: theirs)),
                b: speaker(theirs, neighbor: book.look(from: wish.node, to: mine)), link: nil, place: wish.place))
          }
        }
      }
    }
    return found
  }

  private func wishMeansSwitch(_ wish: NeighborBook.Wish, from node: Int) -> Bool {
    wish.tree["relation"] != nil
      || !nodes[node].interfaces.contains { links[$0.link].segment == nil && farNode($0) == wish.node }
  }

  private struct EndPair: Hashable {
    var low: EndID
    var high: EndID

    init(_ a: EndID, _ b: EndID) {
      (low, high) = (a.link, a.side.rawValue) < (b.link, b.side.rawValue) ? (a, b) : (b, a)
    }
  }

  /// Full mesh, or to the route reflectors where there are some, inside each part of an AS that its own links hold
  /// together.
  private func internalAdjacencies(_ book: inout NeighborBook) -> [Adjacency] {
    var found: [Adjacency] = []
    for part in autonomousParts() {
      let reflects = part.map { isReflector($0) }
      let mesh = !reflects.contains(true)
      for i in part.indices {
        for j in part.indices.dropFirst(i + 1) where mesh || reflects[i] || reflects[j] {
          if let adjacency = internalAdjacency(part[i], part[j], &book) { found.append(adjacency) }
        }
      }
    }
    return found
  }

  func isReflector(_ node: Int) -> Bool {
    let tree = nodes[node].merged
    return tree.bool("route-reflector") ?? tree["bgp"]?.bool("route-reflector") ?? false
  }

  private func internalAdjacency(_ a: Int, _ b: Int, _ book: inout NeighborBook) -> Adjacency? {
    guard nodes[a].isNetloomSpeaker || nodes[b].isNetloomSpeaker else { return nil }
    func speaker(_ node: Int, _ far: Int) -> Adjacency.Speaker {
      var addresses: [AddressFamily: IPAddress] = [:]
      for family in families { addresses[family] = nodes[node].loopback(family) }
      return Adjacency.Speaker(node: node, end: nil, addresses: addresses, neighbor: book.look(from: node, to: far))
    }
    var adjacency = Adjacency(
      kind: .internal, a: speaker(a, b), b: speaker(b, a), link: nil, place: nodes[b].place)
    guard adjacency.a.addresses.isEmpty || adjacency.b.addresses.isEmpty else { return adjacency }
    // A daemon without a loopback can only be met where a link leads to it.
    guard let mine = nodes[a].interfaces.first(where: { links[$0.link].segment == nil && farNode($0) == b }) else {
      let daemon = adjacency.a.addresses.isEmpty ? a : b
      reporter.warning(
        nodes[daemon].place,
        "no iBGP between `\(nodes[a].name)` and `\(nodes[b].name)`: "
          + "`\(nodes[daemon].name)` has no `loopback`, and no link joins them"
      )
      return nil
    }
    for family in families {
      adjacency.a.addresses[family] = end(mine).address(family)?.address
      adjacency.b.addresses[family] = end(mine.far).address(family)?.address
    }
    return adjacency
  }

  /// The speakers of each AS, split where its own links do not hold it together. In the order of the file.
  func autonomousParts() -> [[Int]] {
    var sets = DisjointSets(count: nodes.count)
    for link in links where link.segment == nil {
      let (a, b) = (link.a.node, link.b.node)
      if nodes[a].isSpeaker, nodes[b].isSpeaker, nodes[a].asn == nodes[b].asn { sets.join(a, b) }
    }
    for segment in segments {
      var first: [ASNumber: Int] = [:]
      for member in segment.members {
        let node = end(member).node
        guard nodes[node].isSpeaker, let asn = nodes[node].asn else { continue }
        if let other = first[asn] { sets.join(node, other) } else { first[asn] = node }
      }
    }
    var parts: [Int: [Int]] = [:]
    var roots: [Int] = []
    for index in nodes.indices where nodes[index].isSpeaker {
      let root = sets.root(index)
      if parts[root] == nil { roots.append(root) }
      parts[root, default: []].append(index)
    }
    let result = roots.compactMap { parts[$0] }
    if linksAreWhole { warnOfCuts(result) }
    return result.filter { $0.count > 1 }
  }

  private func warnOfCuts(_ parts: [[Int]]) {
    var first: [ASNumber: [Int]] = [:]
    for part in parts {
      guard let asn = nodes[part[0]].asn else { continue }
      guard let other = first[asn] else {
        first[asn] = part
        continue
      }
      let list = { (part: [Int]) in
        part.prefix(4).map { self.nodes[$0].name }.joined(separator: ", ") + (part.count > 4 ? ", ..." : "")
      }
      reporter.warning(
        nodes[part[0]].place,
        "AS \(asn) is cut in two: no link inside it joins \(list(part)) with \(list(other)); iBGP runs within each part"
      )
    }
  }
}
