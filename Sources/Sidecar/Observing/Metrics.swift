// What a worker counts, per edge (from here to a version of a service, or from an identity to a port of this pod). Plain
// numbers of one thread: who shows them asks each worker for a copy.

/// Which way, from whom to whom.
struct EdgeName: Hashable, Sendable {
  enum Direction: String, Sendable { case outbound, inbound }

  var direction: Direction
  var service: String
  var cluster: String
  /// Inbound: the SPIFFE identity of the client; empty for one in the clear. Outbound: empty, it is this pod.
  var source = ""
  /// Outbound: what the endpoint runs, as its metadata says; empty where it says nothing or none was reached.
  var version = ""
}

/// Counts below limits that are the same for every sidecar, so that they can be added up.
struct LatencyHistogram: Sendable, Equatable {
  /// Upper limits in microseconds.
  static let limits: [UInt64] = [
    250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000,
  ]

  private(set) var counts = [UInt64](repeating: 0, count: limits.count + 1)
  private(set) var sumMicroseconds: UInt64 = 0

  mutating func add(nanoseconds: UInt64) {
    let value = nanoseconds / 1000
    var index = 0
    while index < LatencyHistogram.limits.count, value > LatencyHistogram.limits[index] { index += 1 }
    counts[index] &+= 1
    sumMicroseconds &+= value
  }

  mutating func merge(_ other: LatencyHistogram) {
    for index in counts.indices { counts[index] &+= other.counts[index] }
    sumMicroseconds &+= other.sumMicroseconds
  }

  var total: UInt64 { counts.reduce(0, &+) }
}

struct EdgeCounts: Sendable, Equatable {
  /// Responses by the first digit of their status; 0: the client went away before there was one.
  var responses = [UInt64](repeating: 0, count: 6)
  /// HTTP: what came to an outcome. TCP: connections that were passed on or refused.
  var requests: UInt64 = 0
  /// Of these: statuses from 500 on whoever gave them, responses cut short, failing gRPC statuses, connections refused.
  var failures: UInt64 = 0
  var latency = LatencyHistogram()
  /// Answers that this sidecar made itself, by reason.
  var refusals: [String: UInt64] = [:]
  var retries: UInt64 = 0
  var ejections: UInt64 = 0
  var connectionsOpened: UInt64 = 0
  var connectionsFailed: UInt64 = 0
  var handshakes: UInt64 = 0
  var handshakesResumed: UInt64 = 0
  var bytesToServer: UInt64 = 0
  var bytesToClient: UInt64 = 0
  var active: Int64 = 0

  mutating func addHandshake(isResumed: Bool) {
    handshakes &+= 1
    if isResumed { handshakesResumed &+= 1 }
  }

  mutating func merge(_ other: EdgeCounts) {
    for index in responses.indices { responses[index] &+= other.responses[index] }
    requests &+= other.requests
    failures &+= other.failures
    latency.merge(other.latency)
    refusals.merge(other.refusals, uniquingKeysWith: &+)
    retries &+= other.retries
    ejections &+= other.ejections
    connectionsOpened &+= other.connectionsOpened
    connectionsFailed &+= other.connectionsFailed
    handshakes &+= other.handshakes
    handshakesResumed &+= other.handshakesResumed
    bytesToServer &+= other.bytesToServer
    bytesToClient &+= other.bytesToClient
    active &+= other.active
  }
}

/// One edge's numbers on one worker, shared by all that count for it.
final class Edge {
  let name: EdgeName
  var counts = EdgeCounts()

  init(_ name: EdgeName) { self.name = name }
}

/// All edges of a worker, kept over changes of configuration.
struct EdgeTable {
  private var edges: [EdgeName: Edge] = [:]

  mutating func edge(_ name: EdgeName) -> Edge {
    if let edge = edges[name] { return edge }
    let edge = Edge(name)
    edges[name] = edge
    return edge
  }

  var snapshot: [EdgeName: EdgeCounts] { edges.mapValues(\.counts) }
}
