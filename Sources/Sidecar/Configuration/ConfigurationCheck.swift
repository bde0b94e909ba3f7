import HTTP1
import Mesh

/// Whether a configuration is whole: every name that is used exists, every number means something.
enum ConfigurationCheck {
  static func check(_ configuration: SidecarConfiguration) throws(ConfigurationError) {
    let clusters = Set(configuration.clusters.map(\.name))
    guard clusters.count == configuration.clusters.count else { throw ConfigurationError("two clusters of one name") }
    for cluster in configuration.clusters { try check(cluster, configuration) }
    var addresses: Set<SocketAddress> = []
    for service in configuration.services {
      for address in service.addresses where !addresses.insert(address).inserted {
        throw ConfigurationError("service \(service.name): \(address) is another service's too")
      }
      for (index, route) in service.routes.enumerated() {
        try check(route, "service \(service.name): routes[\(index)]", clusters)
      }
    }
    for port in configuration.inbound {
      guard port.mutualTLS == .off || configuration.certificates != nil else {
        throw ConfigurationError("inbound port \(port.port): mutual TLS without certificates")
      }
    }
    try checkListeners(configuration)
  }

  private static func checkListeners(_ configuration: SidecarConfiguration) throws(ConfigurationError) {
    let services = Set(configuration.services.map(\.name))
    guard services.count == configuration.services.count else { throw ConfigurationError("two services of one name") }
    let ports = Set(configuration.inbound.map(\.port))
    guard ports.count == configuration.inbound.count else { throw ConfigurationError("an inbound port twice") }
    guard Set(configuration.listeners.map(\.address)).count == configuration.listeners.count else {
      throw ConfigurationError("two listeners on one address")
    }
    for listener in configuration.listeners {
      switch listener.purpose {
      case .outbound(let service) where !services.contains(service):
        throw ConfigurationError("listener \(listener.address): no service \(service)")
      case .inbound(let port) where !ports.contains(port):
        throw ConfigurationError("listener \(listener.address): no inbound port \(port)")
      default: break
      }
    }
  }

  private static func check(_ cluster: Cluster, _ configuration: SidecarConfiguration) throws(ConfigurationError) {
    guard cluster.tls == nil || configuration.certificates != nil else {
      throw ConfigurationError("cluster \(cluster.name): TLS without certificates")
    }
    for endpoint in cluster.endpoints where endpoint.weight < 0 || endpoint.weight > 1_000_000 {
      throw ConfigurationError("cluster \(cluster.name): weight \(endpoint.weight) of \(endpoint.address)")
    }
    for milliseconds in [cluster.connectTimeout, cluster.outlierDetection?.maximumEjection ?? 0] {
      try checkTime(milliseconds, "cluster \(cluster.name)")
    }
  }

  private static func check(_ route: RouteRule, _ place: String, _ clusters: Set<String>) throws(ConfigurationError) {
    for backend in route.backends {
      guard clusters.contains(backend.cluster) else {
        throw ConfigurationError("\(place): no cluster \(backend.cluster)")
      }
      guard (0...1_000_000).contains(backend.weight) else {
        throw ConfigurationError("\(place): weight \(backend.weight) of \(backend.cluster)")
      }
    }
    for mirror in route.mirrors where !clusters.contains(mirror.cluster) {
      throw ConfigurationError("\(place): no cluster \(mirror.cluster)")
    }
    for match in route.matches { try check(match, place) }
    let backendHeaders = route.backends.flatMap { [$0.requestHeaders, $0.responseHeaders] }
    for changes in [route.requestHeaders, route.responseHeaders] + backendHeaders {
      for pair in changes.set + changes.add where !HeaderFields.isName(pair.name) || !HeaderFields.isValue(pair.value) {
        throw ConfigurationError("\(place): header \(pair.name)")
      }
    }
    let times = [route.timeouts.request, route.timeouts.backendRequest, route.retry?.backoff, route.fault?.delay]
    for milliseconds in times { try checkTime(milliseconds ?? 0, place) }
    if let status = route.redirect?.status, !(300...399).contains(status) {
      throw ConfigurationError("\(place): redirect by \(status)")
    }
    if let status = route.directResponse, !(200...599).contains(status) {
      throw ConfigurationError("\(place): answer by \(status)")
    }
    if let status = route.fault?.abortStatus, !(200...599).contains(status) {
      throw ConfigurationError("\(place): abort by \(status)")
    }
  }

  private static func check(_ match: RequestMatch, _ place: String) throws(ConfigurationError) {
    var expressions: [String] = []
    if case .expression(let expression) = match.path { expressions.append(expression) }
    for field in match.headers + match.query {
      if case .expression(let expression) = field.value { expressions.append(expression) }
    }
    for expression in expressions where TextPattern(expression) == nil {
      throw ConfigurationError("\(place): regular expression \(expression)")
    }
  }

  private static func checkTime(_ milliseconds: UInt64, _ place: String) throws(ConfigurationError) {
    guard milliseconds <= 86_400_000 else { throw ConfigurationError("\(place): a time of more than a day") }
  }
}
