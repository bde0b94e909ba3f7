import Foundation
import Mesh
import NetTypes
import TLS
import Testing

@testable import MeshControl

/// Envoy itself as the sidecar of every pod: a client, two versions of a service, mutual TLS by SDS between them.
@Suite(.serialized) struct EnvoyTests {
  private struct World: Encodable {
    struct Pod: Encodable {
      var name: String
      var address: String
      var origin: String?
      var bootstrap: String
    }

    var envoy: String
    var directory: String
    var pods: [Pod]
  }

  private func model() -> MeshModel {
    var model = MeshModel(trustDomain: "lab", mutualTLS: .strict)
    model.services = [
      MeshService(
        name: "web", addresses: [SampleMesh.address("10.254.0.1")], port: 80, targetPort: 8080, protocol: .http)
    ]
    func pod(_ name: String, _ address: String, _ version: String?) -> MeshPod {
      MeshPod(
        name: name, addresses: [SampleMesh.address(address)], service: version.map { _ in "web" }, version: version,
        sidecar: .envoy)
    }
    model.pods = [
      pod("web-1", "10.77.0.1", "v1"), pod("web-2", "10.77.0.2", "v2"), pod("client", "10.77.0.3", nil),
      pod("other", "10.77.0.4", nil),
    ]
    model.authorization = [AuthorizationRule(to: "web", allow: ["client", "web"])]
    return model
  }

  private func counts(_ line: String) -> [String: Int] {
    let pairs = line.split(separator: " ").compactMap { word -> (String, Int)? in
      guard let colon = word.lastIndex(of: ":") else { return nil }
      return Int(word[word.index(after: colon)...]).map { (String(word[..<colon]), $0) }
    }
    return Dictionary(pairs, uniquingKeysWith: +)
  }

  @Test func envoysWithMutualTLSFollowTheMesh() async throws {
    guard let envoy = RealClients.envoy, geteuid() == 0 else {
      return RealClients.skip("needs root and Envoy (on the PATH or in NETLOOM_ENVOY)")
    }
    let directory = FileManager.default.temporaryDirectory.appending(path: "netloom-envoy-\(getpid())")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    var model = model()
    let authority = try CertificateAuthority.make(trustDomain: "lab", now: Int64(Date().timeIntervalSince1970))
    let server = try XDSServer(model, certificates: CertificatePolicy(authority: authority)) { peer in
      .pod(URL(fileURLWithPath: peer.listener).deletingPathExtension().lastPathComponent)
    }
    defer { server.stop() }
    var world = World(envoy: envoy, directory: directory.path, pods: [])
    for pod in model.pods {
      let socket = directory.appending(path: "\(pod.name).sock").path
      try server.listen(unix: socket)
      let bootstrap = directory.appending(path: "\(pod.name).json")
      try XDSBootstrap.envoy(pod: pod.name, lab: "lab", socket: socket)
        .write(to: bootstrap, atomically: true, encoding: .utf8)
      world.pods.append(
        World.Pod(
          name: pod.name, address: pod.addresses[0].description, origin: pod.version, bootstrap: bootstrap.path))
    }
    let text = String(decoding: try JSONEncoder().encode(world), as: UTF8.self)
    let mesh = try ClientProcess(["python3", "-c", EnvoyMesh.program, text])
    #expect(try mesh.readLine("the Envoys") == "ready")
    var outcome = try await server.ready(Set(model.pods.map(\.name)))
    #expect(outcome.isLive)
    #expect(outcome.current == 4)

    // Through mutual TLS, or not at all: plain text is refused, and so is a caller whom no rule names.
    let first = counts(try mesh.ask("get client 100"))
    #expect(first.keys.sorted() == ["v1", "v2"])
    #expect(first.values.reduce(0, +) == 100)
    #expect(try mesh.ask("plain client 10.77.0.1") == "closed")
    #expect(counts(try mesh.ask("get other 3")).keys.contains { $0.hasSuffix("status=403") })
    // To its own service, where the pod itself is one of the endpoints.
    let own = counts(try mesh.ask("get web-1 20"))
    #expect(Set(own.keys) == ["v1", "v2"])

    outcome = try await server.split("web", ["v1": 100])
    #expect(outcome.isLive)
    #expect(counts(try mesh.ask("get client 100")) == ["v1": 100])
    outcome = try await server.split("web", ["v1": 80, "v2": 20])
    print("4 Envoys, a weight change acknowledged by all: \(outcome.duration / 1000) µs")
    // 500 requests at 80 %: six standard deviations are 54.
    let split = counts(try mesh.ask("get client 500"))
    #expect((346...454).contains(split["v1"] ?? 0))
    #expect(split.values.reduce(0, +) == 500)

    // An endpoint is lost.
    model.pods[0].health = .unhealthy
    outcome = try await server.apply(model)
    #expect(outcome.isLive)
    #expect(counts(try mesh.ask("get client 50")) == ["v2": 50])
    model.pods[0].health = .healthy

    // A whole route with everything in it is accepted.
    var rule = RouteRule()
    var match = RequestMatch()
    match.path = .prefix("/")
    match.headers = [NamedMatch(name: "x-none", value: ".*", isExpression: true)]
    match.query = [NamedMatch(name: "q", value: "1")]
    rule.matches = [match]
    rule.requestHeaders.set = [HeaderChange.Field(name: "x-a", value: "100%")]
    rule.rewrite = Rewrite()
    rule.rewrite?.path = .prefix("/new")
    rule.mirrors = [Mirror(cluster: "web-v1")]
    rule.backends = [Backend(cluster: "web-v1", weight: 1), Backend(cluster: "web-v2", weight: 1)]
    rule.requestTimeout = 2000
    rule.retry = Retry()
    rule.retry?.codes = [503]
    rule.retry?.backoff = 25
    var redirect = RouteRule()
    redirect.matches = [match]
    redirect.matches[0].path = .prefix("/old")
    redirect.redirect = Redirect()
    redirect.redirect?.path = .prefix("/")
    var rest = RouteRule()
    rest.backends = [Backend(cluster: "web-v2")]
    model.routes = [MeshRoute(kind: .http, name: "r", services: ["web"], rules: [rest, rule, redirect])]
    model.services[0].policy.outlierEjection = ServicePolicy.OutlierEjection()
    model.services[0].policy.circuitBreaker = ServicePolicy.CircuitBreaker(connections: 100)
    model.services[0].policy.rateLimit = 100_000
    model.services[0].policy.fault = ServicePolicy.Fault(delayMilliseconds: 1, abortStatus: 503, abortPercent: 0)
    outcome = try await server.apply(model)
    #expect(outcome.refused.isEmpty)
    #expect(outcome.isLive)
    #expect(counts(try mesh.ask("get client 50")) == ["v2": 50])

    // An expression that is none: every Envoy that has it refuses it by name and goes on with what it had.
    let good = model.routes
    model.routes[0].rules[1].matches[0].path = .regularExpression("(")
    outcome = try await server.apply(model)
    #expect(Set(outcome.refused.map(\.pod)) == Set(model.pods.map(\.name)))
    #expect(Set(outcome.refused.map(\.type)) == [.routes])
    #expect(outcome.refused.first?.reason.contains("missing )") == true)
    #expect(counts(try mesh.ask("get client 50")) == ["v2": 50])
    model.routes = good
    outcome = try await server.apply(model)
    #expect(outcome.isLive)

    // Without the control plane everything goes on as it was.
    server.stop()
    #expect(counts(try mesh.ask("get client 50")) == ["v2": 50])
    mesh.stop()
  }
}
