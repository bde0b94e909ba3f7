// From packets to a verdict.
//
//   observations ─► sightings of units ─► chains of copies ─► journeys of records ─► a report per way ─► verdict
//
// Pure: no clock, no socket. What the captures do not show is said and makes the verdict undecided, never a pass:
// an interface that could not be captured, packets the kernel dropped before we saw them, a packet that appears
// somewhere without having been seen on its way there, an answer whose way is not whole.
import Capture

public struct Prover {
  private let graph: LabGraph
  private let flow: TracedFlow
  private let observations: [Observation]
  private var sightings: [Sighting] = []
  private var journeys: [Journey] = []
  private var incomplete: [String] = []
  private var ambiguous: [String] = []

  /// Joins the packets of a flow that were seen on a lab's interfaces.
  public static func prove(_ flow: TracedFlow, _ observations: [Observation], _ graph: LabGraph) -> Proof {
    var prover = Prover(flow, observations, graph)
    return prover.prove()
  }

  private init(_ flow: TracedFlow, _ observations: [Observation], _ graph: LabGraph) {
    self.flow = flow
    self.observations = observations
    self.graph = graph
  }

  private mutating func prove() -> Proof {
    if flow.from == flow.to { return withinOneNode() }
    checkCoverage()
    let collected = SightingCollector(graph: graph, flow: flow).collect(observations)
    sightings = collected.sightings
    ambiguous += collected.ambiguous
    follow()
    checkAnswers()
    let reachable = flow.probes.contains(where: \.answered)
    let reporter = Reporter(graph: graph, flow: flow, sightings: sightings)
    var forward = reporter.report(.forward, journeys.filter { $0.way == .forward })
    var back = reporter.report(.back, journeys.filter { $0.way == .back })
    let errors = ErrorReader(graph: graph, flow: flow).sightings(observations)
    let finder = DropFinder(graph: graph, flow: flow, sightings: sightings, journeys: journeys, errors: errors)
    forward.drops = finder.drops(.forward)
    back.drops = finder.drops(.back)
    if !reachable {
      // The way back of a flow that was not answered is no path; how far its packets came stays in the counters.
      back.path = []
      back.hops = []
    }
    return Proof(
      reachable: reachable, forward: forward, back: back, symmetric: symmetry(reachable),
      incomplete: unique(incomplete),
      ambiguous: unique(ambiguous),
      errors: ErrorReader.texts(errors), strays: strayAnswers(reachable),
      loop: reachable ? nil : loop(), reached: reached())
  }

  /// The end of a packet that came to the owner of its destination.
  private func reached() -> Proof.Reached? {
    for journey in journeys where journey.way == .forward && journey.delivered {
      guard let last = journey.chain.last.map({ sightings[$0] }) else { continue }
      let node = graph.node(of: last.interface)
      if graph.owns(node, last.destination.address) { return .init(node: node, destination: last.destination) }
    }
    return nil
  }

  /// Answers that came to the sender and that its socket did not take: they are from somebody else than it wrote to,
  /// since the way back missed the node that translates.
  private func strayAnswers(_ reachable: Bool) -> [String] {
    guard !reachable, flow.kind != .icmp else { return [] }
    for journey in journeys where journey.way == .back && journey.delivered {
      guard let last = journey.chain.last.map({ sightings[$0] }), flow.probes.indices.contains(journey.probe) else {
        continue
      }
      let asked = flow.probes[journey.probe].destination
      guard last.source != asked else { continue }
      let way = journey.visits.map(\.node).joined(separator: " > ")
      let reset = sightings.contains { $0.unit.probe == journey.probe && isReset($0) } ? "; \(flow.from) reset it" : ""
      return ["\(flow.from): the answer came from \(last.source), not from \(asked), by \(way)\(reset)"]
    }
    return []
  }

  /// The sender's RST, as it left.
  private func isReset(_ sighting: Sighting) -> Bool {
    guard sighting.unit.way == .forward, sighting.outbound, graph.node(of: sighting.interface) == flow.from,
      case .bare(_, _, let flags) = sighting.unit.part
    else { return false }
    return TCPFlags(rawValue: flags).contains(.rst)
  }

  /// A node that talks to itself uses `lo`, where nothing can go astray and nothing is captured.
  private func withinOneNode() -> Proof {
    var report = PathReport()
    report.path = [flow.from]
    report.packets = flow.probes.count { $0.sent }
    report.lost = flow.probes.count { $0.sent && !$0.answered }
    report.hops = [
      PathHop(
        node: flow.from, inbound: nil, outbound: nil, microseconds: nil, nat: nil,
        joinedBy: flow.kind == .tcp ? .seq : .nonce)
    ]
    let reachable = flow.probes.contains(where: \.answered)
    return Proof(
      reachable: reachable, forward: report, back: reachable ? report : PathReport(), symmetric: .notApplicable,
      incomplete: [], ambiguous: [], errors: [])
  }

  // MARK: Completeness

  private mutating func checkCoverage() {
    for interface in graph.interfaces {
      switch interface.coverage {
      case .failed(let reason): incomplete.append("\(interface.place) could not be captured: \(reason)")
      case .dropped(let count): incomplete.append("\(count) packets on \(interface.place) were lost by the capture")
      case .captured, .down, .absent: break
      }
    }
  }

