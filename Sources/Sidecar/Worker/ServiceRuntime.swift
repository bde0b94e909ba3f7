// Services and inbound ports as one worker has them: rules with compiled conditions and the clusters that they lead to.
import EventLoop
import HTTP1
import NetTypes

final class RouteRuntime {
  let rule: RouteRule
  let matcher: RouteMatcher
  let backends: [ClusterRuntime]
  let weights: [Int]
  /// As in the rule, of those clusters that exist.
  let changes: [WeightedBackend]
  let mirrors: [(cluster: ClusterRuntime, percent: Double)]

  init(_ rule: RouteRule, clusters: [String: ClusterRuntime]) {
    self.rule = rule
    matcher = RouteMatcher(rule)
    let known = rule.backends.compactMap { backend in clusters[backend.cluster].map { ($0, backend) } }
    backends = known.map(\.0)
    weights = known.map(\.1.weight)
    changes = known.map(\.1)
    mirrors = rule.mirrors.compactMap { mirror in clusters[mirror.cluster].map { ($0, mirror.percent) } }
  }

  /// A rule that leads to one place.
  init(to cluster: ClusterRuntime) {
    rule = RouteRule(backends: [WeightedBackend(cluster.configuration.name)])
    matcher = RouteMatcher(rule)
    backends = [cluster]
    weights = [1]
    changes = rule.backends
    mirrors = []
  }

  func drawBackend(_ random: inout some RandomNumberGenerator) -> (cluster: ClusterRuntime, backend: WeightedBackend)? {
    drawIndex(weights: weights, &random).map { (backends[$0], changes[$0]) }
  }
}

final class ServiceRuntime {
  let name: String
  let direction: EdgeName.Direction
  let applicationProtocol: ApplicationProtocol
  let routes: [RouteRuntime]
  let inbound: InboundRuntime?
  /// Of an inbound service: where its connections are addressed to.
  let destination: SocketAddress?
  /// Whose address the program is to see as its peer's; nil: the sidecar's.
  let source: IPAddress?
  /// The configuration that it comes from, by `Worker.generation`.
  let generation: UInt64

  init(
    name: String, direction: EdgeName.Direction, _ applicationProtocol: ApplicationProtocol, routes: [RouteRuntime],
    inbound: InboundRuntime? = nil, destination: SocketAddress? = nil, source: IPAddress? = nil,
    generation: UInt64 = 0
  ) {
    self.name = name
    self.direction = direction
    self.applicationProtocol = applicationProtocol
    self.routes = routes
    self.inbound = inbound
    self.destination = destination
    self.source = source
    self.generation = generation
  }

  func route(for head: RequestHead) -> (RouteRuntime, prefix: String)? {
    for route in routes {
      let (matches, prefix) = route.matcher.match(head)
      if matches { return (route, prefix) }
    }
    return nil
  }
}

/// What is checked before anything reaches the application.
final class InboundRuntime {
  let port: InboundPort
  private var bucket: TokenBucket?

  init(_ port: InboundPort, workers: Int, now: UInt64, keeping old: InboundRuntime?) {
    self.port = port
    if let old, old.port.rateLimit == port.rateLimit {
      bucket = old.bucket
    } else {
      bucket = port.rateLimit.map { limit in
        TokenBucket(
          perSecond: limit.perSecond / Double(workers), burst: max(1, limit.burst / workers), now: now)
      }
    }
  }

  /// Why the peer may not; nil where it may.
  func refusal(identity: String?) -> Refusal? {
    guard let allowed = port.allowed else { return nil }
    if let identity, allowed.contains(identity) { return nil }
    return Refusal(403, "not-authorized identity=\(identity ?? "none") service=\(port.service)")
  }

  /// Counts one request (for TCP: connection).
  func isOverRate(now: UInt64) -> Bool { bucket?.take(now: now) == false }
}

/// An answer that the sidecar makes itself.
struct Refusal: Equatable {
  let status: Int
  /// A word, then details as `name=value`.
  let reason: String

  init(_ status: Int, _ reason: String) {
    self.status = status
    self.reason = reason
  }

  /// The word, for metrics.
  var word: String { String(reason.prefix { $0 != " " }) }
}
