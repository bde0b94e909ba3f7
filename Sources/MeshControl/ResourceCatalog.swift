// The resources of one model for every kind of client. Clients with the same claim share a group, which is lowered and
// encoded once per change, however many they are; a resource whose bytes stay the same keeps its revision, so that
// nobody is sent what they have.
internal import Mesh
internal import NetTypes
internal import SwiftProtobuf
internal import XDS

struct ResourceCatalog {
  private enum GroupKey: Hashable {
    case clusters(Dialect)
    case listeners(Dialect)
    case routes(Dialect)
    /// The service behind the inbound listener of a pod; nil: none.
    case inboundListener(String?)
    case inboundCluster(String)
    case endpoints([ASNumber: UInt32])
    case ownEndpoints(String)
    case secrets(String)

    /// Whether a change of routes or weights alone leaves the group as it was.
    var isFreeOfRoutes: Bool {
      switch self {
      case .listeners, .routes: false
      default: true
      }
    }
  }

  private(set) var model: MeshModel
  private(set) var generation: UInt64 = 0
  private var lowering: Lowering
  private var secrets: [String: [EnvoySecret]] = [:]
  private var podsByName: [String: MeshPod] = [:]
  /// Groups of this generation, and of the one before to compare with.
  private var current: [GroupKey: ResourceGroup] = [:]
  private var previous: [GroupKey: ResourceGroup] = [:]

  init(_ model: MeshModel) {
    self.model = model
    lowering = Lowering(model)
    podsByName = Self.index(model)
  }

  private static func index(_ model: MeshModel) -> [String: MeshPod] {
    Dictionary(model.pods.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// Takes a new model. What the change cannot have touched is kept as it is.
  mutating func update(_ new: MeshModel) {
    let onlyRoutes = Self.withoutRoutes(new) == Self.withoutRoutes(model)
    advance { key in onlyRoutes && key.isFreeOfRoutes }
    model = new
    lowering = Lowering(new)
    podsByName = Self.index(new)
    secrets = secrets.filter { podsByName[$0.key] != nil }
  }

  /// Takes new certificates of a pod.
  mutating func update(secrets new: [EnvoySecret], ofPod pod: String) {
    secrets[pod] = new
    generation += 1
    previous[.secrets(pod)] = current.removeValue(forKey: .secrets(pod))
  }

  /// Goes on counting where another control plane, before this one, had come to.
  mutating func count(from generation: UInt64) { self.generation = max(self.generation, generation) }

  private mutating func advance(keeping isKept: (GroupKey) -> Bool) {
    generation += 1
    // Groups that nobody asked for since the last change are forgotten; at worst they are sent again.
    previous = current
    current = current.filter { isKept($0.key) }
  }

  private static func withoutRoutes(_ model: MeshModel) -> MeshModel {
    var copy = model
    copy.routes = []
    copy.splits = [:]
    return copy
  }

  func pod(_ name: String) -> MeshPod? { podsByName[name] }

  /// What a pod's client may see now; nil for a pod that is not in the mesh.
  mutating func snapshot(ofPod name: String, _ dialect: Dialect) -> ResourceSnapshot? {
    guard let pod = podsByName[name] else { return nil }
    var snapshot = ResourceSnapshot()
    snapshot.generation = generation
    snapshot.groups[.cluster] = [group(.clusters(dialect))]
    snapshot.groups[.listener] = [group(.listeners(dialect))]
    snapshot.groups[.routes] = [group(.routes(dialect))]
    snapshot.groups[.endpoints] = [group(.endpoints(model.pathCosts.row(of: name)))]
    let service = pod.service.flatMap { model.service($0) }?.name
    if service != nil { snapshot.groups[.endpoints]?.insert(group(.ownEndpoints(name)), at: 0) }
    if dialect == .sidecar {
      snapshot.groups[.listener]?.append(group(.inboundListener(service)))
      if let service { snapshot.groups[.cluster]?.append(group(.inboundCluster(service))) }
      snapshot.groups[.secret] = [group(.secrets(name))]
      snapshot.needsSecrets =
        model.mutualTLS != .off && (service != nil || model.speaksTLS && !model.services.isEmpty)
    }
    return snapshot
  }

  private mutating func group(_ key: GroupKey) -> ResourceGroup {
    if let found = current[key] { return found }
    let made = make(key)
    current[key] = made
    return made
  }

  private func make(_ key: GroupKey) -> ResourceGroup {
    let old = previous[key]
    switch key {
    case .clusters(let dialect): return group(lowering.clusters(dialect), old)
    case .listeners(.sidecar):
      // Listeners by the names of services are there for gRPC clients in the pod, which ask for them.
      let outbound = lowering.outboundListener()
      return group([outbound] + apiListeners, old, wildcard: [outbound.name])
    case .listeners(.proxyless): return group(apiListeners, old)
    case .routes(let dialect):
      let services = model.services.filter(\.protocol.isHTTP)
      return group(services.map { lowering.routes($0, dialect) }, old)
    case .inboundListener(let service):
      return group([lowering.inboundListener(service.flatMap(model.service))].compactMap(\.self), old)
    case .inboundCluster(let service):
      return group(model.service(service).map { [lowering.inboundCluster($0)] } ?? [], old)
    case .endpoints(let costs): return group(lowering.endpoints(costs: costs), old)
    case .ownEndpoints(let pod):
      return group(podsByName[pod].map { lowering.endpoints(ofClustersWith: $0) } ?? [], old)
    case .secrets(let pod): return group(secrets[pod] ?? [], old)
    }
  }

  private var apiListeners: [EnvoyListener] { model.services.filter(\.protocol.isHTTP).map(lowering.apiListener) }

  private func group(_ bodies: [some NamedResource], _ old: ResourceGroup?, wildcard: [String]? = nil) -> ResourceGroup
  {
    var resources: [String: Resource] = [:]
    for body in bodies {
      let (name, packed) = (body.resourceName, body.packed)
      if let known = old?.resources[name], known.body.value == packed.value {
        resources[name] = known
      } else {
        resources[name] = Resource(
          name: name, body: packed, references: body.references, revision: generation + 1)
      }
    }
    return ResourceGroup(resources, wildcard: (wildcard ?? Array(resources.keys)).sorted())
  }
}
