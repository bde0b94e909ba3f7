/// One rule of a service's routes: what it is for, what it changes, where it leads.
public struct RouteRule: Sendable, Equatable {
  /// Named in access logs.
  public var name = ""
  /// One of them is enough; none at all: every request.
  public var matches: [RequestMatch] = []
  public var requestHeaders = HeaderChanges()
  public var responseHeaders = HeaderChanges()
  public var redirect: Redirect?
  /// Every request is answered with this status by the sidecar itself.
  public var directResponse: Int?
  public var rewrite: Rewrite?
  public var mirrors: [Mirror] = []
  public var backends: [WeightedBackend] = []
  public var timeouts = Timeouts()
  public var retry: RetryPolicy?
  public var fault: FaultInjection?

  public init(backends: [WeightedBackend] = []) { self.backends = backends }
}

/// All that is given must hold.
public struct RequestMatch: Sendable, Equatable {
  public enum Path: Sendable, Equatable {
    case exact(String)
    /// Whole segments: `/a` is a prefix of `/a/b` and not of `/ab`.
    case prefix(String)
    case textPrefix(String)
    /// A POSIX extended regular expression that the whole path has to match.
    case expression(String)
  }

  public enum Text: Sendable, Equatable {
    case exact(String)
    case expression(String)
    case present
  }

  public struct Field: Sendable, Equatable {
    public var name: String
    public var value: Text

    public init(_ name: String, _ value: Text) {
      self.name = name
      self.value = value
    }
  }

  public var path: Path?
  public var method: String?
  public var headers: [Field] = []
  public var query: [Field] = []

  public init(
    path: Path? = nil, method: String? = nil, headers: [Field] = [], query: [Field] = []
  ) {
    self.path = path
    self.method = method
    self.headers = headers
    self.query = query
  }
}

public struct HeaderChanges: Sendable, Equatable {
  public struct Pair: Sendable, Equatable {
    public var name: String
    public var value: String

    public init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  public var set: [Pair] = []
  public var add: [Pair] = []
  public var remove: [String] = []

  public init(set: [Pair] = [], add: [Pair] = [], remove: [String] = []) {
    self.set = set
    self.add = add
    self.remove = remove
  }

  var isEmpty: Bool { self.set.isEmpty && add.isEmpty && remove.isEmpty }
}

public enum PathReplacement: Sendable, Equatable {
  case full(String)
  /// In place of the prefix that matched.
  case prefix(String)
}

public struct Redirect: Sendable, Equatable {
  public var scheme: String?
  public var host: String?
  public var port: UInt16?
  public var path: PathReplacement?
  public var status = 302

  public init(scheme: String? = nil, host: String? = nil, port: UInt16? = nil, path: PathReplacement? = nil) {
    self.scheme = scheme
    self.host = host
    self.port = port
    self.path = path
  }
}

public struct Rewrite: Sendable, Equatable {
  public var host: String?
  public var path: PathReplacement?

  public init(host: String? = nil, path: PathReplacement? = nil) {
    self.host = host
    self.path = path
  }
}

/// A copy of requests whose content fits into 64 KiB; its answer is thrown away.
public struct Mirror: Sendable, Equatable {
  public var cluster: String
  public var percent: Double

  public init(cluster: String, percent: Double = 100) {
    self.cluster = cluster
    self.percent = percent
  }
}

public struct WeightedBackend: Sendable, Equatable {
  public var cluster: String
  public var weight: Int
  /// Of requests that go there, after those of the rule.
  public var requestHeaders = HeaderChanges()
  public var responseHeaders = HeaderChanges()

  public init(_ cluster: String, weight: Int = 1) {
    self.cluster = cluster
    self.weight = weight
  }
}

/// Milliseconds; nil: no limit.
public struct Timeouts: Sendable, Equatable {
  /// The whole request with all its attempts.
  public var request: UInt64?
  /// One attempt, up to the head of its response.
  public var backendRequest: UInt64?

  public init(request: UInt64? = nil, backendRequest: UInt64? = nil) {
    self.request = request
    self.backendRequest = backendRequest
  }
}

public struct RetryPolicy: Sendable, Equatable {
  /// Beyond the first.
  public var attempts = 1
  /// Statuses after which an idempotent request is sent again.
  public var codes: Set<Int> = []
  /// Milliseconds before the first retry; doubled for each further one, with full jitter.
  public var backoff: UInt64 = 25
  /// How many retries there may be, in percent of the requests under way (at least three).
  public var budgetPercent: Double = 20

  public init(attempts: Int = 1, codes: Set<Int> = []) {
    self.attempts = attempts
    self.codes = codes
  }
}

public struct FaultInjection: Sendable, Equatable {
  /// Milliseconds.
  public var delay: UInt64 = 0
  public var delayPercent: Double = 0
  public var abortStatus = 503
  public var abortPercent: Double = 0

  public init() {}
}
