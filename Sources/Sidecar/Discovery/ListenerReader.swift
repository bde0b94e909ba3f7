import NetTypes
import SwiftProtobuf
import XDS

/// A listener of LDS: one that catches what the pod's processes dial, or one that catches what is for the pod.
struct ListenerReader {
  private var secrets: SecretNames?

  static func read(_ source: EnvoyListener) throws(ResourceError) -> ListenerPlan {
    var reader = ListenerReader()
    return try reader.listener(source)
  }

  private mutating func listener(_ source: EnvoyListener) throws(ResourceError) -> ListenerPlan {
    let name = try ResourceValue.name(source.name, "name")
    try Self.checkFilters(source.listenerFilters)
    let chains: ListenerPlan.Chains
    switch source.trafficDirection {
    case .outbound: chains = .outbound(try outbound(source.filterChains))
    case .inbound: chains = .inbound(try inbound(source.filterChains))
    case .unspecified, .UNRECOGNIZED: throw ResourceError("traffic_direction", "must be INBOUND or OUTBOUND")
    }
    var passthrough: String?
    if source.hasDefaultFilterChain {
      passthrough = try self.passthrough(source.defaultFilterChain, "default_filter_chain")
    }
    return ListenerPlan(
      name: name, addresses: try Self.addresses(source.address), chains: chains, passthrough: passthrough,
      secrets: secrets)
  }

  /// Both filters say what is done here anyway: the original destination decides, and TLS is told from plain text where a
  /// port takes both.
  private static func checkFilters(_ filters: [EnvoyListenerFilter]) throws(ResourceError) {
    for (index, filter) in filters.enumerated() {
      let path = "listener_filters[\(index)].typed_config"
      if filter.typedConfig.isA(EnvoyTlsInspector.self) {
        let _: EnvoyTlsInspector = try ResourceValue.unpack(filter.typedConfig, path)
      } else {
        let _: EnvoyOriginalDst = try ResourceValue.unpack(filter.typedConfig, path)
      }
    }
    guard filters.contains(where: { $0.typedConfig.isA(EnvoyOriginalDst.self) }) else {
      throw ResourceError("listener_filters", "must have original_dst")
    }
  }

  private static func addresses(_ source: EnvoyAddress) throws(ResourceError) -> [SocketAddress] {
    let address = try ClusterReader.address(source, "address")
    guard source.socketAddress.ipv4Compat else { return [address] }
    // A socket for each family: what arrives keeps the address that it has.
    guard address.address == .v6(IPv6Address(high: 0, low: 0)) else {
      throw ResourceError("address.socket_address.ipv4_compat", "goes with the address ::")
    }
    return [SocketAddress(.v4(IPv4Address(rawValue: 0)), address.port), address]
  }

  // MARK: Outbound

  private mutating func outbound(_ sources: [EnvoyFilterChain]) throws(ResourceError) -> [OutboundChain] {
    var chains: [OutboundChain] = []
    var names: Set<String> = []
    var seen: Set<SocketAddress> = []
    for (index, source) in sources.enumerated() {
      let path = "filter_chains[\(index)]"
      let chain = try outbound(source, path)
      guard names.insert(chain.name).inserted else { throw ResourceError("\(path).name", "is another chain's too") }
      for address in chain.addresses where !seen.insert(address).inserted {
        throw ResourceError("\(path).filter_chain_match", "\(address) is another chain's too")
      }
      chains.append(chain)
    }
    return chains
  }

  private func outbound(_ source: EnvoyFilterChain, _ path: String) throws(ResourceError) -> OutboundChain {
    guard !source.hasTransportSocket else {
      throw ResourceError("\(path).transport_socket", "is not supported on the way out")
    }
    let match = source.filterChainMatch
    guard match.transportProtocol.isEmpty else {
      throw ResourceError("\(path).filter_chain_match.transport_protocol", "is not supported on the way out")
    }
    let port = try ResourceValue.port(match.destinationPort.value, "\(path).filter_chain_match.destination_port")
    var addresses: [SocketAddress] = []
    for (index, range) in match.prefixRanges.enumerated() {
      let place = "\(path).filter_chain_match.prefix_ranges[\(index)]"
      addresses.append(SocketAddress(try Self.single(range, place), port))
    }
    guard !addresses.isEmpty else { throw ResourceError("\(path).filter_chain_match.prefix_ranges", "is empty") }
    let name = try ResourceValue.name(source.name, "\(path).name")
    let (filter, place) = try Self.last(source, path)
    if filter.typedConfig.isA(EnvoyTcpProxy.self) {
      guard source.filters.count == 1 else {
        throw ResourceError("\(path).filters[0]", "is not supported on the way out")
      }
      let backends = try Self.backends(filter, place)
      return OutboundChain(name: name, addresses: addresses, applicationProtocol: .tcp, target: .clusters(backends))
    }
    guard source.filters.count == 1 else { throw ResourceError("\(path).filters[0]", "is not supported before HTTP") }
    let manager: EnvoyHttpConnectionManager = try ResourceValue.unpack(filter.typedConfig, place)
    let filters = try HTTPFilters(manager, place)
    guard filters.allowed == nil, filters.rateLimit == nil else {
      throw ResourceError("\(place).http_filters", "RBAC and rate limits are not supported on the way out")
    }
    guard case .rds(let rds) = manager.routeSpecifier else { throw ResourceError("\(place).rds", "is missing") }
    try TLSReader.aggregated(rds.configSource, "\(place).rds.config_source")
    let routes = try ResourceValue.name(rds.routeConfigName, "\(place).rds.route_config_name")
    return OutboundChain(
      name: name, addresses: addresses, applicationProtocol: filters.applicationProtocol, target: .routes(routes),
      fault: filters.fault)
  }

