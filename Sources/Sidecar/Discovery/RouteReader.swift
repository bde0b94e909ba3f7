import HTTP1
import Mesh
import SwiftProtobuf
import XDS

/// A route configuration of RDS, or one inside a listener.
enum RouteReader {
  /// - Parameter prefix: of paths, with a dot at its end.
  static func read(_ source: EnvoyRouteConfiguration, _ prefix: String = "") throws(ResourceError) -> RoutePlan {
    let name = try ResourceValue.name(source.name, "\(prefix)name")
    // A service's address is a service: which host a request names makes no difference.
    guard source.virtualHosts.count == 1, source.virtualHosts[0].domains == ["*"] else {
      throw ResourceError("\(prefix)virtual_hosts", "must be one with the domain *")
    }
    var plan = RoutePlan(name: name, rules: [])
    for (index, route) in source.virtualHosts[0].routes.enumerated() {
      let path = "\(prefix)virtual_hosts[0].routes[\(index)]"
      let rule = try rule(route, path)
      plan.rules.append(rule)
      guard case .route(let action)? = route.action, let header = try hashHeader(action, "\(path).route") else {
        continue
      }
      for backend in rule.backends {
        guard plan.hashHeaders.updateValue(header, forKey: backend.cluster) ?? header == header else {
          throw ResourceError(
            "\(path).route.hash_policy", "\(backend.cluster) is hashed by another header by an earlier route")
        }
      }
    }
    return plan
  }

  /// The header field that requests are hashed by; nil: the client's address.
  private static func hashHeader(_ source: EnvoyRouteAction, _ path: String) throws(ResourceError) -> String? {
    guard source.hashPolicy.count <= 1 else { throw ResourceError("\(path).hash_policy[1]", "is not supported") }
    let place = "\(path).hash_policy[0]"
    switch source.hashPolicy.first?.policySpecifier {
    case .header(let header): return try HeaderChangeReader.name(header.headerName, "\(place).header.header_name")
    case .connectionProperties(let properties):
      guard properties.sourceIp else { throw ResourceError("\(place).connection_properties.source_ip", "must be true") }
      return nil
    case nil:
      guard source.hashPolicy.isEmpty else { throw ResourceError(place, "must be header or connection_properties") }
      return nil
    }
  }

  private static func rule(_ source: EnvoyRoute, _ path: String) throws(ResourceError) -> RouteRule {
    var rule = RouteRule()
    rule.name = source.name
    rule.matches = try match(source.match, "\(path).match").map { [$0] } ?? []
    rule.requestHeaders = try HeaderChangeReader.read(
      source.requestHeadersToAdd, source.requestHeadersToRemove, "\(path).request_headers_to")
    rule.responseHeaders = try HeaderChangeReader.read(
      source.responseHeadersToAdd, source.responseHeadersToRemove, "\(path).response_headers_to")
    switch source.action {
    case .route(let action): try fill(&rule, action, source.match, "\(path).route")
    case .redirect(let redirect): rule.redirect = try self.redirect(redirect, source.match, "\(path).redirect")
    case .directResponse(let response): rule.directResponse = try status(response, "\(path).direct_response")
    case nil: throw ResourceError(path, "has no action")
    }
    return rule
  }

  /// An answer that the sidecar makes itself, every time.
  private static func status(_ source: EnvoyDirectResponseAction, _ path: String) throws(ResourceError) -> Int {
    guard (200...599).contains(source.status) else { throw ResourceError("\(path).status", "must be 200 to 599") }
    return Int(source.status)
  }

  // MARK: Matches

  /// - Returns: nil for every request.
  private static func match(_ source: EnvoyRouteMatch, _ path: String) throws(ResourceError) -> RequestMatch? {
    var match = RequestMatch()
    switch source.pathSpecifier {
    case .prefix(let prefix): match.path = prefix.isEmpty || prefix == "/" ? nil : .textPrefix(prefix)
    case .path(let exact): match.path = .exact(exact)
    case .pathSeparatedPrefix(let prefix): match.path = .prefix(prefix)
    case .safeRegex(let expression):
      match.path = .expression(try pattern(expression, "\(path).safe_regex"))
    case nil: throw ResourceError(path, "says nothing of the path")
    }
    for (index, header) in source.headers.enumerated() {
      let place = "\(path).headers[\(index)]"
      let value: RequestMatch.Text
      switch header.headerMatchSpecifier {
      case .stringMatch(let matcher): value = try text(matcher, "\(place).string_match")
      case .presentMatch(true): value = .present
      case .presentMatch(false), nil: throw ResourceError(place, "must be string_match or present_match: true")
      }
      if header.name == ":method", match.method == nil, case .exact(let method) = value {
        match.method = method
      } else {
        match.headers.append(RequestMatch.Field(try HeaderChangeReader.name(header.name, "\(place).name"), value))
      }
    }
    for (index, parameter) in source.queryParameters.enumerated() {
      let place = "\(path).query_parameters[\(index)]"
      let name = try ResourceValue.name(parameter.name, "\(place).name")
      switch parameter.queryParameterMatchSpecifier {
      case .stringMatch(let matcher):
        match.query.append(RequestMatch.Field(name, try text(matcher, "\(place).string_match")))
      case .presentMatch(true): match.query.append(RequestMatch.Field(name, .present))
      case .presentMatch(false), nil: throw ResourceError(place, "must be string_match or present_match: true")
      }
    }
    return match == RequestMatch() ? nil : match
  }

