import Capture

/// Finds the ICMP errors that are about the flow and who sent them.
struct ErrorReader {
  let graph: LabGraph
  let flow: TracedFlow

  /// One text per sender and kind of error, in the order in which they were first seen.
  func errors(_ observations: [Observation]) -> [String] {
    let order = observations.indices.sorted { (observations[$0].time, $0) < (observations[$1].time, $1) }
    let matcher = RecordMatcher(flow: flow, observations: observations, order: order)
    var texts: [String] = []
    var known: Set<String> = []
    for index in order {
      let observation = observations[index]
      guard let ip = observation.packet.ip, let header = error(observation.packet), let quoted = header.quoted,
        let subject = matcher.quoted(quoted, observation.frame)
      else { continue }
      let kind = "\(ip.source) \(header.type) \(header.code) \(subject.way)"
      guard known.insert(kind).inserted else { continue }
      let about = subject.way == .back ? ", about the answer" : ""
      texts.append("\(sender(observation)): \(header.name(ip.proto))\(about)")
    }
    return texts
  }

  private func error(_ packet: Packet) -> ICMPHeader? {
    switch packet.transport {
    case .icmp(let header), .icmpv6(let header): header
    default: nil
    }
  }

  /// The first interface to see it is its sender's, when it was leaving; otherwise the owner of its source address.
  private func sender(_ observation: Observation) -> String {
    let interface = graph.interfaces[observation.interface]
    if observation.packet.sourceMAC == interface.mac { return interface.place.node }
    guard let source = observation.packet.ip?.source else { return interface.place.node }
    return graph.owner(of: source) ?? "\(source)"
  }
}
