/// What packets of one version's pods showed during a window.
struct NetworkView: Equatable, Sendable {
  /// The ASes that packets passed, in order, by what they were: `to it`, `back from it`.
  var ways: [String: Set<ASWay>] = [:]
  /// ASes that connections of its own crossed, there and back, with a node of each for messages.
  var crossed: [String: Set<UInt32>] = [:]
  var packetsSent: UInt64 = 0
  var packetsLost: UInt64 = 0
  /// Milliseconds; the largest p99 over minimum of its pods.
  var queueing: Double?
  /// Traffic that is under way.
  var pending: [UInt64] = []
  var segmentsSent: UInt64 = 0
  var segmentsRepeated: UInt64 = 0
  /// Why a way could not be said.
  var undecided: String?

  /// A later look at the same version: ways that it was seen to take stay its ways.
  mutating func take(_ later: NetworkView) {
    let (knownWays, knownSystems) = (ways, crossed)
    self = later
    ways.merge(knownWays) { $0.union($1) }
    crossed.merge(knownSystems) { $0.union($1) }
  }

  /// Per cent; nil: nothing was sent.
  var loss: Double? { packetsSent == 0 ? nil : 100 * Double(packetsLost) / Double(packetsSent) }
  var retransmissions: Double? {
    segmentsSent == 0 ? nil : 100 * Double(segmentsRepeated) / Double(segmentsSent)
  }
}

/// Autonomous systems in order, each once as long as a packet stays in it.
struct ASWay: Hashable, Sendable, CustomStringConvertible {
  var systems: [UInt32]

  /// Nodes that belong to none (hosts, pods) are left out.
  init(_ nodes: [String], systems numbers: [String: UInt32]) {
    systems = []
    for node in nodes {
      if let number = numbers[node], number != systems.last { systems.append(number) }
    }
  }

  var description: String { systems.map { "AS\($0)" }.joined(separator: " ") }
}
