import Capture
import NetTypes

/// The sightings of one direction of one tuple, and the ways that its packets took while they looked like that.
struct LiveChains {
  var tuple: Int
  var way: Way
  private(set) var sightings: [Sighting] = []
  private(set) var chains: [Chain] = []
  private(set) var ambiguous: [String] = []

  /// - Parameter level: of `LiveRecord.keeps`, at least the line's own.
  init(_ tuple: Int, _ key: LiveTuple, _ way: Way, _ records: [LiveRecord], level: UInt8, _ graph: LabGraph) {
    (self.tuple, self.way) = (tuple, way)
    let (source, destination) = (key.source(way), key.destination(way))
    let kept = records.filter { LiveRecord.keeps($0.content, level) }.sorted { $0.time < $1.time }
    let cuts = LiveCuts(kept, level)
    for (index, record) in kept.enumerated() {
      for part in cuts.parts(record.content) {
        sightings.append(
          Sighting(
            unit: Unit(probe: tuple, way: way, part: part), record: index, interface: record.interface,
            outbound: record.outbound, time: record.time, ttl: record.ttl, source: source, destination: destination,
            frame: record.frame))
      }
    }
    let origin = graph.owner(of: source.address)
    let builder = ChainBuilder(graph: graph, sightings: sightings) { _ in origin }
    for (_, indexes) in Dictionary(grouping: sightings.indices, by: { sightings[$0].unit.part }) {
      let (found, doubts) = builder.chains(of: indexes)
      chains += found
      ambiguous += doubts
    }
  }

  func first(_ chain: Int) -> Sighting { sightings[chains[chain][0]] }
  func last(_ chain: Int) -> Sighting { sightings[chains[chain][chains[chain].count - 1]] }
}

/// Where segments are cut so that every record holds all or nothing of a piece: at level 0 wherever one begins, above it at
/// the marks by which they were chosen.
private struct LiveCuts {
  private let level: UInt8
  private let base: UInt32
  /// Relative to `base`, in order.
  private let starts: [UInt32]

  init(_ records: [LiveRecord], _ level: UInt8) {
    self.level = level
    let sequences = records.compactMap { record -> UInt32? in
      guard case .segment(let sequence, let span, _, _) = record.content, span > 0 else { return nil }
      return sequence
    }
    // Numbers wrap: what came a little before the first record's stays before it.
    let base = (sequences.first ?? 0) &- 0x4000_0000
    self.base = base
    starts = level > 0 ? [] : Set(sequences.map { $0 &- base }).sorted()
  }

  func parts(_ content: LiveRecord.Content) -> [Unit.Part] {
    guard case .segment(let sequence, let span, let acknowledgment, let flags) = content else {
      guard case .datagram(let hash) = content else { return [] }
      return [.datagram(hash)]
    }
    if span == 0 { return [.bare(sequence: sequence, acknowledgment: acknowledgment, flags: flags)] }
    return cuts(sequence, span).map { .bare(sequence: $0, acknowledgment: acknowledgment, flags: 0) }
  }

  private func cuts(_ sequence: UInt32, _ span: UInt32) -> [UInt32] {
    guard level == 0 else {
      let first = LiveRecord.firstMark(sequence, level)
      return stride(from: UInt64(first &- sequence), to: UInt64(span), by: Int(LiveRecord.markSpacing(level))).map {
        sequence &+ UInt32($0)
      }
    }
    let start = sequence &- base
    var (low, high) = (0, starts.count)
    while low < high {
      let middle = (low + high) / 2
      if starts[middle] < start { low = middle + 1 } else { high = middle }
    }
    return starts[low...].prefix { $0 - start < span }.map { $0 &+ base }
  }
}
