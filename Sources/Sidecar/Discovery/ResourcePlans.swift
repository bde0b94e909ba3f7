// Resources as a sidecar understands them: checked, free of protobuf, each by itself. What they refer to by name may not
// be there yet; `ResourceStore` says when all of it is.

/// What a listener's connections are for.
struct ListenerPlan: Equatable {
  enum Chains: Equatable {
    case outbound([OutboundChain])
    case inbound([InboundChain])
  }

  var name: String
  /// All of them with the same port.
  var addresses: [SocketAddress]
  var chains: Chains
  /// The cluster of connections that are for none of the chains; nil: they are refused.
  var passthrough: String?
  /// Of every chain that speaks TLS.
  var secrets: SecretNames?

  var routeNames: Set<String> {
    guard case .outbound(let chains) = chains else { return [] }
    return Set(
      chains.compactMap { chain in
        if case .routes(let name) = chain.target { name } else { nil }
      })
  }

  /// Clusters that it names itself.
  var clusterNames: Set<String> {
    var names = Set([passthrough].compactMap(\.self))
    switch chains {
    case .inbound(let chains): names.formUnion(chains.map(\.cluster))
    case .outbound(let chains):
      for chain in chains {
        if case .clusters(let backends) = chain.target { names.formUnion(backends.map(\.cluster)) }
      }
    }
    return names
  }
}

/// A service that the pod's processes reach by its virtual addresses.
struct OutboundChain: Equatable {
  enum Target: Equatable {
    /// A route configuration by name.
    case routes(String)
    /// TCP.
    case clusters([WeightedBackend])
  }

  var name: String
  var addresses: [SocketAddress]
  var applicationProtocol: ApplicationProtocol
  var target: Target
  var fault: FaultInjection?
}

/// A port of the pod.
struct InboundChain: Equatable {
  var name: String
  var port: UInt16
  var applicationProtocol: ApplicationProtocol
  var cluster: String
  var mutualTLS: InboundPort.MutualTLS
  var allowed: Set<String>?
  var rateLimit: RateLimit?
}

/// One route configuration, which is one service's.
struct RoutePlan: Equatable {
  var name: String
  var rules: [RouteRule]
  /// Cluster → the header field that its requests are hashed by, where it is one.
  var hashHeaders: [String: String] = [:]

  var clusterNames: Set<String> {
    Set(rules.flatMap { rule in rule.backends.map(\.cluster) + rule.mirrors.map(\.cluster) })
  }
}

struct ClusterPlan: Equatable {
  enum Discovery: Equatable {
    /// By EDS, under this name.
    case byName(String)
    case fixed([EndpointPlan])
    /// Where the connection was going anyway.
    case originalDestination
  }

  enum Security: Equatable {
    case none
    case every(TLSPlan)
    /// The endpoints whose metadata says so.
    case marked(TLSPlan)

    var plan: TLSPlan? {
      switch self {
      case .none: nil
      case .every(let plan), .marked(let plan): plan
      }
    }
  }

  /// Without endpoints and TLS.
  var cluster: Cluster
  var discovery: Discovery
  var security = Security.none
  /// Of the requests under way, those that may be retries.
  var retryPercent: Double?

  var endpointsName: String? {
    if case .byName(let name) = discovery { name } else { nil }
  }
}

struct TLSPlan: Equatable {
  var upstream: UpstreamTLS
  var secrets: SecretNames
}

/// The certificate and the roots that a TLS context names. A sidecar has one identity, so all name the same.
struct SecretNames: Hashable {
  var identity: String
  var roots: String
}

struct EndpointPlan: Equatable {
  var endpoint: Endpoint
  /// Its metadata says that it takes TLS.
  var isMarked: Bool
}

enum SecretPlan: Equatable {
  /// PEM.
  case identity(chain: [UInt8], privateKey: [UInt8])
  case roots([UInt8])
}
