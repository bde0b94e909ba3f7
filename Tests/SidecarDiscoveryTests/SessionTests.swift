import Foundation
import Mesh
import SwiftProtobuf
import Testing
import XDS

@testable import Sidecar

/// The stream's rules: what is asked for, when something is acknowledged, what a refusal leaves as it was.
struct SessionTests {
  private var session = DiscoverySession(node: "client-1", SidecarConfiguration(), .redirected)
  private var applied: [SidecarConfiguration] = []
  private let lowered: Lowered

  init() throws { lowered = try Lowered(Sample.model(), pod: "client-1") }

  private func response(
    _ kind: ResourceKind, _ resources: [Google_Protobuf_Any], _ version: String, _ nonce: String
  ) -> EnvoyDiscoveryResponse {
    var response = EnvoyDiscoveryResponse()
    response.typeURL = kind.typeURL
    response.resources = resources
    response.versionInfo = version
    response.nonce = nonce
    return response
  }

  /// A request in one line.
  private func text(_ request: EnvoyDiscoveryRequest) -> String {
    let kind = ResourceKind(typeURL: request.typeURL).map { $0.word } ?? "?"
    let names = request.resourceNames.joined(separator: ",")
    let refusal = request.hasErrorDetail ? " \(request.errorDetail.code) \(request.errorDetail.message)" : ""
    return "\(kind) [\(names)] version=\(request.versionInfo) nonce=\(request.responseNonce)\(refusal)"
  }

  private mutating func receive(
    _ kind: ResourceKind, _ resources: [Google_Protobuf_Any], _ version: String, _ nonce: String
  ) -> [String] {
    var seen: [SidecarConfiguration] = []
    defer { applied += seen }
    return session.receive(response(kind, resources, version, nonce)) { seen.append($0) }.map(text)
  }

