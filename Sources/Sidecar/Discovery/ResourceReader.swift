import SwiftProtobuf
import XDS

extension ResourceStore {
  /// Reads a response's resources and takes them all, or none of them.
  /// - Throws: `ResourceError`, of which the path begins with the kind and name of the resource.
  mutating func take(_ resources: [Google_Protobuf_Any], _ kind: ResourceKind) throws(ResourceError) {
    guard resources.count <= Self.most else { throw ResourceError("resources", "are more than \(Self.most)") }
    switch kind {
    case .cluster:
      try replaceClusters(
        try Self.read(resources, kind, \EnvoyCluster.name) { (source) throws(ResourceError) in
          try ClusterReader.read(source)
        })
    case .listener:
      try replaceListeners(
        try Self.read(resources, kind, \EnvoyListener.name) { (source) throws(ResourceError) in
          try ListenerReader.read(source)
        })
    case .endpoints:
      try merge(
        try Self.read(resources, kind, \EnvoyClusterLoadAssignment.clusterName) { (source) throws(ResourceError) in
          try ClusterReader.read(source) as [EndpointPlan]
        })
    case .routes:
      try merge(
        try Self.read(resources, kind, \EnvoyRouteConfiguration.name) { (source) throws(ResourceError) in
          try RouteReader.read(source)
        })
    case .secret:
      try merge(
        try Self.read(resources, kind, \EnvoySecret.name) { (source) throws(ResourceError) in
          try TLSReader.secret(source)
        })
    }
  }

  private static let most = 100_000

  private static func read<Source: Message, Plan>(
    _ resources: [Google_Protobuf_Any], _ kind: ResourceKind, _ name: KeyPath<Source, String>,
    _ body: (Source) throws(ResourceError) -> Plan
  ) throws(ResourceError) -> [NamedPlan<Plan>] {
    var plans: [NamedPlan<Plan>] = []
    plans.reserveCapacity(resources.count)
    for (index, any) in resources.enumerated() {
      guard any.isA(Source.self), let source = try? Source(serializedBytes: any.value) else {
        throw ResourceError("resources[\(index)]", "is no \(Source.protoMessageName)")
      }
      let label = source[keyPath: name]
      do throws(ResourceError) {
        try FieldCheck.check(source, "")
        plans.append(NamedPlan(name: label, plan: try body(source)))
      } catch {
        throw ResourceError("\(kind.word) \(label.prefix(200))", error.description)
      }
    }
    return plans
  }
}
