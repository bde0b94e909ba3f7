import NetTypes
import SwiftProtobuf
import XDS

/// A cluster of CDS, and the endpoints of EDS.
enum ClusterReader {
  static func read(_ source: EnvoyCluster) throws(ResourceError) -> ClusterPlan {
    var cluster = Cluster(try ResourceValue.name(source.name, "name"), [])
    if source.hasConnectTimeout {
      cluster.connectTimeout = try ResourceValue.milliseconds(source.connectTimeout, "connect_timeout")
    }
    cluster.balancing = try balancing(source)
    var retryPercent: Double?
    if source.hasCircuitBreakers {
      (cluster.circuitBreaker, retryPercent) = try breaker(source.circuitBreakers, "circuit_breakers")
    }
    if source.hasOutlierDetection {
      cluster.outlierDetection = try detection(source.outlierDetection, "outlier_detection")
    }
    cluster.usesHTTP2 = try usesHTTP2(source)
    return ClusterPlan(
      cluster: cluster, discovery: try discovery(source), security: try security(source), retryPercent: retryPercent)
  }

  private static func discovery(_ source: EnvoyCluster) throws(ResourceError) -> ClusterPlan.Discovery {
    guard source.hasLoadAssignment == (source.type == .static) else {
      throw ResourceError("load_assignment", "goes with the type STATIC")
    }
    switch source.type {
    case .eds:
      try TLSReader.aggregated(source.edsClusterConfig.edsConfig, "eds_cluster_config.eds_config")
      let name = source.edsClusterConfig.serviceName
      return .byName(name.isEmpty ? source.name : name)
    case .static: return .fixed(try endpoints(source.loadAssignment, "load_assignment."))
    case .originalDst:
      guard source.lbPolicy == .clusterProvided else {
        throw ResourceError("lb_policy", "must be CLUSTER_PROVIDED with the type ORIGINAL_DST")
      }
      return .originalDestination
    case .strictDns, .logicalDns, .UNRECOGNIZED: throw ResourceError("type", "\(source.type) is not supported")
    }
  }

  /// Of two drawn at random the one with less to do is at least as even as one after the other, so ROUND_ROBIN is
  /// served by it too.
  private static func balancing(_ source: EnvoyCluster) throws(ResourceError) -> Cluster.Balancing {
    switch source.lbPolicy {
    case .leastRequest where isByLatency(source): .latency
    case .leastRequest, .roundRobin, .clusterProvided: .leastRequest
    // Of what the hash is, the routes say.
    case .ringHash: .ringHash(header: nil)
    case .random, .maglev, .loadBalancingPolicyConfig, .UNRECOGNIZED:
      throw ResourceError("lb_policy", "\(source.lbPolicy) is not supported")
    }
  }

  /// Of our own control plane's metadata: `netloom: {balance: ewma}`.
  private static func isByLatency(_ source: EnvoyCluster) -> Bool {
    source.metadata.filterMetadata["netloom"]?.fields["balance"]?.stringValue == "ewma"
  }

  private static func breaker(_ source: EnvoyCircuitBreakers, _ path: String) throws(ResourceError)
    -> (CircuitBreaker, Double?)
  {
    var breaker = CircuitBreaker()
    guard source.thresholds.count <= 1 else { throw ResourceError("\(path).thresholds[1]", "is not supported") }
    guard let thresholds = source.thresholds.first else { return (breaker, nil) }
    if thresholds.hasMaxConnections { breaker.connections = Int(thresholds.maxConnections.value) }
    if thresholds.hasMaxPendingRequests { breaker.pending = Int(thresholds.maxPendingRequests.value) }
    if thresholds.hasMaxRequests { breaker.requests = Int(thresholds.maxRequests.value) }
    guard thresholds.hasRetryBudget else { return (breaker, nil) }
    let place = "\(path).thresholds[0].retry_budget"
    let percent = thresholds.retryBudget.hasBudgetPercent ? thresholds.retryBudget.budgetPercent.value : 20
    guard (0...100).contains(percent) else { throw ResourceError("\(place).budget_percent", "must be 0 to 100") }
    guard !thresholds.retryBudget.hasMinRetryConcurrency || thresholds.retryBudget.minRetryConcurrency.value == 3 else {
      throw ResourceError("\(place).min_retry_concurrency", "must be 3")
    }
    return (breaker, percent)
  }

  private static func detection(_ source: EnvoyOutlierDetection, _ path: String) throws(ResourceError)
    -> OutlierDetection
  {
    var detection = OutlierDetection()
    guard !source.hasEnforcingConsecutive5Xx || source.enforcingConsecutive5Xx.value == 100 else {
      throw ResourceError("\(path).enforcing_consecutive_5xx", "must be 100")
    }
    guard source.hasEnforcingSuccessRate, source.enforcingSuccessRate.value == 0 else {
      throw ResourceError("\(path).enforcing_success_rate", "must be 0: success rates are not compared")
    }
    if source.hasConsecutive5Xx { detection.consecutiveErrors = Int(source.consecutive5Xx.value) }
    guard detection.consecutiveErrors > 0 else { throw ResourceError("\(path).consecutive_5xx", "must not be 0") }
    if source.enforcingConsecutiveGatewayFailure.value == 100 {
      detection.consecutiveGatewayErrors =
        source.hasConsecutiveGatewayFailure ? Int(source.consecutiveGatewayFailure.value) : 5
    } else if source.enforcingConsecutiveGatewayFailure.value != 0 {
      throw ResourceError("\(path).enforcing_consecutive_gateway_failure", "must be 0 or 100")
    }
    if source.hasBaseEjectionTime {
      detection.baseEjection = try ResourceValue.milliseconds(source.baseEjectionTime, "\(path).base_ejection_time")
      detection.maximumEjection = max(detection.maximumEjection, detection.baseEjection)
    }
    if source.hasMaxEjectionPercent {
      guard source.maxEjectionPercent.value <= 100 else {
        throw ResourceError("\(path).max_ejection_percent", "must be 0 to 100")
      }
      detection.maximumPercent = Int(source.maxEjectionPercent.value)
    }
    return detection
  }

