import NetTypes
import PathProof
import Testing

/// h1 - a - b - c - web, and a - c:
///
///   h1:eth1 ─ a:eth0   a:eth1 ─ b:eth0   b:eth1 ─ c:eth0   c:eth1 ─ web:eth1
///                      a:eth2 ───────────────────── c:eth2
@Suite struct PathProofTests {
  private static func lab() -> Scene {
    Scene("h1:eth1-a:eth0", "a:eth1-b:eth0", "b:eth1-c:eth0", "a:eth2-c:eth2", "c:eth1-web:eth1")
  }
  private static let long = ["h1:eth1>a:eth0", "a:eth1>b:eth0", "b:eth1>c:eth0", "c:eth1>web:eth1"]
  private static let longBack = ["web:eth1>c:eth1", "c:eth0>b:eth1", "b:eth0>a:eth1", "a:eth0>h1:eth1"]
  private static let shortBack = ["web:eth1>c:eth1", "c:eth2>a:eth2", "a:eth0>h1:eth1"]

  private func echoFlow(_ scene: Scene, probes: UInt8 = 1, answered: Bool = true) -> TracedFlow {
    TracedFlow(
      kind: .icmp, from: "h1", to: "web",
      probes: (0..<probes).map {
        FlowProbe(
          identity: .nonce(Scene.nonce($0)), source: Endpoint(.v4(scene.address("h1"))),
          destination: Endpoint(.v4(scene.address("web"))), sent: true, answered: answered)
      })
  }

  private func echo(_ scene: inout Scene, _ there: [String], _ back: [String], probe: UInt8 = 0) {
    let (h1, web) = (scene.address("h1"), scene.address("web"))
    scene.travel(there, .echo(type: 8, nonce: Scene.nonce(probe)), h1, web)
    scene.travel(back, .echo(type: 0, nonce: Scene.nonce(probe)), web, h1)
  }

  @Test("the same links there and back are symmetric, with every hop's interfaces and its time")
  func symmetric() throws {
    var scene = Self.lab()
    echo(&scene, Self.long, Self.longBack)
    let proof = scene.prove(echoFlow(scene))
    #expect(proof.reachable)
    #expect(proof.undecidedBecause == nil)
    #expect(proof.symmetric == .yes)
    #expect(proof.forward.path == ["h1", "a", "b", "c", "web"])
    #expect(proof.back.path == ["web", "c", "b", "a", "h1"])
    let b = try #require(proof.forward.hops.first { $0.node == "b" })
    #expect(b.inbound == "eth0" && b.outbound == "eth1" && b.microseconds == 1 && b.joinedBy == .nonce)
    #expect(proof.forward.hops.first?.inbound == nil && proof.forward.hops.last?.outbound == nil)
    #expect(proof.forward.packets == 1 && proof.forward.lost == 0)
  }

  @Test("another way back is asymmetric")
  func asymmetric() {
    var scene = Self.lab()
    echo(&scene, Self.long, Self.shortBack)
    let proof = scene.prove(echoFlow(scene))
    #expect(proof.symmetric == .no)
    #expect(proof.back.path == ["web", "c", "a", "h1"])
    #expect(proof.undecidedBecause == nil)
  }

  @Test("the same nodes over parallel links are asymmetric too")
  func parallelLinks() {
    var scene = Scene("h1:eth1-web:eth1", "h1:eth2-web:eth2")
    echo(&scene, ["h1:eth1>web:eth1"], ["web:eth2>h1:eth2"])
    let proof = scene.prove(echoFlow(scene))
    #expect(proof.forward.path == ["h1", "web"] && proof.back.path == ["web", "h1"])
    #expect(proof.symmetric == .no)
  }

  @Test("a packet dropped by a router: unreachable, forward names who saw it, return is empty")
  func dropped() {
    var scene = Self.lab()
    scene.travel(
      Array(Self.long.prefix(2)), .echo(type: 8, nonce: Scene.nonce(0)), scene.address("h1"), scene.address("web"))
    let proof = scene.prove(echoFlow(scene, answered: false))
    #expect(!proof.reachable)
    #expect(proof.undecidedBecause == nil)
    #expect(proof.forward.path == ["h1", "a", "b"])
    #expect(proof.forward.lost == 1)
    #expect(proof.forward.lastSeen == InterfacePlace("b", "eth0"))
    #expect(proof.back.path.isEmpty && proof.back.hops.isEmpty)
    #expect(proof.symmetric == .notApplicable)
  }