  private static func single(_ range: EnvoyCidrRange, _ path: String) throws(ResourceError) -> IPAddress {
    guard let address = IPAddress(range.addressPrefix) else {
      throw ResourceError("\(path).address_prefix", "\(range.addressPrefix.prefix(100)) is no address")
    }
    let bits: UInt32 = address.family == .ipv4 ? 32 : 128
    guard range.hasPrefixLen, range.prefixLen.value == bits else {
      throw ResourceError("\(path).prefix_len", "must be \(bits): only single addresses are supported")
    }
    return address
  }

  private static func backends(_ filter: EnvoyFilter, _ path: String) throws(ResourceError) -> [WeightedBackend] {
    let proxy: EnvoyTcpProxy = try ResourceValue.unpack(filter.typedConfig, path)
    switch proxy.clusterSpecifier {
    case .cluster(let name): return [WeightedBackend(try ResourceValue.name(name, "\(path).cluster"))]
    case .weightedClusters(let weighted):
      var backends: [WeightedBackend] = []
      for (index, cluster) in weighted.clusters.enumerated() {
        let place = "\(path).weighted_clusters.clusters[\(index)]"
        backends.append(
          WeightedBackend(
            try ResourceValue.name(cluster.name, "\(place).name"),
            weight: try ResourceValue.weight(cluster.weight, "\(place).weight")))
      }
      return backends
    case nil: throw ResourceError(path, "names no cluster")
    }
  }

  // MARK: Inbound

  private mutating func inbound(_ sources: [EnvoyFilterChain]) throws(ResourceError) -> [InboundChain] {
    var chains: [UInt16: [(InboundChain, transport: String, path: String)]] = [:]
    for (index, source) in sources.enumerated() {
      let path = "filter_chains[\(index)]"
      let chain = try inbound(source, path)
      chains[chain.port, default: []].append((chain, source.filterChainMatch.transportProtocol, path))
    }
    var result: [InboundChain] = []
    for (_, group) in chains.sorted(by: { $0.key < $1.key }) { result.append(try Self.merge(group)) }
    return result
  }

  /// One chain is for everybody who connects to the port; of two, one is for TLS and one for plain text.
  private static func merge(_ group: [(InboundChain, transport: String, path: String)]) throws(ResourceError)
    -> InboundChain
  {
    var (chain, transport, path) = group[0]
    if group.count == 1 {
      guard transport.isEmpty || (transport == "tls") == (chain.mutualTLS == .strict) else {
        throw ResourceError("\(path).filter_chain_match.transport_protocol", "does not go with the transport_socket")
      }
      // Without a chain for the other kind, it is refused, which is what a strict port does.
      guard transport != "raw_buffer" else {
        throw ResourceError("\(path).filter_chain_match.transport_protocol", "needs a chain for tls beside it")
      }
      return chain
    }
    guard group.count == 2 else { throw ResourceError("\(group[2].path).filter_chain_match", "is a third of the port") }
    for (one, transport, path) in group {
      guard transport == (one.mutualTLS == .strict ? "tls" : "raw_buffer") else {
        throw ResourceError("\(path).filter_chain_match.transport_protocol", "does not go with the transport_socket")
      }
    }
    var other = group[1].0
    guard chain.mutualTLS != other.mutualTLS else {
      throw ResourceError("\(group[1].path).filter_chain_match", "is another chain's too")
    }
    other.name = chain.mutualTLS == .strict ? chain.name : other.name
    chain.name = other.name
    chain.mutualTLS = .permissive
    other.mutualTLS = .permissive
    guard chain == other else {
      throw ResourceError("\(group[1].path).filters", "must be the same for tls and plain text")
    }
    return chain
  }

