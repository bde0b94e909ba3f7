public import Mesh
internal import NetTypes
public import Topology

extension ResolvedLab {
  /// What the control plane of the mesh is to know, all pods in health; nil: the file has none. What is wrong with the
  /// manifests of its routes comes with their places, and those routes are left out.
  public func meshModel() -> (model: MeshModel, problems: [Diagnostic])? {
    guard let mesh else { return nil }
    var model = MeshModel(
      trustDomain: name, mutualTLS: mesh.mutualTLS.lowered, pods: nodes.compactMap(meshPod),
      services: mesh.services.map { $0.lowered },
      authorization: mesh.authorizations.map { AuthorizationRule(to: $0.to, allow: $0.allowed) })
    let reader = RouteReader(model)
    var problems: [Diagnostic] = []
    for manifest in mesh.routes {
      let (route, errors) = reader.read(ManifestValue(manifest.root))
      if let route { model.routes.append(route) }
      let file = manifest.root.place.file
      problems += errors.map { error in
        Diagnostic(
          place: Place(file: file, line: error.line, column: error.column), severity: .error,
          message: error.description)
      }
    }
    return (model, problems)
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
    let service: ServiceProtocol =
      switch applicationProtocol {
      case .http: .http
      case .http2: .http2
      case .grpc: .grpc
      case .tcp: .tcp
      }
    return Mesh.MeshService(
      name: name, addresses: addresses, port: port, targetPort: target, protocol: service,
      isAnnounced: !announcedBy.isEmpty)
  }
}

extension ManifestValue {
  fileprivate init(_ value: Topology.Manifest.Value) {
    switch value {
    case .scalar(let text, let plain, let place):
      self.init(plain ? Self.meaning(text) : .string(text), line: place.line, column: place.column)
    case .list(let items, let place):
      self.init(.list(items.map { ManifestValue($0) }), line: place.line, column: place.column)
    case .mapping(let entries, let place):
      self.init(
        .map(entries.map { ($0.key, ManifestValue($0.value)) }), line: place.line, column: place.column)
    }
  }

  /// YAML's core schema (1.2.2, section 10.3.2) for a scalar without quotes.
  private static func meaning(_ text: String) -> Content {
    switch text {
    case "", "~", "null", "Null", "NULL": .null
    case "true", "True", "TRUE": .boolean(true)
    case "false", "False", "FALSE": .boolean(false)
    default:
      if let number = Int(text) {
        .integer(number)
      } else if text.contains(where: \.isNumber), let number = Double(text), number.isFinite {
        .number(number)
      } else {
        .string(text)
      }
    }
  }
}

extension Topology.Manifest.Value {
  public var place: Place {
    switch self {
    case .scalar(_, _, let place), .list(_, let place), .mapping(_, let place): place
    }
  }
}
