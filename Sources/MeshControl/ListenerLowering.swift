internal import Mesh
internal import NetTypes
internal import SwiftProtobuf
internal import XDS

extension Lowering {
  /// What catches the connections of a pod's application: one filter chain per service, found by the virtual address
  /// and port that the application dialled; whatever is no service passes through as it is.
  func outboundListener() -> EnvoyListener {
    var listener = baseListener(Name.outboundListener, SidecarPorts.outbound, .outbound)
    listener.listenerFilters = [Self.originalDestination]
    listener.filterChains = model.services.filter { !$0.addresses.isEmpty }.map { service in
      var chain = EnvoyFilterChain()
      chain.name = service.name
      chain.filterChainMatch.prefixRanges = service.addresses.map(Self.range)
      chain.filterChainMatch.destinationPort = Google_Protobuf_UInt32Value(UInt32(service.port))
      chain.filters = [service.protocol.isHTTP ? outboundHTTP(service) : outboundTCP(service)]
      return chain
    }
    var rest = EnvoyFilterChain()
    rest.name = "passthrough"
    rest.filters = [Self.proxy(to: Name.outboundPassthrough)]
    listener.defaultFilterChain = rest
    return listener
  }

  /// What catches the connections to a pod: its service's port, by TLS where the mesh says so. Strict: nothing else
  /// gets in, so a pod without a service has no listener at all and its sidecar's port refuses connections.
  func inboundListener(_ service: MeshService?) -> EnvoyListener? {
    var listener = baseListener(Name.inboundListener, SidecarPorts.inbound, .inbound)
    listener.listenerFilters = [Self.originalDestination]
    if let service {
      let protected = model.mutualTLS == .off ? nil : downstreamTLS(service)
      // What routers lead here is still addressed to the service's own port.
      let ports =
        [service.targetPort] + (service.isAnnounced && service.port != service.targetPort ? [service.port] : [])
      for port in ports {
        if let protected {
          listener.filterChains.append(
            inboundChain(service, port, protected, carriedBy: model.mutualTLS == .permissive ? "tls" : nil))
        }
        if model.mutualTLS != .strict {
          listener.filterChains.append(
            inboundChain(service, port, nil, carriedBy: protected == nil ? nil : "raw_buffer"))
        }
      }
      if model.mutualTLS == .permissive { listener.listenerFilters.append(Self.tlsInspector) }
    }
    if model.mutualTLS != .strict {
      var rest = EnvoyFilterChain()
      rest.name = "passthrough"
      rest.filters = [Self.proxy(to: Name.inboundPassthrough)]
      listener.defaultFilterChain = rest
    } else if service == nil {
      return nil
    }
    return listener
  }

  /// What proxyless gRPC asks for by the name of a service.
  func apiListener(_ service: MeshService) -> EnvoyListener {
    var manager = EnvoyHttpConnectionManager()
    manager.statPrefix = service.name
    manager.rds.configSource = Self.aggregated
    manager.rds.routeConfigName = service.name
    manager.httpFilters = Self.filters(fault(service.policy.fault) + [Self.router])
    var listener = EnvoyListener()
    listener.name = service.name
    listener.apiListener.apiListener = manager.packed
    return listener
  }

  // MARK: Chains

  private func inboundChain(
    _ service: MeshService, _ port: UInt16, _ tls: EnvoyTransportSocket?, carriedBy transport: String?
  ) -> EnvoyFilterChain {
    var chain = EnvoyFilterChain()
    let name = port == service.targetPort ? service.name : "\(service.name):\(port)"
    chain.name = tls == nil ? "\(name), plain" : name
    chain.filterChainMatch.destinationPort = Google_Protobuf_UInt32Value(UInt32(port))
    if let transport { chain.filterChainMatch.transportProtocol = transport }
    if let tls { chain.transportSocket = tls }
    let cluster = Name.inboundCluster(service.targetPort)
    guard service.protocol.isHTTP else {
      chain.filters = networkRules(service).map { [$0] } ?? []
      chain.filters.append(Self.proxy(to: cluster))
      return chain
    }
    var manager = Self.manager(service, cluster)
    manager.routeConfig.name = cluster
    manager.routeConfig.virtualHosts = [Self.everything(to: cluster)]
    manager.httpFilters = Self.filters(httpRules(service) + rateLimit(service) + [Self.router])
    chain.filters = [Self.filter("envoy.filters.network.http_connection_manager", manager.packed)]
    return chain
  }