  private static func text(_ source: EnvoyStringMatcher, _ path: String) throws(ResourceError) -> RequestMatch.Text {
    switch source.matchPattern {
    case .exact(let value): .exact(value)
    case .safeRegex(let expression): .expression(try pattern(expression, "\(path).safe_regex"))
    default: throw ResourceError(path, "must be exact or safe_regex")
    }
  }

  private static func pattern(_ source: EnvoyRegexMatcher, _ path: String) throws(ResourceError) -> String {
    guard TextPattern(source.regex) != nil else {
      throw ResourceError("\(path).regex", "\(source.regex.prefix(200)) is no expression that is supported")
    }
    return source.regex
  }

  // MARK: Where to

  private static func fill(
    _ rule: inout RouteRule, _ source: EnvoyRouteAction, _ match: EnvoyRouteMatch, _ path: String
  ) throws(ResourceError) {
    rule.backends = try backends(source, path)
    // Envoy's default where nothing is said.
    let limit = source.hasTimeout ? try ResourceValue.milliseconds(source.timeout, "\(path).timeout") : 15_000
    if limit > 0 { rule.timeouts.request = limit }
    if source.hasRetryPolicy {
      let place = "\(path).retry_policy"
      rule.retry = try retry(source.retryPolicy, place)
      if source.retryPolicy.hasPerTryTimeout {
        let single = try ResourceValue.milliseconds(source.retryPolicy.perTryTimeout, "\(place).per_try_timeout")
        if single > 0 { rule.timeouts.backendRequest = single }
      }
    }
    var rewrite = Rewrite(host: nil, path: try PathReader.rewrite(source, match, path))
    if !source.hostRewriteLiteral.isEmpty { rewrite.host = source.hostRewriteLiteral }
    if rewrite != Rewrite() { rule.rewrite = rewrite }
    for (index, mirror) in source.requestMirrorPolicies.enumerated() {
      let place = "\(path).request_mirror_policies[\(index)]"
      var copy = Mirror(cluster: try ResourceValue.name(mirror.cluster, "\(place).cluster"))
      if mirror.hasRuntimeFraction {
        copy.percent = try ResourceValue.percent(
          mirror.runtimeFraction.defaultValue, "\(place).runtime_fraction.default_value")
      }
      rule.mirrors.append(copy)
    }
  }

  private static func backends(_ source: EnvoyRouteAction, _ path: String) throws(ResourceError) -> [WeightedBackend] {
    switch source.clusterSpecifier {
    case .cluster(let name): return [WeightedBackend(try ResourceValue.name(name, "\(path).cluster"))]
    case .weightedClusters(let weighted):
      var backends: [WeightedBackend] = []
      for (index, cluster) in weighted.clusters.enumerated() {
        backends.append(try backend(cluster, "\(path).weighted_clusters.clusters[\(index)]"))
      }
      guard backends.contains(where: { $0.weight > 0 }) else {
        throw ResourceError("\(path).weighted_clusters", "all weights are 0")
      }
      return backends
    case nil: throw ResourceError(path, "names no cluster")
    }
  }

  private static func backend(_ source: EnvoyWeightedCluster.ClusterWeight, _ path: String) throws(ResourceError)
    -> WeightedBackend
  {
    var backend = WeightedBackend(
      try ResourceValue.name(source.name, "\(path).name"),
      weight: try ResourceValue.weight(source.weight.value, "\(path).weight"))
    backend.requestHeaders = try HeaderChangeReader.read(
      source.requestHeadersToAdd, source.requestHeadersToRemove, "\(path).request_headers_to")
    backend.responseHeaders = try HeaderChangeReader.read(
      source.responseHeadersToAdd, source.responseHeadersToRemove, "\(path).response_headers_to")
    return backend
  }