  private static func usesHTTP2(_ source: EnvoyCluster) throws(ResourceError) -> Bool {
    var result = false
    for (key, value) in source.typedExtensionProtocolOptions {
      let path = "typed_extension_protocol_options[\(key.prefix(200))]"
      let options: EnvoyHttpProtocolOptions = try ResourceValue.unpack(value, path)
      switch options.explicitHTTPConfig.protocolConfig {
      case .httpProtocolOptions: break
      case .http2ProtocolOptions: result = true
      case nil: throw ResourceError("\(path).explicit_http_config", "names no protocol")
      }
    }
    return result
  }

  // MARK: TLS

  private static let mark = "tls"

  private static func security(_ source: EnvoyCluster) throws(ResourceError) -> ClusterPlan.Security {
    guard let match = source.transportSocketMatches.first else {
      return source.hasTransportSocket
        ? .every(try TLSReader.upstream(source.transportSocket, "transport_socket")) : .none
    }
    guard source.transportSocketMatches.count == 1 else {
      throw ResourceError("transport_socket_matches[1]", "is not supported")
    }
    guard !source.hasTransportSocket else {
      throw ResourceError("transport_socket", "is not supported beside transport_socket_matches")
    }
    guard isMark(match.match) else {
      throw ResourceError("transport_socket_matches[0].match", "must be \"\(mark)\": true")
    }
    return .marked(try TLSReader.upstream(match.transportSocket, "transport_socket_matches[0].transport_socket"))
  }

  private static func isMark(_ fields: Google_Protobuf_Struct) -> Bool {
    guard fields.fields.count == 1, case .boolValue(true) = fields.fields[mark]?.kind else { return false }
    return true
  }

  // MARK: Endpoints

  static func read(_ source: EnvoyClusterLoadAssignment) throws(ResourceError) -> [EndpointPlan] {
    _ = try ResourceValue.name(source.clusterName, "cluster_name")
    return try endpoints(source, "")
  }

  /// - Parameter prefix: of paths, with a dot at its end.
  private static func endpoints(_ source: EnvoyClusterLoadAssignment, _ prefix: String) throws(ResourceError)
    -> [EndpointPlan]
  {
    var plans: [EndpointPlan] = []
    var seen: Set<SocketAddress> = []
    for (index, group) in source.endpoints.enumerated() {
      let path = "\(prefix)endpoints[\(index)]"
      guard group.priority < 128 else { throw ResourceError("\(path).priority", "is more than 127") }
      let parts = [group.locality.region, group.locality.zone, group.locality.subZone]
      let locality = parts.filter { !$0.isEmpty }.joined(separator: "/")
      for (number, endpoint) in group.lbEndpoints.enumerated() {
        let place = "\(path).lb_endpoints[\(number)]"
        let plan = try self.endpoint(endpoint, locality, Int(group.priority), place)
        guard seen.insert(plan.endpoint.address).inserted else {
          throw ResourceError("\(place).endpoint.address", "\(plan.endpoint.address) is there twice")
        }
        plans.append(plan)
      }
    }
    try checkPriorities(source, prefix)
    return plans
  }

  private static func checkPriorities(_ source: EnvoyClusterLoadAssignment, _ prefix: String) throws(ResourceError) {
    let priorities = Set(source.endpoints.map(\.priority))
    if let most = priorities.max(), Int(most) != priorities.count - 1 {
      throw ResourceError("\(prefix)endpoints", "priorities must be 0, 1, 2… without a gap")
    }
  }

  private static func endpoint(_ source: EnvoyLbEndpoint, _ locality: String, _ priority: Int, _ path: String)
    throws(ResourceError) -> EndpointPlan
  {
    let address = try address(source.endpoint.address, "\(path).endpoint.address")
    let weight =
      source.hasLoadBalancingWeight
      ? try ResourceValue.weight(source.loadBalancingWeight.value, "\(path).load_balancing_weight") : 1
    guard weight > 0 else { throw ResourceError("\(path).load_balancing_weight", "must not be 0") }
    let isHealthy: Bool =
      switch source.healthStatus {
      case .unknown, .healthy, .degraded: true
      // One that drains keeps its connections and gets no new requests, as one that is ill.
      case .unhealthy, .draining, .timeout: false
      case .UNRECOGNIZED(let number): throw ResourceError("\(path).health_status", "\(number) is not known")
      }
    // Other metadata is for whoever understands it; this key says how to connect, the other one is for metrics.
    let fields = source.metadata.filterMetadata["envoy.transport_socket_match"] ?? Google_Protobuf_Struct()
    var endpoint = Endpoint(address, weight: weight, locality: locality, priority: priority, isHealthy: isHealthy)
    if case .stringValue(let version) = source.metadata.filterMetadata["envoy.lb"]?.fields["version"]?.kind {
      endpoint.version = String(version.prefix(63))
    }
    return EndpointPlan(endpoint: endpoint, isMarked: isMark(fields))
  }

  static func address(_ source: EnvoyAddress, _ path: String) throws(ResourceError) -> SocketAddress {
    let path = "\(path).socket_address"
    guard let address = IPAddress(source.socketAddress.address) else {
      throw ResourceError("\(path).address", "\(source.socketAddress.address.prefix(100)) is no address")
    }
    return SocketAddress(address, try ResourceValue.port(source.socketAddress.portValue, "\(path).port_value"))
  }
}