  private mutating func inbound(_ source: EnvoyFilterChain, _ path: String) throws(ResourceError) -> InboundChain {
    let match = source.filterChainMatch
    guard match.prefixRanges.isEmpty else {
      throw ResourceError("\(path).filter_chain_match.prefix_ranges", "is not supported on the way in")
    }
    guard ["", "tls", "raw_buffer"].contains(match.transportProtocol) else {
      throw ResourceError("\(path).filter_chain_match.transport_protocol", "must be tls or raw_buffer")
    }
    let port = try ResourceValue.port(match.destinationPort.value, "\(path).filter_chain_match.destination_port")
    if source.hasTransportSocket {
      let names = try TLSReader.downstream(source.transportSocket, "\(path).transport_socket")
      guard secrets == nil || secrets == names else {
        throw ResourceError("\(path).transport_socket", "names other secrets than another chain")
      }
      secrets = names
    }
    var chain = InboundChain(
      name: try ResourceValue.name(source.name, "\(path).name"), port: port, applicationProtocol: .tcp, cluster: "",
      mutualTLS: source.hasTransportSocket ? .strict : .off)
    let (filter, place) = try Self.last(source, path)
    if filter.typedConfig.isA(EnvoyTcpProxy.self) {
      for (index, before) in source.filters.dropLast().enumerated() {
        chain.allowed = try AuthorizationReader.network(before.typedConfig, "\(path).filters[\(index)].typed_config")
      }
      guard source.filters.count <= 2 else { throw ResourceError("\(path).filters[1]", "is a second RBAC") }
      let backends = try Self.backends(filter, place)
      guard backends.count == 1 else {
        throw ResourceError("\(place).weighted_clusters", "is not supported on the way in")
      }
      chain.cluster = backends[0].cluster
      return chain
    }
    guard source.filters.count == 1 else { throw ResourceError("\(path).filters[0]", "is not supported before HTTP") }
    let manager: EnvoyHttpConnectionManager = try ResourceValue.unpack(filter.typedConfig, place)
    let filters = try HTTPFilters(manager, place)
    guard filters.fault == nil else {
      throw ResourceError("\(place).http_filters", "faults are not supported on the way in")
    }
    chain.applicationProtocol = filters.applicationProtocol
    chain.allowed = filters.allowed
    chain.rateLimit = filters.rateLimit
    chain.cluster = try Self.onlyCluster(manager, place)
    return chain
  }

  /// Everything that has been let in goes to the application.
  private static func onlyCluster(_ manager: EnvoyHttpConnectionManager, _ path: String) throws(ResourceError) -> String
  {
    guard case .routeConfig(let configuration) = manager.routeSpecifier else {
      throw ResourceError("\(path).route_config", "is missing")
    }
    let plan = try RouteReader.read(configuration, "\(path).route_config.")
    guard plan.rules.count == 1, let cluster = plan.rules[0].backends.first?.cluster else {
      throw ResourceError("\(path).route_config.virtual_hosts[0].routes", "must be one that leads to a cluster")
    }
    var plain = RouteRule(backends: [WeightedBackend(cluster)])
    plain.name = plan.rules[0].name
    guard plan.rules[0] == plain else {
      throw ResourceError(
        "\(path).route_config.virtual_hosts[0].routes[0]", "must be for everything, without changes and limits")
    }
    return cluster
  }

  // MARK: Parts

  private static func last(_ source: EnvoyFilterChain, _ path: String) throws(ResourceError) -> (EnvoyFilter, String) {
    guard let filter = source.filters.last else { throw ResourceError("\(path).filters", "is empty") }
    let place = "\(path).filters[\(source.filters.count - 1)].typed_config"
    guard filter.typedConfig.isA(EnvoyTcpProxy.self) || filter.typedConfig.isA(EnvoyHttpConnectionManager.self) else {
      throw ResourceError(place, "\(ResourceValue.typeName(filter.typedConfig)) is not supported")
    }
    return (filter, place)
  }

  private func passthrough(_ source: EnvoyFilterChain, _ path: String) throws(ResourceError) -> String {
    guard !source.hasTransportSocket else { throw ResourceError("\(path).transport_socket", "is not supported") }
    guard !source.hasFilterChainMatch || source.filterChainMatch == EnvoyFilterChainMatch() else {
      throw ResourceError("\(path).filter_chain_match", "is not supported")
    }
    let (filter, place) = try Self.last(source, path)
    guard source.filters.count == 1, filter.typedConfig.isA(EnvoyTcpProxy.self) else {
      throw ResourceError("\(path).filters", "must be tcp_proxy")
    }
    let backends = try Self.backends(filter, place)
    guard backends.count == 1 else { throw ResourceError("\(place).weighted_clusters", "is not supported") }
    return backends[0].cluster
  }
}
