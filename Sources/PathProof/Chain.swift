// Joins the sightings of one unit into chains: the way one copy took, from where it was first seen to where it was last
// seen.
//
// Order of evidence: the link (both addresses of the frame and the segment on which it was sent name its two ends), then
// the TTL (equal over a link, one less after a router), then time. Copies of one unit at one place (retransmissions,
// duplicates) are paired in order, the latest first, so that a copy which was lost before a hop is not taken for the
// one that passed it a second later. Where copies came in on different interfaces and left by different ones, and
// time allows both pairings, nothing decides: that is reported, never guessed.

/// Indexes of sightings, in the order in which one copy passed them.
typealias Chain = [Int]

struct ChainBuilder {
  let graph: LabGraph
  let sightings: [Sighting]
  /// Where ways begin: the sender sends copies without having received them.
  let origin: (Unit) -> String?

  private struct Pairs {
    /// Sighting → the next one of the same copy.
    var next: [Int: Int] = [:]
    var hasPrevious: Set<Int> = []

    mutating func join(_ earlier: Int, _ later: Int) {
      next[earlier] = later
      hasPrevious.insert(later)
    }
  }

  /// The chains of one unit's sightings, which are in order of time.
  func chains(of indexes: [Int]) -> (chains: [Chain], ambiguous: [String]) {
    var pairs = Pairs()
    joinLinks(indexes, &pairs)
    let ambiguous = joinNodes(indexes, &pairs)
    var chains: [Chain] = []
    for start in indexes where !pairs.hasPrevious.contains(start) {
      var chain = [start]
      while let following = pairs.next[chain[chain.count - 1]] { chain.append(following) }
      chains.append(chain)
    }
    return (chains, ambiguous)
  }

  // MARK: Over links

  private struct LinkKey: Hashable {
    var segment: Int
    var frame: Sighting.FrameAddresses
    var ttl: UInt8
  }

  private func joinLinks(_ indexes: [Int], _ pairs: inout Pairs) {
    let groups = Dictionary(grouping: indexes) {
      LinkKey(
        segment: graph.segment(of: sightings[$0].interface), frame: sightings[$0].frame, ttl: sightings[$0].ttl)
    }
    for group in groups.values {
      let sent = group.filter { sightings[$0].outbound }
      let received = group.filter { !sightings[$0].outbound }
      for (earlier, later) in pairInOrder(sent, received) { pairs.join(earlier, later) }
    }
  }

  // MARK: Through nodes

  private func joinNodes(_ indexes: [Int], _ pairs: inout Pairs) -> [String] {
    var ambiguous: [String] = []
    let groups = Dictionary(grouping: indexes) { graph.node(of: sightings[$0].interface) }
    for (node, group) in groups.sorted(by: { $0.key < $1.key }) {
      let arrived = group.filter { !sightings[$0].outbound }
      let left = group.filter { sightings[$0].outbound }
      guard !arrived.isEmpty, !left.isEmpty else { continue }
      var joined: [(Int, Int)] = []
      for (ttl, copies) in Dictionary(grouping: arrived, by: { sightings[$0].ttl }) where ttl > 0 {
        joined += pairInOrder(copies, left.filter { sightings[$0].ttl == ttl - 1 })
      }
      // A node that rewrites TTLs: time alone. Not where the unit is sent, whose copies have no arrival.
      if origin(sightings[group[0]].unit) != node {
        let usedIn = Set(joined.map(\.0))
        let usedOut = Set(joined.map(\.1))
        joined += pairInOrder(arrived.filter { !usedIn.contains($0) }, left.filter { !usedOut.contains($0) })
      }
      for (earlier, later) in joined { pairs.join(earlier, later) }
      if isAmbiguous(joined) { ambiguous.append("two copies of a packet crossed \(node) at once by different ways") }
    }
    return ambiguous
  }

  /// Whether two pairs could be swapped and would then tell another story.
  private func isAmbiguous(_ joined: [(Int, Int)]) -> Bool {
    for (position, a) in joined.enumerated() {
      for b in joined.dropFirst(position + 1) {
        let (inA, outA, inB, outB) = (sightings[a.0], sightings[a.1], sightings[b.0], sightings[b.1])
        if inA.interface != inB.interface, outA.interface != outB.interface, inA.ttl == inB.ttl,
          inA.time <= outB.time, inB.time <= outA.time
        {
          return true
        }
      }
    }
    return false
  }

  /// Pairs what came with what followed, both in order of time, keeping that order: the last that followed with the
  /// latest before it, and so on backwards.
  private func pairInOrder(_ earlier: [Int], _ later: [Int]) -> [(Int, Int)] {
    var joined: [(Int, Int)] = []
    var candidate = earlier.count - 1
    for following in later.reversed() {
      while candidate >= 0, sightings[earlier[candidate]].time > sightings[following].time { candidate -= 1 }
      guard candidate >= 0 else { break }
      joined.append((earlier[candidate], following))
      candidate -= 1
    }
    return joined
  }
}
