/// How clients treat a service's endpoints. What a route says of a request goes before it. Times are milliseconds.
public struct ServicePolicy: Sendable, Equatable {
  public enum Balancing: Sendable, Equatable {
    case leastRequest, roundRobin
    /// By smoothed latency and requests under way (peak EWMA). Clients that do not know it take the least busy of two.
    case latency
    /// By the hash of a header field; nil: of the client's address.
    case ringHash(header: String?)
  }

  public struct CircuitBreaker: Sendable, Equatable {
    public var maximumConnections: UInt32?
    public var maximumPendingRequests: UInt32?
    public var maximumRequests: UInt32?

    public init(connections: UInt32? = nil, pendingRequests: UInt32? = nil, requests: UInt32? = nil) {
      maximumConnections = connections
      maximumPendingRequests = pendingRequests
      maximumRequests = requests
    }
  }

  public struct OutlierEjection: Sendable, Equatable {
    public var consecutiveErrors: UInt32
    public var baseEjectionMilliseconds: Int
    public var maximumPercent: UInt32

    public init(consecutiveErrors: UInt32 = 5, baseEjectionMilliseconds: Int = 30_000, maximumPercent: UInt32 = 50) {
      self.consecutiveErrors = consecutiveErrors
      self.baseEjectionMilliseconds = baseEjectionMilliseconds
      self.maximumPercent = maximumPercent
    }
  }

  /// Requests that are delayed or answered with an error on purpose.
  public struct Fault: Sendable, Equatable {
    public var delayMilliseconds: Int?
    public var delayPercent: UInt32
    public var abortStatus: UInt32?
    public var abortPercent: UInt32

    public init(
      delayMilliseconds: Int? = nil, delayPercent: UInt32 = 100, abortStatus: UInt32? = nil, abortPercent: UInt32 = 100
    ) {
      self.delayMilliseconds = delayMilliseconds
      self.delayPercent = delayPercent
      self.abortStatus = abortStatus
      self.abortPercent = abortPercent
    }
  }

  public var balancing: Balancing
  /// Endpoints that are nearer by BGP are asked first; false: all alike.
  public var prefersNearest = true
  public var circuitBreaker: CircuitBreaker?
  public var outlierEjection: OutlierEjection?
  public var fault: Fault?
  /// Requests per second that each endpoint's sidecar takes.
  public var rateLimit: UInt32?
  /// Of requests whose rule says nothing of retries.
  public var retry: Retry?
  /// Repetitions, in percent of the requests under way; three are always allowed.
  public var retryBudgetPercent: UInt32 = 20
  public var connectTimeout = 5000
  /// The whole request, and one attempt, where the rule says nothing; nil: no limit.
  public var requestTimeout: Int?
  public var attemptTimeout: Int?
  /// Of requests whose rule mirrors nothing.
  public var mirror: Mirror?

  public init(
    balancing: Balancing = .leastRequest, circuitBreaker: CircuitBreaker? = nil,
    outlierEjection: OutlierEjection? = nil, fault: Fault? = nil, rateLimit: UInt32? = nil
  ) {
    self.balancing = balancing
    self.circuitBreaker = circuitBreaker
    self.outlierEjection = outlierEjection
    self.fault = fault
    self.rateLimit = rateLimit
  }

  /// The rule with what the service says where it says nothing itself.
  public func completing(_ rule: RouteRule) -> RouteRule {
    var rule = rule
    rule.retry = rule.retry ?? retry
    rule.requestTimeout = rule.requestTimeout ?? requestTimeout
    rule.backendTimeout = rule.backendTimeout ?? attemptTimeout
    if rule.mirrors.isEmpty, let mirror { rule.mirrors = [mirror] }
    return rule
  }
}
