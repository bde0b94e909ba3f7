import Testing

@testable import Mesh

struct RouteReaderTests {
  private func document(_ rules: ManifestValue, kind: String = "HTTPRoute") -> ManifestValue {
    [
      "apiVersion": "gateway.networking.k8s.io/v1", "kind": .init(.string(kind)), "metadata": ["name": "r"],
      "spec": ["parentRefs": [["group": "", "kind": "Service", "name": "web", "port": 80]], "rules": rules],
    ]
  }

  private func errors(_ rules: ManifestValue, kind: String = "HTTPRoute") -> [String] {
    RouteReader(SampleMesh.model(protocol: .grpc)).read(document(rules, kind: kind)).errors.map(\.description)
  }

  private func rule(_ rule: ManifestValue, kind: String = "HTTPRoute") throws -> RouteRule {
    let (route, errors) = RouteReader(SampleMesh.model(protocol: .grpc)).read(document([rule], kind: kind))
    #expect(errors.isEmpty)
    return try #require(route?.rules.first)
  }

  @Test func aRouteOfTheGatewayAPIsOwnDocumentation() throws {
    // The canary of "HTTP traffic splitting", with a Service as the parent.
    let found = try rule([
      "backendRefs": [["name": "web-v1", "port": 80, "weight": 90], ["name": "web-v2", "port": 80, "weight": 10]]
    ])
    #expect(found.backends == [Backend(cluster: "web-v1", weight: 90), Backend(cluster: "web-v2", weight: 10)])
  }

  @Test func everythingThatARuleMaySay() throws {
    let found = try rule([
      "matches": [
        [
          "path": ["type": "PathPrefix", "value": "/api/"], "method": "POST",
          "headers": [["name": "X-User", "value": "a.*", "type": "RegularExpression"]],
          "queryParams": [["name": "q", "value": "1"]],
        ]
      ],
      "filters": [
        [
          "type": "RequestHeaderModifier",
          "requestHeaderModifier": ["set": [["name": "a", "value": "1"]], "remove": ["b"]],
        ],
        ["type": "ResponseHeaderModifier", "responseHeaderModifier": ["add": [["name": "c", "value": "2"]]]],
        ["type": "URLRewrite", "urlRewrite": ["path": ["type": "ReplacePrefixMatch", "replacePrefixMatch": "/v2"]]],
        ["type": "RequestMirror", "requestMirror": ["backendRef": ["name": "web-v2", "port": 80], "percent": 25]],
      ],
      "backendRefs": [["name": "web", "port": 80]],
      "timeouts": ["request": "1m30s", "backendRequest": "500ms"],
      "retry": ["codes": [500, 503], "attempts": 3, "backoff": "100ms"],
    ])
    #expect(found.matches.first?.path == .prefix("/api"))
    #expect(found.matches.first?.method == "POST")
    #expect(found.matches.first?.headers == [NamedMatch(name: "X-User", value: "a.*", isExpression: true)])
    #expect(found.matches.first?.query == [NamedMatch(name: "q", value: "1")])
    #expect(found.requestHeaders.set == [HeaderChange.Field(name: "a", value: "1")])
    #expect(found.requestHeaders.remove == ["b"])
    #expect(found.responseHeaders.add == [HeaderChange.Field(name: "c", value: "2")])
    #expect(found.rewrite?.path == .prefix("/v2"))
    #expect(found.mirrors.first?.perMillion == 250_000)
    #expect(found.requestTimeout == 90_000)
    #expect(found.backendTimeout == 500)
    #expect(found.retry?.codes == [500, 503])
    #expect(found.retry?.attempts == 3)
    #expect(found.retry?.backoff == 100)
  }

  @Test func aGRPCRoute() throws {
    let found = try rule(
      [
        "matches": [["method": ["service": "helloworld.Greeter", "method": "SayHello"]]],
        "backendRefs": [["name": "web"]],
      ],
      kind: "GRPCRoute")
    #expect(found.matches.first?.path == .grpc(service: "helloworld.Greeter", method: "SayHello"))
  }

