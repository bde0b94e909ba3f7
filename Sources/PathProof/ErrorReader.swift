import Capture
import NetTypes

/// An ICMP error about the flow.
struct ErrorSighting {
  /// The node that sent it, or its address where no node of the lab has that.
  var sender: String
  var probe: Int
  var way: Way
  var header: ICMPHeader
  var proto: IPProtocol

  var name: String { header.name(proto) }
}

/// Finds the ICMP errors that are about the flow and who sent them.
struct ErrorReader {
  let graph: LabGraph
  let flow: TracedFlow

  /// Each error once for each sender, kind and packet it is about, in the order in which they were first seen.
  func sightings(_ observations: [Observation]) -> [ErrorSighting] {
    let order = observations.indices.sorted { (observations[$0].time, $0) < (observations[$1].time, $1) }
    let matcher = RecordMatcher(flow: flow, observations: observations, order: order)
    var found: [ErrorSighting] = []
    var known: Set<String> = []
    for index in order {
      let observation = observations[index]
      guard let ip = observation.packet.ip, let header = error(observation.packet), let quoted = header.quoted,
        let subject = matcher.quoted(quoted, observation.frame)
      else { continue }
      let kind = "\(ip.source) \(header.type) \(header.code) \(subject.way) \(subject.probe)"
      guard known.insert(kind).inserted else { continue }
      found.append(
        ErrorSighting(
          sender: sender(observation), probe: subject.probe, way: subject.way, header: header, proto: ip.proto))
    }
    return found
  }

  /// One text per sender and kind of error.
  static func texts(_ sightings: [ErrorSighting]) -> [String] {
    var texts: [String] = []
    for sighting in sightings {
      let text = "\(sighting.sender): \(sighting.name)\(sighting.way == .back ? ", about the answer" : "")"
      if !texts.contains(text) { texts.append(text) }
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

extension ErrorSighting {
  /// What it says of the packet it quotes, when its sender had that packet.
  /// - Parameter atEnd: the sender is the node that the packet was addressed to. A router that says of others' packets
  ///   that a port is closed has a rule that rejects them.
  func reason(atEnd: Bool) -> DropReason? {
    proto == .icmp ? reason4(atEnd) : reason6(atEnd)
  }

  /// Linux says so of a route that leads nowhere as well as of a next hop that does not answer.
  var isHostUnreachable: Bool {
    proto == .icmp ? header.type == 3 && header.code == 1 : header.type == 1 && header.code == 3
  }

  /// RFC 792, RFC 1812 section 5.2.7.1.
  private func reason4(_ atEnd: Bool) -> DropReason? {
    switch (header.type, header.code) {
    case (3, 0): .noRoute
    case (3, 2), (3, 3): atEnd ? .noListener : .filter
    case (3, 4): .mtu
    case (3, 9), (3, 10), (3, 13): .filter
    case (11, 0): .ttl
    default: nil
    }
  }

  /// RFC 4443 section 3.
  private func reason6(_ atEnd: Bool) -> DropReason? {
    switch (header.type, header.code) {
    case (1, 0), (1, 6): .noRoute
    case (1, 1), (1, 5): .filter
    case (1, 4): atEnd ? .noListener : .filter
    case (2, _): .mtu
    case (3, 0): .ttl
    default: nil
    }
  }
}
