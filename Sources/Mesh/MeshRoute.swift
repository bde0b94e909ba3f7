/// What one HTTPRoute or GRPCRoute says, free of its syntax.
public struct MeshRoute: Sendable, Equatable {
  public enum Kind: String, Sendable { case http = "HTTPRoute", grpc = "GRPCRoute" }

  public var kind: Kind
  public var name: String
  /// The services whose requests it routes.
  public var services: [String]
  public var rules: [RouteRule]

  public init(kind: Kind, name: String, services: [String], rules: [RouteRule]) {
    self.kind = kind
    self.name = name
    self.services = services
    self.rules = rules
  }
}

public struct RouteRule: Sendable, Equatable {
  /// One of them suffices; empty: every request.
  public var matches: [RequestMatch] = []
  public var requestHeaders = HeaderChange()
  public var responseHeaders = HeaderChange()
  public var redirect: Redirect?
  public var rewrite: Rewrite?
  public var mirrors: [Mirror] = []
  public var backends: [Backend] = []
  /// The whole request, milliseconds; nil or 0: no limit.
  public var requestTimeout: Int?
  /// One attempt, milliseconds; nil or 0: no limit.
  public var backendTimeout: Int?
  public var retry: Retry?

  public init() {}
}

/// What a request must be like; everything that is given must hold.
public struct RequestMatch: Sendable, Equatable {
  public enum Path: Sendable, Equatable {
    case exact(String)
    /// By whole segments: `/a` matches `/a` and `/a/b`, never `/ab`. No slash at its end except in `/`.
    case prefix(String)
    /// RE2 syntax; the whole path must match.
    case regularExpression(String)
    /// nil: any.
    case grpc(service: String?, method: String?)
    case grpcExpression(service: String?, method: String?)
  }

  public var path: Path?
  /// An HTTP method.
  public var method: String?
  public var headers: [NamedMatch] = []
  public var query: [NamedMatch] = []

  public init() {}
}

/// A header field or query parameter with the value that it must have.
public struct NamedMatch: Sendable, Equatable {
  public var name: String
  public var value: String
  public var isExpression: Bool

  public init(name: String, value: String, isExpression: Bool = false) {
    self.name = name
    self.value = value
    self.isExpression = isExpression
  }
}

/// Header fields replaced, added and taken away, in the order set, add, remove.
public struct HeaderChange: Sendable, Equatable {
  public struct Field: Sendable, Equatable {
    public var name: String
    public var value: String

    public init(name: String, value: String) {
      self.name = name
      self.value = value
    }
  }

  public var set: [Field] = []
  public var add: [Field] = []
  public var remove: [String] = []

  public init() {}

  public var isEmpty: Bool { self.set.isEmpty && add.isEmpty && remove.isEmpty }
}

/// What becomes of a request's path.
public enum PathReplacement: Sendable, Equatable {
  case fullPath(String)
  /// In place of the prefix that the rule's match names.
  case prefix(String)

  /// `/a/` matches what `/a` does (HTTPPathMatch, PathPrefix).
  public static func trimmed(_ prefix: String) -> String {
    prefix.count > 1 && prefix.hasSuffix("/") ? String(prefix.dropLast()) : prefix
  }
}

/// The answer is another address (Gateway API HTTPRequestRedirectFilter).
public struct Redirect: Sendable, Equatable {
  public var scheme: String?
  public var hostname: String?
  public var path: PathReplacement?
  public var port: UInt16?
  /// 301, 302, 303, 307 or 308.
  public var status = 302

  public init() {}
}

public struct Rewrite: Sendable, Equatable {
  public var hostname: String?
  public var path: PathReplacement?

  public init() {}
}

/// Copies of requests go to a cluster; its answers are thrown away.
public struct Mirror: Sendable, Equatable {
  public var cluster: String
  /// Of a million requests.
  public var perMillion: UInt32 = 1_000_000

  public init(cluster: String) { self.cluster = cluster }
}

public struct Backend: Sendable, Equatable {
  /// SERVICE or SERVICE-VERSION.
  public var cluster: String
  public var weight: Int = 1
  public var requestHeaders = HeaderChange()
  public var responseHeaders = HeaderChange()

  public init(cluster: String, weight: Int = 1) {
    self.cluster = cluster
    self.weight = weight
  }
}

public struct Retry: Sendable, Equatable {
  /// HTTP status codes worth another attempt; a connection that fails is one always.
  public var codes: [Int] = []
  /// Attempts after the first.
  public var attempts = 1
  /// Milliseconds before the first of them.
  public var backoff: Int?

  public init() {}
}
