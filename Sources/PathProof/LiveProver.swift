// From the packets of a flow table to flows with two proven ways.
//
//   lines ─► sightings ─► chains per tuple ─► stitched where NAT rewrote ─► flows ─► journeys ─► reports ─► verdict
//
// Nobody sent these packets for us: what they are is read off them. A packet is followed from the owner of its source to
// the owner of its destination; a way is proven by packets that were seen on all of it. What was under way when the
// captures began or ended proves nothing and is left out; what is missing in between makes the flow undecided, with the
// reason. Pure: no clock, no socket.
import Capture
import NetTypes

public struct LiveProver {
  private let graph: LabGraph
  private let tuples: [LiveTuple]
  private let entries: [LiveFlowTable.Entry]
  /// What begins earlier or ends later may be cut off.
  private let whole: ClosedRange<UInt64>

  /// - Parameter window: while every interface was captured, ns.
  public static func prove(_ table: LiveFlowTable, _ graph: LabGraph, window: ClosedRange<UInt64>) -> [LiveFlow] {
    LiveProver(table, graph, window).prove()
  }

  private static let longestMargin: UInt64 = 500_000_000

  private init(_ table: LiveFlowTable, _ graph: LabGraph, _ window: ClosedRange<UInt64>) {
    self.graph = graph
    tuples = table.entries.keys.sorted { (table.entries[$0]?.first ?? 0) < (table.entries[$1]?.first ?? 0) }
    entries = tuples.compactMap { table.entries[$0] }
    let margin = min(Self.longestMargin, (window.upperBound - window.lowerBound) / 4)
    whole = window.lowerBound + margin...window.upperBound - margin
  }

  private func prove() -> [LiveFlow] {
    let sides = tuples.indices.flatMap { tuple in
      [Way.forward, .back].filter { !entries[tuple][$0].records.isEmpty }.map {
        LiveStitching.Side(tuple: tuple, way: $0)
      }
    }
    let first = LiveStitching(sides.map { chains($0, level: level([$0])) }, tuples, graph)
    let flows = groups(first.joined)
    return flows.map { members in
      LiveVerdict(graph: graph, tuples: tuples, entries: entries, whole: whole)
        .judge(members.forward, members.back, doubtful: first.doubtful) { side, level in chains(side, level: level) }
    }
    .sorted { ($1.forwardBytes + $1.backBytes) < ($0.forwardBytes + $0.backBytes) }
  }

  private func chains(_ side: LiveStitching.Side, level: UInt8) -> LiveChains {
    LiveChains(
      side.tuple, tuples[side.tuple], side.way, entries[side.tuple][side.way].records, level: level, graph)
  }

  private func level(_ sides: [LiveStitching.Side]) -> UInt8 {
    sides.map { entries[$0.tuple][$0.way].level }.max() ?? 0
  }

  /// Tuples that are one flow, each turned so that all of `forward` are one direction.
  private func groups(
    _ joined: [(LiveStitching.Side, LiveStitching.Side)]
  ) -> [(forward: [LiveStitching.Side], back: [LiveStitching.Side])] {
    var near: [Int: [(tuple: Int, turned: Bool)]] = [:]
    for (a, b) in joined {
      near[a.tuple, default: []].append((b.tuple, a.way != b.way))
      near[b.tuple, default: []].append((a.tuple, a.way != b.way))
    }
    var known: Set<Int> = []
    var groups: [(forward: [LiveStitching.Side], back: [LiveStitching.Side])] = []
    for tuple in tuples.indices where known.insert(tuple).inserted {
      var members: [(tuple: Int, turned: Bool)] = [(tuple, false)]
      var place = 0
      while place < members.count {
        for other in near[members[place].tuple] ?? [] where known.insert(other.tuple).inserted {
          members.append((other.tuple, other.turned != members[place].turned))
        }
        place += 1
      }
      let sides = members.map { LiveStitching.Side(tuple: $0.tuple, way: $0.turned ? .back : .forward) }
      groups.append((sides, sides.map { LiveStitching.Side(tuple: $0.tuple, way: $0.way.turned) }))
    }
    return groups
  }
}

extension LiveFlowTable.Entry {
  var first: UInt64 { min(self[.forward].first ?? .max, self[.back].first ?? .max) }
}
