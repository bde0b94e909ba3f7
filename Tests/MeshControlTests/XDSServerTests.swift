import EventLoop
import Glibc
import Mesh
import TLS
import Testing
import XDS

@testable import MeshControl

/// The server over its real socket, with clients that do on the wire what Envoy does.
@Suite(.serialized) struct XDSServerTests {
  /// A server on a socket of its own, and a fleet.
  private final class Scene {
    let server: XDSServer
    let fleet: FakeFleet
    let path: String

    init(_ model: MeshModel, admit: @escaping @Sendable (XDSPeer) -> XDSAdmission = { _ in .anyPod }) throws {
      path = "/tmp/netloom-xds-\(getpid())-\(UInt64.random(in: 0...UInt64.max)).sock"
      server = try XDSServer(model, admit: admit)
      fleet = try FakeFleet()
      try server.listen(unix: path)
    }

    deinit {
      fleet.stop()
      server.stop()
      unlink(path)
    }
  }

  private func clients(_ count: Int) -> [String] { (1...count).map { "client-\($0)" } }

  @Test func aWeightChangeReachesAHundredClients() async throws {
    let scene = try Scene(SampleMesh.model(clients: 100))
    for pod in clients(100) { scene.fleet.connect(scene.path, pod: pod) }
    let ready = try await scene.server.ready(Set(clients(100)))
    #expect(ready.lagging.isEmpty)
    var durations: [UInt64] = []
    for round in 1...10 {
      let outcome = try await scene.server.split("web", ["v1": 100 - round, "v2": round])
      #expect(outcome.current == 100)
      #expect(outcome.refused.isEmpty)
      durations.append(outcome.duration)
      let weights = await scene.fleet.ask { Set($0.map(\.weights)) }
      #expect(weights == [[UInt32(100 - round), UInt32(round)]])
    }
    durations.sort()
    print(
      "100 clients, a weight change acknowledged by all: median \(durations[5] / 1000) µs, worst \(durations[9] / 1000) µs"
    )
    // Only the routes went out, once per change.
    let received = await scene.fleet.ask { Set($0.map { [$0.received[.cluster], $0.received[.routes]] }) }
    #expect(received == [[1, 11]])
    // Far from what it takes, for a machine that does other things too and a build without optimization.
    #expect(durations[5] < 2_000_000_000)
  }

