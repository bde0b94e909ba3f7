internal import Mesh
internal import NetTypes
internal import SwiftProtobuf
internal import XDS

extension Lowering {
  /// The metadata of endpoints by which Envoy (and our sidecar) tells which of them take TLS.
  static let matchKey = "envoy.transport_socket_match"
  static let takesTLS = "tls"
  /// The metadata of endpoints that Envoy keeps for balancing by subset, here their pods' versions.
  static let labelKey = "envoy.lb"
  /// Metadata of clusters for our own sidecar: `netloom: {balance: ewma}`.
  static let ownMetadata = "netloom"
  static let balanceKey = "balance"
  static let balanceByLatency = "ewma"

  /// The clusters that every pod of the dialect sees.
  func clusters(_ dialect: Dialect) -> [EnvoyCluster] {
    let clusters = model.clusters.compactMap { cluster in
      model.service(cluster.service).map { self.cluster(cluster, $0, dialect) }
    }
    guard dialect == .sidecar else { return clusters }
    return clusters + [Self.passthrough(Name.outboundPassthrough), Self.passthrough(Name.inboundPassthrough)]
  }

  /// Behind the inbound listener of a service's pods: the application, on the loopback address.
  func inboundCluster(_ service: MeshService) -> EnvoyCluster {
    var endpoint = EnvoyLbEndpoint()
    endpoint.endpoint.address = Self.address(.v4(IPv4Address(rawValue: 0x7F00_0001)), service.targetPort)
    var locality = EnvoyLocalityLbEndpoints()
    locality.lbEndpoints = [endpoint]
    var cluster = EnvoyCluster()
    cluster.name = Name.inboundCluster(service.targetPort)
    cluster.type = .static
    cluster.connectTimeout = Google_Protobuf_Duration(milliseconds: 5000)
    cluster.loadAssignment.clusterName = cluster.name
    cluster.loadAssignment.endpoints = [locality]
    setProtocol(service.protocol, on: &cluster)
    // The sidecar of a client counts; this one only passes on what has been let through.
    cluster.circuitBreakers = Self.unlimited
    return cluster
  }

  private func cluster(_ cluster: MeshCluster, _ service: MeshService, _ dialect: Dialect) -> EnvoyCluster {
    var result = EnvoyCluster()
    result.name = cluster.name
    result.type = .eds
    result.edsClusterConfig.edsConfig = Self.aggregated
    result.edsClusterConfig.serviceName = cluster.name
    result.connectTimeout = Google_Protobuf_Duration(milliseconds: service.policy.connectTimeout)
    setBalancing(service.policy.balancing, dialect, on: &result)
    result.circuitBreakers = Self.breaker(service.policy.circuitBreaker, budget: service.policy.retryBudgetPercent)
    if let ejection = service.policy.outlierEjection { result.outlierDetection = Self.ejection(ejection) }
    guard dialect == .sidecar else { return result }
    setProtocol(service.protocol, on: &result)
    if model.mutualTLS != .off, model.speaksTLS {
      var match = EnvoyCluster.TransportSocketMatch()
      match.name = "mutual-tls"
      match.match.fields[Self.takesTLS] = Google_Protobuf_Value(boolValue: true)
      match.transportSocket = upstreamTLS(service)
      result.transportSocketMatches = [match]
    }
    return result
  }

  private func setBalancing(_ balancing: ServicePolicy.Balancing, _ dialect: Dialect, on cluster: inout EnvoyCluster) {
    switch (balancing, dialect) {
    case (.ringHash, _): cluster.lbPolicy = .ringHash
    case (.leastRequest, .sidecar): cluster.lbPolicy = .leastRequest
    case (.latency, .sidecar):
      // Metadata is for whoever understands it: to Envoy it is the less busy of two.
      cluster.lbPolicy = .leastRequest
      var fields = Google_Protobuf_Struct()
      fields.fields[Self.balanceKey] = Google_Protobuf_Value(stringValue: Self.balanceByLatency)
      cluster.metadata.filterMetadata[Self.ownMetadata] = fields
    // gRPC takes least-request only behind a switch of its own, and refuses the cluster without it.
    case (.roundRobin, _), (.leastRequest, .proxyless), (.latency, .proxyless): cluster.lbPolicy = .roundRobin
    }
  }

  private func setProtocol(_ protocol: ServiceProtocol, on cluster: inout EnvoyCluster) {
    guard `protocol`.isHTTP else { return }
    var options = EnvoyHttpProtocolOptions()
    if `protocol` == .http {
      options.explicitHTTPConfig.httpProtocolOptions = EnvoyHttp1ProtocolOptions()
    } else {
      options.explicitHTTPConfig.http2ProtocolOptions = EnvoyHttp2ProtocolOptions()
    }
    cluster.typedExtensionProtocolOptions["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"] = options.packed
  }

  private static func passthrough(_ name: String) -> EnvoyCluster {
    var cluster = EnvoyCluster()
    cluster.name = name
    cluster.type = .originalDst
    cluster.lbPolicy = .clusterProvided
    cluster.connectTimeout = Google_Protobuf_Duration(milliseconds: 5000)
    cluster.circuitBreakers = unlimited
    return cluster
  }

  /// Envoy's own defaults (1,024 of everything) would refuse connections that nobody asked it to refuse.
  private static var unlimited: EnvoyCircuitBreakers { breaker(nil) }

  private static func breaker(_ breaker: ServicePolicy.CircuitBreaker?, budget: UInt32 = 20) -> EnvoyCircuitBreakers {
    var thresholds = EnvoyCircuitBreakers.Thresholds()
    thresholds.maxConnections = Google_Protobuf_UInt32Value(breaker?.maximumConnections ?? .max)
    thresholds.maxPendingRequests = Google_Protobuf_UInt32Value(breaker?.maximumPendingRequests ?? .max)
    thresholds.maxRequests = Google_Protobuf_UInt32Value(breaker?.maximumRequests ?? .max)
    // A share of the requests under way may be repetitions, and never fewer than three.
    thresholds.retryBudget.budgetPercent.value = Double(min(budget, 100))
    thresholds.retryBudget.minRetryConcurrency = Google_Protobuf_UInt32Value(3)
    var result = EnvoyCircuitBreakers()
    result.thresholds = [thresholds]
    return result
  }

  private static func ejection(_ ejection: ServicePolicy.OutlierEjection) -> EnvoyOutlierDetection {
    var detection = EnvoyOutlierDetection()
    detection.consecutive5Xx = Google_Protobuf_UInt32Value(ejection.consecutiveErrors)
    detection.enforcingConsecutive5Xx = Google_Protobuf_UInt32Value(100)
    detection.enforcingSuccessRate = Google_Protobuf_UInt32Value(0)
    detection.baseEjectionTime = Google_Protobuf_Duration(milliseconds: ejection.baseEjectionMilliseconds)
    detection.maxEjectionPercent = Google_Protobuf_UInt32Value(min(ejection.maximumPercent, 100))
    detection.interval = Google_Protobuf_Duration(milliseconds: 1000)
    return detection
  }
}
