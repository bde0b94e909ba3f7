import NetTypes
import Testing

@testable import Sidecar

/// What the control plane sends for a mesh, as a sidecar's configuration. Expected values follow from the model.
struct ConversionTests {
  private func socket(_ text: String) throws -> SocketAddress { try #require(SocketAddress(text)) }

  @Test("A client's services, clusters and endpoints")
  func client() throws {
    let store = try ResourceStore(try Lowered(Sample.model(), pod: "client-1"))
    #expect(store.warming.isEmpty)
    let configuration = try store.configuration()
    // IPv6 is in the mesh, so both families are caught, each by a socket of its own. No inbound: the mesh is strict and
    // the pod has no service.
    #expect(
      configuration.listeners == [
        Listener(try socket("0.0.0.0:15001"), .outboundCapture), Listener(try socket("[::]:15001"), .outboundCapture),
      ])
    #expect(configuration.passesUnknown)
    #expect(configuration.inbound.isEmpty)
    #expect(configuration.services.map(\.name) == ["web", "db"])
    let web = configuration.services[0]
    #expect(web.addresses == [try socket("10.254.0.1:80"), try socket("[2001:db8::1]:80")])
    #expect(web.applicationProtocol == .http)
    #expect(web.routes.map(\.backends) == [[WeightedBackend("web")]])
    #expect(web.routes[0].timeouts == Timeouts())
    var fault = FaultInjection()
    fault.delay = 50
    fault.delayPercent = 10
    fault.abortStatus = 418
    fault.abortPercent = 2
    #expect(web.routes[0].fault == fault)
    let database = configuration.services[1]
    #expect(database.applicationProtocol == .tcp)
    #expect(database.routes == [RouteRule(backends: [WeightedBackend("db")])])
    // Only what something leads to: no cluster of a version, no passthrough.
    #expect(configuration.clusters.map(\.name) == ["db", "web"])
    #expect(configuration.certificates?.chain.isEmpty == false)
  }

  @Test("A cluster's policy, identities, and endpoints by distance and health")
  func cluster() throws {
    let configuration = try ResourceStore(try Lowered(Sample.model(), pod: "client-1")).configuration()
    let web = try #require(configuration.clusters.first { $0.name == "web" })
    var expected = [
      Endpoint(try socket("10.1.0.1:8080"), locality: "as65001", priority: 0),
      Endpoint(try socket("10.2.0.1:8080"), locality: "as65002", priority: 1, isHealthy: false),
    ]
    expected[0].version = "v1"
    expected[1].version = "v2"
    #expect(web.endpoints == expected)
    #expect(web.balancing == .ringHash(header: nil))
    #expect(web.circuitBreaker == CircuitBreaker(connections: 10, pending: 20, requests: 30))
    #expect(web.connectTimeout == 5000)
    #expect(web.outlierDetection?.consecutiveErrors == 7)
    #expect(web.outlierDetection?.consecutiveGatewayErrors == nil)
    #expect(web.outlierDetection?.baseEjection == 2500)
    #expect(web.outlierDetection?.maximumPercent == 40)
    #expect(web.tls == UpstreamTLS(identities: ["spiffe://lab/ns/default/sa/web"]))
    #expect(!web.usesHTTP2)
  }

  @Test("A pod's own port: TLS, who may connect, how often")
  func inbound() throws {
    let web = try ResourceStore(try Lowered(Sample.model(), pod: "web-a")).configuration()
    var port = InboundPort(
      port: 8080, service: "web", target: try socket("127.0.0.1:8080"), .http, mutualTLS: .strict,
      rateLimit: RateLimit(perSecond: 100, burst: 100))
    port.fallsBackToDestination = true
    #expect(web.inbound == [port])
    #expect(!web.passesUnknownInbound)
    #expect(web.listeners.filter { $0.purpose == .inboundCapture }.map(\.address.port) == [15006, 15006])
    let database = try ResourceStore(try Lowered(Sample.model(), pod: "db-1")).configuration()
    port = InboundPort(
      port: 5433, service: "db", target: try socket("127.0.0.1:5433"), .tcp, mutualTLS: .strict,
      allowed: ["spiffe://lab/ns/default/sa/web"])
    port.fallsBackToDestination = true
    #expect(database.inbound == [port])
  }

