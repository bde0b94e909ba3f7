// What a change does to the mesh, in the words of the file.

internal import Mesh
public import Topology

extension ResolvedLab {
  /// What differs between the mesh of this lab and that of the `wanted` one: `mtls`, who may call whom, how services are
  /// treated, routes.
  public func meshChanges(to wanted: ResolvedLab) -> [PlannedChange] {
    guard let old = mesh, let new = wanted.mesh else { return [] }
    var changes: [PlannedChange] = []
    if old.mutualTLS != new.mutualTLS {
      changes.append(
        PlannedChange(action: .change, section: "mtls", what: new.mutualTLS.rawValue, was: old.mutualTLS.rawValue))
    }
    changes += Self.differences("authorization", old.authorizations.map(\.words), new.authorizations.map(\.words))
    changes += Self.differences(
      "service", old.services.flatMap { service in service.words.map { ("\(service.name) \($0.0)", $0.1, nil) } },
      new.services.flatMap { service in
        service.words.map { ("\(service.name) \($0.0)", $0.1, service.place.description) }
      })
    changes += Self.differences("route", old.routes.map(\.words), new.routes.map(\.words))
    // What words do not tell apart.
    if changes.isEmpty, old.routes.map(\.route) != new.routes.map(\.route) {
      changes.append(PlannedChange(action: .change, section: "route", what: "the order of the routes"))
    }
    return changes
  }

  private static func differences(
    _ section: String, _ old: [(name: String, text: String, place: String?)],
    _ new: [(name: String, text: String, place: String?)]
  ) -> [PlannedChange] {
    let before = Dictionary(old.map { ($0.name, $0.text) }, uniquingKeysWith: { first, _ in first })
    let after = Set(new.map(\.name))
    let removed = old.filter { !after.contains($0.name) }.map {
      PlannedChange(action: .remove, section: section, what: "\($0.name): \($0.text)")
    }
    return removed
      + new.compactMap { item in
        let what = "\(item.name): \(item.text)"
        guard let was = before[item.name] else {
          return PlannedChange(action: .add, section: section, what: what, place: item.place)
        }
        guard was != item.text else { return nil }
        return PlannedChange(action: .change, section: section, what: what, was: was, place: item.place)
      }
  }
}

extension MeshAuthorization {
  fileprivate var words: (name: String, text: String, place: String?) {
    (to, "allow \(allowed.isEmpty ? "nobody" : allowed.joined(separator: ", "))", nil)
  }
}

