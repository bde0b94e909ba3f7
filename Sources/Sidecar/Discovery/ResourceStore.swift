// What the control plane has said so far, and which of it is in force. A value: whoever takes a response into a copy and
// does not like what comes of it throws the copy away.
//
//   response ─► take: read and checked, by name ─► settle: what is complete comes into force, together
//
// A listener is complete when the routes that it names, its clusters and the secrets are there; routes are, when their
// clusters are; a cluster, when its endpoints and secrets are. Whatever is not complete warms: the one before it stays
// in force with all that it needs, even what the control plane has taken away meanwhile.

struct ResourceStore {
  private(set) var clusters: [String: ClusterPlan] = [:]
  private(set) var endpoints: [String: [EndpointPlan]] = [:]
  private(set) var listeners: [String: ListenerPlan] = [:]
  private(set) var routes: [String: RoutePlan] = [:]
  private(set) var secrets: [String: SecretPlan] = [:]

  /// In force.
  private(set) var activeListeners: [String: ListenerPlan] = [:]
  private(set) var activeRoutes: [String: RoutePlan] = [:]
  private(set) var activeClusters: [String: ClusterPlan] = [:]

  /// Listeners and routes that are not in force yet, each with what it waits for.
  private(set) var warming: [ResourceKind: [String: String]] = [:]

  // MARK: Names that are asked for

  /// In order; empty where the kind is asked for as a whole.
  func names(_ kind: ResourceKind) -> [String] {
    switch kind {
    case .cluster, .listener: return []
    case .endpoints: return Set(clusters.values.compactMap(\.endpointsName)).sorted()
    case .routes: return listeners.values.reduce(into: Set()) { $0.formUnion($1.routeNames) }.sorted()
    case .secret: return secretNames.reduce(into: Set()) { $0.formUnion([$1.identity, $1.roots]) }.sorted()
    }
  }

  private var secretNames: Set<SecretNames> {
    Set(clusters.values.compactMap(\.security.plan?.secrets) + listeners.values.compactMap(\.secrets))
  }

  // MARK: Coming into force

  /// Brings into force what is complete.
  mutating func settle() {
    warming = [:]
    for name in Array(activeRoutes.keys) where routes[name] == nil { activeRoutes[name] = nil }
    for (name, plan) in routes {
      if let missing = plan.clusterNames.sorted().compactMap({ missing(forCluster: $0) }).first {
        warming[.routes, default: [:]][name] = missing
      } else {
        activeRoutes[name] = plan
      }
    }
    for name in Array(activeListeners.keys) where listeners[name] == nil { activeListeners[name] = nil }
    for (name, plan) in listeners {
      if let missing = missing(for: plan) {
        warming[.listener, default: [:]][name] = missing
      } else {
        activeListeners[name] = plan
      }
    }
    keepWhatIsUsed()
  }

  private mutating func keepWhatIsUsed() {
    var used = activeListeners.values.reduce(into: Set<String>()) { $0.formUnion($1.clusterNames) }
    for plan in activeRoutes.values { used.formUnion(plan.clusterNames) }
    var kept: [String: ClusterPlan] = [:]
    for name in used { kept[name] = usable(name) }
    activeClusters = kept
    let wanted = Set((Array(clusters.values) + kept.values).compactMap(\.endpointsName))
    endpoints = endpoints.filter { wanted.contains($0.key) }
    let routeNames = (Array(listeners.values) + activeListeners.values).reduce(into: Set<String>()) {
      $0.formUnion($1.routeNames)
    }
    routes = routes.filter { routeNames.contains($0.key) }
    activeRoutes = activeRoutes.filter { routeNames.contains($0.key) }
    let inForce = activeListeners.values.compactMap(\.secrets) + kept.values.compactMap(\.security.plan?.secrets)
    let secretsUsed = secretNames.union(inForce).reduce(into: Set<String>()) { $0.formUnion([$1.identity, $1.roots]) }
    secrets = secrets.filter { secretsUsed.contains($0.key) }
  }

