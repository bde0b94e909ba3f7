import NetTypes
import TLS

/// How connections reach the sidecar.
enum Interception: Sendable, Equatable {
  /// The kernel redirects them to the listeners of LDS; where they were going is their original destination.
  case redirected
  /// The same, but what is for the pod comes as it was (TPROXY), and its program is to see the client's address.
  case transparent
  /// Not at all, for hosts without network namespaces: what is for the pod comes to an address of its own; and where the
  /// pod is a client, the sidecar listens on each service's address.
  case none(inbound: IPAddress, outbound: Bool)
}

extension ResourceStore {
  /// What is in force, as one configuration.
  /// - Parameter base: everything that the control plane has no say in.
  func configuration(_ base: SidecarConfiguration, _ interception: Interception) throws(ResourceError)
    -> SidecarConfiguration
  {
    var configuration = base
    configuration.listeners = []
    configuration.services = []
    configuration.clusters = []
    configuration.inbound = []
    configuration.certificates = certificates
    configuration.passesUnknown = false
    configuration.passesUnknownInbound = false
    for name in activeClusters.keys.sorted() {
      if let plan = activeClusters[name], let cluster = cluster(plan) { configuration.clusters.append(cluster) }
    }
    for name in activeListeners.keys.sorted() {
      guard let plan = activeListeners[name] else { continue }
      switch plan.chains {
      case .outbound(let chains): try add(plan, chains, to: &configuration, interception)
      case .inbound(let chains): try add(plan, chains, to: &configuration, interception)
      }
    }
    return configuration
  }

  private var certificates: Certificates? {
    let names =
      activeListeners.values.compactMap(\.secrets) + activeClusters.values.compactMap(\.security.plan?.secrets)
    guard let used = names.first, case .identity(let chain, let key) = secrets[used.identity],
      case .roots(let roots) = secrets[used.roots]
    else { return nil }
    return Certificates(chain: chain, privateKey: key, trustedRoots: roots)
  }

  // MARK: Clusters

  /// Nil for one without endpoints of its own.
  private func cluster(_ plan: ClusterPlan) -> Cluster? {
    var cluster = plan.cluster
    let endpoints: [EndpointPlan]
    switch plan.discovery {
    case .byName(let name): endpoints = self.endpoints[name] ?? []
    case .fixed(let fixed): endpoints = fixed
    case .originalDestination: return nil
    }
    if case .ringHash = cluster.balancing {
      // Routes of one service name the same field; should those of two differ, the first by name counts.
      let headers = activeRoutes.sorted { $0.key < $1.key }.compactMap { $0.value.hashHeaders[cluster.name] }
      cluster.balancing = .ringHash(header: headers.first)
    }
    cluster.tls = plan.security.plan?.upstream
    cluster.endpoints = endpoints.map { endpoint in
      var result = endpoint.endpoint
      if case .marked = plan.security { result.usesTLS = endpoint.isMarked }
      return result
    }
    return cluster
  }

  // MARK: Outbound

  private func add(
    _ plan: ListenerPlan, _ chains: [OutboundChain], to configuration: inout SidecarConfiguration,
    _ interception: Interception
  ) throws(ResourceError) {
    if try passes(plan) { configuration.passesUnknown = true }
    for chain in chains {
      var service = Service(chain.name, addresses: chain.addresses, chain.applicationProtocol, routes: [])
      switch chain.target {
      case .clusters(let backends): service.routes = [RouteRule(backends: backends)]
      case .routes(let name): service.routes = (activeRoutes[name]?.rules ?? []).map { finished($0, chain.fault) }
      }
      for backend in service.routes.flatMap(\.backends)
      where activeClusters[backend.cluster]?.discovery == .originalDestination {
        throw ResourceError("", "listener \(plan.name): \(backend.cluster) has no endpoints of its own")
      }
      configuration.services.append(service)
      if case .none(_, outbound: true) = interception {
        configuration.listeners += chain.addresses.map { Listener($0, .outbound(service: chain.name)) }
      }
    }
    if interception == .redirected || interception == .transparent {
      configuration.listeners += plan.addresses.map { Listener($0, .outboundCapture) }
    }
  }

  /// Whether what is for none of the chains goes where it was going.
  private func passes(_ plan: ListenerPlan) throws(ResourceError) -> Bool {
    guard let passthrough = plan.passthrough else { return false }
    guard activeClusters[passthrough]?.discovery == .originalDestination else {
      throw ResourceError("", "listener \(plan.name): default_filter_chain must lead to an ORIGINAL_DST cluster")
    }
    return true
  }

  /// A rule with what its listener and its clusters say on top.
  private func finished(_ rule: RouteRule, _ fault: FaultInjection?) -> RouteRule {
    var rule = rule
    if rule.fault == nil { rule.fault = fault }
    if let percent = rule.backends.compactMap({ activeClusters[$0.cluster]?.retryPercent }).min() {
      rule.retry?.budgetPercent = percent
    }
    return rule
  }

  // MARK: Inbound

  private func add(
    _ plan: ListenerPlan, _ chains: [InboundChain], to configuration: inout SidecarConfiguration,
    _ interception: Interception
  ) throws(ResourceError) {
    if try passes(plan) { configuration.passesUnknownInbound = true }
    for chain in chains {
      guard case .fixed(let endpoints) = activeClusters[chain.cluster]?.discovery, endpoints.count == 1 else {
        throw ResourceError("", "listener \(plan.name): \(chain.cluster) must be a STATIC cluster of one endpoint")
      }
      var port = InboundPort(
        port: chain.port, service: chain.name, target: endpoints[0].endpoint.address, chain.applicationProtocol,
        mutualTLS: chain.mutualTLS, allowed: chain.allowed, rateLimit: chain.rateLimit)
      port.fallsBackToDestination = true
      configuration.inbound.append(port)
      if case .none(let address, _) = interception {
        configuration.listeners.append(Listener(SocketAddress(address, chain.port), .inbound(port: chain.port)))
      }
    }
    if interception == .redirected || interception == .transparent {
      configuration.listeners += plan.addresses.map {
        Listener($0, .inboundCapture, isTransparent: interception == .transparent)
      }
    }
  }
}

extension ResourceStore {
  /// Whether the secrets are certificates, and keys that go with them.
  func checkCertificates() throws(ResourceError) {
    var roots: [UInt8] = []
    for (name, secret) in secrets.sorted(by: { $0.key < $1.key }) {
      guard case .roots(let bytes) = secret else { continue }
      do throws(TLSSetupError) {
        _ = try TLSContext(role: .client, certificateChain: nil, privateKey: nil, trustedRoots: bytes)
      } catch {
        throw ResourceError("secret \(name)", "validation_context.trusted_ca: \(error.description)")
      }
      roots = bytes
    }
    for (name, secret) in secrets.sorted(by: { $0.key < $1.key }) {
      guard case .identity(let chain, let key) = secret else { continue }
      do throws(TLSSetupError) {
        _ = try TLSContext(
          role: .client, certificateChain: chain, privateKey: key, trustedRoots: roots,
          verify: roots.isEmpty ? .none : .peerRequired)
      } catch {
        throw ResourceError("secret \(name)", "tls_certificate: \(error.description)")
      }
    }
  }
}