  private func outboundHTTP(_ service: MeshService) -> EnvoyFilter {
    var manager = Self.manager(service, service.name)
    manager.rds.configSource = Self.aggregated
    manager.rds.routeConfigName = service.name
    manager.httpFilters = Self.filters(fault(service.policy.fault) + [Self.router])
    return Self.filter("envoy.filters.network.http_connection_manager", manager.packed)
  }

  private func outboundTCP(_ service: MeshService) -> EnvoyFilter {
    let backends = model.weighted([Backend(cluster: service.name)], of: service.name)
    guard backends.count > 1 else { return Self.proxy(to: backends.first?.cluster ?? service.name) }
    var proxy = EnvoyTcpProxy()
    proxy.statPrefix = service.name
    proxy.weightedClusters.clusters = backends.map { backend in
      var cluster = EnvoyTcpProxy.WeightedCluster.ClusterWeight()
      cluster.name = backend.cluster
      cluster.weight = UInt32(clamping: backend.weight)
      return cluster
    }
    return Self.filter("envoy.filters.network.tcp_proxy", proxy.packed)
  }

  private static func manager(_ service: MeshService, _ statPrefix: String) -> EnvoyHttpConnectionManager {
    var manager = EnvoyHttpConnectionManager()
    manager.statPrefix = statPrefix
    // The port's protocol is declared, so nothing is guessed from the first bytes.
    manager.codecType = service.protocol == .http ? .http1 : .http2
    if service.protocol == .http {
      var upgrade = EnvoyHttpConnectionManager.UpgradeConfig()
      upgrade.upgradeType = "websocket"
      manager.upgradeConfigs = [upgrade]
    } else {
      // Streams may rest for as long as they like.
      manager.streamIdleTimeout = Google_Protobuf_Duration(milliseconds: 0)
    }
    return manager
  }

  private static func everything(to cluster: String) -> EnvoyVirtualHost {
    var route = EnvoyRoute()
    route.match.prefix = "/"
    route.route.cluster = cluster
    route.route.timeout = Google_Protobuf_Duration(milliseconds: 0)
    var host = EnvoyVirtualHost()
    host.name = cluster
    host.domains = ["*"]
    host.routes = [route]
    return host
  }

  // MARK: Rules

  /// Who may call the service; nil: everyone.
  private func rules(_ service: MeshService) -> EnvoyRulesRBAC? {
    let rules = model.authorization.filter { $0.service == service.name }
    if rules.isEmpty { return nil }
    var policy = EnvoyRulesPolicy()
    var permission = EnvoyRulesPermission()
    permission.any = true
    policy.permissions = [permission]
    policy.principals = Set(rules.flatMap(\.allowed)).sorted().map { account in
      var principal = EnvoyRulesPrincipal()
      principal.authenticated.principalName.exact = identity(account)
      return principal
    }
    var result = EnvoyRulesRBAC()
    result.action = .allow
    // A policy without principals is not valid; no policy at all allows nobody, which is what an empty list means.
    if !policy.principals.isEmpty { result.policies["allowed"] = policy }
    return result
  }

  private func httpRules(_ service: MeshService) -> [(String, Google_Protobuf_Any)] {
    guard let rules = rules(service) else { return [] }
    var filter = EnvoyHTTPRBAC()
    filter.rules = rules
    return [("envoy.filters.http.rbac", filter.packed)]
  }

