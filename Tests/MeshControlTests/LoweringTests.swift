import Mesh
import NetTypes
import SwiftProtobuf
import Testing
import XDS

@testable import MeshControl

struct LoweringTests {
  private func route(_ rule: RouteRule, _ dialect: Dialect = .sidecar) -> EnvoyRoute {
    var model = SampleMesh.model()
    model.routes = [MeshRoute(kind: .http, name: "r", services: ["web"], rules: [rule])]
    return Lowering(model).routes(model.services[0], dialect).virtualHosts.first?.routes.first ?? EnvoyRoute()
  }

  private func rewrite(_ old: String, _ new: String) -> EnvoyRouteAction {
    var rule = RouteRule()
    var match = RequestMatch()
    match.path = .prefix(old)
    rule.matches = [match]
    rule.rewrite = Rewrite()
    rule.rewrite?.path = .prefix(new)
    rule.backends = [Backend(cluster: "web")]
    return route(rule).route
  }

  @Test func theNearestSystemHasTheFirstPriority() {
    var model = SampleMesh.model()
    model.pathCosts["client-1", ASNumber(65001)] = 2
    model.pathCosts["client-1", ASNumber(65002)] = 1
    let found = Lowering(model).endpoints(costs: model.pathCosts.row(of: "client-1")).first { $0.clusterName == "web" }
    #expect(found?.endpoints.map(\.locality.region) == ["as65002", "as65001"])
    #expect(found?.endpoints.map(\.priority) == [0, 1])
    // Equally far: one priority.
    model.pathCosts["client-1", ASNumber(65002)] = 2
    let equal = Lowering(model).endpoints(costs: model.pathCosts.row(of: "client-1")).first { $0.clusterName == "web" }
    #expect(equal?.endpoints.map(\.priority) == [0, 0])
  }

  @Test func anUnknownSystemIsTheFarthest() {
    var model = SampleMesh.model()
    model.pathCosts["client-1", ASNumber(65002)] = 7
    let found = Lowering(model).endpoints(costs: model.pathCosts.row(of: "client-1")).first { $0.clusterName == "web" }
    #expect(found?.endpoints.map(\.locality.region) == ["as65002", "as65001"])
  }

  @Test func aPodSpeaksPlainToItself() throws {
    let model = SampleMesh.model()
    let own = try #require(Lowering(model).endpoints(ofClustersWith: model.pods[0]).first { $0.clusterName == "web" })
    let marked = own.endpoints.flatMap(\.lbEndpoints).map {
      $0.metadata.filterMetadata["envoy.transport_socket_match"] != nil
    }
    #expect(marked == [false, true])
    let versions = own.endpoints.flatMap(\.lbEndpoints).map { endpoint -> String? in
      guard case .stringValue(let text) = endpoint.metadata.filterMetadata["envoy.lb"]?.fields["version"]?.kind else {
        return nil
      }
      return text
    }
    #expect(versions == ["v1", "v2"])
    let addresses = own.endpoints.flatMap(\.lbEndpoints).map(\.endpoint.address.socketAddress.address)
    #expect(addresses == ["127.0.0.1", "10.2.0.1"])
  }

  /// The table of HTTPPathModifier, replacePrefixMatch, in the terms of what Envoy does with prefix and expression.
  @Test func prefixesAreReplacedByWholeSegments() {
    #expect(rewrite("/foo", "/xyz").prefixRewrite == "/xyz")
    #expect(rewrite("/foo", "/xyz/").prefixRewrite == "/xyz")
    #expect(rewrite("/", "/xyz").prefixRewrite == "/xyz/")
    let toRoot = rewrite("/foo", "/")
    #expect(toRoot.prefixRewrite.isEmpty)
    #expect(toRoot.regexRewrite.pattern.regex == "^/foo/*")
    #expect(toRoot.regexRewrite.substitution == "/")
  }

  @Test func noTimeoutIsSaidAloud() {
    var rule = RouteRule()
    rule.backends = [Backend(cluster: "web")]
    #expect(route(rule).route.hasTimeout)
    #expect(route(rule).route.timeout.seconds == 0)
    rule.requestTimeout = 1500
    #expect(route(rule).route.timeout.seconds == 1)
    #expect(route(rule).route.timeout.nanos == 500_000_000)
  }

  @Test func aSplitStandsInPlaceOfTheWeightsOfARoute() {
    var rule = RouteRule()
    rule.backends = [Backend(cluster: "web-v1", weight: 1), Backend(cluster: "web-v2", weight: 1)]
    var model = SampleMesh.model()
    model.routes = [MeshRoute(kind: .http, name: "r", services: ["web"], rules: [rule])]
    model.splits["web"] = ["v1": 80, "v2": 20]
    var clusters = Lowering(model).routes(model.services[0], .sidecar).virtualHosts[0].routes[0].route.weightedClusters
      .clusters
    #expect(clusters.map(\.name) == ["web-v1", "web-v2"])
    #expect(clusters.map(\.weight.value) == [80, 20])
    // A rule that sends elsewhere is none of its business.
    model.routes[0].rules[0].backends.append(Backend(cluster: "db", weight: 5))
    clusters =
      Lowering(model).routes(model.services[0], .sidecar).virtualHosts[0].routes[0].route.weightedClusters
      .clusters
    #expect(clusters.map(\.weight.value) == [1, 1, 5])
  }

  @Test func noBackendIsAnError500() { #expect(route(RouteRule()).directResponse.status == 500) }

  @Test func proxylessClientsGetTheirDialect() {
    let model = SampleMesh.model()
    let lowering = Lowering(model)
    #expect(lowering.routes(model.services[0], .proxyless).virtualHosts[0].routes[0].match.prefix.isEmpty)
    #expect(lowering.apiListener(model.services[0]).hasApiListener)
    #expect(lowering.clusters(.proxyless).allSatisfy { $0.transportSocketMatches.isEmpty })
  }

  @Test func strictTakesNothingButTLS() throws {
    let model = SampleMesh.model(.strict)
    let listener = try #require(Lowering(model).inboundListener(model.services[0]))
    #expect(listener.filterChains.map(\.hasTransportSocket) == [true])
    #expect(!listener.hasDefaultFilterChain)
    #expect(Lowering(model).inboundListener(nil) == nil)
  }

  @Test func permissiveTellsTLSFromPlainText() throws {
    let model = SampleMesh.model(.permissive)
    let listener = try #require(Lowering(model).inboundListener(model.services[0]))
    #expect(listener.filterChains.map(\.filterChainMatch.transportProtocol) == ["tls", "raw_buffer"])
    #expect(listener.filterChains.map(\.hasTransportSocket) == [true, false])
  }

  @Test func whoMayCallIsToldByIdentity() throws {
    var model = SampleMesh.model()
    model.authorization = [AuthorizationRule(to: "web", allow: ["client-1"])]
    let listener = try #require(Lowering(model).inboundListener(model.services[0]))
    let manager = try EnvoyHttpConnectionManager(serializedBytes: listener.filterChains[0].filters[0].typedConfig.value)
    let rules = try EnvoyHTTPRBAC(serializedBytes: manager.httpFilters[0].typedConfig.value).rules
    #expect(rules.action == .allow)
    #expect(
      rules.policies.values.flatMap(\.principals).map(\.authenticated.principalName.exact)
        == ["spiffe://lab/ns/default/sa/client-1"])
    #expect(manager.httpFilters.last?.name == "envoy.filters.http.router")
  }
}
