import Mesh
import NetTypes
import SwiftProtobuf
import Testing
import XDS

@testable import MeshControl

/// What the file says of a service, in xDS.
struct PolicyLoweringTests {
  private func lowering(_ change: (inout MeshModel) -> Void) -> Lowering {
    var model = SampleMesh.model()
    change(&model)
    return Lowering(model)
  }

  private func cluster(_ name: String, _ lowering: Lowering, _ dialect: Dialect = .sidecar) throws -> EnvoyCluster {
    try #require(lowering.clusters(dialect).first { $0.name == name })
  }

  private func assignment(_ name: String, _ lowering: Lowering) throws -> [String] {
    let found = try #require(lowering.endpoints(costs: [:]).first { $0.clusterName == name })
    return found.endpoints.flatMap(\.lbEndpoints).map(\.endpoint.address.socketAddress.address)
  }

  @Test func endpointsThatAreIllAreLeftOutUnlessAllAre() throws {
    let one = lowering { $0.pods[0].health = .unhealthy }
    #expect(try assignment("web", one) == ["10.2.0.1"])
    // The only pod of its version: all of those are ill, so it stays.
    #expect(try assignment("web-v1", one) == ["10.1.0.1"])
    let all = lowering { model in for index in model.pods.indices { model.pods[index].health = .unhealthy } }
    #expect(try assignment("web", all) == ["10.1.0.1", "10.2.0.1"])
    let draining = lowering { $0.pods[0].health = .draining }
    #expect(try assignment("web", draining) == ["10.1.0.1", "10.2.0.1"])
  }

  @Test func latencyIsMetadataThatOthersIgnore() throws {
    let lowering = lowering { $0.services[0].policy.balancing = .latency }
    let web = try cluster("web", lowering)
    #expect(web.lbPolicy == .leastRequest)
    #expect(web.metadata.filterMetadata["netloom"]?.fields["balance"]?.stringValue == "ewma")
    let proxyless = try cluster("web", lowering, .proxyless)
    #expect(proxyless.lbPolicy == .roundRobin && !proxyless.hasMetadata)
  }

  @Test func aRingHashSaysWhatItGoesBy() throws {
    for (header, dialect) in [("x-user", Dialect.sidecar), (nil, .sidecar), ("x-user", .proxyless)] {
      let lowering = lowering { $0.services[0].policy.balancing = .ringHash(header: header) }
      #expect(try cluster("web", lowering, dialect).lbPolicy == .ringHash)
      let routes = lowering.routes(lowering.model.services[0], dialect)
      let policy = try #require(routes.virtualHosts[0].routes[0].route.hashPolicy.first)
      #expect(policy.header.headerName == header ?? "")
      #expect(policy.connectionProperties.sourceIp == (header == nil))
    }
  }

  @Test func whatAServiceSaysHoldsWhereARuleSaysNothing() throws {
    var retry = Retry()
    retry.codes = [503]
    var plain = RouteRule()
    plain.backends = [Backend(cluster: "web")]
    var own = plain
    own.requestTimeout = 9000
    own.retry = Retry()
    own.retry?.attempts = 7
    let lowering = lowering { model in
      model.services[0].policy.retry = retry
      model.services[0].policy.requestTimeout = 2000
      model.services[0].policy.attemptTimeout = 500
      model.services[0].policy.mirror = Mirror(cluster: "web-v2")
      model.services[0].policy.retryBudgetPercent = 50
      model.services[0].policy.connectTimeout = 700
      var match = RequestMatch()
      match.path = .exact("/own")
      own.matches = [match]
      model.routes = [MeshRoute(kind: .http, name: "r", services: ["web"], rules: [own, plain])]
    }
    let routes = lowering.routes(lowering.model.services[0], .sidecar).virtualHosts[0].routes.map(\.route)
    #expect(routes.map(\.timeout.seconds) == [9, 2])
    #expect(routes.map(\.retryPolicy.numRetries.value) == [7, 1])
    #expect(routes.map(\.retryPolicy.retriableStatusCodes) == [[], [503]])
    #expect(routes.map(\.retryPolicy.perTryTimeout.nanos) == [500_000_000, 500_000_000])
    #expect(routes.map { $0.requestMirrorPolicies.map(\.cluster) } == [["web-v2"], ["web-v2"]])
    let web = try cluster("web", lowering)
    #expect(web.circuitBreakers.thresholds[0].retryBudget.budgetPercent.value == 50)
    #expect(web.connectTimeout.nanos == 700_000_000)
  }

  @Test func aSplitOfTheFileHoldsUntilOneIsSetMeanwhile() throws {
    func weights(_ lowering: Lowering) -> [UInt32] {
      lowering.routes(lowering.model.services[0], .sidecar).virtualHosts[0].routes[0].route.weightedClusters.clusters
        .map(\.weight.value)
    }
    #expect(weights(lowering { $0.services[0].split = ["v1": 80, "v2": 20] }) == [80, 20])
    #expect(
      weights(
        lowering { model in
          model.services[0].split = ["v1": 80, "v2": 20]
          model.splits["web"] = ["v1": 1, "v2": 3]
        }) == [1, 3])
  }

  @Test func allAreAlikeWhereLocalityIsNotAsked() throws {
    let costs: [ASNumber: UInt32] = [ASNumber(65001): 0, ASNumber(65002): 2]
    let found = try #require(
      lowering { $0.services[0].policy.prefersNearest = false }.endpoints(costs: costs)
        .first { $0.clusterName == "web" })
    #expect(found.endpoints.map(\.priority) == [0, 0])
  }

  @Test(arguments: [
    (MutualTLS.off, MutualTLS.strict, ["permissive, plain", "permissive, TLS", "strict, TLS"]),
    (.strict, .off, ["permissive, TLS", "permissive, plain", "off, TLS"]),
    (.off, .permissive, ["permissive, plain", "permissive, TLS"]),
    (.permissive, .off, ["permissive, plain", "off, TLS"]), (.permissive, .strict, ["strict, TLS"]),
    (.strict, .permissive, ["permissive, TLS"]), (.strict, .strict, ["strict, TLS"]),
  ])
  func encryptionComesAndGoesInStepsThatBothEndsUnderstand(_ old: MutualTLS, _ new: MutualTLS, _ steps: [String]) {
    let found = MutualTLSTransition.steps(from: SampleMesh.model(old), to: SampleMesh.model(new))
    #expect(found.map { "\($0.mutualTLS), \($0.speaksTLS ? "TLS" : "plain")" } == steps)
    #expect(found.last == SampleMesh.model(new))
  }

  @Test func whoTakesTLSNeedNotSpeakItYet() throws {
    let silent = lowering { model in
      model.mutualTLS = .permissive
      model.speaksTLS = false
    }
    #expect(try cluster("web", silent).transportSocketMatches.isEmpty)
    #expect(silent.inboundListener(silent.model.services[0])?.filterChains.count == 2)
    let marked = silent.endpoints(costs: [:]).flatMap(\.endpoints).flatMap(\.lbEndpoints)
    #expect(!marked.isEmpty && marked.allSatisfy { $0.metadata.filterMetadata[Lowering.matchKey] == nil })
  }
}
