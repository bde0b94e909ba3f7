import Capture
import NetTypes

/// Judges one flow: its journeys, which side began, and whether the way back uses the links of the way there.
struct LiveVerdict {
  let graph: LabGraph
  let tuples: [LiveTuple]
  let entries: [LiveFlowTable.Entry]
  let whole: ClosedRange<UInt64>

  typealias Side = LiveStitching.Side

  func judge(
    _ sides: [Side], _ others: [Side], doubtful: [Side: String], _ chains: (Side, UInt8) -> LiveChains
  ) -> LiveFlow {
    let there = direction(sides, chains)
    let andBack = direction(others, chains)
    let isTurned = begins(others, over: sides)
    let (forward, back) = isTurned ? (andBack, there) : (there, andBack)
    let proto = tuples[sides[0].tuple].proto
    var flow = LiveFlow(proto: proto, client: ends(forward, back).client, server: ends(forward, back).server)
    flow.forward = forward.report(graph, proto)
    flow.back = back.report(graph, proto)
    flow.forwardBytes = forward.bytes
    flow.backBytes = back.bytes
    let doubts = (sides + others).compactMap { doubtful[$0] }
    (flow.symmetric, flow.undecidedBecause) = symmetry(forward, back, doubts)
    return flow
  }

  // MARK: Journeys

  private func direction(_ sides: [Side], _ chains: (Side, UInt8) -> LiveChains) -> LiveDirection {
    let level = sides.map { entries[$0.tuple][$0.way].level }.max() ?? 0
    let all = sides.filter { !entries[$0.tuple][$0.way].records.isEmpty }.map { chains($0, level) }
    let stitching = LiveStitching(all, tuples, graph)
    var direction = LiveDirection(tuple: tuples[sides[0].tuple], way: sides[0].way)
    direction.doubts = all.flatMap(\.ambiguous)
    for one in all {
      let side = Side(tuple: one.tuple, way: one.way)
      for chain in one.chains.indices {
        let place = LiveStitching.ChainPlace(side: side, chain: chain)
        guard !stitching.hasPrevious.contains(place) else { continue }
        take(sequence(place, all, stitching), isTranslated: sides.count > 1, &direction)
      }
    }
    direction.bytes = bytes(sides, direction)
    return direction
  }

  /// All sightings of one packet, across translations.
  private func sequence(
    _ start: LiveStitching.ChainPlace, _ all: [LiveChains], _ stitching: LiveStitching
  ) -> [Sighting] {
    var sightings: [Sighting] = []
    var place: LiveStitching.ChainPlace? = start
    while let current = place {
      guard let one = all.first(where: { $0.tuple == current.side.tuple && $0.way == current.side.way }) else { break }
      sightings += one.chains[current.chain].map { one.sightings[$0] }
      place = stitching.next[current]
    }
    return sightings
  }

  private func take(_ sightings: [Sighting], isTranslated: Bool, _ direction: inout LiveDirection) {
    guard let first = sightings.first, let last = sightings.last else { return }
    let isCutBefore = first.time < whole.lowerBound
    let isCutAfter = last.time > whole.upperBound
    // A node that translates owns the address: what was inside it at an edge seems to begin or to end there.
    if isTranslated, isCutBefore || isCutAfter, first.source == last.source, first.destination == last.destination {
      return
    }
    let origin = graph.node(of: first.interface)
    guard first.outbound, graph.owns(origin, first.source.address) else {
      if !isCutBefore { direction.incomplete.insert(beginning(first, origin)) }
      return
    }
    let end = graph.node(of: last.interface)
    let isDelivered = !last.outbound && graph.owns(end, last.destination.address)
    if !isDelivered, isCutAfter { return }
    direction.journeys.append(
      LiveJourney(
        sightings: sightings, visits: graph.visits(Array(sightings.indices), sightings), isDelivered: isDelivered))
  }

  private func beginning(_ first: Sighting, _ node: String) -> String {
    let place = graph.interfaces[first.interface].place
    guard first.outbound else { return "a packet on \(place) was not seen on its way there" }
    return graph.owner(of: first.source.address) == nil
      ? "\(node) sent from \(first.source), which is no address of the lab, and what it was before could not be joined"
      : "\(node) sent from \(first.source), which is not its own, and what it was before could not be joined"
  }