extension Topology.MeshService {
  /// Key and value of what is not as it is unless written.
  fileprivate var words: [(String, String)] {
    var words: [(String, String)] = []
    if !split.isEmpty {
      words.append(("split", split.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")))
    }
    switch policy.balancing {
    case .leastRequest: break
    case .roundRobin: words.append(("balance", "round-robin"))
    case .latency: words.append(("balance", "ewma"))
    case .ringHash(let header): words.append(("balance", "ring-hash by \(header ?? "the client's address")"))
    }
    if !policy.prefersNearest { words.append(("locality", "any")) }
    if let limits = policy.circuitBreaker {
      let parts = [
        limits.maximumConnections.map { "connections \($0)" }, limits.maximumPendingRequests.map { "pending \($0)" },
        limits.maximumRequests.map { "requests \($0)" },
      ]
      words.append(("limits", parts.compactMap(\.self).joined(separator: " ")))
    }
    if let outlier = policy.outlierEjection {
      words.append(
        (
          "outlier",
          "errors \(outlier.consecutiveErrors) ejection \(outlier.baseEjectionMilliseconds)ms at-most \(outlier.maximumPercent)"
        ))
    }
    let times = [
      policy.connectTimeout == 5000 ? nil : "connect \(policy.connectTimeout)ms",
      policy.requestTimeout.map { "request \($0)ms" }, policy.attemptTimeout.map { "attempt \($0)ms" },
    ].compactMap(\.self)
    if !times.isEmpty { words.append(("timeouts", times.joined(separator: " "))) }
    if let retry = policy.retry { words.append(("retries", "\(retry.words) budget \(policy.retryBudgetPercent)")) }
    if let mirror = policy.mirror { words.append(("mirror", mirror.words)) }
    if let fault = policy.fault {
      let parts = [
        fault.delayMilliseconds.map { "delay \($0)ms of \(fault.delayPercent) %" },
        fault.abortStatus.map { "abort \($0) of \(fault.abortPercent) %" },
      ]
      words.append(("fault", parts.compactMap(\.self).joined(separator: ", ")))
    }
    if let limit = policy.rateLimit { words.append(("rate-limit", "\(limit)")) }
    if let health {
      words.append(
        (
          "health",
          "\(health.path ?? "a connection") every \(health.intervalMilliseconds)ms within \(health.timeoutMilliseconds)ms "
            + "failures \(health.failures) successes \(health.successes)"
        ))
    }
    return words
  }
}

extension ManifestRoute {
  fileprivate var words: (name: String, text: String, place: String?) {
    let rules = route.rules.map(\.words).joined(separator: "; ")
    return (
      "\(route.kind.rawValue) \(route.name)", "\(route.services.joined(separator: ", ")): \(rules)", place.description
    )
  }
}

extension Retry {
  fileprivate var words: String {
    "attempts \(attempts)" + (codes.isEmpty ? "" : " after \(codes.map(String.init).joined(separator: ","))")
      + (backoff.map { " backoff \($0)ms" } ?? "")
  }
}

extension Mirror {
  fileprivate var words: String { "to \(cluster) \(Double(perMillion) / 10_000) %" }
}

extension HeaderChange {
  fileprivate var words: String {
    (self.set.map { "set \($0.name)=\($0.value)" } + add.map { "add \($0.name)=\($0.value)" }
      + remove.map { "remove \($0)" })
      .joined(separator: " ")
  }
}

extension PathReplacement {
  fileprivate var words: String {
    switch self {
    case .fullPath(let path): "path \(path)"
    case .prefix(let prefix): "prefix \(prefix)"
    }
  }
}

extension RouteRule {
  fileprivate var words: String {
    var parts = [matches.isEmpty ? "everything" : matches.map(\.words).joined(separator: " or ")]
    if let redirect {
      let target = [
        redirect.scheme, redirect.hostname, redirect.port.map { ":\($0)" }, redirect.path?.words,
      ]
      parts.append("redirect \(redirect.status) \(target.compactMap(\.self).joined(separator: " "))")
    }
    let backends = backends.map { backend in
      "\(backend.cluster)=\(backend.weight)"
        + [backend.requestHeaders, backend.responseHeaders].filter { !$0.isEmpty }.map { " (\($0.words))" }.joined()
    }
    if !backends.isEmpty { parts.append("to " + backends.joined(separator: " ")) }
    if let rewrite {
      parts.append("rewrite " + [rewrite.hostname, rewrite.path?.words].compactMap(\.self).joined(separator: " "))
    }
    if !requestHeaders.isEmpty { parts.append("request headers \(requestHeaders.words)") }
    if !responseHeaders.isEmpty { parts.append("response headers \(responseHeaders.words)") }
    parts += mirrors.map { "mirror \($0.words)" }
    if let requestTimeout { parts.append("request timeout \(requestTimeout)ms") }
    if let backendTimeout { parts.append("attempt timeout \(backendTimeout)ms") }
    if let retry { parts.append("retry \(retry.words)") }
    return parts.joined(separator: ", ")
  }
}

extension RequestMatch {
  fileprivate var words: String {
    var parts: [String] = []
    if let method { parts.append(method) }
    switch path {
    case .exact(let text): parts.append(text)
    case .prefix(let text): parts.append(text == "/" ? "/*" : "\(text)/*")
    case .regularExpression(let text): parts.append("~\(text)")
    case .grpc(let service, let method): parts.append("/\(service ?? "*")/\(method ?? "*")")
    case .grpcExpression(let service, let method): parts.append("~/\(service ?? ".*")/\(method ?? ".*")")
    case nil: break
    }
    parts += headers.map { "\($0.name):\($0.isExpression ? "~" : "")\($0.value)" }
    parts += query.map { "?\($0.name)=\($0.isExpression ? "~" : "")\($0.value)" }
    return parts.isEmpty ? "everything" : parts.joined(separator: " ")
  }
}
