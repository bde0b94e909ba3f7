internal import Mesh
internal import NetTypes
internal import SwiftProtobuf
internal import XDS

extension Lowering {
  /// The endpoints of every cluster, as near as BGP says they are.
  /// - Parameter costs: what each autonomous system costs from where the client stands.
  func endpoints(costs: [ASNumber: UInt32]) -> [EnvoyClusterLoadAssignment] {
    model.clusters.compactMap { assignment($0, costs, seenBy: nil) }
  }

  /// The same for the clusters that the pod belongs to. A pod's connection to itself never leaves by an interface, so
  /// its inbound listener does not see it: it goes to the application as it is, without TLS, on the loopback address.
  func endpoints(ofClustersWith pod: MeshPod) -> [EnvoyClusterLoadAssignment] {
    model.clusters.filter { $0.service == pod.service && ($0.version == nil || $0.version == pod.version) }
      .compactMap { assignment($0, model.pathCosts.row(of: pod.name), seenBy: pod.name) }
  }

  private func assignment(_ cluster: MeshCluster, _ costs: [ASNumber: UInt32], seenBy observer: String?)
    -> EnvoyClusterLoadAssignment?
  {
    guard let service = model.service(cluster.service) else { return nil }
    var assignment = EnvoyClusterLoadAssignment()
    assignment.clusterName = cluster.name
    let all = pods(of: cluster).filter { !$0.addresses.isEmpty }
    // What is ill is left out. Where everything is, all stay: a check that fails everywhere is more likely wrong than
    // every pod is dead, and a connection that fails says as much as none.
    let well = all.filter { $0.health != .unhealthy }
    let pods = well.isEmpty ? all : well
    let byZone = Dictionary(grouping: pods, by: \.autonomousSystem)
    func cost(_ system: ASNumber?) -> UInt32 {
      if costs.isEmpty || !service.policy.prefersNearest { return 0 }
      return system.flatMap { costs[$0] } ?? .max
    }
    // Priorities must be 0, 1, 2… without a gap, or clients refuse the assignment.
    let ranks = Set(byZone.keys.map(cost)).sorted()
    let zones = byZone.keys.sorted { (cost($0), $0?.rawValue ?? 0) < (cost($1), $1?.rawValue ?? 0) }
    assignment.endpoints = zones.map { system in
      var locality = EnvoyLocalityLbEndpoints()
      locality.locality.region = system.map { "as\($0.rawValue)" } ?? ""
      locality.priority = UInt32(ranks.firstIndex(of: cost(system)) ?? 0)
      let members = byZone[system] ?? []
      // gRPC ignores a locality without a weight.
      let able = members.count { $0.health == .healthy }
      locality.loadBalancingWeight = Google_Protobuf_UInt32Value(UInt32(max(able, 1)))
      locality.lbEndpoints = members.map { endpoint($0, service, isOwn: $0.name == observer) }
      return locality
    }
    return assignment
  }

  private func endpoint(_ pod: MeshPod, _ service: MeshService, isOwn: Bool) -> EnvoyLbEndpoint {
    var endpoint = EnvoyLbEndpoint()
    // The same way that the pod's inbound listener takes.
    let isLocal = isOwn && pod.sidecar != .none
    let address = isLocal ? IPAddress.v4(IPv4Address(rawValue: 0x7F00_0001)) : pod.addresses[0]
    endpoint.endpoint.address = Self.address(address, service.targetPort)
    endpoint.loadBalancingWeight = Google_Protobuf_UInt32Value(1)
    switch pod.health {
    case .healthy: endpoint.healthStatus = .healthy
    // In a panic only.
    case .unhealthy: endpoint.healthStatus = .unknown
    case .draining: endpoint.healthStatus = .draining
    }
    if model.mutualTLS != .off, model.speaksTLS, pod.sidecar != .none, !isOwn {
      var fields = Google_Protobuf_Struct()
      fields.fields[Self.takesTLS] = Google_Protobuf_Value(boolValue: true)
      endpoint.metadata.filterMetadata[Self.matchKey] = fields
    }
    if let version = pod.version {
      var fields = Google_Protobuf_Struct()
      fields.fields["version"] = Google_Protobuf_Value(stringValue: version)
      endpoint.metadata.filterMetadata[Self.labelKey] = fields
    }
    return endpoint
  }
}
