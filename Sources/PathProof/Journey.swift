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
