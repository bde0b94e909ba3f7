internal import Mesh
internal import NetTypes
internal import SwiftProtobuf
internal import XDS

extension Lowering {
  /// The routes of one service, the most specific first, as clients take the first that matches.
  func routes(_ service: MeshService, _ dialect: Dialect) -> EnvoyRouteConfiguration {
    var host = EnvoyVirtualHost()
    host.name = service.name
    host.domains = ["*"]
    let attached = model.routes.filter { $0.services.contains(service.name) }
    if attached.isEmpty {
      var rule = RouteRule()
      rule.backends = [Backend(cluster: service.name)]
      host.routes = [route(RequestMatch(), service.policy.completing(rule), service, dialect)]
    } else {
      // What no rule matches is answered 404: that is what the Gateway API says of a service that has routes.
      host.routes = RankedMatch.all(of: attached).map {
        route($0.match, service.policy.completing($0.rule), service, dialect)
      }
    }
    var configuration = EnvoyRouteConfiguration()
    configuration.name = service.name
    configuration.virtualHosts = [host]
    return configuration
  }

  private func route(_ match: RequestMatch, _ rule: RouteRule, _ service: MeshService, _ dialect: Dialect)
    -> EnvoyRoute
  {
    var route = EnvoyRoute()
    route.match = Self.match(match, dialect)
    (route.requestHeadersToAdd, route.requestHeadersToRemove) = Self.headers(rule.requestHeaders)
    (route.responseHeadersToAdd, route.responseHeadersToRemove) = Self.headers(rule.responseHeaders)
    if let redirect = rule.redirect {
      route.redirect = Self.redirect(redirect, match)
      return route
    }
    let backends = model.weighted(rule.backends, of: service.name)
    if backends.isEmpty {
      route.directResponse.status = 500  // HTTPRouteRule: backendRefs that come to nothing
      return route
    }
    route.route = action(rule, match, dialect)
    if case .ringHash(let header) = service.policy.balancing {
      var policy = EnvoyRouteAction.HashPolicy()
      if let header { policy.header.headerName = header } else { policy.connectionProperties.sourceIp = true }
      route.route.hashPolicy = [policy]
    }
    if backends.count == 1, let only = backends.first, only.requestHeaders.isEmpty, only.responseHeaders.isEmpty {
      route.route.cluster = only.cluster
    } else {
      route.route.weightedClusters.clusters = backends.map(Self.clusterWeight)
    }
    return route
  }

  private static func clusterWeight(_ backend: Backend) -> EnvoyWeightedCluster.ClusterWeight {
    var cluster = EnvoyWeightedCluster.ClusterWeight()
    cluster.name = backend.cluster
    cluster.weight = Google_Protobuf_UInt32Value(UInt32(clamping: backend.weight))
    (cluster.requestHeadersToAdd, cluster.requestHeadersToRemove) = headers(backend.requestHeaders)
    (cluster.responseHeadersToAdd, cluster.responseHeadersToRemove) = headers(backend.responseHeaders)
    return cluster
  }

  private func action(_ rule: RouteRule, _ match: RequestMatch, _ dialect: Dialect) -> EnvoyRouteAction {
    var action = EnvoyRouteAction()
    let whole = rule.requestTimeout.flatMap { $0 > 0 ? $0 : nil }
    let single = rule.backendTimeout.flatMap { $0 > 0 ? $0 : nil }
    if dialect == .proxyless {
      // gRPC knows only this limit (gRFC A31); without it the caller's own deadline counts.
      if let limit = whole ?? single {
        action.maxStreamDuration.grpcTimeoutHeaderMax = Google_Protobuf_Duration(milliseconds: limit)
        action.maxStreamDuration.maxStreamDuration = Google_Protobuf_Duration(milliseconds: limit)
      }
      return action
    }
    // Zero is said aloud: Envoy's default of 15 s would end streams that nobody limited.
    action.timeout = Google_Protobuf_Duration(milliseconds: whole ?? (rule.retry == nil ? single : nil) ?? 0)
    if let retry = rule.retry, retry.attempts > 0 {
      action.retryPolicy = Self.retryPolicy(retry)
      if let single { action.retryPolicy.perTryTimeout = Google_Protobuf_Duration(milliseconds: single) }
    }
    for mirror in rule.mirrors where mirror.perMillion > 0 {
      var policy = EnvoyRouteAction.RequestMirrorPolicy()
      policy.cluster = mirror.cluster
      policy.runtimeFraction.defaultValue = Self.percent(perMillion: mirror.perMillion)
      action.requestMirrorPolicies.append(policy)
    }
    if let hostname = rule.rewrite?.hostname { action.hostRewriteLiteral = hostname }
    switch rule.rewrite?.path.flatMap({ PathChange($0, match) }) {
    case .prefix(let text): action.prefixRewrite = text
    case .expression(let pattern, let substitution):
      action.regexRewrite.pattern.regex = pattern
      action.regexRewrite.substitution = substitution
    case nil: break
    }
    return action
  }

  private static func retryPolicy(_ retry: Retry) -> EnvoyRetryPolicy {
    var policy = EnvoyRetryPolicy()
    // Connections that fail are worth another attempt always; statuses only where the route names them.
    var conditions = ["connect-failure", "refused-stream", "reset-before-request"]
    if !retry.codes.isEmpty { conditions.append("retriable-status-codes") }
    policy.retryOn = conditions.joined(separator: ",")
    policy.retriableStatusCodes = retry.codes.map { UInt32(clamping: $0) }
    policy.numRetries = Google_Protobuf_UInt32Value(UInt32(clamping: retry.attempts))
    if let backoff = retry.backoff, backoff > 0 {
      policy.retryBackOff.baseInterval = Google_Protobuf_Duration(milliseconds: backoff)
      policy.retryBackOff.maxInterval = Google_Protobuf_Duration(milliseconds: backoff * 10)
    }
    return policy
  }