  @Test("an answer lost on its way: unreachable, return stays empty, its last place is kept")
  func answerLost() {
    var scene = Self.lab()
    echo(&scene, Self.long, Array(Self.shortBack.prefix(1)))
    let proof = scene.prove(echoFlow(scene, answered: false))
    #expect(!proof.reachable && proof.undecidedBecause == nil)
    #expect(proof.forward.path.last == "web" && proof.forward.lost == 0)
    #expect(proof.back.path.isEmpty && proof.back.lost == 1)
    #expect(proof.back.lastSeen == InterfacePlace("c", "eth1"))
  }

  @Test("several paths are all reported with their packets, the most used first")
  func ecmp() {
    var scene = Self.lab()
    let short = ["h1:eth1>a:eth0", "a:eth2>c:eth2", "c:eth1>web:eth1"]
    echo(&scene, short, Self.longBack, probe: 0)
    echo(&scene, Self.long, Self.longBack, probe: 1)
    echo(&scene, Self.long, Self.longBack, probe: 2)
    let proof = scene.prove(echoFlow(scene, probes: 3))
    #expect(proof.forward.path == ["h1", "a", "b", "c", "web"])
    #expect(
      proof.forward.paths == [
        CountedPath(path: ["h1", "a", "b", "c", "web"], packets: 2),
        CountedPath(path: ["h1", "a", "c", "web"], packets: 1),
      ])
    #expect(proof.symmetric == .no)
    #expect(proof.undecidedBecause == nil)
  }

  @Test("a loop is named and shown up to where it closes, however often it was gone round")
  func loop() {
    var scene = Scene("h1:eth1-a:eth0", "a:eth1-b:eth0")
    let round = ["a:eth1>b:eth0", "b:eth0>a:eth1"]
    let path = ["h1:eth1>a:eth0"] + (0..<6).flatMap { _ in round }
    scene.travel(path, .echo(type: 8, nonce: Scene.nonce(0)), scene.address("h1"), IPv4Address(192, 0, 2, 1), ttl: 13)
    var flow = echoFlow(scene, answered: false)
    flow.to = nil
    let proof = scene.prove(flow)
    #expect(!proof.reachable && proof.undecidedBecause == nil)
    #expect(proof.forward.path == ["h1", "a", "b", "a", "b"])
    #expect(proof.loop == RoutingLoop(["a", "b"]) && proof.loop?.description == "loop a - b")
    #expect(proof.forward.lost == 1 && proof.forward.lastSeen == InterfacePlace("a", "eth1"))
  }

  @Test("a packet that passed a node twice on its way and arrived was in no loop")
  func detour() {
    var scene = Self.lab()
    let detour = Array(Self.long.prefix(2)) + ["b:eth0>a:eth1"] + Self.long.dropFirst()
    echo(&scene, detour, Self.longBack)
    let proof = scene.prove(echoFlow(scene))
    #expect(proof.reachable && proof.loop == nil && proof.undecidedBecause == nil)
    #expect(proof.forward.path == ["h1", "a", "b", "a", "b", "c", "web"])
  }

  @Test("a loop of the answer is named as such")
  func loopBack() {
    var scene = Self.lab()
    echo(&scene, Self.long, ["web:eth1>c:eth1", "c:eth0>b:eth1", "b:eth1>c:eth0", "c:eth0>b:eth1", "b:eth1>c:eth0"])
    let proof = scene.prove(echoFlow(scene, answered: false))
    #expect(!proof.reachable && proof.undecidedBecause == nil)
    #expect(proof.loop?.description == "loop c - b, of the answer")
  }

  @Test("parallel links between two nodes are one path, with the packets of all")
  func parallelPaths() {
    var scene = Scene("h1:eth1-a:eth0", "a:eth1-b:eth1", "a:eth2-b:eth2", "a:eth3-web:eth3", "b:eth0-web:eth1")
    let back = ["web:eth1>b:eth0", "b:eth1>a:eth1", "a:eth0>h1:eth1"]
    for (probe, way) in [
      ["a:eth1>b:eth1", "b:eth0>web:eth1"], ["a:eth2>b:eth2", "b:eth0>web:eth1"], ["a:eth3>web:eth3"],
    ].enumerated() { echo(&scene, ["h1:eth1>a:eth0"] + way, back, probe: UInt8(probe)) }
    let proof = scene.prove(echoFlow(scene, probes: 3))
    #expect(
      proof.forward.paths == [
        CountedPath(path: ["h1", "a", "b", "web"], packets: 2), CountedPath(path: ["h1", "a", "web"], packets: 1),
      ])
    #expect(proof.forward.path == ["h1", "a", "b", "web"] && proof.forward.hops.count == 4)
    #expect(proof.symmetric == .no)
  }

  @Test("frames that a switch floods to others change nothing")
  func flooding() {
    var scene = Scene("h1:eth1-s:p1", "web:eth1-s:p2", "x:eth1-s:p3", switches: ["s"])
    let (h1, web) = (scene.address("h1"), scene.address("web"))
    for place in ["h1:eth1", "s:p1", "s:p2", "s:p3", "x:eth1", "web:eth1"] {
      scene.see(place, from: "h1:eth1", to: "web:eth1", .echo(type: 8, nonce: Scene.nonce(0)), h1, web, ttl: 64)
    }
    scene.travel(["web:eth1>h1:eth1"], .echo(type: 0, nonce: Scene.nonce(0)), web, h1)
    let proof = scene.prove(echoFlow(scene))
    #expect(proof.forward.path == ["h1", "web"] && proof.back.path == ["web", "h1"])
    #expect(proof.symmetric == .yes && proof.undecidedBecause == nil)
  }

  @Test("addresses and ports rewritten on the way are reported at the hop and do not break the path")
  func nat() throws {
    var scene = Scene("h1:eth1-n:eth0", "n:eth1-web:eth1")
    let (h1, web, outside) = (scene.address("h1"), scene.address("web"), IPv4Address(203, 0, 113, 9))
    let there = Scene.Body.udp(nonce: Scene.nonce(0), way: .forward)
    let back = Scene.Body.udp(nonce: Scene.nonce(0), way: .back)
    scene.travel(["h1:eth1>n:eth0"], there, h1, web, ttl: 64)
    scene.travel(["n:eth1>web:eth1"], there, outside, web, ttl: 63, sourcePort: 1024)
    scene.travel(["web:eth1>n:eth1"], back, web, outside, ttl: 64, sourcePort: 80, destinationPort: 1024)
    scene.travel(["n:eth0>h1:eth1"], back, web, h1, ttl: 63, sourcePort: 80, destinationPort: 40000)
    var flow = echoFlow(scene)
    flow.kind = .udp
    flow.probes[0].source = Endpoint(.v4(h1), 40000)
    flow.probes[0].destination = Endpoint(.v4(web), 80)
    let proof = scene.prove(flow)
    #expect(proof.undecidedBecause == nil && proof.symmetric == .yes)
    #expect(proof.forward.path == ["h1", "n", "web"])
    let rewrite = try #require(proof.forward.hops[1].nat)
    #expect(rewrite.source == .init(from: Endpoint(.v4(h1), 40000), to: Endpoint(.v4(outside), 1024)))
    #expect(rewrite.destination == nil)
    #expect(proof.back.hops[1].nat?.destination?.to == Endpoint(.v4(h1), 40000))
    #expect(proof.forward.hops[0].nat == nil && proof.forward.hops[2].nat == nil)
  }
}

