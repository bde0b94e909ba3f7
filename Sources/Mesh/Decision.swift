internal import NetTypes

/// A request as far as routes look at it.
public struct RequestFacts: Sendable, Equatable {
  public var method: String
  /// Without the query.
  public var path: String
  /// Names in lower case.
  public var headers: [String: String]
  public var query: [String: String]

  public init(method: String = "GET", path: String = "/", headers: [String: String] = [:]) {
    self.method = method
    let parts = path.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    self.path = parts.first.map(String.init) ?? "/"
    var query: [String: String] = [:]
    for pair in parts.count > 1 ? parts[1].split(separator: "&") : [] {
      let halves = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      query[String(halves[0])] = halves.count > 1 ? String(halves[1]) : ""
    }
    self.query = query
    self.headers = Dictionary(headers.map { ($0.key.lowercased(), $0.value) }, uniquingKeysWith: { first, _ in first })
  }
}

/// What the mesh does with a request, by the model alone.
public struct MeshDecision: Sendable, Equatable {
  public enum Outcome: Sendable, Equatable {
    /// Backends with a weight above zero.
    case backends([Backend])
    case redirect(Redirect)
    /// The service has routes, and none of them matches (404).
    case noRoute
    /// The rule that matches has no backend with a weight above zero (500).
    case noBackend
  }

  public var outcome: Outcome
  /// nil: the service has no route of its own, so every request goes to all of its pods.
  public var rule: RouteRule?
  public var match: RequestMatch?
  /// The caller's identity may call the service.
  public var isAllowed: Bool
}

extension MeshModel {
  public func decision(from pod: MeshPod, to service: MeshService, _ request: RequestFacts) -> MeshDecision {
    let rules = authorization.filter { $0.service == service.name }
    let isAllowed = rules.isEmpty || rules.contains { $0.allowed.contains(pod.account) }
    let attached = service.protocol.isHTTP ? routes.filter { $0.services.contains(service.name) } : []
    guard !attached.isEmpty else {
      let backends = weighted([Backend(cluster: service.name)], of: service.name)
      return MeshDecision(outcome: .backends(backends), rule: nil, match: nil, isAllowed: isAllowed)
    }
    guard let ranked = RankedMatch.all(of: attached).first(where: { $0.match.holds(request) }) else {
      return MeshDecision(outcome: .noRoute, rule: nil, match: nil, isAllowed: isAllowed)
    }
    var decision = MeshDecision(outcome: .noBackend, rule: ranked.rule, match: ranked.match, isAllowed: isAllowed)
    if let redirect = ranked.rule.redirect {
      decision.outcome = .redirect(redirect)
    } else {
      let backends = weighted(ranked.rule.backends, of: service.name)
      if !backends.isEmpty { decision.outcome = .backends(backends) }
    }
    return decision
  }
}

extension RequestMatch {
  func holds(_ request: RequestFacts) -> Bool {
    if let method, method != request.method { return false }
    if let path, !path.holds(request.path) { return false }
    return headers.allSatisfy { $0.holds(request.headers[$0.name.lowercased()]) }
      && query.allSatisfy { $0.holds(request.query[$0.name]) }
  }
}

extension RequestMatch.Path {
  fileprivate func holds(_ path: String) -> Bool {
    switch self {
    case .exact(let text): return path == text
    case .prefix(let text): return text == "/" || path == text || path.hasPrefix(text + "/")
    case .regularExpression(let pattern): return wholeMatch(pattern, path)
    case .grpc(let service, let method):
      let parts = path.split(separator: "/").map(String.init)
      return parts.count == 2 && (service ?? parts[0]) == parts[0] && (method ?? parts[1]) == parts[1]
    case .grpcExpression(let service, let method):
      let parts = path.split(separator: "/").map(String.init)
      guard parts.count == 2 else { return false }
      return (service.map { wholeMatch($0, parts[0]) } ?? true) && (method.map { wholeMatch($0, parts[1]) } ?? true)
    }
  }
}

extension NamedMatch {
  fileprivate func holds(_ text: String?) -> Bool {
    guard let text else { return false }
    return isExpression ? wholeMatch(value, text) : text == value
  }
}

/// The readers have refused patterns that do not parse; one that does all the same matches nothing.
private func wholeMatch(_ pattern: String, _ text: String) -> Bool {
  guard let expression = try? Regex(pattern) else { return false }
  return (try? expression.wholeMatch(in: text)) != nil
}