  private func networkRules(_ service: MeshService) -> EnvoyFilter? {
    guard let rules = rules(service) else { return nil }
    var filter = EnvoyNetworkRBAC()
    filter.rules = rules
    filter.statPrefix = service.name
    return Self.filter("envoy.filters.network.rbac", filter.packed)
  }

  private func rateLimit(_ service: MeshService) -> [(String, Google_Protobuf_Any)] {
    guard let limit = service.policy.rateLimit, limit > 0 else { return [] }
    var filter = EnvoyLocalRateLimit()
    filter.statPrefix = service.name
    filter.tokenBucket.maxTokens = limit
    filter.tokenBucket.tokensPerFill = Google_Protobuf_UInt32Value(limit)
    filter.tokenBucket.fillInterval = Google_Protobuf_Duration(milliseconds: 1000)
    filter.filterEnabled.defaultValue = Self.percent(perMillion: 1_000_000)
    filter.filterEnforced.defaultValue = Self.percent(perMillion: 1_000_000)
    return [("envoy.filters.http.local_ratelimit", filter.packed)]
  }

  private func fault(_ fault: ServicePolicy.Fault?) -> [(String, Google_Protobuf_Any)] {
    guard let fault else { return [] }
    var filter = EnvoyHTTPFault()
    if let delay = fault.delayMilliseconds {
      filter.delay.fixedDelay = Google_Protobuf_Duration(milliseconds: delay)
      filter.delay.percentage = Self.percent(perMillion: min(fault.delayPercent, 100) * 10_000)
    }
    if let status = fault.abortStatus {
      filter.abort.httpStatus = status
      filter.abort.percentage = Self.percent(perMillion: min(fault.abortPercent, 100) * 10_000)
    }
    return [("envoy.filters.http.fault", filter.packed)]
  }

  // MARK: Parts

  private func baseListener(_ name: String, _ port: UInt16, _ direction: EnvoyTrafficDirection) -> EnvoyListener {
    var listener = EnvoyListener()
    listener.name = name
    listener.trafficDirection = direction
    let needsIPv6 =
      model.pods.contains { $0.addresses.contains { $0.family == .ipv6 } }
      || model.services.contains { $0.addresses.contains { $0.family == .ipv6 } }
    listener.address.socketAddress.address = needsIPv6 ? "::" : "0.0.0.0"
    listener.address.socketAddress.ipv4Compat = needsIPv6
    listener.address.socketAddress.portValue = UInt32(port)
    return listener
  }

  private static func range(_ address: IPAddress) -> EnvoyCidrRange {
    var range = EnvoyCidrRange()
    range.addressPrefix = address.description
    range.prefixLen = Google_Protobuf_UInt32Value(UInt32(address.family.bits))
    return range
  }

  private static func proxy(to cluster: String) -> EnvoyFilter {
    var proxy = EnvoyTcpProxy()
    proxy.statPrefix = cluster
    proxy.cluster = cluster
    return filter("envoy.filters.network.tcp_proxy", proxy.packed)
  }

  private static func filter(_ name: String, _ body: Google_Protobuf_Any) -> EnvoyFilter {
    var filter = EnvoyFilter()
    filter.name = name
    filter.typedConfig = body
    return filter
  }

  private static func filters(_ filters: [(String, Google_Protobuf_Any)]) -> [EnvoyHttpFilter] {
    filters.map { name, body in
      var filter = EnvoyHttpFilter()
      filter.name = name
      filter.typedConfig = body
      return filter
    }
  }

  private static var router: (String, Google_Protobuf_Any) { ("envoy.filters.http.router", EnvoyRouter().packed) }

  private static var originalDestination: EnvoyListenerFilter {
    var filter = EnvoyListenerFilter()
    filter.name = "envoy.filters.listener.original_dst"
    filter.typedConfig = EnvoyOriginalDst().packed
    return filter
  }

  private static var tlsInspector: EnvoyListenerFilter {
    var filter = EnvoyListenerFilter()
    filter.name = "envoy.filters.listener.tls_inspector"
    filter.typedConfig = EnvoyTlsInspector().packed
    return filter
  }
}
