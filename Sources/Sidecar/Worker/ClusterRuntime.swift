// A cluster as one worker has it: its endpoints with what is known of them and their idle connections, and the counts
// that limits are held against. Endpoints outlive a change of configuration when their address stays.
import EventLoop
import NetTypes
import TLS

final class EndpointRuntime {
  var configuration: Endpoint
  var active = 0
  /// Nanoseconds, smoothed (EWMA, 1/8).
  private(set) var latency: Double = 0
  var record = OutlierDetector.Record()
  var idle: [HTTP1ClientConnection] = []
  /// Connections of HTTP/2 that take requests, those that are being made among them.
  var multiplexed: [HTTP2ClientConnection] = []
  /// Streams that a connection may have at a time, as the server said last; before it has, what RFC 9113 section 6.5.2
  /// recommends at least.
  var streamLimit = 100
  /// The newest ticket of the server, for the next connection.
  var session: TLSSession?
  /// No configuration names it any more: what comes back is closed.
  private(set) var isRetired = false

  init(_ configuration: Endpoint) { self.configuration = configuration }

  func isAvailable(now: UInt64) -> Bool { configuration.isHealthy && record.ejectedUntil <= now }

  func note(latency sample: UInt64) {
    latency = latency == 0 ? Double(sample) : latency + (Double(sample) - latency) / 8
  }

  func closeIdle() {
    let connections = idle
    idle = []
    for connection in connections { connection.close() }
    for connection in multiplexed where connection.isUnused { connection.close() }
  }

  func retire() {
    isRetired = true
    session = nil
    closeIdle()
    for connection in multiplexed { connection.leave() }
  }
}

/// What a cluster has under way on a worker; one value over all configurations, since requests end under the one that
/// they began with.
final class ClusterCounts {
  var requests = 0
  var connections = 0
  /// Of these, those that do not stand yet.
  var connecting = 0
  /// Requests for which there may be no further connection, in order.
  var waiting = WaitingQueue()
  var budget = RetryBudget()
}

/// First in, first out, of exchanges whose phase is `waiting`; others have left.
struct WaitingQueue {
  private var items: [Exchange] = []
  private var start = 0
  private(set) var count = 0

  mutating func append(_ exchange: Exchange) {
    items.append(exchange)
    count += 1
  }

  /// One has given up.
  mutating func leave() {
    count -= 1
    if items.count - start > 2 * count + 64 { compact() }
  }

  mutating func popFirst() -> Exchange? {
    while start < items.count {
      let item = items[start]
      start += 1
      if start > 256 { compact() }
      guard item.phase == .waiting else { continue }
      count -= 1
      return item
    }
    compact()
    return nil
  }

  private mutating func compact() {
    items = items[start...].filter { $0.phase == .waiting }
    start = 0
  }
}

final class ClusterRuntime {
  let configuration: Cluster
  let endpoints: [EndpointRuntime]
  /// Client context for this cluster's certificates and protocol; nil: in the clear.
  let contexts: TLSContexts?
  /// The address that its connections come from, where an endpoint is of its family; nil: the pod's.
  let source: IPAddress?
  /// What all of its endpoints run; empty where they differ.
  let version: String
  private let balancer: LoadBalancer
  private let detector: OutlierDetector?
  /// This worker's share of the limits.
  let limits: CircuitBreaker
  let counts: ClusterCounts
  private var loads: [EndpointLoad] = []

  /// Of a local cluster: the endpoint that took a connection last. Others are tried in turn from there.
  private var first: Int?

  /// - Parameter isLocal: its endpoints are the addresses of one program, to be tried in their order.
  init(
    _ configuration: Cluster, contexts: TLSContexts?, workers: Int, keeping old: ClusterRuntime?,
    isLocal: Bool = false, source: IPAddress? = nil
  ) {
    self.configuration = configuration
    self.source = source
    first = isLocal ? 0 : nil
    self.contexts = contexts
    let keeps = old.map { $0.configuration.tls == configuration.tls && $0.contexts === contexts } ?? false
    var kept: [SocketAddress: EndpointRuntime] = [:]
    for endpoint in old?.endpoints ?? [] { kept[endpoint.configuration.address] = endpoint }
    endpoints = configuration.endpoints.map { endpoint in
      guard keeps, kept[endpoint.address]?.configuration.usesTLS == endpoint.usesTLS,
        let runtime = kept.removeValue(forKey: endpoint.address)
      else { return EndpointRuntime(endpoint) }
      runtime.configuration = endpoint
      return runtime
    }
    for endpoint in kept.values { endpoint.retire() }
    let versions = Set(configuration.endpoints.map(\.version))
    version = versions.count == 1 ? versions.first ?? "" : ""
    balancer = LoadBalancer(configuration.balancing, endpoints: configuration.endpoints)
    detector = configuration.outlierDetection.map(OutlierDetector.init)
    let breaker = configuration.circuitBreaker
    func share(_ limit: Int) -> Int { limit == 0 ? 0 : max(1, (limit + workers - 1) / workers) }
    limits = CircuitBreaker(
      connections: share(breaker.connections), pending: share(breaker.pending), requests: share(breaker.requests))
    counts = old?.counts ?? ClusterCounts()
  }

  /// - Parameter attempt: how many attempts of the same request or connection were made before.
  func choose(
    hash: UInt64, excluding excluded: EndpointRuntime?, attempt: Int, now: UInt64,
    _ random: inout some RandomNumberGenerator
  ) -> EndpointRuntime? {
    if let first { return endpoints[(first + attempt) % endpoints.count] }
    if endpoints.count == 1 { return endpoints[0].isAvailable(now: now) ? endpoints[0] : nil }
    loads.removeAll(keepingCapacity: true)
    for endpoint in endpoints {
      loads.append(
        EndpointLoad(
          weight: endpoint.configuration.weight, priority: endpoint.configuration.priority,
          isAvailable: endpoint.isAvailable(now: now), active: endpoint.active, latency: endpoint.latency))
    }
    let index = excluded.flatMap { excluded in endpoints.firstIndex { $0 === excluded } }
    return balancer.choose(loads, hash: hash, excluding: index, &random).map { endpoints[$0] }
  }

  /// Takes an attempt's end into account.
  /// - Returns: whether it ejected the endpoint.
  func note(_ outcome: OutlierDetector.Outcome, _ endpoint: EndpointRuntime, now: UInt64) -> Bool {
    if first != nil, outcome != .connectFailure { first = endpoints.firstIndex { $0 === endpoint } ?? 0 }
    guard let detector else { return false }
    let ejected = endpoints.reduce(0) { $0 + ($1 !== endpoint && $1.record.ejectedUntil > now ? 1 : 0) }
    let result = detector.note(outcome, &endpoint.record, ejected: ejected, endpoints: endpoints.count, now: now)
    if result { endpoint.closeIdle() }
    return result
  }

  /// The configuration no longer has it.
  func retire() { for endpoint in endpoints { endpoint.retire() } }
}
