import Capture

/// One node of a journey, by interface indexes.
struct Visit: Hashable {
  var node: String
  var inbound: Int?
  var outbound: Int?
}

/// What happened to one record of the sender: where it went and whether it arrived.
struct Journey {
  var probe: Int
  var way: Way
  /// When it was sent.
  var start: UInt64
  var visits: [Visit]
  /// Sightings, in order.
  var chain: Chain
  var delivered: Bool

  /// A packet that comes into a node by the same interface again goes round. Where it never left the circle: the nodes
  /// of one round. A packet that arrived all the same met routes that changed.
  var loop: RoutingLoop? {
    guard !delivered, let (first, again) = round else { return nil }
    let nodes = visits[first..<again].map(\.node)
    // It begins where the packet first came to it, by whatever interface.
    let entry = visits.lazy.compactMap { nodes.firstIndex(of: $0.node) }.first ?? 0
    return RoutingLoop(Array(nodes[entry...] + nodes[..<entry]), isOnTheWayBack: way == .back)
  }

  /// The visits as far as they tell something new: up to where a loop closes.
  var shownVisits: [Visit] {
    guard !delivered, let (_, again) = round else { return visits }
    var shown = Array(visits[...again])
    shown[again].outbound = nil
    return shown
  }

  /// The first visit that came in where an earlier one did, and that one.
  private var round: (first: Int, again: Int)? {
    var known: [Int: Int] = [:]
    for (index, visit) in visits.enumerated() {
      guard let inbound = visit.inbound else { continue }
      if let first = known.updateValue(index, forKey: inbound) { return (first, index) }
    }
    return nil
  }

  /// The two interfaces of every link crossed.
  var links: [LinkUse] {
    zip(visits, visits.dropFirst()).compactMap { a, b in
      guard let out = a.outbound, let inbound = b.inbound else { return nil }
      return LinkUse(from: out, to: inbound)
    }
  }
}

struct LinkUse: Hashable {
  var from: Int
  var to: Int

  var reversed: LinkUse { LinkUse(from: to, to: from) }
}

extension LabGraph {
  /// The nodes that a chain visited.
  func visits(_ chain: Chain, _ sightings: [Sighting]) -> [Visit] {
    var visits: [Visit] = []
    for index in chain {
      let sighting = sightings[index]
      let node = node(of: sighting.interface)
      if sighting.outbound, let last = visits.last, last.node == node, last.outbound == nil {
        visits[visits.count - 1].outbound = sighting.interface
      } else {
        visits.append(
          Visit(
            node: node, inbound: sighting.outbound ? nil : sighting.interface,
            outbound: sighting.outbound ? sighting.interface : nil))
      }
    }
    return visits
  }
}
