import Capture
import NetTypes

/// Joins what one node received under one tuple with what it sent under another: the same content, one hop less to go, a
/// moment later. That is how NAT shows when nobody tells.
struct LiveStitching {
  /// One direction of one tuple.
  struct Side: Hashable {
    var tuple: Int
    var way: Way
  }

  struct ChainPlace: Hashable {
    var side: Side
    var chain: Int
  }

  /// The chain that goes on where another ends.
  private(set) var next: [ChainPlace: ChainPlace] = [:]
  private(set) var hasPrevious: Set<ChainPlace> = []
  /// Which sides are one direction of one flow.
  private(set) var joined: [(Side, Side)] = []
  /// Sides that fit several others, with the node.
  private(set) var doubtful: [Side: String] = [:]

  private struct Key: Hashable {
    var node: String
    var proto: UInt8
    var ttl: UInt8
    var part: Unit.Part
  }

  /// A node keeps a packet no longer, ns.
  private static let longest: UInt64 = 1_000_000_000

  init(_ all: [LiveChains], _ tuples: [LiveTuple], _ graph: LabGraph) {
    var ends: [Key: [ChainPlace]] = [:]
    var chains: [Side: LiveChains] = [:]
    for one in all {
      let side = Side(tuple: one.tuple, way: one.way)
      chains[side] = one
      for chain in one.chains.indices where !one.last(chain).outbound && one.last(chain).ttl > 1 {
        let last = one.last(chain)
        let key = Key(
          node: graph.node(of: last.interface), proto: tuples[one.tuple].proto, ttl: last.ttl - 1, part: last.unit.part)
        ends[key, default: []].append(ChainPlace(side: side, chain: chain))
      }
    }
    var found: [(from: ChainPlace, to: ChainPlace, node: String)] = []
    for one in all {
      for chain in one.chains.indices where one.first(chain).outbound {
        let first = one.first(chain)
        let key = Key(
          node: graph.node(of: first.interface), proto: tuples[one.tuple].proto, ttl: first.ttl, part: first.unit.part)
        let to = ChainPlace(side: Side(tuple: one.tuple, way: one.way), chain: chain)
        for from in ends[key] ?? [] where from.side.tuple != to.side.tuple {
          guard let time = chains[from.side]?.last(from.chain).time, time <= first.time,
            first.time - time < Self.longest
          else { continue }
          found.append((from, to, key.node))
        }
      }
    }
    decide(found, chains)
  }

  private struct Choice {
    var counts: [Side: Int] = [:]
    var node = ""
  }

  /// A side goes on as one other side at a node, and one other side came before it. Where several fit, nothing decides.
  private mutating func decide(
    _ found: [(from: ChainPlace, to: ChainPlace, node: String)], _ chains: [Side: LiveChains]
  ) {
    var onward: [Side: Set<Side>] = [:]
    var backward: [Side: Set<Side>] = [:]
    for (from, to, _) in found {
      onward[from.side, default: []].insert(to.side)
      backward[to.side, default: []].insert(from.side)
    }
    var seen: Set<[Side]> = []
    for (from, to, node) in found {
      guard onward[from.side]?.count == 1, backward[to.side]?.count == 1 else {
        for side in [from.side, to.side] { doubtful[side] = "several translations at \(node) fit" }
        continue
      }
      if seen.insert([from.side, to.side]).inserted { joined.append((from.side, to.side)) }
      guard next[from] == nil, !hasPrevious.contains(to) else { continue }
      next[from] = to
      hasPrevious.insert(to)
    }
  }
}