  @Test("Permissive takes both, off neither asks nor offers TLS")
  func modes() throws {
    let permissive = try ResourceStore(try Lowered(Sample.permissive(), pod: "web-a")).configuration()
    #expect(permissive.inbound.map(\.mutualTLS) == [.permissive])
    #expect(permissive.passesUnknownInbound)
    // The pod's own endpoint is reached without its sidecar, so in the clear.
    #expect(permissive.clusters.first { $0.name == "web" }?.endpoints.map(\.usesTLS) == [false, true])
    #expect(permissive.clusters.first { $0.name == "db" }?.tls?.identities == ["spiffe://lab/ns/default/sa/db"])
    let store = try ResourceStore(try Lowered(Sample.withoutTLS(), pod: "web-a"))
    #expect(store.names(.secret).isEmpty)
    let off = try store.configuration()
    #expect(off.inbound.map(\.mutualTLS) == [.off])
    #expect(off.clusters.allSatisfy { $0.tls == nil })
    #expect(off.certificates == nil)
  }

  @Test("HTTP/2 and gRPC are declared, and versions are clusters that routes lead to")
  func versions() throws {
    let configuration = try ResourceStore(try Lowered(Sample.splitGRPC(), pod: "client-1")).configuration()
    #expect(configuration.services[0].applicationProtocol == .http2)
    #expect(
      configuration.services[0].routes.map(\.backends) == [
        [WeightedBackend("web-v1", weight: 90), WeightedBackend("web-v2", weight: 10)]
      ])
    #expect(configuration.clusters.map(\.name) == ["db", "web-v1", "web-v2"])
    #expect(configuration.clusters.filter(\.usesHTTP2).map(\.name) == ["web-v1", "web-v2"])
    #expect(configuration.clusters[1].endpoints.map(\.address) == [try socket("10.1.0.1:8080")])
  }

  @Test("Every feature of a route")
  func routes() throws {
    let lowered = try Lowered(Sample.routed(), pod: "client-1")
    let rules = try ResourceStore(lowered).configuration().services[0].routes
    func rule(_ path: RequestMatch.Path) -> RouteRule? { rules.first { $0.matches.first?.path == path } }
    let full = try #require(rule(.exact("/full")))
    #expect(
      full.matches == [
        RequestMatch(
          path: .exact("/full"), method: "POST", headers: [RequestMatch.Field("x-user", .expression("a+"))],
          query: [RequestMatch.Field("q", .exact("1"))])
      ])
    #expect(
      full.requestHeaders
        == HeaderChanges(
          set: [HeaderChanges.Pair("x-set", "50%")], add: [HeaderChanges.Pair("x-add", "b")], remove: ["x-gone"]))
    #expect(full.responseHeaders == HeaderChanges(set: [HeaderChanges.Pair("x-answer", "c")]))
    #expect(full.timeouts == Timeouts(request: 2000, backendRequest: 700))
    var retry = RetryPolicy(attempts: 3, codes: [502, 503])
    retry.backoff = 40
    #expect(full.retry == retry)
    #expect(full.mirrors == [Mirror(cluster: "web-v2", percent: 25), Mirror(cluster: "db")])
    var backend = WeightedBackend("web")
    backend.requestHeaders.set = [HeaderChanges.Pair("x-backend", "1")]
    backend.responseHeaders.remove = ["x-secret"]
    #expect(full.backends == [backend])
    #expect(full.rewrite == Rewrite(host: "other", path: .full("/a\\b")))
    let redirect = try #require(rule(.prefix("/old"))?.redirect)
    var wanted = Redirect(scheme: "https", host: "new.example", port: 8443, path: .prefix("/new"))
    wanted.status = 308
    #expect(redirect == wanted)
    #expect(rule(.prefix("/strip"))?.rewrite?.path == .prefix("/"))
    #expect(rule(.expression("/e[0-9]+"))?.backends == [WeightedBackend("web-v1")])
    // Backends that come to nothing: an answer that the sidecar makes itself.
    #expect(rule(.exact("/none"))?.directResponse == 500)
    #expect(rules.last?.matches == [])
  }
}
