internal import FoundationEssentials
internal import Mesh
internal import SwiftProtobuf
internal import XDS

/// The kinds of resources that clients subscribe to (xDS v3 names), in the order in which a change must reach them so
/// that nothing ever points at what is not there yet.
public enum ResourceType: Int, Sendable, CaseIterable, Comparable {
  case cluster, endpoints, listener, routes, secret

  /// What stands in `type_url`, and in the `Any` around each resource.
  public var typeURL: String {
    switch self {
    case .cluster: "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    case .endpoints: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
    case .listener: "type.googleapis.com/envoy.config.listener.v3.Listener"
    case .routes: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
    case .secret: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
    }
  }

  /// The usual short names: CDS, EDS, LDS, RDS, SDS.
  public var shortName: String {
    switch self {
    case .cluster: "CDS"
    case .endpoints: "EDS"
    case .listener: "LDS"
    case .routes: "RDS"
    case .secret: "SDS"
    }
  }

  public init?(typeURL: String) {
    guard let found = Self.allCases.first(where: { $0.typeURL == typeURL }) else { return nil }
    self = found
  }

  /// The type of what resources of this type refer to; secrets, which every client finds by itself, aside.
  var referenced: ResourceType? {
    switch self {
    case .cluster: .endpoints
    case .listener: .routes
    case .routes: .cluster
    case .endpoints, .secret: nil
    }
  }

  /// State of the world: a response names every resource, and one that it leaves out is gone. Of the other types a
  /// response may hold only what has changed.
  public var absenceMeansRemoval: Bool { self == .cluster || self == .listener }

  public static func < (a: ResourceType, b: ResourceType) -> Bool { a.rawValue < b.rawValue }
}

/// One encoded resource.
struct Resource: Sendable, Equatable {
  let name: String
  let body: Google_Protobuf_Any
  /// Resources that a client who holds this one must ask for next: the endpoints of a cluster, the routes of a listener,
  /// the clusters of routes.
  let references: Set<String>
  /// Grows whenever the body changes.
  let revision: UInt64
  /// FNV-1a of the body: the same in every process.
  let digest: UInt64

  init(name: String, body: Google_Protobuf_Any, references: Set<String>, revision: UInt64) {
    self.name = name
    self.body = body
    self.references = references
    self.revision = revision
    var digest = ResourceVersion.Digest()
    digest.add(body.value)
    self.digest = digest.value
  }
}

/// Resources that every client with the same claim on them shares: encoded once, compared once.
final class ResourceGroup: Sendable {
  let resources: [String: Resource]
  /// What a client gets that asks for everything, by name.
  let wildcard: [String]

  init(_ resources: [String: Resource], wildcard: [String]) {
    self.resources = resources
    self.wildcard = wildcard
  }
}

/// What one client may see, at one generation of the model.
struct ResourceSnapshot: Sendable {
  /// Earlier groups hide resources of later ones that are called the same.
  var groups: [ResourceType: [ResourceGroup]] = [:]
  var generation: UInt64 = 0
  /// Something in it speaks TLS.
  var needsSecrets = false

  func resource(_ type: ResourceType, _ name: String) -> Resource? {
    for group in groups[type] ?? [] {
      if let found = group.resources[name] { return found }
    }
    return nil
  }

  func wildcard(_ type: ResourceType) -> [String] { (groups[type] ?? []).flatMap(\.wildcard) }
}

/// A message of one of the types, as it goes into a group.
protocol NamedResource: Message {
  var resourceName: String { get }
  var references: Set<String> { get }
}

extension EnvoyCluster: NamedResource {
  var resourceName: String { name }
  var references: Set<String> { type == .eds ? [edsClusterConfig.serviceName] : [] }
}

extension EnvoyClusterLoadAssignment: NamedResource {
  var resourceName: String { clusterName }
  var references: Set<String> { [] }
}

extension EnvoyListener: NamedResource {
  var resourceName: String { name }
  var references: Set<String> {
    let bodies = filterChains.flatMap(\.filters).map(\.typedConfig) + [apiListener.apiListener]
    let managers = bodies.filter { $0.isA(EnvoyHttpConnectionManager.self) }
      .compactMap { try? EnvoyHttpConnectionManager(serializedBytes: $0.value) }
    return Set(managers.map(\.rds.routeConfigName).filter { !$0.isEmpty })
  }
}

extension EnvoyRouteConfiguration: NamedResource {
  var resourceName: String { name }
  var references: Set<String> {
    let actions = virtualHosts.flatMap(\.routes).map(\.route)
    return Set(actions.flatMap { [$0.cluster] + $0.weightedClusters.clusters.map(\.name) }.filter { !$0.isEmpty })
  }
}

extension EnvoySecret: NamedResource {
  var resourceName: String { name }
  var references: Set<String> { [] }
}

extension Message {
  /// The message in an `Any`. Encoding a proto3 message fails only past 2 GiB, which no resource is.
  var packed: Google_Protobuf_Any {
    var options = BinaryEncodingOptions()
    options.useDeterministicOrdering = true  // equal resources must be equal bytes
    var any = Google_Protobuf_Any()
    any.typeURL = "type.googleapis.com/\(Self.protoMessageName)"
    any.value = (try? serializedBytes(options: options) as Data) ?? Data()
    return any
  }
}

extension Google_Protobuf_Duration {
  init(milliseconds: Int) {
    self.init()
    seconds = Int64(milliseconds / 1000)
    nanos = Int32(milliseconds % 1000) * 1_000_000
  }
}
