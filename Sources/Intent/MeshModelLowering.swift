public import Mesh
internal import NetTypes
public import Topology

extension ResolvedLab {
  /// What the control plane of the mesh is to know, all pods in health; nil: the file has none.
  public func meshModel() -> MeshModel? {
    guard let mesh else { return nil }
    return MeshModel(
      trustDomain: name, mutualTLS: mesh.mutualTLS.lowered, pods: nodes.compactMap(meshPod),
      services: mesh.services.map { $0.lowered }, routes: mesh.routes.map(\.route),
      authorization: mesh.authorizations.map { AuthorizationRule(to: $0.to, allow: $0.allowed) })
  }

  private func meshPod(_ node: ResolvedNode) -> MeshPod? {
    guard let pod = node.pod else { return nil }
    let addresses = [AddressFamily.ipv4, .ipv6].compactMap { family in
      node.interfaces.lazy.compactMap { $0.address(family) }.first
    }
    return MeshPod(
      name: node.name, addresses: addresses, autonomousSystem: entrance(of: node)?.asn, service: pod.service,
      version: pod.version, sidecar: pod.sidecar.lowered)
  }

  /// The router by which a pod reaches the rest of the lab, whose autonomous system it stands in.
  public func entrance(of node: ResolvedNode) -> ResolvedNode? {
    let routers = node.interfaces.lazy.flatMap { interface -> [ResolvedNode] in
      let names =
        interface.segment.map { segments[$0].members.map(\.node) } ?? [interface.farNode]
      return names.compactMap { self.node($0) }.filter(\.kind.forwards)
    }
    return routers.first { $0.asn != nil } ?? routers.first
  }
}

extension MeshSettings.MutualTLS {
  fileprivate var lowered: MutualTLS {
    switch self {
    case .strict: .strict
    case .permissive: .permissive
    case .off: .off
    }
  }
}

extension PodSettings.Sidecar {
  fileprivate var lowered: SidecarKind {
    switch self {
    case .netloom: .netloom
    case .envoy: .envoy
    case .none: .none
    }
  }
}

extension Topology.MeshService {
  fileprivate var lowered: Mesh.MeshService {
    var result = Mesh.MeshService(
      name: name, addresses: addresses, port: port, targetPort: target, protocol: applicationProtocol.lowered,
      policy: policy, isAnnounced: !announcedBy.isEmpty)
    result.split = split
    return result
  }
}