/// What the captures do not show must never become a verdict.
@Suite struct IncompleteCaptureTests {
  private let there = ["h1:eth1>a:eth0", "a:eth1>b:eth0", "b:eth1>web:eth1"]
  private let back = ["web:eth1>b:eth1", "b:eth0>a:eth1", "a:eth0>h1:eth1"]

  private func lab() -> Scene {
    var scene = Scene("h1:eth1-a:eth0", "a:eth1-b:eth0", "b:eth1-web:eth1")
    let (h1, web) = (scene.address("h1"), scene.address("web"))
    scene.travel(there, .echo(type: 8, nonce: Scene.nonce(0)), h1, web)
    scene.travel(back, .echo(type: 0, nonce: Scene.nonce(0)), web, h1)
    return scene
  }

  private func flow(_ scene: Scene, answered: Bool = true) -> TracedFlow {
    TracedFlow(
      kind: .icmp, from: "h1", to: "web",
      probes: [
        FlowProbe(
          identity: .nonce(Scene.nonce(0)), source: nil, destination: Endpoint(.v4(scene.address("web"))), sent: true,
          answered: answered)
      ])
  }

  @Test("with everything seen there is a verdict")
  func whole() {
    let scene = lab()
    #expect(scene.prove(flow(scene)).undecidedBecause == nil)
  }

  @Test("any single sighting missing makes the trace undecided")
  func everyGap() {
    let scene = lab()
    for index in scene.observations.indices {
      var holed = scene
      holed.observations.remove(at: index)
      let proof = holed.prove(flow(holed))
      #expect(proof.undecidedBecause != nil, "observation \(index)")
      #expect(!proof.isComplete && proof.symmetric == .undecided)
    }
  }

