// What is known of the requests between two services of a mesh. All numbers only grow while the lab runs: who wants a
// window of time reads twice and takes the difference (`since`).

/// `GET /v1/mesh/edges`: requests of one identity to one version of a service. For services of protocol `tcp` a
/// connection counts as a request, and its latency is the time until the connection to the pod stood.
public struct MeshEdge: Codable, Sendable, Equatable {
  /// The service that the client belongs to, or the pod that belongs to none; empty: a client without an identity.
  public var from: String
  /// The service.
  public var to: String
  /// Of the pod that was asked; empty: its pod declares none, or no pod was reached and several versions were possible.
  public var version: String
  /// `client` or `server`: whose sidecar counted. An edge is counted by its clients; by its servers only where a client
  /// has no sidecar of netloom's.
  public var reporter: String
  /// Those that came to an outcome. Success rate: 1 - failures / requests.
  public var requests: UInt64
  /// Of these: statuses from 500 on, also those that a sidecar gave because no pod could be reached; responses that were
  /// cut short; gRPC statuses that are the server's fault; TCP connections that could not be passed on.
  public var failures: UInt64
  /// Not in `requests`: the client went away before there was an answer.
  public var abandoned: UInt64
  /// By the first digit of the status, `1xx` to `5xx`; classes without one are left out.
  public var codes: [String: UInt64]
  /// Requests that were sent again.
  public var retries: UInt64
  /// Endpoints that were taken out after errors.
  public var ejections: UInt64
  /// Answers that a sidecar made itself, by reason.
  public var refused: [String: UInt64]
  /// Of bodies; for `tcp` everything.
  public var bytesToServer: UInt64
  public var bytesToClient: UInt64
  public var latency: MeshLatency

  public init(
    from: String, to: String, version: String, reporter: String, requests: UInt64 = 0, failures: UInt64 = 0,
    abandoned: UInt64 = 0, codes: [String: UInt64] = [:], retries: UInt64 = 0, ejections: UInt64 = 0,
    refused: [String: UInt64] = [:], bytesToServer: UInt64 = 0, bytesToClient: UInt64 = 0,
    latency: MeshLatency = MeshLatency()
  ) {
    self.from = from
    self.to = to
    self.version = version
    self.reporter = reporter
    self.requests = requests
    self.failures = failures
    self.abandoned = abandoned
    self.codes = codes
    self.retries = retries
    self.ejections = ejections
    self.refused = refused
    self.bytesToServer = bytesToServer
    self.bytesToClient = bytesToClient
    self.latency = latency
  }

  /// 0 to 1; nil where there was no request.
  public var successRate: Double? { requests == 0 ? nil : 1 - Double(failures) / Double(requests) }

  /// Whether it is the same edge.
  public func isSame(as other: MeshEdge) -> Bool {
    from == other.from && to == other.to && version == other.version && reporter == other.reporter
  }

  /// What came on top of an earlier reading.
  public func since(_ earlier: MeshEdge) -> MeshEdge {
    var result = self
    result.combine(earlier) { $0 >= $1 ? $0 - $1 : 0 }
    return result
  }

  public mutating func add(_ other: MeshEdge) { combine(other, &+) }

  private mutating func combine(_ other: MeshEdge, _ operation: (UInt64, UInt64) -> UInt64) {
    let plain: [WritableKeyPath<MeshEdge, UInt64>] = [
      \.requests, \.failures, \.abandoned, \.retries, \.ejections, \.bytesToServer, \.bytesToClient,
    ]
    for path in plain { self[keyPath: path] = operation(self[keyPath: path], other[keyPath: path]) }
    for (key, value) in other.codes { codes[key] = operation(codes[key] ?? 0, value) }
    for (key, value) in other.refused { refused[key] = operation(refused[key] ?? 0, value) }
    codes = codes.filter { $0.value > 0 }
    refused = refused.filter { $0.value > 0 }
    latency.combine(other.latency, operation)
  }
}

extension [MeshEdge] {
  /// What came on top of an earlier reading of the same lab, edges without news left out.
  public func since(_ earlier: [MeshEdge]) -> [MeshEdge] {
    map { edge in earlier.first { $0.isSame(as: edge) }.map { edge.since($0) } ?? edge }
      .filter { $0.requests > 0 || $0.abandoned > 0 }
  }
}

/// A histogram as Prometheus has them.
public struct MeshLatency: Codable, Sendable, Equatable {
  public struct Bucket: Codable, Sendable, Equatable {
    /// Seconds.
    public var le: Double
    /// Cumulative: how many took at most so long.
    public var count: UInt64
    public init(le: Double, count: UInt64) {
      self.le = le
      self.count = count
    }
  }

  /// Ascending, the same limits for every edge; what took longer than the last limit is in `count` alone.
  public var buckets: [Bucket]
  public var count: UInt64
  /// Seconds, of all together.
  public var sum: Double

  public init(buckets: [Bucket] = [], count: UInt64 = 0, sum: Double = 0) {
    self.buckets = buckets
    self.count = count
    self.sum = sum
  }

  /// Seconds within which the share `q` (0 to 1) was answered, interpolated within its bucket; the last limit where it
  /// took longer; nil where there is nothing.
  public func quantile(_ q: Double) -> Double? {
    guard count > 0, let last = buckets.last else { return nil }
    let rank = Swift.max(q * Double(count), 1)
    var below = 0.0
    var lower = 0.0
    for bucket in buckets {
      if Double(bucket.count) >= rank {
        return lower + (bucket.le - lower) * (rank - below) / (Double(bucket.count) - below)
      }
      (below, lower) = (Double(bucket.count), bucket.le)
    }
    return last.le
  }

  fileprivate mutating func combine(_ other: MeshLatency, _ operation: (UInt64, UInt64) -> UInt64) {
    let adds = operation(0, 1) == 1
    if buckets.isEmpty { buckets = other.buckets.map { Bucket(le: $0.le, count: 0) } }
    for (index, bucket) in other.buckets.enumerated() where index < buckets.count && buckets[index].le == bucket.le {
      buckets[index].count = operation(buckets[index].count, bucket.count)
    }
    count = operation(count, other.count)
    sum = adds ? sum + other.sum : Swift.max(0, sum - other.sum)
  }
}
