import Capture

/// Where packets of each way ended, with what the captures themselves say of the reason. Counters are asked afterwards,
/// of the nodes that stand here (`Drop.explained(by:)`).
struct DropFinder {
  let graph: LabGraph
  let flow: TracedFlow
  let sightings: [Sighting]
  let journeys: [Journey]
  let errors: [ErrorSighting]

  func drops(_ way: Way) -> [Drop] {
    var drops: [Drop] = []
    for journey in journeys where journey.way == way {
      if let drop = drop(journey) { count(drop, &drops) }
    }
    if way == .forward { for drop in unseen() { count(drop, &drops) } }
    return drops.enumerated().sorted { ($1.element.packets, $0.offset) < ($0.element.packets, $1.offset) }
      .map(\.element)
  }

  /// Packets that ended at one place for one reason are one entry.
  private func count(_ drop: Drop, _ drops: inout [Drop]) {
    var one = drop
    one.packets = 0
    let place = drops.firstIndex {
      var other = $0
      other.packets = 0
      return other == one
    }
    if let place {
      drops[place].packets += drop.packets
    } else {
      drops.append(drop)
    }
  }

  private func drop(_ journey: Journey) -> Drop? {
    guard let last = journey.chain.last.map({ sightings[$0] }) else { return nil }
    let place = graph.interfaces[last.interface].place
    if journey.delivered {
      guard journey.way == .forward, endedUnanswered(journey, at: place.node, last) else { return nil }
      let (reason, detail) = endReason(journey, place.node)
      return Drop(
        node: place.node, interface: place.interface, sent: false, atEnd: true, destination: last.destination.address,
        packets: 1, reason: reason,
        detail: detail)
    }
    var drop = Drop(
      node: place.node, interface: place.interface, sent: last.outbound, destination: last.destination.address,
      packets: 1, reason: .unknown, detail: "")
    if last.outbound { explainLink(last, &drop) } else { explainNode(journey, &drop) }
    return drop
  }

  // MARK: At the end

  /// A probe that arrived, was not answered, and on whose behalf nothing set out on the way back but a refusal. Of a
  /// connection that is its SYN.
  private func endedUnanswered(_ journey: Journey, at node: String, _ last: Sighting) -> Bool {
    guard flow.probes.indices.contains(journey.probe), !flow.probes[journey.probe].answered else { return false }
    if flow.kind == .tcp, last.unit.part != .stretch(0) { return false }
    return !sightings.contains {
      $0.unit.probe == journey.probe && $0.unit.way == .back && $0.outbound && !isReset($0)
    }
  }

  private func endReason(_ journey: Journey, _ node: String) -> (DropReason, String) {
    if let error = error(about: journey, from: node), let reason = error.reason(atEnd: true) {
      return (reason, "\(node) says \(error.name)")
    }
    let reset = sightings.first {
      $0.unit.probe == journey.probe && $0.unit.way == .back && $0.outbound && isReset($0)
    }
    if let reset {
      let sender = graph.node(of: reset.interface)
      return sender == node ? (.noListener, "\(sender) refused it with RST") : (.filter, "\(sender) reset it")
    }
    return (.unknown, "it arrived, and nothing came back")
  }

  private func isReset(_ sighting: Sighting) -> Bool {
    guard case .bare(_, _, let flags) = sighting.unit.part else { return false }
    return TCPFlags(rawValue: flags).contains(.rst)
  }

  // MARK: On the way

  /// The far end is down, or nothing says why it did not arrive.
  private func explainLink(_ last: Sighting, _ drop: inout Drop) {
    let others = graph.neighbors(of: last.interface)
    if let first = others.first, others.allSatisfy({ graph.interfaces[$0].coverage == .down }) {
      (drop.reason, drop.detail) = (.linkDown, "\(graph.interfaces[first].place) is down")
    } else {
      drop.detail = "it left, and was not seen at the far end"
    }
  }

  private func explainNode(_ journey: Journey, _ drop: inout Drop) {
    if let error = error(about: journey, from: drop.node) {
      drop.detail = "\(drop.node) says \(error.name)"
      drop.reason = error.reason(atEnd: false) ?? .unknown
      if error.isHostUnreachable { drop.suspect = .noRoute }
    } else if hasReset(journey, drop.node) {
      (drop.reason, drop.detail) = (.filter, "\(drop.node) reset the connection")
    } else {
      drop.detail = "it came in, and did not leave"
    }
  }

  /// Whether a node on the way answered in the name of the far end.
  private func hasReset(_ journey: Journey, _ node: String) -> Bool {
    guard node != flow.from, node != flow.to else { return false }
    return sightings.contains {
      $0.unit.probe == journey.probe && $0.unit.way != journey.way && $0.outbound && isReset($0)
        && graph.node(of: $0.interface) == node
    }
  }

  private func error(about journey: Journey, from node: String) -> ErrorSighting? {
    errors.first { $0.probe == journey.probe && $0.way == journey.way && $0.sender == node }
  }

  // MARK: Never seen

  /// Probes that the sender's kernel took and that left no interface, and those that it refused.
  private func unseen() -> [Drop] {
    guard flow.from != flow.to else { return [] }
    let seen = Set(journeys.filter { $0.way == .forward }.map(\.probe))
    return flow.probes.enumerated().compactMap { index, probe in
      guard !seen.contains(index), probe.sent || probe.refusal != nil else { return nil }
      return Drop(
        node: flow.from, interface: nil, sent: false, destination: probe.destination.address, packets: 1,
        reason: probe.refusal?.reason ?? .unknown,
        detail: probe.refusal.map { "\(flow.from) says \($0.text)" } ?? "it left no interface of \(flow.from)")
    }
  }
}
