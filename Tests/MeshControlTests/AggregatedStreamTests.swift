import Mesh
import SwiftProtobuf
import Testing
import XDS

@testable import MeshControl

/// The state machine as a client drives it. The rules are those of "xDS REST and gRPC protocol" (envoyproxy.io).
struct AggregatedStreamTests {
  /// A stream, the catalog that feeds it, and what has been said.
  private struct Talk {
    var catalog: ResourceCatalog
    var stream = AggregatedStream()
    let pod: String
    let dialect: Dialect

    init(_ model: MeshModel = SampleMesh.model(), pod: String = "client-1", _ dialect: Dialect = .sidecar) {
      catalog = ResourceCatalog(model)
      self.pod = pod
      self.dialect = dialect
    }

    var snapshot: ResourceSnapshot {
      mutating get { catalog.snapshot(ofPod: pod, dialect) ?? ResourceSnapshot() }
    }

    mutating func next() -> [EnvoyDiscoveryResponse] { stream.next(snapshot, now: 1) }

    mutating func say(_ type: ResourceType, _ names: [String] = [], nonce: String = "", refusal: String? = nil) throws
      -> [EnvoyDiscoveryResponse]
    {
      var request = EnvoyDiscoveryRequest()
      request.typeURL = type.typeURL
      request.resourceNames = names
      request.responseNonce = nonce
      if let refusal { request.errorDetail.message = refusal }
      try stream.receive(request, now: 2)
      return next()
    }

    /// Subscribes to everything and acknowledges it, as Envoy does.
    mutating func start(routes: [String] = ["web"]) throws {
      for (type, names) in [
        (ResourceType.cluster, []), (.endpoints, ["web", "web-v1", "web-v2", "db"]), (.listener, []), (.routes, routes),
      ] {
        let response = try #require(try say(type, names).first)
        #expect(try say(type, names, nonce: response.nonce).isEmpty)
      }
      #expect(stream.isCurrent(snapshot))
    }

    mutating func change(_ body: (inout MeshModel) -> Void) {
      var model = catalog.model
      body(&model)
      catalog.update(model)
    }
  }

  private func types(_ responses: [EnvoyDiscoveryResponse]) -> [ResourceType?] {
    responses.map { ResourceType(typeURL: $0.typeURL) }
  }