  /// By the interfaces of the sender; where nothing is known of that, by the interface that saw most.
  private func bytes(_ sides: [Side], _ direction: LiveDirection) -> UInt64 {
    let left = sides.map { entries[$0.tuple][$0.way].left }
    let arrived = sides.map { entries[$0.tuple][$0.way].arrived }
    guard let origin = direction.journeys.first?.visits.first?.node else {
      return (left + arrived).flatMap(\.values).max() ?? 0
    }
    return left.joined().filter { graph.node(of: $0.key) == origin }.reduce(0) { $0 + $1.value }
  }

  // MARK: Ends

  /// Whether the others began: they say so, or their port is one that clients have, or they were seen first.
  private func begins(_ others: [Side], over sides: [Side]) -> Bool {
    let line = { (side: Side) in entries[side.tuple][side.way] }
    let begun = (sides.contains { line($0).begins }, others.contains { line($0).begins })
    if begun.0 != begun.1 { return begun.1 }
    let tuple = tuples[sides[0].tuple]
    let isService = { (end: Endpoint) in (end.port ?? .max) < Self.firstUserPort }
    let (source, destination) = (tuple.source(sides[0].way), tuple.destination(sides[0].way))
    if isService(source) != isService(destination) { return isService(source) }
    let first = { (sides: [Side]) in sides.compactMap { line($0).first }.min() ?? .max }
    return first(others) < first(sides)
  }

  /// RFC 6335: below are the ports of services.
  private static let firstUserPort: UInt16 = 1024

  private func ends(_ forward: LiveDirection, _ back: LiveDirection) -> (client: Endpoint, server: Endpoint) {
    let there = forward.journeys.first { $0.isDelivered } ?? forward.journeys.first
    let andBack = back.journeys.first { $0.isDelivered } ?? back.journeys.first
    let client = there?.sightings.first?.source ?? andBack?.sightings.last?.destination
    let server =
      (there.map(\.isDelivered) == true ? there?.sightings.last?.destination : nil) ?? andBack?.sightings.first?.source
    return (
      client ?? forward.tuple.source(forward.way),
      server ?? there?.sightings.first?.destination ?? forward.tuple.destination(forward.way)
    )
  }

  // MARK: Symmetry

  private func symmetry(
    _ forward: LiveDirection, _ back: LiveDirection, _ doubts: [String]
  ) -> (Symmetry, String?) {
    let reasons = doubts + forward.reasons + back.reasons + gaps(forward, back)
    if !reasons.isEmpty { return (.undecided, Set(reasons).sorted().joined(separator: "; ")) }
    let there = Set(forward.journeys.filter(\.isDelivered).map(\.links))
    let andBack = Set(back.journeys.filter(\.isDelivered).map { $0.links.reversed().map(\.reversed) })
    guard forward.isSeen, back.isSeen else { return (.notApplicable, nil) }
    guard !there.isEmpty, !andBack.isEmpty else {
      return (.undecided, "no packet of the \(there.isEmpty ? "forward" : "return") path was seen from end to end")
    }
    if there == andBack { return (.yes, nil) }
    guard there.isDisjoint(with: andBack) else { return (.undecided, "packets of one direction took several paths") }
    return (.no, nil)
  }

  /// Packets that captures lost, or never could see, at the nodes which the flow passed.
  private func gaps(_ forward: LiveDirection, _ back: LiveDirection) -> [String] {
    let nodes = Set((forward.journeys + back.journeys).flatMap { $0.visits.map(\.node) })
    return graph.interfaces.compactMap { interface in
      guard nodes.contains(interface.place.node) else { return nil }
      switch interface.coverage {
      case .failed(let reason): return "\(interface.place) could not be captured: \(reason)"
      case .dropped(let count): return "\(count) packets on \(interface.place) were lost by the capture"
      case .captured, .down, .absent: return nil
      }
    }
  }
}
