/// `GET /v1/mesh`.
public struct MeshStatus: Codable, Sendable, Equatable {
  public var mtls: String
  public var services: [MeshServiceStatus]
  public var sidecars: [SidecarStatus]
  /// Every sidecar of the mesh is connected and works with the newest configuration.
  public var converged: Bool
  public init(mtls: String, services: [MeshServiceStatus], sidecars: [SidecarStatus], converged: Bool) {
    self.mtls = mtls
    self.services = services
    self.sidecars = sidecars
    self.converged = converged
  }
}

/// The mesh in `GET /v1/status`.
public struct MeshSummary: Codable, Sendable, Equatable {
  public var mtls: String
  /// Every sidecar that should run has acknowledged the newest version of every type.
  public var converged: Bool
  /// How many there are, and how many of them are current.
  public var sidecars: Int
  public var current: Int
  /// `POD: WHY`, those of stopped pods left out.
  public var lagging: [String]
  public var services: [MeshServiceStatus]
  public init(
    mtls: String, converged: Bool, sidecars: Int, current: Int, lagging: [String], services: [MeshServiceStatus]
  ) {
    self.mtls = mtls
    self.converged = converged
    self.sidecars = sidecars
    self.current = current
    self.lagging = lagging
    self.services = services
  }
}

public struct MeshServiceStatus: Codable, Sendable, Equatable {
  public var name: String
  public var addresses: [String]
  public var port: UInt16
  public var target: UInt16
  /// http | http2 | grpc | tcp
  public var proto: String
  public var pods: [MeshPodStatus]
  /// Version to weight, where `mesh split` has set them.
  public var split: [String: Int]
  public init(
    name: String, addresses: [String], port: UInt16, target: UInt16, proto: String, pods: [MeshPodStatus],
    split: [String: Int]
  ) {
    self.name = name
    self.addresses = addresses
    self.port = port
    self.target = target
    self.proto = proto
    self.pods = pods
    self.split = split
  }
}

public struct MeshPodStatus: Codable, Sendable, Equatable {
  public var name: String
  public var addresses: [String]
  public var version: String?
  public var healthy: Bool
  public init(name: String, addresses: [String], version: String?, healthy: Bool) {
    self.name = name
    self.addresses = addresses
    self.version = version
    self.healthy = healthy
  }
}

/// One xDS client.
public struct SidecarStatus: Codable, Sendable, Equatable {
  public var pod: String
  /// netloom | envoy | none (a gRPC program of its own)
  public var sidecar: String
  /// How it calls itself; nil: not connected.
  public var agent: String?
  /// current | pending | refused | absent
  public var state: String
  public var types: [SidecarType]
  public init(pod: String, sidecar: String, agent: String?, state: String, types: [SidecarType]) {
    self.pod = pod
    self.sidecar = sidecar
    self.agent = agent
    self.state = state
    self.types = types
  }
}

public struct SidecarType: Codable, Sendable, Equatable {
  /// CDS | EDS | LDS | RDS | SDS
  public var type: String
  /// Version sent last and acknowledged last; empty: none yet.
  public var sent: String
  public var acknowledged: String
  /// Nanoseconds since 1970; 0: never.
  public var sentAt: UInt64
  public var acknowledgedAt: UInt64
  /// Why it refused what was sent last (NACK).
  public var refusal: String?
  public var refusals: Int
  public var resources: Int
  public init(
    type: String, sent: String, acknowledged: String, sentAt: UInt64, acknowledgedAt: UInt64, refusal: String?,
    refusals: Int, resources: Int
  ) {
    self.type = type
    self.sent = sent
    self.acknowledged = acknowledged
    self.sentAt = sentAt
    self.acknowledgedAt = acknowledgedAt
    self.refusal = refusal
    self.refusals = refusals
    self.resources = resources
  }
}

/// `POST /v1/mesh/split`: weights by version, in place of those of the routes.
public struct MeshSplitRequest: Codable, Sendable, Equatable {
  public var service: String
  public var weights: [String: Int]
  public init(service: String, weights: [String: Int]) {
    self.service = service
    self.weights = weights
  }
}

/// How far a change of the mesh has come when the answer is given: every connected sidecar has answered, or time is up.
public struct MeshChange: Codable, Sendable, Equatable {
  /// Sidecars that work with it.
  public var current: Int
  /// `POD: TYPE: REASON`; they keep what they had.
  public var refused: [String]
  /// Sidecars that have not answered in time.
  public var lagging: [String]
  /// Pods whose sidecar is not connected.
  public var absent: [String]
  /// From the change to the last answer.
  public var ms: Double
  public init(current: Int, refused: [String], lagging: [String], absent: [String], ms: Double) {
    self.current = current
    self.refused = refused
    self.lagging = lagging
    self.absent = absent
    self.ms = ms
  }
}

/// `POST /v1/mesh/explain`.
public struct MeshExplainRequest: Codable, Sendable, Equatable {
  /// A pod.
  public var from: String
  /// A service.
  public var to: String
  /// GET unless written.
  public var method: String?
  /// `/` unless written.
  public var path: String?
  public var headers: [String: String]?
  public init(
    from: String, to: String, method: String? = nil, path: String? = nil, headers: [String: String]? = nil
  ) {
    self.from = from
    self.to = to
    self.method = method
    self.path = path
    self.headers = headers
  }
}

public struct MeshExplanation: Codable, Sendable, Equatable {
  /// What becomes of the request, a sentence each, in the order in which it happens.
  public var steps: [String]
  /// Allowed by identity and by what stands.
  public var served: Bool
  public var endpoints: [MeshEndpoint]
  public init(steps: [String], served: Bool, endpoints: [MeshEndpoint]) {
    self.steps = steps
    self.served = served
    self.endpoints = endpoints
  }
}

/// Where the request may end.
public struct MeshEndpoint: Codable, Sendable, Equatable {
  public var pod: String
  public var address: String
  public var version: String?
  /// Per cent of the requests that match, before health and load.
  public var share: Double
  public var locality: String?
  /// 0 is nearest.
  public var priority: Int
  public var healthy: Bool
  /// The network under it, seen from packets: `trace` from the pod to the endpoint.
  public var path: Trace?
  public init(
    pod: String, address: String, version: String?, share: Double, locality: String?, priority: Int, healthy: Bool,
    path: Trace?
  ) {
    self.pod = pod
    self.address = address
    self.version = version
    self.share = share
    self.locality = locality
    self.priority = priority
    self.healthy = healthy
    self.path = path
  }
}