  @Test("A listener is acknowledged when it listens, not when it arrives")
  mutating func warming() {
    let first = session.begin()
    #expect(first.map(text) == ["cluster [] version= nonce=", "listener [] version= nonce="])
    #expect(first[0].node.id == "client-1")
    #expect(first[0].node.userAgentName == "netloom-sidecar")
    #expect(
      receive(.cluster, lowered.packedClusters, "1", "a") == [
        "cluster [] version=1 nonce=a", "endpoints [db,web,web-v1,web-v2] version= nonce=",
        "secret [identity,roots] version= nonce=",
      ])
    #expect(
      receive(.listener, lowered.packedListeners, "1", "b") == ["routes [web] version= nonce="])
    #expect(session.isWarming && !session.isComplete)
    #expect(applied.allSatisfy { $0.listeners.isEmpty })
    #expect(
      receive(.endpoints, lowered.packedEndpoints, "1", "c") == [
        "endpoints [db,web,web-v1,web-v2] version=1 nonce=c"
      ])
    // The routes' cluster has endpoints, and no secrets yet.
    #expect(receive(.routes, lowered.packedRoutes, "1", "d").isEmpty)
    #expect(session.store.warming[.routes] == ["web": "secret identity"])
    #expect(applied.allSatisfy { $0.listeners.isEmpty })
    #expect(
      receive(.secret, lowered.packedSecrets, "1", "e") == [
        "listener [] version=1 nonce=b", "routes [web] version=1 nonce=d", "secret [identity,roots] version=1 nonce=e",
      ])
    #expect(session.isComplete && !session.isWarming)
    #expect(applied.last?.listeners.count == 2)
    #expect(applied.last?.version == "1")
  }

  private mutating func complete() {
    _ = session.begin()
    for (kind, resources) in [
      (ResourceKind.cluster, lowered.packedClusters), (.endpoints, lowered.packedEndpoints),
      (.listener, lowered.packedListeners), (.routes, lowered.packedRoutes), (.secret, lowered.packedSecrets),
    ] { _ = receive(kind, resources, "1", "\(kind.word)-1") }
  }

  @Test("A refusal says why, with the version before it, and nothing changes")
  mutating func refusal() {
    complete()
    let before = session.configuration
    var routes = lowered.routes[0]
    routes.virtualHosts[0].routes[0].route.retryPolicy.retryOn = "5xx"
    #expect(
      receive(.routes, [Lowered.pack(routes)], "2", "x") == [
        "routes [web] version=1 nonce=x 3 "
          + "routes web: virtual_hosts[0].routes[0].route.retry_policy.retry_on: 5xx is not supported"
      ])
    #expect(session.configuration == before)
    #expect(receive(.routes, lowered.packedRoutes, "3", "y") == ["routes [web] version=3 nonce=y"])
  }

  @Test("A certificate is tried before it is used")
  mutating func badCertificate() throws {
    complete()
    var secret = lowered.secrets[0]
    secret.tlsCertificate.privateKey = try Lowered.secrets("other")[0].tlsCertificate.privateKey
    let answer = receive(.secret, [Lowered.pack(secret)], "2", "x")
    #expect(answer.count == 1)
    #expect(
      answer[0].hasPrefix("secret [identity,roots] version=1 nonce=x 3 secret identity: tls_certificate: private key"))
    secret.tlsCertificate.privateKey.inlineBytes = Data("nonsense".utf8)
    #expect(receive(.secret, [Lowered.pack(secret)], "3", "y")[0].contains("secret identity: tls_certificate: "))
    #expect(
      session.configuration.certificates?.chain == Array(lowered.secrets[0].tlsCertificate.certificateChain.inlineBytes)
    )
  }

  @Test("What cannot be listened on is refused, and what stood is put back")
  mutating func notApplied() {
    complete()
    let before = session.configuration
    var listeners = lowered.listeners
    listeners[0].address.socketAddress.portValue = 15999
    var seen: [UInt16?] = []
    let answer = session.receive(response(.listener, listeners.map(Lowered.pack), "2", "x")) { configuration in
      seen.append(configuration.listeners.first?.address.port)
      if seen.count == 1 { throw ConfigurationError("address in use") }
    }
    #expect(answer.map(text) == ["listener [] version=1 nonce=x 3 address in use"])
    #expect(seen == [15999, 15001])
    #expect(session.configuration == before)
  }

  @Test("A listener that waited and cannot be opened is refused by itself; what it waited for is taken")
  mutating func notOpened() {
    _ = session.begin()
    for (kind, resources) in [
      (ResourceKind.cluster, lowered.packedClusters), (.endpoints, lowered.packedEndpoints),
      (.listener, lowered.packedListeners), (.routes, lowered.packedRoutes),
    ] { _ = receive(kind, resources, "1", "\(kind.word)-1") }
    let answer = session.receive(response(.secret, lowered.packedSecrets, "1", "x")) { configuration in
      if !configuration.listeners.isEmpty { throw ConfigurationError("bind 0.0.0.0:15001: Address already in use") }
    }
    #expect(
      answer.map(text) == [
        "listener [] version= nonce=listener-1 3 bind 0.0.0.0:15001: Address already in use",
        "routes [] version=1 nonce=routes-1", "secret [identity,roots] version=1 nonce=x",
      ])
    #expect(session.configuration.listeners.isEmpty)
  }

  @Test("Routes that wait too long for their cluster are refused with its name; the old ones stay")
  mutating func patience() {
    complete()
    var routes = lowered.routes[0]
    routes.virtualHosts[0].routes[0].route.cluster = "nowhere"
    #expect(receive(.routes, [Lowered.pack(routes)], "2", "x").isEmpty)
    #expect(session.configuration.services[0].routes[0].backends == [WeightedBackend("web")])
    #expect(
      session.giveUpWaiting().map(text) == ["routes [web] version=1 nonce=x 3 routes web: waits for cluster nowhere"])
    #expect(session.giveUpWaiting().isEmpty)
    // Completed after all, they come into force.
    var cluster = lowered.clusters[0]
    cluster.name = "nowhere"
    cluster.edsClusterConfig.serviceName = "nowhere"
    _ = receive(.cluster, lowered.packedClusters + [Lowered.pack(cluster)], "3", "y")
    var assignment = lowered.endpoints[0]
    assignment.clusterName = "nowhere"
    #expect(
      receive(.endpoints, [Lowered.pack(assignment)], "3", "z").contains("routes [web] version=2 nonce=x"),
      "what was refused for waiting is acknowledged after all")
    #expect(session.configuration.services[0].routes[0].backends == [WeightedBackend("nowhere")])
  }

  @Test("How requests are balanced: by latency, by the hash of a header field")
  mutating func balancing() throws {
    var model = Sample.model()
    model.services[0].policy.balancing = .latency
    let latency = try Lowered(model, pod: "client-1")
    model.services[0].policy.balancing = .ringHash(header: "x-user")
    let header = try Lowered(model, pod: "client-1")
    complete()
    func web(_ configuration: SidecarConfiguration) -> Cluster.Balancing? {
      configuration.clusters.first { $0.name == "web" }?.balancing
    }
    #expect(web(session.configuration) == .ringHash(header: nil))
    _ = receive(.cluster, latency.packedClusters, "2", "x")
    #expect(web(session.configuration) == .latency)
    _ = receive(.cluster, header.packedClusters, "3", "y")
    #expect(receive(.routes, header.packedRoutes, "3", "z") == ["routes [web] version=3 nonce=z"])
    #expect(web(session.configuration) == .ringHash(header: "x-user"))
  }

  @Test("A cluster that is taken away stays as long as routes lead to it")
  mutating func makeBeforeBreak() {
    complete()
    let left = lowered.clusters.filter { $0.name != "web" }.map(Lowered.pack)
    _ = receive(.cluster, left, "2", "x")
    #expect(session.configuration.clusters.map(\.name) == ["db", "web"])
    #expect(session.configuration.clusters[1].endpoints.count == 2)
    var routes = lowered.routes[0]
    routes.virtualHosts[0].routes[0].route.cluster = "web-v1"
    #expect(receive(.routes, [Lowered.pack(routes)], "3", "y") == ["routes [web] version=3 nonce=y"])
    #expect(session.configuration.clusters.map(\.name) == ["db", "web-v1"])
  }

  @Test("A new stream says what is known and asks for all of it again, with no nonce of the old one")
  mutating func newStream() {
    complete()
    #expect(
      session.begin().map(text) == [
        "cluster [] version=1 nonce=", "listener [] version=1 nonce=",
        "endpoints [db,web,web-v1,web-v2] version=1 nonce=", "routes [web] version=1 nonce=",
        "secret [identity,roots] version=1 nonce=",
      ])
    #expect(session.configuration.listeners.count == 2)
    // Unasked is unanswered.
    #expect(receive(.cluster, lowered.packedClusters, "7", "q") == ["cluster [] version=7 nonce=q"])
  }
}
