import Capture
import NetTypes

/// The smallest thing that is followed from hop to hop. One record may hold several (segmentation offload), one may be
/// seen as several copies (retransmission).
struct Unit: Hashable {
  var probe: Int
  var way: Way
  var part: Part

  enum Part: Hashable {
    /// An ICMP or UDP probe.
    case whole
    /// The stretch of sequence space that begins here (relative to the initial sequence number) and ends where any
    /// record's does next.
    case stretch(UInt32)
    /// A segment that takes no sequence space, by its numbers.
    case bare(sequence: UInt32, acknowledgment: UInt32, flags: UInt8)
    /// A datagram of a service of the user's, by its content.
    case datagram(Int)
  }
}

/// A unit seen on an interface.
struct Sighting {
  var unit: Unit
  /// Index of the observation: sightings of one record share it.
  var record: Int
  var interface: Int
  var outbound: Bool
  var time: UInt64
  var ttl: UInt8
  var source: Endpoint
  var destination: Endpoint
  /// Both addresses of the frame: they name the two ends of the hop, also across switches.
  var frame: FrameAddresses

  struct FrameAddresses: Hashable {
    var source: MACAddress
    var destination: MACAddress
  }
}

extension Packet {
  /// Source and destination with the ports of TCP and UDP.
  var endpoints: (source: Endpoint, destination: Endpoint)? {
    guard let ip else { return nil }
    switch transport {
    case .tcp(let header):
      return (Endpoint(ip.source, header.sourcePort), Endpoint(ip.destination, header.destinationPort))
    case .udp(let header):
      return (Endpoint(ip.source, header.sourcePort), Endpoint(ip.destination, header.destinationPort))
    default: return (Endpoint(ip.source), Endpoint(ip.destination))
    }
  }
}

/// What one record holds of the flow.
struct Claim {
  var probe: Int
  var way: Way
  var content: Content

  enum Content {
    case whole
    /// Relative to the initial sequence number of its direction.
    case range(Range<UInt32>)
    case part(Unit.Part)
  }
}

/// Turns observations into sightings of units.
struct SightingCollector {
  let graph: LabGraph
  let flow: TracedFlow

  /// - Returns: every sighting in order of time, and reasons why a record could belong to two places.
  func collect(_ observations: [Observation]) -> (sightings: [Sighting], ambiguous: [String]) {
    let order = observations.indices.sorted {
      (observations[$0].time, $0) < (observations[$1].time, $1)
    }
    var ambiguous: [String] = []
    var claims: [(record: Int, claim: Claim)] = []
    let matcher = RecordMatcher(flow: flow, observations: observations, order: order)
    for record in order {
      let found = matcher.claims(observations[record])
      if found.count > 1 {
        ambiguous.append(
          "a packet on \(graph.interfaces[observations[record].interface].place) fits two directions or probes")
      } else if let claim = found.first {
        claims.append((record, claim))
      }
    }
    let cuts = SequenceCuts(claims.map(\.claim))
    var sightings: [Sighting] = []
    for (record, claim) in claims {
      guard let base = sighting(observations[record], record) else { continue }
      for part in cuts.parts(claim) {
        var one = base
        one.unit = Unit(probe: claim.probe, way: claim.way, part: part)
        sightings.append(one)
      }
    }
    return (sightings, ambiguous)
  }

  /// Nil for frames between others, and those on switch ports.
  private func sighting(_ observation: Observation, _ record: Int) -> Sighting? {
    let interface = graph.interfaces[observation.interface]
    guard let mac = interface.mac, !graph.isSwitch(interface.place.node), let ip = observation.packet.ip,
      let (source, destination) = observation.packet.endpoints
    else { return nil }
    let packet = observation.packet
    let direction = Direction(destination: packet.destinationMAC, source: packet.sourceMAC, interface: mac)
    guard direction != .foreign else { return nil }
    return Sighting(
      unit: Unit(probe: 0, way: .forward, part: .whole), record: record, interface: observation.interface,
      outbound: direction == .outbound, time: observation.time, ttl: ip.ttl, source: source, destination: destination,
      frame: .init(source: packet.sourceMAC, destination: packet.destinationMAC))
  }
}

/// Where ranges of sequence space begin and end in any record, per connection and direction: between two cuts every
/// record holds all or nothing.
private struct SequenceCuts {
  private struct Line: Hashable {
    var probe: Int
    var way: Way
  }
  private var cuts: [Line: [UInt32]] = [:]

  init(_ claims: [Claim]) {
    var found: [Line: Set<UInt32>] = [:]
    for claim in claims {
      guard case .range(let range) = claim.content else { continue }
      found[Line(probe: claim.probe, way: claim.way), default: []].formUnion([range.lowerBound, range.upperBound])
    }
    cuts = found.mapValues { $0.sorted() }
  }

  func parts(_ claim: Claim) -> [Unit.Part] {
    switch claim.content {
    case .whole: return [.whole]
    case .part(let part): return [part]
    case .range(let range):
      let line = cuts[Line(probe: claim.probe, way: claim.way)] ?? []
      return line.filter { range.contains($0) }.map { .stretch($0) }
    }
  }
}