  @Test func anEmptyFirstListMeansEverythingOfClustersAndListeners() throws {
    var talk = Talk()
    #expect(
      try talk.say(.cluster).first.map(names)
        == [
          "db", "outbound:passthrough", "inbound:passthrough", "web", "web-v1", "web-v2",
        ].sorted())
    #expect(try talk.say(.listener).first.map(names) == ["outbound:15001"])
  }

  private func names(_ response: EnvoyDiscoveryResponse) -> [String] {
    response.resources.map { any in
      switch ResourceType(typeURL: any.typeURL) {
      case .cluster: (try? EnvoyCluster(serializedBytes: any.value))?.name ?? "?"
      case .endpoints: (try? EnvoyClusterLoadAssignment(serializedBytes: any.value))?.clusterName ?? "?"
      case .listener: (try? EnvoyListener(serializedBytes: any.value))?.name ?? "?"
      case .routes: (try? EnvoyRouteConfiguration(serializedBytes: any.value))?.name ?? "?"
      case .secret: (try? EnvoySecret(serializedBytes: any.value))?.name ?? "?"
      case nil: "?"
      }
    }
  }

  @Test func anAcknowledgedResponseIsNotRepeated() throws {
    var talk = Talk()
    try talk.start()
    #expect(talk.next().isEmpty)
    // The same words once more: neither an ACK nor a subscription.
    let nonce = try #require(talk.stream.subscriptions[.routes]?.nonce)
    #expect(try talk.say(.routes, ["web"], nonce: nonce).isEmpty)
  }

  @Test func anotherListWithTheSameNonceIsASubscription() throws {
    var talk = Talk(pod: "client-1", .proxyless)
    let first = try #require(try talk.say(.cluster, ["web-v1"]).first)
    #expect(try talk.say(.cluster, ["web-v1"], nonce: first.nonce).isEmpty)
    let second = try #require(try talk.say(.cluster, ["web-v1", "web-v2"], nonce: first.nonce).first)
    #expect(names(second) == ["web-v1", "web-v2"])
    // Fewer names are no reason to send anything, and what was dropped is sent again when it is asked for again.
    #expect(try talk.say(.cluster, ["web-v2"], nonce: second.nonce).isEmpty)
    #expect(try talk.say(.cluster, ["web-v1", "web-v2"], nonce: second.nonce).count == 1)
  }

  @Test func aSubscriptionInTheAcknowledgementIsBoth() throws {
    var talk = Talk(pod: "client-1", .proxyless)
    let first = try #require(try talk.say(.endpoints, ["web-v1"]).first)
    let second = try #require(try talk.say(.endpoints, ["web-v1", "web-v2"], nonce: first.nonce).first)
    #expect(talk.stream.subscriptions[.endpoints]?.acknowledgedVersion == first.versionInfo)
    // Of endpoints only what the client does not have.
    #expect(names(second) == ["web-v2"])
  }

  @Test func staleNoncesAreIgnored() throws {
    var talk = Talk()
    try talk.start()
    let old = try #require(talk.stream.subscriptions[.routes]?.nonce)
    talk.change { $0.splits["web"] = ["v1": 1] }
    #expect(talk.next().count == 1)
    #expect(try talk.say(.routes, ["web", "db"], nonce: old).isEmpty)
    #expect(talk.stream.subscriptions[.routes]?.outstanding != nil)
    #expect(talk.stream.subscriptions[.routes]?.names == ["web"])
  }

  @Test func onlyOneResponseOfATypeIsUnderWay() throws {
    var talk = Talk()
    try talk.start()
    talk.change { $0.splits["web"] = ["v1": 1] }
    let first = try #require(talk.next().first)
    talk.change { $0.splits["web"] = ["v2": 1] }
    #expect(talk.next().isEmpty)
    // The newest follows the ACK of the older at once; what lay between is never sent.
    let second = try #require(try talk.say(.routes, ["web"], nonce: first.nonce).first)
    #expect(second.versionInfo.hasPrefix("\(talk.catalog.generation)."))
    #expect(!talk.stream.isCurrent(talk.snapshot))
    #expect(try talk.say(.routes, ["web"], nonce: second.nonce).isEmpty)
    #expect(talk.stream.isCurrent(talk.snapshot))
  }

  @Test func aRefusedVersionIsNotSentAgainUntilItChanges() throws {
    var talk = Talk()
    try talk.start()
    let before = try #require(talk.stream.subscriptions[.routes]?.acknowledgedVersion)
    talk.change { $0.splits["web"] = ["v1": 1] }
    let bad = try #require(talk.next().first)
    #expect(try talk.say(.routes, ["web"], nonce: bad.nonce, refusal: "no such cluster").isEmpty)
    #expect(talk.next().isEmpty)
    #expect(talk.stream.refusals.map(\.1) == ["no such cluster"])
    #expect(talk.stream.subscriptions[.routes]?.acknowledgedVersion == before)
    // Back to what the client still has: it is told all the same, and then nothing is refused any more.
    talk.change { $0.splits = [:] }
    let good = try #require(talk.next().first)
    #expect(try talk.say(.routes, ["web"], nonce: good.nonce).isEmpty)
    #expect(talk.stream.refusals.isEmpty)
  }

  @Test func aChangeOfWeightsTouchesRoutesOnly() throws {
    var talk = Talk()
    try talk.start()
    talk.change { $0.splits["web"] = ["v1": 80, "v2": 20] }
    #expect(types(talk.next()) == [.routes])
  }

  @Test func aChangeOfEndpointsTouchesTheirClustersOnly() throws {
    var talk = Talk()
    try talk.start()
    talk.change { $0.pods[0].health = .unhealthy }
    let responses = talk.next()
    #expect(types(responses) == [.endpoints])
    #expect(responses.first.map(names) == ["web", "web-v1"])
  }

  @Test func makeBeforeBreak() throws {
    var talk = Talk()
    talk.change { $0.splits["web"] = ["v1": 1] }
    try talk.start()
    // v1 goes, v3 comes, and the routes change from the one to the other.
    talk.change { model in
      model.pods[0].version = "v3"
      model.splits["web"] = ["v3": 1]
    }
    // First the clusters, the old one still among them; nothing else before the ACK.
    var responses = talk.next()
    #expect(types(responses) == [.cluster])
    #expect(responses.first.map(names)?.contains("web-v1") == true)
    #expect(responses.first.map(names)?.contains("web-v3") == true)
    // The client asks for the new endpoints before it acknowledges: they are not held back.
    let clusters = responses[0].nonce
    let endpoints = talk.stream.subscriptions[.endpoints]?.nonce ?? ""
    responses = try talk.say(.endpoints, ["web", "web-v1", "web-v2", "web-v3", "db"], nonce: endpoints)
    #expect(types(responses) == [.endpoints])
    #expect(try talk.say(.cluster, nonce: clusters).isEmpty)
    responses = try talk.say(
      .endpoints, ["web", "web-v1", "web-v2", "web-v3", "db"], nonce: responses[0].nonce)
    #expect(types(responses) == [.routes])
    // The old cluster goes only when the routes have let go of it.
    responses = try talk.say(.routes, ["web"], nonce: responses[0].nonce)
    #expect(types(responses) == [.cluster])
    #expect(responses.first.map(names)?.contains("web-v1") == false)
    #expect(try talk.say(.cluster, nonce: responses[0].nonce).isEmpty)
    #expect(talk.stream.isCurrent(talk.snapshot))
  }

  @Test func aClusterStaysWhileTheRoutesThatNeedItAreRefused() throws {
    var talk = Talk()
    talk.change { $0.splits["web"] = ["v1": 1] }
    try talk.start()
    talk.change { model in
      model.pods[0].version = "v2"
      model.splits["web"] = ["v2": 1]
    }
    let endpoints = try #require(talk.next().first)  // no cluster is new, so none is sent
    #expect(ResourceType(typeURL: endpoints.typeURL) == .endpoints)
    let names = ["web", "web-v1", "web-v2", "db"]
    let routes = try #require(try talk.say(.endpoints, names, nonce: endpoints.nonce).first)
    #expect(try talk.say(.routes, ["web"], nonce: routes.nonce, refusal: "no").isEmpty)
    #expect(talk.stream.subscriptions[.cluster]?.held["web-v1"] != nil)
  }

  @Test func aChangedClusterGetsItsEndpointsAgain() throws {
    var talk = Talk()
    try talk.start()
    talk.change { $0.services[0].policy.balancing = .ringHash(header: nil) }
    // With the cluster, not after its ACK: Envoy acknowledges a cluster only when it has its endpoints.
    let responses = talk.next()
    #expect(types(responses) == [.cluster, .endpoints])
    #expect(responses.last.map(names) == ["web", "web-v1", "web-v2"])
  }

  @Test func whatDoesNotExistIsAnsweredAllTheSame() throws {
    var talk = Talk(pod: "client-1", .proxyless)
    let response = try #require(try talk.say(.listener, ["nobody"]).first)
    #expect(response.resources.isEmpty)
  }

  @Test func aListenerThatGoesIsTakenBackByLeavingItOut() throws {
    var talk = Talk(pod: "client-1", .proxyless)
    let first = try #require(try talk.say(.listener, ["web"]).first)
    #expect(names(first) == ["web"])
    #expect(try talk.say(.listener, ["web"], nonce: first.nonce).isEmpty)
    talk.change { $0.services.removeFirst() }
    #expect(talk.next().first?.resources.isEmpty == true)
  }

  @Test func unknownTypesAndTooManyNamesEndTheStream() {
    var talk = Talk()
    var request = EnvoyDiscoveryRequest()
    request.typeURL = "type.googleapis.com/nothing"
    #expect(throws: StreamRefusal(code: .invalidArgument, message: "no resources of type type.googleapis.com/nothing"))
    {
      try talk.stream.receive(request, now: 0)
    }
    request.typeURL = ResourceType.endpoints.typeURL
    request.resourceNames = (0...10_000).map(String.init)
    #expect(throws: StreamRefusal.self) { try talk.stream.receive(request, now: 0) }
  }
}
