import SwiftProtobuf
import XDS

/// What an HTTP connection manager says besides where requests go.
struct HTTPFilters {
  var applicationProtocol = ApplicationProtocol.http
  var fault: FaultInjection?
  var allowed: Set<String>?
  var rateLimit: RateLimit?

  init(_ manager: EnvoyHttpConnectionManager, _ path: String) throws(ResourceError) {
    switch manager.codecType {
    case .http1: applicationProtocol = .http
    case .http2: applicationProtocol = .http2
    case .auto, .http3, .UNRECOGNIZED:
      throw ResourceError("\(path).codec_type", "must be HTTP1 or HTTP2: nothing is guessed")
    }
    for (index, upgrade) in manager.upgradeConfigs.enumerated() where upgrade.upgradeType.lowercased() != "websocket" {
      throw ResourceError("\(path).upgrade_configs[\(index)].upgrade_type", "must be websocket")
    }
    if manager.hasStreamIdleTimeout {
      let limit = try ResourceValue.milliseconds(manager.streamIdleTimeout, "\(path).stream_idle_timeout")
      guard limit == 0 else { throw ResourceError("\(path).stream_idle_timeout", "must be 0") }
    }
    for (index, filter) in manager.httpFilters.enumerated() {
      let place = "\(path).http_filters[\(index)].typed_config"
      try take(filter.typedConfig, place, isLast: index == manager.httpFilters.count - 1)
    }
    guard let last = manager.httpFilters.last, last.typedConfig.isA(EnvoyRouter.self) else {
      throw ResourceError("\(path).http_filters", "must end with the router")
    }
  }

  private mutating func take(_ body: Google_Protobuf_Any, _ path: String, isLast: Bool) throws(ResourceError) {
    if body.isA(EnvoyRouter.self) {
      let _: EnvoyRouter = try ResourceValue.unpack(body, path)
      guard isLast else { throw ResourceError(path, "must be the last filter") }
    } else if body.isA(EnvoyHTTPFault.self) {
      guard fault == nil else { throw ResourceError(path, "is there twice") }
      fault = try Self.fault(try ResourceValue.unpack(body, path), path)
    } else if body.isA(EnvoyHTTPRBAC.self) {
      guard allowed == nil else { throw ResourceError(path, "is there twice") }
      let filter: EnvoyHTTPRBAC = try ResourceValue.unpack(body, path)
      allowed = try AuthorizationReader.allowed(filter.rules, "\(path).rules")
    } else if body.isA(EnvoyLocalRateLimit.self) {
      guard rateLimit == nil else { throw ResourceError(path, "is there twice") }
      rateLimit = try Self.rateLimit(try ResourceValue.unpack(body, path), path)
    } else {
      throw ResourceError(path, "\(ResourceValue.typeName(body)) is not supported")
    }
  }

  private static func fault(_ source: EnvoyHTTPFault, _ path: String) throws(ResourceError) -> FaultInjection {
    var fault = FaultInjection()
    if source.hasDelay {
      fault.delay = try ResourceValue.milliseconds(source.delay.fixedDelay, "\(path).delay.fixed_delay")
      fault.delayPercent = try ResourceValue.percent(source.delay.percentage, "\(path).delay.percentage")
    }
    if source.hasAbort {
      guard (200...599).contains(source.abort.httpStatus) else {
        throw ResourceError("\(path).abort.http_status", "must be 200 to 599")
      }
      fault.abortStatus = Int(source.abort.httpStatus)
      fault.abortPercent = try ResourceValue.percent(source.abort.percentage, "\(path).abort.percentage")
    }
    return fault
  }

  private static func rateLimit(_ source: EnvoyLocalRateLimit, _ path: String) throws(ResourceError) -> RateLimit {
    for (part, name) in [(source.filterEnabled, "filter_enabled"), (source.filterEnforced, "filter_enforced")] {
      let percent = try ResourceValue.percent(part.defaultValue, "\(path).\(name).default_value")
      guard percent == 100 else { throw ResourceError("\(path).\(name)", "must be 100 %") }
    }
    let bucket = source.tokenBucket
    let interval = try ResourceValue.milliseconds(bucket.fillInterval, "\(path).token_bucket.fill_interval")
    let added = bucket.hasTokensPerFill ? bucket.tokensPerFill.value : 1
    guard interval > 0, added > 0, bucket.maxTokens > 0 else {
      throw ResourceError("\(path).token_bucket", "must have tokens and an interval")
    }
    return RateLimit(perSecond: Double(added) * 1000 / Double(interval), burst: Int(bucket.maxTokens))
  }
}

/// Role-based access control of which the roles are SPIFFE identities.
enum AuthorizationReader {
  static func network(_ body: Google_Protobuf_Any, _ path: String) throws(ResourceError) -> Set<String>? {
    let filter: EnvoyNetworkRBAC = try ResourceValue.unpack(body, path)
    return try allowed(filter.rules, "\(path).rules")
  }

  /// - Returns: nil for everybody. Without a policy that allows somebody, nobody.
  static func allowed(_ rules: EnvoyRulesRBAC, _ path: String) throws(ResourceError) -> Set<String>? {
    guard rules.action == .allow else { throw ResourceError("\(path).action", "must be ALLOW") }
    var allowed: Set<String> = []
    var isOpen = false
    for (name, policy) in rules.policies {
      let place = "\(path).policies[\(name.prefix(200))]"
      guard policy.permissions.contains(where: { $0.rule == .any(true) }) else {
        throw ResourceError("\(place).permissions", "must be any")
      }
      for (index, principal) in policy.principals.enumerated() {
        let spot = "\(place).principals[\(index)]"
        switch principal.identifier {
        case .any(true): isOpen = true
        case .authenticated(let identity):
          guard case .exact(let text) = identity.principalName.matchPattern else {
            throw ResourceError("\(spot).authenticated.principal_name", "must be exact")
          }
          allowed.insert(text)
        default: throw ResourceError(spot, "must be any or authenticated")
        }
      }
    }
    return isOpen ? nil : allowed
  }
}
