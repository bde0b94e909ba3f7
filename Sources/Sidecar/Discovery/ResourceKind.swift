/// The kinds of resources that a sidecar asks its control plane for (xDS v3), in the order in which they refer to each
/// other. They come by the aggregated stream; of each kind a response holds some or all.
enum ResourceKind: Int, CaseIterable, Comparable, Sendable {
  case cluster, endpoints, listener, routes, secret

  /// The name of the message in each resource's `Any`.
  var messageName: String {
    switch self {
    case .cluster: "envoy.config.cluster.v3.Cluster"
    case .endpoints: "envoy.config.endpoint.v3.ClusterLoadAssignment"
    case .listener: "envoy.config.listener.v3.Listener"
    case .routes: "envoy.config.route.v3.RouteConfiguration"
    case .secret: "envoy.extensions.transport_sockets.tls.v3.Secret"
    }
  }

  /// What stands in `type_url`.
  var typeURL: String { "type.googleapis.com/\(messageName)" }

  init?(typeURL: String) {
    guard let found = ResourceKind.allCases.first(where: { $0.typeURL == typeURL }) else { return nil }
    self = found
  }

  /// A word for people.
  var word: String {
    switch self {
    case .cluster: "cluster"
    case .endpoints: "endpoints"
    case .listener: "listener"
    case .routes: "routes"
    case .secret: "secret"
    }
  }

  /// Asked for without names: all there are. What a response leaves out is gone ("xDS REST and gRPC protocol",
  /// Wildcard subscriptions and "Deleting resources"). The others are asked for by the names that these mention.
  var isWildcard: Bool { self == .cluster || self == .listener }

  static func < (one: ResourceKind, other: ResourceKind) -> Bool { one.rawValue < other.rawValue }
}