  /// Listeners are those that were in force before.
  mutating func restoreListeners(of before: ResourceStore) {
    (listeners, activeListeners) = (before.activeListeners, before.activeListeners)
  }

  /// The newest one that is complete, the one in force otherwise.
  private func usable(_ name: String) -> ClusterPlan? {
    if let plan = clusters[name], missing(for: plan) == nil { return plan }
    return activeClusters[name]
  }

  private func missing(forCluster name: String) -> String? {
    if usable(name) != nil { return nil }
    guard let plan = clusters[name] else { return "cluster \(name)" }
    return missing(for: plan)
  }

  private func missing(for plan: ClusterPlan) -> String? {
    if let name = plan.endpointsName, endpoints[name] == nil { return "endpoints \(name)" }
    return missing(plan.security.plan?.secrets)
  }

  private func missing(_ names: SecretNames?) -> String? {
    guard let names else { return nil }
    return [names.identity, names.roots].first { secrets[$0] == nil }.map { "secret \($0)" }
  }

  private func missing(for plan: ListenerPlan) -> String? {
    for name in plan.routeNames.sorted() where activeRoutes[name] == nil {
      return warming[.routes]?[name].map { "routes \(name), which wait for \($0)" } ?? "routes \(name)"
    }
    return plan.clusterNames.sorted().compactMap { missing(forCluster: $0) }.first ?? missing(plan.secrets)
  }
}

// MARK: - Responses

/// One resource of a response, decoded.
struct NamedPlan<Plan> {
  var name: String
  var plan: Plan
}

extension ResourceStore {
  mutating func replaceClusters(_ plans: [NamedPlan<ClusterPlan>]) throws(ResourceError) {
    clusters = try Self.unique(plans)
    try checkSecretNames()
  }

  mutating func replaceListeners(_ plans: [NamedPlan<ListenerPlan>]) throws(ResourceError) {
    listeners = try Self.unique(plans)
    try checkSecretNames()
    try checkListeners()
  }

  mutating func merge(_ plans: [NamedPlan<[EndpointPlan]>]) throws(ResourceError) {
    endpoints.merge(try Self.unique(plans)) { _, new in new }
  }

  mutating func merge(_ plans: [NamedPlan<RoutePlan>]) throws(ResourceError) {
    routes.merge(try Self.unique(plans)) { _, new in new }
  }

  mutating func merge(_ plans: [NamedPlan<SecretPlan>]) throws(ResourceError) {
    secrets.merge(try Self.unique(plans)) { _, new in new }
  }

  private static func unique<Plan>(_ plans: [NamedPlan<Plan>]) throws(ResourceError) -> [String: Plan] {
    var result: [String: Plan] = [:]
    for item in plans where result.updateValue(item.plan, forKey: item.name) != nil {
      throw ResourceError("", "\(item.name) is there twice")
    }
    return result
  }

  private func checkSecretNames() throws(ResourceError) {
    guard secretNames.count <= 1 else {
      let texts = secretNames.map { "\($0.identity) with \($0.roots)" }.sorted()
      throw ResourceError("", "one certificate is supported, not \(texts.joined(separator: " and "))")
    }
  }

  /// Ports and services of several listeners are one namespace.
  private func checkListeners() throws(ResourceError) {
    var names: Set<String> = []
    var ports: Set<UInt16> = []
    var addresses: Set<SocketAddress> = []
    for (name, listener) in listeners.sorted(by: { $0.key < $1.key }) {
      for address in listener.addresses where !addresses.insert(address).inserted {
        throw ResourceError("", "listener \(name): \(address) is another listener's too")
      }
      switch listener.chains {
      case .outbound(let chains):
        for chain in chains where !names.insert(chain.name).inserted {
          throw ResourceError("", "listener \(name): chain \(chain.name) is another listener's too")
        }
      case .inbound(let chains):
        for chain in chains where !ports.insert(chain.port).inserted {
          throw ResourceError("", "listener \(name): port \(chain.port) is another listener's too")
        }
      }
    }
  }
}