  private static func redirect(_ redirect: Redirect, _ match: RequestMatch) -> EnvoyRedirectAction {
    var action = EnvoyRedirectAction()
    if let scheme = redirect.scheme { action.schemeRedirect = scheme }
    if let hostname = redirect.hostname { action.hostRedirect = hostname }
    if let port = redirect.port { action.portRedirect = UInt32(port) }
    switch redirect.status {
    case 301: action.responseCode = .movedPermanently
    case 303: action.responseCode = .seeOther
    case 307: action.responseCode = .temporaryRedirect
    case 308: action.responseCode = .permanentRedirect
    default: action.responseCode = .found
    }
    if case .fullPath(let path) = redirect.path {
      action.pathRedirect = path
    } else {
      switch redirect.path.flatMap({ PathChange($0, match) }) {
      case .prefix(let text): action.prefixRewrite = text
      case .expression(let pattern, let substitution):
        action.regexRewrite.pattern.regex = pattern
        action.regexRewrite.substitution = substitution
      case nil: break
      }
    }
    return action
  }

  private static func headers(_ change: HeaderChange) -> ([EnvoyHeaderValueOption], [String]) {
    func option(_ field: HeaderChange.Field, _ action: EnvoyHeaderValueOption.HeaderAppendAction)
      -> EnvoyHeaderValueOption
    {
      var option = EnvoyHeaderValueOption()
      option.header.key = field.name.lowercased()
      // A percent sign begins a command of Envoy's; two of them are one percent sign.
      option.header.value = field.value.split(separator: "%", omittingEmptySubsequences: false).joined(separator: "%%")
      option.appendAction = action
      return option
    }
    return (
      change.set.map { option($0, .overwriteIfExistsOrAdd) } + change.add.map { option($0, .appendIfExistsOrAdd) },
      change.remove.map { $0.lowercased() }
    )
  }

  // MARK: Matches

  private static func match(_ match: RequestMatch, _ dialect: Dialect) -> EnvoyRouteMatch {
    var result = EnvoyRouteMatch()
    switch match.path {
    case nil, .prefix("/"): result.prefix = dialect == .proxyless ? "" : "/"
    case .exact(let path): result.path = path
    case .prefix(let prefix):
      if dialect == .proxyless {
        result.safeRegex.regex = "\(Expression.quoted(prefix))(/.*)?"
      } else {
        result.pathSeparatedPrefix = prefix
      }
    case .regularExpression(let pattern): result.safeRegex.regex = pattern
    case .grpc(let service?, let method?): result.path = "/\(service)/\(method)"
    case .grpc(let service?, nil): result.prefix = "/\(service)/"
    case .grpc(nil, let method): result.safeRegex.regex = "/[^/]+/\(method.map(Expression.quoted) ?? "[^/]+")"
    case .grpcExpression(let service, let method):
      result.safeRegex.regex = "/(\(service ?? "[^/]+"))/(\(method ?? "[^/]+"))"
    }
    if let method = match.method {
      result.headers.append(header(NamedMatch(name: ":method", value: method)))
    }
    result.headers += match.headers.map(header)
    result.queryParameters = match.query.map { parameter in
      var matcher = EnvoyQueryParameterMatcher()
      matcher.name = parameter.name
      matcher.stringMatch = string(parameter)
      return matcher
    }
    return result
  }

  private static func header(_ match: NamedMatch) -> EnvoyHeaderMatcher {
    var matcher = EnvoyHeaderMatcher()
    matcher.name = match.name.lowercased()
    matcher.stringMatch = string(match)
    return matcher
  }

  private static func string(_ match: NamedMatch) -> EnvoyStringMatcher {
    var matcher = EnvoyStringMatcher()
    if match.isExpression {
      matcher.safeRegex.regex = match.value
    } else {
      matcher.exact = match.value
    }
    return matcher
  }
}

/// How a path is changed, in Envoy's terms. A prefix that is replaced by `/` alone, or is `/` itself, has a slash too
/// many or too few when bytes are simply put in place of bytes.
enum PathChange {
  case prefix(String)
  case expression(String, substitution: String)

  /// nil when nothing changes.
  init?(_ replacement: PathReplacement, _ match: RequestMatch) {
    switch replacement {
    case .fullPath(let path): self = .expression("^/.*$", substitution: Expression.literalSubstitution(path))
    case .prefix(let text):
      let new = PathReplacement.trimmed(text)
      guard case .prefix(let old) = match.path, old != new else { return nil }
      if old == "/" {
        self = .prefix(new + "/")
      } else if new == "/" {
        self = .expression("^\(Expression.quoted(old))/*", substitution: "/")
      } else {
        self = .prefix(new)
      }
    }
  }
}

/// RE2 syntax.
enum Expression {
  /// A pattern that matches exactly this text.
  static func quoted(_ text: String) -> String {
    var result = ""
    for character in text {
      if "\\.+*?()|[]{}^$".contains(character) { result.append("\\") }
      result.append(character)
    }
    return result
  }

  /// What is put in for a match, with nothing in it that refers to groups.
  static func literalSubstitution(_ text: String) -> String {
    text.split(separator: "\\", omittingEmptySubsequences: false).joined(separator: "\\\\")
  }
}