  private static let conditions: Set = [
    "connect-failure", "refused-stream", "reset-before-request", "retriable-status-codes",
  ]

  private static func retry(_ source: EnvoyRetryPolicy, _ path: String) throws(ResourceError) -> RetryPolicy {
    let words = source.retryOn.split(separator: ",").map { String($0.filter { $0 != " " }) }
    for word in words where !conditions.contains(word) {
      throw ResourceError("\(path).retry_on", "\(word.prefix(100)) is not supported")
    }
    let attempts = source.hasNumRetries ? source.numRetries.value : 1
    guard attempts <= 100 else { throw ResourceError("\(path).num_retries", "is more than 100") }
    var policy = RetryPolicy(attempts: Int(attempts))
    if words.contains("retriable-status-codes") {
      for (index, code) in source.retriableStatusCodes.enumerated() {
        guard (400...599).contains(code) else {
          throw ResourceError("\(path).retriable_status_codes[\(index)]", "\(code) is not a status of an error")
        }
        policy.codes.insert(Int(code))
      }
    }
    if source.hasRetryBackOff {
      let place = "\(path).retry_back_off"
      policy.backoff = try ResourceValue.milliseconds(source.retryBackOff.baseInterval, "\(place).base_interval")
      if source.retryBackOff.hasMaxInterval {
        let most = try ResourceValue.milliseconds(source.retryBackOff.maxInterval, "\(place).max_interval")
        guard most >= policy.backoff else { throw ResourceError("\(place).max_interval", "is below base_interval") }
      }
    }
    return policy
  }

  private static func redirect(_ source: EnvoyRedirectAction, _ match: EnvoyRouteMatch, _ path: String)
    throws(ResourceError) -> Redirect
  {
    var redirect = Redirect()
    switch source.schemeRewriteSpecifier {
    case .schemeRedirect(let scheme): redirect.scheme = scheme
    case .httpsRedirect(true): redirect.scheme = "https"
    case .httpsRedirect(false), nil: break
    }
    if !source.hostRedirect.isEmpty { redirect.host = source.hostRedirect }
    if source.portRedirect != 0 {
      redirect.port = try ResourceValue.port(source.portRedirect, "\(path).port_redirect")
    }
    redirect.path = try PathReader.redirect(source, match, path)
    redirect.status =
      switch source.responseCode {
      case .movedPermanently: 301
      case .found: 302
      case .seeOther: 303
      case .temporaryRedirect: 307
      case .permanentRedirect: 308
      case .UNRECOGNIZED(let number): throw ResourceError("\(path).response_code", "\(number) is not known")
      }
    return redirect
  }
}

/// Header fields that are set, added and removed.
enum HeaderChangeReader {
  /// - Parameter path: up to `_add` and `_remove`.
  static func read(_ added: [EnvoyHeaderValueOption], _ removed: [String], _ path: String) throws(ResourceError)
    -> HeaderChanges
  {
    var changes = HeaderChanges()
    for (index, option) in added.enumerated() {
      let place = "\(path)_add[\(index)]"
      let pair = HeaderChanges.Pair(
        try name(option.header.key, "\(place).header.key"), try value(option.header.value, "\(place).header.value"))
      switch option.appendAction {
      case .overwriteIfExistsOrAdd: changes.set.append(pair)
      case .appendIfExistsOrAdd: changes.add.append(pair)
      default: throw ResourceError("\(place).append_action", "\(option.appendAction) is not supported")
      }
    }
    for (index, field) in removed.enumerated() {
      changes.remove.append(try name(field, "\(path)_remove[\(index)]"))
    }
    return changes
  }

  static func name(_ name: String, _ path: String) throws(ResourceError) -> String {
    guard HeaderFields.isName(name) else { throw ResourceError(path, "\(name.prefix(100)) is no field name") }
    return name
  }

  /// A percent sign begins a command of Envoy's, of which none is known here; two of them are one percent sign.
  private static func value(_ text: String, _ path: String) throws(ResourceError) -> String {
    var result = ""
    var isOpen = false
    for character in text {
      if character == "%" {
        if isOpen { result.append(character) }
        isOpen.toggle()
      } else {
        guard !isOpen else { throw ResourceError(path, "commands (%) are not supported") }
        result.append(character)
      }
    }
    guard !isOpen, HeaderFields.isValue(result) else { throw ResourceError(path, "is no field value") }
    return result
  }
}
