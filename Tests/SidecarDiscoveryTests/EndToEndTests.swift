import Mesh
import MeshControl
import Testing

/// The real control plane, real sidecars, a real socket between them.
@Suite(.serialized) struct EndToEndTests {
  private static let everybody: Set = ["web-a", "web-b", "client-1"]

  private func start(_ scene: Scene, _ model: MeshModel) async throws -> (XDSServer, [RunningPod]) {
    let server = try scene.server(model)
    let pods = try scene.pods()
    let outcome = try await server.ready(Self.everybody)
    #expect(outcome.isLive, "\(outcome) \(pods.map(\.reports))")
    return (server, pods)
  }

  @Test(
    "A request passes through two sidecars that know all they do from the control plane", arguments: [false, true])
  func request(_ isSecure: Bool) async throws {
    let scene = try Scene()
    let (server, pods) = try await start(scene, scene.model(isSecure ? .strict : .off))
    let answer = try scene.connect().get("/hello")
    #expect(answer.status == 200, "\(answer.head)")
    #expect(answer.body == "/hello\n")
    #expect(pods[0].inboundRequests + pods[1].inboundRequests == 1)
    // Ready is said by the sidecar itself too.
    for pod in pods { pod.waitUntilReady() }
    // What does not come from a sidecar is refused where the mesh is strict.
    let bare = try Peer.connect("\(scene.net).11", scene.origin.port).get("/bare")
    #expect(bare.status == (isSecure ? 0 : 200))
    for pod in pods { pod.stop() }
    server.stop()
  }

  @Test("A weight change works when the control plane says that it is acknowledged")
  func weights() async throws {
    let scene = try Scene()
    let (server, pods) = try await start(scene, scene.model())
    for (version, index) in [("v1", 0), ("v2", 1), ("v1", 0)] {
      let outcome = try await server.split("web", [version: 100])
      #expect(outcome.isLive && outcome.current == 3)
      let before = pods.map(\.inboundRequests)
      let peer = try scene.connect()
      for _ in 0..<20 { #expect(peer.get().status == 200) }
      #expect(pods[index].inboundRequests - before[index] == 20)
    }
    for pod in pods { pod.stop() }
    server.stop()
  }

  @Test(
    "An endpoint that is ill gets no more requests; where all are, all are tried; without any, the client is told so")
  func endpointLoss() async throws {
    let scene = try Scene()
    let (server, pods) = try await start(scene, scene.model())
    var model = scene.model()
    model.pods[1].health = .unhealthy
    #expect(try await server.apply(model).isLive)
    let peer = try scene.connect()
    for _ in 0..<20 { #expect(peer.get().status == 200) }
    #expect(pods[1].inboundRequests == 0)
    model.pods[0].health = .unhealthy
    #expect(try await server.apply(model).isLive)
    #expect(peer.get().status == 200)
    for index in 0...1 { model.pods[index].health = .draining }
    let outcome = try await server.apply(model)
    #expect(outcome.isLive)
    let answer = peer.get()
    #expect(answer.status == 503)
    let refused = answer.field("netloom-refused") ?? ""
    #expect(
      refused.hasPrefix(
        "client-1/outbound; no-healthy-endpoint service=web cluster=web version=\(outcome.generation)."), "\(refused)")
    for pod in pods { pod.stop() }
    server.stop()
  }

  @Test("What a sidecar refuses is named in the control plane's status, and the old routes stay")
  func refusal() async throws {
    let scene = try Scene()
    let (server, pods) = try await start(scene, scene.model())
    let outcome = try await server.apply(scene.modelWithUnsupportedRoute())
    #expect(Set(outcome.refused.map(\.pod)) == Self.everybody)
    #expect(
      Set(outcome.refused.map(\.reason)) == [
        "routes web: virtual_hosts[0].routes[0].match.safe_regex.regex: /(?i)x is no expression that is supported"
      ])
    let status = await server.status()
    #expect(status.map(\.state) == [.refused, .refused, .refused])
    #expect(try scene.connect().get("/still").body == "/still\n")
    #expect(try await server.apply(scene.model()).isLive)
    for pod in pods { pod.stop() }
    server.stop()
  }

  @Test("Requests go on while the control plane is away, and changes work when it is back")
  func restart() async throws {
    let scene = try Scene()
    let (server, pods) = try await start(scene, scene.model())
    let peer = try scene.connect()
    #expect(peer.get("/before").status == 200)
    server.stop()
    for number in 0..<50 { #expect(peer.get("/\(number)").body == "/\(number)\n") }
    #expect(try scene.connect().get("/fresh").status == 200)
    let second = try scene.server(scene.model())
    #expect(try await second.ready(Self.everybody).isLive)
    #expect(peer.get("/after").status == 200)
    #expect(try await second.split("web", ["v2": 1]).isLive)
    let before = pods[1].inboundRequests
    for _ in 0..<10 { #expect(peer.get().status == 200) }
    #expect(pods[1].inboundRequests == before + 10)
    #expect(pods[2].reports.last == "control plane: connected")
    for pod in pods { pod.stop() }
    second.stop()
  }

  @Test("New certificates come into force without an end of connections", arguments: [false, true])
  func rotation(_ isOpaque: Bool) async throws {
    let scene = try Scene()
    let (server, pods) = try await start(scene, scene.model(isOpaque: isOpaque))
    let peer = try scene.connect()
    #expect(peer.get("/old").status == 200)
    let old = pods.map { $0.certificateChain }
    // A control plane that knows nothing of the one before gives everybody a new certificate.
    server.stop()
    let second = try scene.server(scene.model(isOpaque: isOpaque))
    #expect(try await second.ready(Self.everybody).isLive)
    let new = pods.map { $0.certificateChain }
    for (one, other) in zip(old, new) { #expect(one != other && !other.isEmpty) }
    for number in 0..<20 { #expect(peer.get("/\(number)").body == "/\(number)\n") }
    #expect(try scene.connect().get("/new").status == 200)
    for pod in pods { pod.stop() }
    second.stop()
  }

  @Test("A certificate is renewed at half of its time over the stream that stands, and connections go on")
  func renewal() async throws {
    let scene = try Scene()
    let server = try scene.server(scene.model(), lifetime: 2)
    let pods = try scene.pods()
    #expect(try await server.ready(Self.everybody).isLive)
    let peer = try scene.connect()
    let first = pods.map { $0.certificateChain }
    var last = first
    var renewals = [0, 0, 0]
    let end = ContinuousClock.now + .seconds(20)
    var requests = 0
    // Twice for everybody: the first certificates are long out of date by then.
    while renewals.min() ?? 0 < 2, ContinuousClock.now < end {
      #expect(peer.get("/\(requests)").body == "/\(requests)\n")
      requests += 1
      for (index, pod) in pods.enumerated() where pod.certificateChain != last[index] {
        last[index] = pod.certificateChain
        renewals[index] += 1
      }
    }
    #expect(renewals.allSatisfy { $0 >= 2 } && requests > 20, "\(renewals) \(requests)")
    #expect(try scene.connect().get("/new").status == 200)
    let status = await server.status()
    #expect(status.allSatisfy { client in client.types.allSatisfy { $0.refusals == 0 } })
    #expect(pods.allSatisfy { pod in pod.reports.count { $0 == "control plane: connected" } <= 1 }, "one stream")
    for pod in pods { pod.stop() }
    server.stop()
  }
}