  @Test("a lost packet that was seen again after a hole was not lost where the hole is: undecided")
  func gapOfLostPacket() {
    var scene = Scene("h1:eth1-a:eth0", "a:eth1-b:eth0", "b:eth1-web:eth1")
    scene.travel(
      Array(there.prefix(2)), .echo(type: 8, nonce: Scene.nonce(0)), scene.address("h1"), scene.address("web"))
    #expect(scene.prove(flow(scene, answered: false)).undecidedBecause == nil)
    scene.observations.removeAll { scene.places[$0.interface].node == "a" }
    #expect(scene.prove(flow(scene, answered: false)).undecidedBecause?.contains("b:eth0") == true)
  }

  @Test("any interface without its capture makes the trace undecided")
  func everyInterface() {
    let scene = lab()
    for place in scene.places {
      var blind = scene
      blind.observations.removeAll { scene.places[$0.interface] == place }
      #expect(blind.prove(flow(blind)).undecidedBecause != nil, "\(place)")
    }
  }

  @Test("packets dropped by the kernel, or an interface that could not be opened: undecided, with its name")
  func coverage() {
    var scene = lab()
    scene.coverage[InterfacePlace("a", "eth1")] = .dropped(3)
    #expect(scene.prove(flow(scene)).undecidedBecause?.contains("3 packets on a:eth1") == true)
    scene.coverage[InterfacePlace("a", "eth1")] = .failed("no permission")
    #expect(scene.prove(flow(scene)).undecidedBecause?.contains("a:eth1 could not be captured: no permission") == true)
    scene.coverage[InterfacePlace("a", "eth1")] = .captured
    #expect(scene.prove(flow(scene)).undecidedBecause == nil)
  }

  @Test("an interface that no link mentions is a segment of its own")
  func unlinked() {
    var scene = lab()
    scene.places.append(InterfacePlace("b", "tun0"))
    #expect(scene.prove(flow(scene)).undecidedBecause == nil)
  }

  @Test("a node that does not run matters only where a packet went there")
  func absent() {
    var scene = Scene("h1:eth1-a:eth0", "a:eth1-b:eth0", "a:eth2-web:eth1")
    let (h1, web) = (scene.address("h1"), scene.address("web"))
    scene.coverage[InterfacePlace("b", "eth0")] = .absent
    var lost = scene
    scene.travel(["h1:eth1>a:eth0", "a:eth2>web:eth1"], .echo(type: 8, nonce: Scene.nonce(0)), h1, web)
    scene.travel(["web:eth1>a:eth2", "a:eth0>h1:eth1"], .echo(type: 0, nonce: Scene.nonce(0)), web, h1)
    #expect(scene.prove(flow(scene)).undecidedBecause == nil)
    lost.travel(["h1:eth1>a:eth0"], .echo(type: 8, nonce: Scene.nonce(0)), h1, web)
    lost.see("a:eth1", from: "a:eth1", to: "b:eth0", .echo(type: 8, nonce: Scene.nonce(0)), h1, web, ttl: 63)
    #expect(lost.prove(flow(lost, answered: false)).undecidedBecause?.contains("b:eth0") == true)
  }

  @Test("two copies that crossed a node at once by different ways are undecided; one after the other they are not")
  func ambiguous() {
    // Two copies of one datagram arrive over both links and leave over both.
    func scene(interleaved: Bool) -> Scene {
      var scene = Scene("h1:eth1-a:eth0", "h1:eth2-a:eth1", "a:eth2-web:eth1", "a:eth3-web:eth2")
      let body = Scene.Body.echo(type: 8, nonce: Scene.nonce(0))
      let (h1, web) = (scene.address("h1"), scene.address("web"))
      let first = "h1:eth1>a:eth0", second = "h1:eth2>a:eth1"
      let out = ["a:eth2>web:eth1", "a:eth3>web:eth2"]
      scene.travel([first], body, h1, web)
      if !interleaved { scene.travel([out[0]], body, h1, web, ttl: 63) }
      scene.travel([second], body, h1, web)
      if interleaved { scene.travel([out[0]], body, h1, web, ttl: 63) }
      scene.travel([out[1]], body, h1, web, ttl: 63)
      return scene
    }
    let together = scene(interleaved: true)
    #expect(together.prove(flow(together, answered: false)).undecidedBecause?.contains("crossed a") == true)
    let apart = scene(interleaved: false)
    #expect(apart.prove(flow(apart, answered: false)).ambiguous.isEmpty)
  }
}