  /// A probe that was answered has been to its destination and back: both ways must be there, whole, and the way back
  /// must begin where the way there ended.
  private mutating func checkAnswers() {
    for (index, probe) in flow.probes.enumerated() where probe.answered {
      let mine = journeys.filter { $0.probe == index && $0.delivered }
      let there = mine.filter { $0.way == .forward }
      let andBack = mine.filter { $0.way == .back }
      if there.isEmpty { incomplete.append("the answer came, but its forward path was not seen whole") }
      if andBack.isEmpty { incomplete.append("the answer came, but its return path was not seen whole") }
      let ends = Set(there.compactMap(\.visits.last?.node))
      if !there.isEmpty, let stray = andBack.compactMap(\.visits.first?.node).first(where: { !ends.contains($0) }) {
        incomplete.append("the answer was first seen leaving \(stray), where the forward path does not end")
      }
    }
  }

  // MARK: Following

  private mutating func follow() {
    let byUnit = Dictionary(grouping: sightings.indices, by: { sightings[$0].unit })
    let ends = sources(byUnit)
    let from = flow.from
    let builder = ChainBuilder(graph: graph, sightings: sightings) { unit in
      unit.way == .forward ? from : ends[unit.probe]
    }
    var records: [Int: [(unit: Unit, chain: Chain)]] = [:]
    for (unit, indexes) in byUnit {
      let (chains, doubts) = builder.chains(of: indexes)
      ambiguous += doubts
      for chain in chains {
        let first = sightings[chain[0]]
        let origin = unit.way == .forward ? flow.from : ends[unit.probe]
        guard first.outbound, graph.node(of: first.interface) == origin else {
          incomplete.append("a packet on \(graph.interfaces[first.interface].place) was not seen on its way there")
          continue
        }
        records[first.record, default: []].append((unit, chain))
      }
    }
    for (_, parts) in records.sorted(by: { $0.key < $1.key }) { close(parts) }
    journeys.sort { $0.start < $1.start }
  }

  /// Who answers each probe: the node that sends packets of the way back without having received them. Mostly `to`;
  /// another where NAT or an address of several nodes led elsewhere.
  private func sources(_ byUnit: [Unit: [Int]]) -> [Int: String] {
    var ends: [Int: String] = [:]
    for (unit, indexes) in byUnit where unit.way == .back {
      guard ends[unit.probe] == nil || ends[unit.probe] != flow.to,
        let first = indexes.first(where: { sightings[$0].outbound })
      else { continue }
      ends[unit.probe] = graph.node(of: sightings[first].interface)
    }
    return ends
  }

  /// One record of the sender: all its parts must have arrived.
  private mutating func close(_ parts: [(unit: Unit, chain: Chain)]) {
    let ordered = parts.sorted { $0.chain[0] < $1.chain[0] }
    let verdicts = ordered.map { arrived($0.unit, $0.chain) }
    let shown = verdicts.firstIndex(of: false) ?? 0
    let chain = ordered[shown].chain
    let journey = Journey(
      probe: ordered[shown].unit.probe, way: ordered[shown].unit.way, start: sightings[chain[0]].time,
      visits: graph.visits(chain, sightings), chain: chain, delivered: !verdicts.contains(false))
    journeys.append(journey)
    guard !journey.delivered else { return }
    let last = sightings[chain[chain.count - 1]]
    guard last.outbound else { return }
    for next in graph.neighbors(of: last.interface) where graph.interfaces[next].coverage == .absent {
      incomplete.append("\(graph.interfaces[next].place), where a packet may have gone, was not captured")
    }
  }

  private func arrived(_ unit: Unit, _ chain: Chain) -> Bool {
    let last = sightings[chain[chain.count - 1]]
    guard !last.outbound else { return false }
    let node = graph.node(of: last.interface)
    if unit.way == .back { return node == flow.from }
    return node == flow.to || graph.owns(node, last.destination.address)
      || journeyAnswered(unit.probe, by: node)
  }

  /// Whether the node that the probe reached sent the answer: then it was the destination, whoever owns the address.
  private func journeyAnswered(_ probe: Int, by node: String) -> Bool {
    sightings.contains {
      $0.unit.probe == probe && $0.unit.way == .back && $0.outbound && graph.node(of: $0.interface) == node
    } && flow.to == nil
  }

  /// The loop of most packets; of equals the first.
  private func loop() -> RoutingLoop? {
    let found = journeys.compactMap(\.loop)
    let counted = Dictionary(found.map { ($0, 1) }, uniquingKeysWith: +)
    return found.first { counted[$0] == counted.values.max() }
  }

  // MARK: Symmetry

  private func symmetry(_ reachable: Bool) -> Symmetry {
    guard reachable else { return incomplete.isEmpty && ambiguous.isEmpty ? .notApplicable : .undecided }
    guard incomplete.isEmpty, ambiguous.isEmpty else { return .undecided }
    var seen = false
    for (index, probe) in flow.probes.enumerated() where probe.answered {
      let mine = journeys.filter { $0.probe == index && $0.delivered }
      let there = Set(mine.filter { $0.way == .forward }.map(\.links))
      let andBack = Set(mine.filter { $0.way == .back }.map { $0.links.reversed().map(\.reversed) })
      if there.isEmpty || andBack.isEmpty { return .undecided }
      seen = true
      if there != andBack { return .no }
    }
    return seen ? .yes : .notApplicable
  }

  private func unique(_ reasons: [String]) -> [String] { Set(reasons).sorted() }
}
