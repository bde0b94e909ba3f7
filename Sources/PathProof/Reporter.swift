/// Counts journeys into the report of one way.
struct Reporter {
  let graph: LabGraph
  let flow: TracedFlow
  let sightings: [Sighting]

  private struct Group {
    var visits: [Visit]
    var journeys: [Journey]
    var delivered: Bool
  }

  func report(_ way: Way, _ journeys: [Journey]) -> PathReport {
    var report = PathReport()
    let unseen = way == .forward ? unseenProbes(journeys) : 0
    report.packets = journeys.count + unseen
    let lost = journeys.filter { !$0.delivered }
    report.lost = lost.count + unseen
    report.lastSeen = lastSeen(lost)
    let ranked = groups(journeys)
    let whole = ranked.filter(\.delivered)
    let shown = whole.isEmpty ? ranked : whole
    report.paths = countedPaths(shown)
    if let path = report.paths.first?.path, let first = shown.first(where: { $0.visits.map(\.node) == path }) {
      report.path = first.visits.map(\.node)
      report.hops = hops(first, way)
    } else if way == .forward {
      report.path = [flow.from]
    }
    return report
  }

  /// By nodes: parallel links between two nodes are one path. Most used first; of equals the one that stands first.
  private func countedPaths(_ groups: [Group]) -> [CountedPath] {
    var paths: [CountedPath] = []
    var places: [[String]: Int] = [:]
    for group in groups {
      let path = group.visits.map(\.node)
      if let place = places[path] {
        paths[place].packets += group.journeys.count
      } else {
        places[path] = paths.count
        paths.append(CountedPath(path: path, packets: group.journeys.count))
      }
    }
    return paths.enumerated().sorted { ($1.element.packets, $0.offset) < ($0.element.packets, $1.offset) }
      .map(\.element)
  }

  /// Probes that the sender's kernel took and that left no interface: filtered, or held back, on the node itself.
  private func unseenProbes(_ journeys: [Journey]) -> Int {
    guard flow.kind != .tcp else { return 0 }
    let seen = Set(journeys.map(\.probe))
    return flow.probes.indices.count { flow.probes[$0].sent && !seen.contains($0) }
  }

  /// Most used first; of equals the one used first.
  private func groups(_ journeys: [Journey]) -> [Group] {
    struct Key: Hashable {
      var visits: [Visit]
      var delivered: Bool
    }
    return Dictionary(grouping: journeys) { Key(visits: $0.shownVisits, delivered: $0.delivered) }
      .map { Group(visits: $0.key.visits, journeys: $0.value, delivered: $0.key.delivered) }
      .sorted { ($1.journeys.count, $0.journeys[0].start) < ($0.journeys.count, $1.journeys[0].start) }
  }

  private func lastSeen(_ lost: [Journey]) -> InterfacePlace? {
    let places = lost.compactMap(\.chain.last).map { sightings[$0].interface }
    let counted = Dictionary(grouping: places, by: { $0 }).mapValues(\.count)
    return counted.max { ($0.value, $1.key) < ($1.value, $0.key) }.map { graph.interfaces[$0.key].place }
  }

  // MARK: Hops

  private func hops(_ group: Group, _ way: Way) -> [PathHop] {
    let join: Join = flow.kind == .tcp ? .seq : flow.returnByTuple && way == .back ? .conntrack : .nonce
    return group.visits.indices.map { index in
      let visit = group.visits[index]
      let crossings = group.journeys.compactMap { crossing(index, $0.chain) }
      return PathHop(
        node: visit.node, inbound: visit.inbound.map { graph.interfaces[$0].place.interface },
        outbound: visit.outbound.map { graph.interfaces[$0].place.interface },
        microseconds: median(crossings.map { Double($0.out.time - $0.in.time) / 1000 }),
        nat: index == 0 && way == .forward ? senderRewrite(group) : crossings.first.flatMap(rewrite), joinedBy: join)
    }
  }

  /// Both sides of the `index`th node. A chain that starts with a departure has one sighting there and two at each
  /// following node.
  private func crossing(_ index: Int, _ chain: Chain) -> (in: Sighting, out: Sighting)? {
    guard index > 0, 2 * index < chain.count else { return nil }
    return (sightings[chain[2 * index - 1]], sightings[chain[2 * index]])
  }

  private func rewrite(_ crossing: (in: Sighting, out: Sighting)) -> Rewrite? {
    Self.rewrite(crossing.in.source, crossing.out.source, crossing.in.destination, crossing.out.destination)
  }

  /// What left the sender against what its socket meant.
  private func senderRewrite(_ group: Group) -> Rewrite? {
    guard let journey = group.journeys.first, let first = journey.chain.first else { return nil }
    let probe = flow.probes[journey.probe]
    let left = sightings[first]
    return Self.rewrite(probe.source ?? left.source, left.source, probe.destination, left.destination)
  }

  private static func rewrite(
    _ source: Endpoint, _ newSource: Endpoint, _ destination: Endpoint, _ newDestination: Endpoint
  ) -> Rewrite? {
    if source == newSource && destination == newDestination { return nil }
    return Rewrite(
      source: source == newSource ? nil : .init(from: source, to: newSource),
      destination: destination == newDestination ? nil : .init(from: destination, to: newDestination))
  }

  private func median(_ values: [Double]) -> Double? {
    guard !values.isEmpty else { return nil }
    let sorted = values.sorted()
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }
}
