/// What `GET /v1/mesh/tap` shows: what is not given matches all.
public struct MeshTapQuery: Codable, Sendable, Equatable {
  /// A pod or a service that asks.
  public var from: String?
  /// A service, or the pod that answers.
  public var to: String?
  /// Whole segments from the beginning of the path.
  public var path: String?
  public var method: String?
  /// A status, or a class of them as `5xx`.
  public var status: String?
  public init(
    from: String? = nil, to: String? = nil, path: String? = nil, method: String? = nil, status: String? = nil
  ) {
    self.from = from
    self.to = to
    self.path = path
    self.method = method
    self.status = status
  }
}

/// One request (of services of protocol `tcp`: connection) that has crossed a sidecar and come to its end.
public struct MeshTapEvent: Codable, Sendable, Equatable {
  /// Nanoseconds since 1970 of its end.
  public var at: UInt64
  /// The pod that asked, or its identity, or its address, whichever is known.
  public var from: String
  /// The service.
  public var to: String
  /// The pod that was asked; absent: none was reached.
  public var pod: String?
  /// ADDRESS:PORT of it.
  public var endpoint: String?
  public var version: String?
  /// http | http2 | grpc | tcp
  public var proto: String
  public var method: String?
  public var authority: String?
  /// With its query.
  public var path: String?
  /// 0: the client went away before there was an answer; absent for tcp.
  public var status: Int?
  public var ms: Double
  public var bytesToServer: UInt64
  public var bytesToClient: UInt64
  /// How often it was sent; absent for tcp.
  public var attempts: Int?
  /// `HOP; REASON` where a sidecar answered itself.
  public var refused: String?
  /// SPIFFE identities, as far as TLS has shown them.
  public var client: String?
  public var server: String?
  /// Of W3C Trace Context.
  public var trace: String?
  /// `client` or `server`: whose sidecar tells it. A server's tells it only where the client's does not.
  public var reporter: String

  public init(at: UInt64, from: String, to: String, proto: String, ms: Double, reporter: String) {
    self.at = at
    self.from = from
    self.to = to
    self.proto = proto
    self.ms = ms
    self.reporter = reporter
    bytesToServer = 0
    bytesToClient = 0
  }
}

/// What the stream carries, by the name of its server-sent event.
public enum MeshTapItem: Sendable, Equatable {
  /// `request`
  case request(MeshTapEvent)
  /// `dropped`
  case dropped(MeshTapLoss)
  /// `absent`
  case absent(MeshTapAbsence)
  /// A comment: nothing happens, and everybody is still there.
  case quiet
}

/// So many requests were not shown, because a sidecar (`pod`) or the controller (no `pod`) had no room for them.
public struct MeshTapLoss: Codable, Sendable, Equatable {
  public var pod: String?
  public var count: UInt64
  public init(pod: String? = nil, count: UInt64) {
    self.pod = pod
    self.count = count
  }
}

/// A sidecar that cannot be tapped at present; it is asked again each second.
public struct MeshTapAbsence: Codable, Sendable, Equatable {
  public var pod: String
  public var reason: String
  public init(pod: String, reason: String) {
    self.pod = pod
    self.reason = reason
  }
}
