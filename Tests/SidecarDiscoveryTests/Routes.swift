// Routes as the control plane's model has them; the sidecar's own types of the same names are elsewhere.
import Mesh

extension Scene {
  func modelWithUnsupportedRoute() -> MeshModel {
    var match = RequestMatch()
    match.path = .regularExpression("/(?i)x")
    var rule = RouteRule()
    rule.matches = [match]
    rule.backends = [Backend(cluster: "web")]
    var model = self.model()
    model.routes = [MeshRoute(kind: .http, name: "odd", services: ["web"], rules: [rule])]
    return model
  }
}

extension Sample {
  static func splitGRPC() -> MeshModel {
    var model = self.model()
    model.services[0].protocol = .grpc
    model.splits["web"] = ["v1": 90, "v2": 10]
    return model
  }

  /// A route with every feature that is understood, and a few plain ones.
  static func routed() -> MeshModel {
    var model = self.model()
    model.services[0].policy = ServicePolicy()
    let rules = [
      full, redirected, rule(.prefix("/strip")) { $0.rewrite = rewrite(.prefix("/")) },
      rule(.regularExpression("/e[0-9]+")) { $0.backends = [Backend(cluster: "web-v1")] },
      rule(.exact("/none")) { $0.backends = [] }, rule(nil) { _ in },
    ]
    model.routes = [MeshRoute(kind: .http, name: "all", services: ["web"], rules: rules)]
    return model
  }

  private static func rule(_ path: RequestMatch.Path?, _ change: (inout RouteRule) -> Void) -> RouteRule {
    var match = RequestMatch()
    match.path = path
    var rule = RouteRule()
    rule.matches = [match]
    rule.backends = [Backend(cluster: "web")]
    change(&rule)
    return rule
  }

  private static func rewrite(_ path: PathReplacement, host: String? = nil) -> Rewrite {
    var rewrite = Rewrite()
    rewrite.path = path
    rewrite.hostname = host
    return rewrite
  }

  private static var full: RouteRule {
    rule(.exact("/full")) { rule in
      rule.matches[0].method = "POST"
      rule.matches[0].headers = [NamedMatch(name: "X-User", value: "a+", isExpression: true)]
      rule.matches[0].query = [NamedMatch(name: "q", value: "1")]
      rule.requestHeaders.set = [HeaderChange.Field(name: "X-Set", value: "50%")]
      rule.requestHeaders.add = [HeaderChange.Field(name: "X-Add", value: "b")]
      rule.requestHeaders.remove = ["X-Gone"]
      rule.responseHeaders.set = [HeaderChange.Field(name: "X-Answer", value: "c")]
      rule.requestTimeout = 2000
      rule.backendTimeout = 700
      rule.retry = Retry()
      rule.retry?.attempts = 3
      rule.retry?.codes = [502, 503]
      rule.retry?.backoff = 40
      rule.mirrors = [Mirror(cluster: "web-v2"), Mirror(cluster: "db")]
      rule.backends[0].requestHeaders.set = [HeaderChange.Field(name: "X-Backend", value: "1")]
      rule.backends[0].responseHeaders.remove = ["X-Secret"]
      rule.mirrors[0].perMillion = 250_000
      rule.rewrite = rewrite(.fullPath("/a\\b"), host: "other")
    }
  }

  private static var redirected: RouteRule {
    rule(.prefix("/old")) { rule in
      rule.backends = []
      var redirect = Redirect()
      redirect.scheme = "https"
      redirect.hostname = "new.example"
      redirect.port = 8443
      redirect.path = .prefix("/new")
      redirect.status = 308
      rule.redirect = redirect
    }
  }
}
