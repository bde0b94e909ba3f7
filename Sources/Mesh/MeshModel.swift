// What a mesh is, before it becomes resources of any client: pods, services, routes and rules. Plain values: the
// embedding process makes a new model from the lab's file and from what it observes, and gives it to `XDSServer.apply`.
public import NetTypes

/// What the control plane knows of one mesh.
public struct MeshModel: Sendable, Equatable {
  /// The SPIFFE trust domain of every identity: the lab's name.
  public var trustDomain: String
  public var mutualTLS: MutualTLS
  /// False: sidecars take TLS and do not speak it yet, or no more (`MutualTLSTransition`). Only with `permissive`.
  public var speaksTLS = true
  public var pods: [MeshPod]
  public var services: [MeshService]
  /// In the order of the files they come from, which decides between routes that are equally specific.
  public var routes: [MeshRoute]
  public var authorization: [AuthorizationRule]
  public var pathCosts: PathCosts
  /// Weights per service and version that stand in place of those in its routes.
  public var splits: [String: [String: Int]]

  public init(
    trustDomain: String, mutualTLS: MutualTLS = .strict, pods: [MeshPod] = [], services: [MeshService] = [],
    routes: [MeshRoute] = [], authorization: [AuthorizationRule] = [], pathCosts: PathCosts = PathCosts(),
    splits: [String: [String: Int]] = [:]
  ) {
    self.trustDomain = trustDomain
    self.mutualTLS = mutualTLS
    self.pods = pods
    self.services = services
    self.routes = routes
    self.authorization = authorization
    self.pathCosts = pathCosts
    self.splits = splits
  }
}

/// Whether sidecars speak TLS to each other.
public enum MutualTLS: String, Sendable {
  /// Plain text is refused.
  case strict
  /// TLS wherever both ends have a sidecar; plain text is taken too.
  case permissive
  case off
}

/// What stands beside the application of a pod.
public enum SidecarKind: String, Sendable {
  case netloom, envoy
  /// No proxy: the application is an xDS client itself (proxyless gRPC), or none at all.
  case none
}

/// Whether a pod is given requests.
public enum PodHealth: Sendable {
  case healthy, unhealthy
  /// Keeps the connections that it has and gets no new ones.
  case draining
}

/// One pod: a node of the lab that runs an application, most often behind a sidecar.
public struct MeshPod: Sendable, Equatable {
  public var name: String
  public var addresses: [IPAddress]
  /// The autonomous system that the pod stands in; the locality of its endpoints.
  public var autonomousSystem: ASNumber?
  public var service: String?
  public var version: String?
  public var sidecar: SidecarKind
  public var health: PodHealth

  public init(
    name: String, addresses: [IPAddress], autonomousSystem: ASNumber? = nil, service: String? = nil,
    version: String? = nil, sidecar: SidecarKind = .netloom, health: PodHealth = .healthy
  ) {
    self.name = name
    self.addresses = addresses
    self.autonomousSystem = autonomousSystem
    self.service = service
    self.version = version
    self.sidecar = sidecar
    self.health = health
  }

  /// The account in the pod's SPIFFE identity: its service's name, its own where it has no service.
  public var account: String { service ?? name }
}

/// What a service's port carries. Nothing is ever guessed from the first bytes.
public enum ServiceProtocol: String, Sendable {
  case http, http2, grpc
  /// Opaque bytes.
  case tcp

  /// Whether HTTP routes apply.
  public var isHTTP: Bool { self != .tcp }
}

public struct MeshService: Sendable, Equatable {
  public var name: String
  /// Virtual addresses: clients dial them, a sidecar catches it.
  public var addresses: [IPAddress]
  public var port: UInt16
  /// The port that the application listens on.
  public var targetPort: UInt16
  public var `protocol`: ServiceProtocol
  public var policy: ServicePolicy
  /// Routers lead its addresses to its pods, so connections come for `port` too.
  public var isAnnounced: Bool
  /// Version → weight, in place of what its routes say; a split of `MeshModel.splits` goes before it.
  public var split: [String: Int] = [:]