  @Test func aRefusalIsNamedAndTheOthersGoOn() async throws {
    let scene = try Scene(SampleMesh.model(clients: 3))
    scene.fleet.connect(scene.path, pod: "client-1")
    scene.fleet.connect(scene.path, pod: "client-2", FakeClient.Conduct(refuses: .routes))
    let ready = try await scene.server.ready(["client-1", "client-2"])
    #expect(ready.refused.map(\.pod) == ["client-2"])
    let outcome = try await scene.server.split("web", ["v1": 1])
    #expect(outcome.current == 1)
    #expect(
      outcome.refused == [
        ChangeOutcome.Refusal(pod: "client-2", type: .routes, reason: "client-2 does not like it")
      ])
    #expect(outcome.absent == ["client-3", "db-1", "web-a", "web-b"])
    #expect(!outcome.isLive)
    let status = await scene.server.status()
    #expect(status.map(\.state) == [.current, .refused])
    let routes = try #require(status.last?.types.first { $0.type == .routes })
    #expect(routes.refusal == "client-2 does not like it")
    #expect(routes.acknowledged.isEmpty)
    #expect(routes.sent.hasPrefix("\(outcome.generation)."))
  }

  @Test func aClientThatDoesNotAnswerIsNamedWhenTheTimeIsOver() async throws {
    let scene = try Scene(SampleMesh.model(clients: 2))
    scene.fleet.connect(scene.path, pod: "client-1")
    scene.fleet.connect(scene.path, pod: "client-2", FakeClient.Conduct(ignores: .routes))
    let ready = try await scene.server.ready(["client-1", "client-2"], timeout: 300_000_000)
    #expect(ready.lagging == ["client-2"])
    let outcome = try await scene.server.split("web", ["v2": 1], timeout: 50_000_000)
    #expect(outcome.lagging == ["client-2"])
    #expect(outcome.current == 1)
    // Its one unanswered response is all that it was ever sent.
    #expect(await scene.fleet.ask { $0.map { $0.received[.routes] } } == [2, 1])
  }

  @Test func whoSaysThatItIsAnotherIsRefused() async throws {
    let scene = try Scene(SampleMesh.model()) { $0.boundPath == nil ? .pod("web-a") : .anyPod }
    scene.fleet.connect(scene.path, pod: "client-1")
    #expect(await scene.fleet.ending() == "7 this socket is web-a's, not client-1's")
  }

  @Test func whoIsNotInTheMeshIsRefused() async throws {
    let scene = try Scene(SampleMesh.model())
    scene.fleet.connect(scene.path, pod: "stranger")
    #expect(await scene.fleet.ending() == "7 there is no pod stranger in the mesh")
  }

  @Test func anotherMethodIsUnimplemented() async throws {
    let scene = try Scene(SampleMesh.model())
    scene.fleet.connect(
      scene.path, pod: "client-1", FakeClient.Conduct(path: "/envoy.service/DeltaAggregatedResources"))
    #expect(await scene.fleet.ending().hasPrefix("12 the only method is /envoy.service.discovery.v3."))
  }

  @Test(arguments: [
    ([0, 0, 0, 0, 2, 0xFF, 0xFF] as [UInt8], "3 not a DiscoveryRequest"),
    ([1, 0, 0, 0, 0], "12 compressed messages are not taken"),
    ([0, 0xFF, 0xFF, 0xFF, 0xFF], "8 the request is too large"),
    ([0, 0, 0, 0, 0], "3 the first request names no node"),
  ]) func garbageEndsTheCall(_ bytes: [UInt8], _ wanted: String) async throws {
    let scene = try Scene(SampleMesh.model())
    scene.fleet.connect(scene.path, pod: "client-1", FakeClient.Conduct(garbage: bytes))
    #expect(await scene.fleet.ending() == wanted)
  }

  @Test func aStormOfReconnectionsEndsInOrder() async throws {
    let scene = try Scene(SampleMesh.model(clients: 100))
    for _ in 1...8 {
      for pod in clients(100) { scene.fleet.connect(scene.path, pod: pod) }
      scene.fleet.disconnect(100)
    }
    for pod in clients(100) { scene.fleet.connect(scene.path, pod: pod) }
    let ready = try await scene.server.ready(Set(clients(100)))
    #expect(ready.lagging.isEmpty)
    let outcome = try await scene.server.split("web", ["v1": 1])
    #expect(outcome.current == 100)
  }

  @Test func aPodThatLeavesTheMeshIsToldSo() async throws {
    let scene = try Scene(SampleMesh.model())
    scene.fleet.connect(scene.path, pod: "client-1")
    _ = try await scene.server.ready(["client-1"])
    var model = SampleMesh.model()
    model.pods.removeAll { $0.name == "client-1" }
    _ = try await scene.server.apply(model)
    #expect(await scene.fleet.ending() == "7 pod client-1 is no longer in the mesh")
  }

  @Test func weightsThatMakeNoSenseChangeNothing() async throws {
    let scene = try Scene(SampleMesh.model())
    await #expect(throws: MeshControlError.unknownService("nobody")) {
      try await scene.server.split("nobody", ["v1": 1])
    }
    await #expect(throws: MeshControlError.unknownVersion(service: "web", version: "v9")) {
      try await scene.server.split("web", ["v9": 1])
    }
    await #expect(throws: MeshControlError.invalidWeights(service: "web")) {
      try await scene.server.split("web", ["v1": 0])
    }
  }

  @Test func aStoppedServerAnswersEveryone() async throws {
    let server = try XDSServer(SampleMesh.model())
    server.stop()
    await #expect(throws: MeshControlError.stopped) { try await server.apply(SampleMesh.model()) }
    #expect(await server.status().isEmpty)
  }

  @Test func certificatesAreRenewedAtHalfOfTheirLifetime() throws {
    let authority = try CertificateAuthority.make(trustDomain: "lab", now: 1_000_000)
    var issuer = CertificateIssuer(authority, lifetime: 1000)
    let pod = SampleMesh.model().pods[0]
    let first = try #require(try issuer.secrets(for: pod, now: 1_000_000))
    #expect(first.map(\.name) == ["identity", "roots"])
    #expect(try issuer.secrets(for: pod, now: 1_000_499) == nil)
    #expect(issuer.nextRenewal == 1_000_500)
    let second = try #require(try issuer.secrets(for: pod, now: 1_000_500))
    #expect(second[0].tlsCertificate.certificateChain != first[0].tlsCertificate.certificateChain)
    #expect(second[1] == first[1])
  }
}
