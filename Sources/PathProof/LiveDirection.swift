import Capture
import NetTypes

/// One packet on its way, translations included.
struct LiveJourney {
  var sightings: [Sighting]
  var visits: [Visit]
  var isDelivered: Bool

  /// The two interfaces of every link crossed.
  var links: [LinkUse] {
    zip(visits, visits.dropFirst()).compactMap { a, b in
      guard let out = a.outbound, let inbound = b.inbound else { return nil }
      return LinkUse(from: out, to: inbound)
    }
  }
}

/// One direction of a flow.
struct LiveDirection {
  /// One of its looks.
  var tuple: LiveTuple
  var way: Way
  var journeys: [LiveJourney] = []
  var incomplete: Set<String> = []
  var doubts: [String] = []
  var bytes: UInt64 = 0

  var isSeen: Bool { bytes > 0 }
  var reasons: [String] { incomplete + doubts }

  func report(_ graph: LabGraph, _ proto: UInt8) -> PathReport {
    var report = PathReport()
    report.packets = journeys.count
    let lost = journeys.filter { !$0.isDelivered }
    report.lost = lost.count
    report.lastSeen = lastSeen(lost, graph)
    let ranked = ranked()
    report.paths = counted(ranked)
    guard let path = report.paths.first?.path,
      let shown = ranked.first(where: { $0[0].visits.map(\.node) == path })
    else { return report }
    report.path = path
    report.hops = shown[0].visits.indices.map { hop($0, shown, graph, proto) }
    return report
  }

  /// Journeys of one way together, most used first; those that arrived, if any did.
  private func ranked() -> [[LiveJourney]] {
    let arrived = journeys.filter(\.isDelivered)
    return Dictionary(grouping: arrived.isEmpty ? journeys : arrived, by: \.visits).values.sorted {
      ($1.count, $0[0].sightings[0].time) < ($0.count, $1[0].sightings[0].time)
    }
  }

  /// By nodes: parallel links between two nodes are one path.
  private func counted(_ ranked: [[LiveJourney]]) -> [CountedPath] {
    var paths: [CountedPath] = []
    for group in ranked {
      let path = group[0].visits.map(\.node)
      if let place = paths.firstIndex(where: { $0.path == path }) {
        paths[place].packets += group.count
      } else {
        paths.append(CountedPath(path: path, packets: group.count))
      }
    }
    return paths.enumerated().sorted { ($1.element.packets, $0.offset) < ($0.element.packets, $1.offset) }
      .map(\.element)
  }

  private func lastSeen(_ lost: [LiveJourney], _ graph: LabGraph) -> InterfacePlace? {
    let counted = Dictionary(grouping: lost.compactMap(\.sightings.last?.interface), by: { $0 }).mapValues(\.count)
    return counted.max { ($0.value, $1.key) < ($1.value, $0.key) }.map { graph.interfaces[$0.key].place }
  }

  private func hop(_ index: Int, _ group: [LiveJourney], _ graph: LabGraph, _ proto: UInt8) -> PathHop {
    let visit = group[0].visits[index]
    let crossings = group.compactMap { crossing(index, $0.sightings) }
    let times = crossings.map { Double($0.out.time - $0.in.time) / 1000 }.sorted()
    return PathHop(
      node: visit.node, inbound: visit.inbound.map { graph.interfaces[$0].place.interface },
      outbound: visit.outbound.map { graph.interfaces[$0].place.interface },
      microseconds: times.isEmpty ? nil : times[times.count / 2], nat: crossings.first.flatMap(rewrite),
      joinedBy: proto == IPProtocol.tcp.rawValue ? .seq : .nonce)
  }

  /// Both sides of a node: a journey starts with a departure and has two sightings at each node that follows.
  private func crossing(_ index: Int, _ sightings: [Sighting]) -> (in: Sighting, out: Sighting)? {
    guard index > 0, 2 * index < sightings.count else { return nil }
    return (sightings[2 * index - 1], sightings[2 * index])
  }

  private func rewrite(_ crossing: (in: Sighting, out: Sighting)) -> Rewrite? {
    let (before, after) = (crossing.in, crossing.out)
    if before.source == after.source, before.destination == after.destination { return nil }
    return Rewrite(
      source: before.source == after.source ? nil : .init(from: before.source, to: after.source),
      destination: before.destination == after.destination
        ? nil : .init(from: before.destination, to: after.destination))
  }
}