  @Test func whatIsNotSupportedIsNamedWithItsPath() {
    #expect(
      errors([
        ["filters": [["type": "RequestMirror", "requestMirror": ["backendRef": ["name": "web"]]], ["type": "CORS"]]]
      ])
        == [
          "spec.rules[0].filters[1].type: “CORS” is not supported; possible: RequestHeaderModifier, "
            + "ResponseHeaderModifier, RequestMirror, RequestRedirect, URLRewrite"
        ])
    #expect(
      errors([["sessionPersistence": ["type": "Cookie"]]]) == ["spec.rules[0].sessionPersistence: is not supported"])
    #expect(
      errors([["backendRefs": [["name": "web", "wieght": 3]]]]) == ["spec.rules[0].backendRefs[0].wieght: is not known"]
    )
    #expect(
      errors([["backendRefs": [["name": "web-v9"]]]]) == [
        "spec.rules[0].backendRefs[0].name: there is no service “web-v9”, and no version of a service that is called so"
      ])
    #expect(
      errors([["backendRefs": [["name": "web", "port": 81]]]]) == [
        "spec.rules[0].backendRefs[0].port: the service's port is 80"
      ])
    #expect(errors([["timeouts": ["request": "1x"]]], kind: "GRPCRoute") == ["spec.rules[0].timeouts: is not known"])
  }

  @Test(arguments: ["a", "//", "/a/../b", "/a%2Fb", "/a?b", "/a b"])
  func pathsThatProxiesCouldReadDifferently(_ path: String) {
    #expect(errors([["matches": [["path": ["type": "Exact", "value": .init(.string(path))]]]]]).count == 1)
  }

  /// GEP-2257: the examples of the document.
  @Test(arguments: [
    ("1h", 3_600_000), ("5m", 300_000), ("10s", 10_000), ("500ms", 500), ("2h45m", 9_900_000), ("0s", 0),
  ])
  func durations(_ text: String, _ milliseconds: Int) { #expect(ManifestPlace.milliseconds(text) == milliseconds) }

  @Test(arguments: ["", "1", "1d", "-1s", "1.5h", "123456s", "1s1s1s1s1s", "s"])
  func noDurations(_ text: String) { #expect(ManifestPlace.milliseconds(text) == nil) }

  @Test func everyErrorAtOnceWithItsPlace() {
    let document: ManifestValue = [
      "apiVersion": "v1", "kind": "HTTPRoute", "metadata": ["name": "r"],
      "spec": ["parentRefs": [["kind": "Gateway", "name": "db"]], "rules": []],
    ]
    let (route, errors) = RouteReader(SampleMesh.model()).read(document)
    #expect(route == nil)
    #expect(errors.map(\.path) == ["apiVersion", "spec.parentRefs[0].kind", "spec.parentRefs[0].name"])
  }

  /// The order that HTTPRouteRule demands.
  @Test func theMostSpecificMatchGoesFirst() {
    func match(_ path: RequestMatch.Path?, method: String? = nil, headers: Int = 0, query: Int = 0) -> RequestMatch {
      var match = RequestMatch()
      match.path = path
      match.method = method
      match.headers = (0..<headers).map { NamedMatch(name: "h\($0)", value: "x") }
      match.query = (0..<query).map { NamedMatch(name: "q\($0)", value: "x") }
      return match
    }
    let wanted = [
      match(.exact("/a")), match(.prefix("/long/er")), match(.prefix("/a"), method: "GET"),
      match(.prefix("/a"), headers: 2), match(.prefix("/a"), headers: 1, query: 3), match(.prefix("/a"), headers: 1),
      match(.prefix("/a")), match(nil, query: 1), match(nil),
    ]
    var rules: [RouteRule] = []
    for match in wanted.reversed() {
      var rule = RouteRule()
      rule.matches = [match]
      rules.append(rule)
    }
    let route = MeshRoute(kind: .http, name: "r", services: ["web"], rules: rules)
    #expect(RankedMatch.all(of: [route]).map(\.match) == wanted)
  }
}
