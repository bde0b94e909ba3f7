/// The pods behind a name, and how to deal with them.
public struct Cluster: Sendable, Equatable {
  public enum Balancing: Sendable, Equatable {
    /// The one with fewer requests under way of two drawn by weight.
    case leastRequest
    /// The one with the lower product of smoothed latency and requests under way of two drawn by weight.
    case latency
    /// By a hash of a header (nil: of the client's address); the ring has points in proportion to weight.
    case ringHash(header: String?)
  }

  public var name: String
  public var endpoints: [Endpoint]
  public var balancing = Balancing.leastRequest
  public var circuitBreaker = CircuitBreaker()
  public var outlierDetection: OutlierDetection?
  /// Nil: in the clear.
  public var tls: UpstreamTLS?
  /// Milliseconds.
  public var connectTimeout: UInt64 = 5000
  /// HTTP/2 without negotiation, for applications that speak it in the clear.
  public var usesHTTP2 = false

  public init(_ name: String, _ endpoints: [Endpoint]) {
    self.name = name
    self.endpoints = endpoints
  }
}

public struct Endpoint: Sendable, Hashable {
  public var address: SocketAddress
  public var weight: Int
  public var locality: String
  /// 0 is used first; the next one when less than all that is needed of the former is healthy.
  public var priority: Int
  public var isHealthy: Bool
  /// False: in the clear although the cluster has TLS; there is no sidecar at the other end.
  public var usesTLS = true
  /// What it runs, for metrics; empty: not said.
  public var version = ""

  public init(
    _ address: SocketAddress, weight: Int = 1, locality: String = "", priority: Int = 0, isHealthy: Bool = true
  ) {
    self.address = address
    self.weight = weight
    self.locality = locality
    self.priority = priority
    self.isHealthy = isHealthy
  }
}

/// For the whole sidecar; each worker has its share.
public struct CircuitBreaker: Sendable, Equatable {
  public var connections = 1024
  /// Requests that wait for a connection.
  public var pending = 1024
  /// Requests under way.
  public var requests = 4096

  public init(connections: Int = 1024, pending: Int = 1024, requests: Int = 4096) {
    self.connections = connections
    self.pending = pending
    self.requests = requests
  }
}

public struct OutlierDetection: Sendable, Equatable {
  /// 5xx answers and failed connections in a row.
  public var consecutiveErrors = 5
  /// 502, 503, 504 and failed connections in a row; nil: not looked at.
  public var consecutiveGatewayErrors: Int?
  /// Milliseconds; times the number of ejections so far.
  public var baseEjection: UInt64 = 30_000
  public var maximumEjection: UInt64 = 300_000
  /// Of the endpoints; one may always be ejected.
  public var maximumPercent = 10

  public init() {}
}

public struct UpstreamTLS: Sendable, Equatable {
  /// SPIFFE identities, one of which the server must have; nil: any that the roots vouch for.
  public var identities: Set<String>?
  public var serverName: String?

  public init(identities: Set<String>? = nil, serverName: String? = nil) {
    self.identities = identities
    self.serverName = serverName
  }
}