  public init(
    name: String, addresses: [IPAddress], port: UInt16, targetPort: UInt16, protocol: ServiceProtocol = .tcp,
    policy: ServicePolicy = ServicePolicy(), isAnnounced: Bool = false
  ) {
    self.isAnnounced = isAnnounced
    self.name = name
    self.addresses = addresses
    self.port = port
    self.targetPort = targetPort
    self.protocol = `protocol`
    self.policy = policy
  }
}

/// Who may call a service. A service without a rule takes everyone; with several, whoever one of them names.
public struct AuthorizationRule: Sendable, Equatable {
  public var service: String
  /// Accounts: names of services, or of pods without one.
  public var allowed: [String]

  public init(to service: String, allow allowed: [String]) {
    self.service = service
    self.allowed = allowed
  }
}

/// What it costs to reach an autonomous system from a pod, as BGP chose the path there: less is nearer. The unit is
/// the caller's own (the length of the AS path serves well); only order and equality count.
public struct PathCosts: Sendable, Equatable {
  private var rows: [String: [ASNumber: UInt32]] = [:]

  public init() {}

  public subscript(pod: String, system: ASNumber) -> UInt32? {
    get { rows[pod]?[system] }
    set { rows[pod, default: [:]][system] = newValue }
  }

  /// The costs from one pod; empty where nothing is known, which makes all endpoints equally near.
  public func row(of pod: String) -> [ASNumber: UInt32] { rows[pod] ?? [:] }
}

// MARK: - What follows from the model

/// A set of endpoints that routes can name: a service, or one version of it.
public struct MeshCluster: Sendable, Equatable {
  /// SERVICE or SERVICE-VERSION.
  public var name: String
  public var service: String
  /// nil: every version.
  public var version: String?
}

extension MeshModel {
  public func service(_ name: String) -> MeshService? { services.first { $0.name == name } }

  /// The versions that pods of the service have, in order of name.
  public func versions(of service: String) -> [String] {
    Set(pods.filter { $0.service == service }.compactMap(\.version)).sorted()
  }

  /// Every service, and every version of it as `SERVICE-VERSION`. A service of the file wins over a version that
  /// would be called the same.
  public var clusters: [MeshCluster] {
    let names = Set(services.map(\.name))
    return services.flatMap { service in
      [MeshCluster(name: service.name, service: service.name, version: nil)]
        + versions(of: service.name).compactMap { version in
          let name = "\(service.name)-\(version)"
          return names.contains(name) ? nil : MeshCluster(name: name, service: service.name, version: version)
        }
    }
  }

  /// The pods behind a cluster, in the order of the model.
  public func pods(of cluster: MeshCluster) -> [MeshPod] {
    pods.filter { $0.service == cluster.service && (cluster.version == nil || $0.version == cluster.version) }
  }

  /// The weights in force beside those of the routes; nil: none.
  public func split(of name: String) -> [String: Int]? {
    if let split = splits[name] { return split }
    return service(name).flatMap { $0.split.isEmpty ? nil : $0.split }
  }

  /// The backends of a rule, with the weights that stand in place of the file's where the rule divides the service
  /// among its own versions. Zero weights are left out.
  public func weighted(_ backends: [Backend], of service: String) -> [Backend] {
    guard let split = split(of: service), !backends.isEmpty else { return backends.filter { $0.weight > 0 } }
    let versions = clusters.filter { $0.service == service }
    guard backends.allSatisfy({ backend in versions.contains { $0.name == backend.cluster } }) else {
      return backends.filter { $0.weight > 0 }
    }
    return versions.compactMap { cluster in
      guard let version = cluster.version, let weight = split[version], weight > 0 else { return nil }
      var backend =
        backends.first { $0.cluster == cluster.name } ?? backends.first { $0.cluster == service }
        ?? Backend(cluster: cluster.name)
      backend.cluster = cluster.name
      backend.weight = weight
      return backend
    }
  }
}
