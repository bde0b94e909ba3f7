import NetTypes
import PathProof
import Testing

/// TCP: h1 - a - web. The client's initial sequence number is 1000, the server's 9000.
@Suite struct ConnectionProofTests {
  private let there = ["h1:eth1>a:eth0", "a:eth1>web:eth1"]
  private let back = ["web:eth1>a:eth1", "a:eth0>h1:eth1"]
  private static let syn: UInt8 = 2, ack: UInt8 = 16, fin: UInt8 = 1, rst: UInt8 = 4

  private func lab() -> Scene { Scene("h1:eth1-a:eth0", "a:eth1-web:eth1") }

  private func flow(_ scene: Scene, answered: Bool = true) -> TracedFlow {
    TracedFlow(
      kind: .tcp, from: "h1", to: "web",
      probes: [
        FlowProbe(
          identity: .sequence(1000), source: Endpoint(.v4(scene.address("h1")), 40000),
          destination: Endpoint(.v4(scene.address("web")), 80), sent: true, answered: answered)
      ])
  }

  private func send(
    _ scene: inout Scene, seq: UInt32, ack: UInt32, _ flags: UInt8, length: Int = 0, over: [String]? = nil
  ) {
    scene.travel(
      over ?? there, .tcp(seq: seq, ack: ack, flags: flags, length: length), scene.address("h1"), scene.address("web"))
  }

  private func answer(_ scene: inout Scene, seq: UInt32, ack: UInt32, _ flags: UInt8, length: Int = 0) {
    scene.travel(
      back, .tcp(seq: seq, ack: ack, flags: flags, length: length), scene.address("web"), scene.address("h1"),
      sourcePort: 80, destinationPort: 40000)
  }

  private func handshake(_ scene: inout Scene) {
    send(&scene, seq: 1000, ack: 0, Self.syn)
    answer(&scene, seq: 9000, ack: 1001, Self.syn | Self.ack)
    send(&scene, seq: 1001, ack: 9001, Self.ack)
  }

  @Test("a connection's packets are counted each way and joined by sequence numbers")
  func connection() {
    var scene = lab()
    handshake(&scene)
    send(&scene, seq: 1001, ack: 9001, Self.ack, length: 17)
    answer(&scene, seq: 9001, ack: 1018, Self.ack, length: 17)
    send(&scene, seq: 1018, ack: 9018, Self.ack | Self.fin)
    answer(&scene, seq: 9018, ack: 1019, Self.ack | Self.fin)
    send(&scene, seq: 1019, ack: 9019, Self.ack)
    let proof = scene.prove(flow(scene))
    #expect(proof.undecidedBecause == nil && proof.symmetric == .yes)
    #expect(proof.forward.packets == 5 && proof.back.packets == 3 && proof.forward.lost == 0)
    #expect(proof.forward.hops[1].joinedBy == .seq)
  }

  @Test("a retransmission is a second copy: the first was lost, the path is whole")
  func retransmission() {
    var scene = lab()
    send(&scene, seq: 1000, ack: 0, Self.syn, over: [there[0]])  // dropped by a
    scene.clock += 1_000_000
    handshake(&scene)
    let proof = scene.prove(flow(scene))
    #expect(proof.undecidedBecause == nil)
    #expect(proof.forward.packets == 3 && proof.forward.lost == 1)
    #expect(proof.forward.lastSeen == InterfacePlace("a", "eth0"))
    #expect(proof.forward.path == ["h1", "a", "web"])
    // Had the two copies been taken for each other, the crossing of a would have lasted a second.
    #expect(proof.forward.hops[1].microseconds == 1)
  }

  @Test("segments split or merged between hops are the same bytes")
  func segmentation() {
    var scene = lab()
    handshake(&scene)
    let (h1, web) = (scene.address("h1"), scene.address("web"))
    func see(_ place: String, _ link: [String], _ seq: UInt32, _ length: Int, ttl: UInt8) {
      scene.see(
        place, from: link[0], to: link[1], .tcp(seq: seq, ack: 9001, flags: Self.ack, length: length), h1, web, ttl: ttl
      )
    }
    // One record of 3000 bytes leaves h1, two arrive at a, and they leave it as three.
    see("h1:eth1", ["h1:eth1", "a:eth0"], 1001, 3000, ttl: 64)
    see("a:eth0", ["h1:eth1", "a:eth0"], 1001, 1460, ttl: 64)
    see("a:eth0", ["h1:eth1", "a:eth0"], 2461, 1540, ttl: 64)
    for place in ["a:eth1", "web:eth1"] {
      for (seq, length) in [(1001, 1000), (2001, 1000), (3001, 1000)] as [(UInt32, Int)] {
        see(place, ["a:eth1", "web:eth1"], seq, length, ttl: 63)
      }
    }
    let proof = scene.prove(flow(scene))
    #expect(proof.undecidedBecause == nil)
    #expect(proof.forward.packets == 3 && proof.forward.lost == 0)
    #expect(proof.forward.paths == [CountedPath(path: ["h1", "a", "web"], packets: 3)])
    // A stretch of 40 bytes that never reached web is a loss of the record.
    let last = scene.observations.indices.last { scene.observations[$0].interface == scene.index("web:eth1") } ?? 0
    scene.observations.remove(at: last)
    #expect(scene.prove(flow(scene)).forward.lost == 1)
  }

  @Test("a packet that is duplicated on the way is followed once per copy that was sent")
  func duplicate() {
    var scene = lab()
    handshake(&scene)
    // A second SYN leaves h1 at once and both go the same way.
    send(&scene, seq: 1000, ack: 0, Self.syn)
    let proof = scene.prove(flow(scene))
    #expect(proof.undecidedBecause == nil && proof.forward.packets == 3 && proof.forward.lost == 0)
  }

  @Test("a refusal is no answer: forward shows the way, return is empty")
  func refused() {
    var scene = lab()
    send(&scene, seq: 1000, ack: 0, Self.syn)
    answer(&scene, seq: 0, ack: 1001, Self.rst | Self.ack)
    let proof = scene.prove(flow(scene, answered: false))
    #expect(!proof.reachable && proof.undecidedBecause == nil)
    #expect(proof.forward.path == ["h1", "a", "web"] && proof.back.path.isEmpty)
    #expect(proof.back.packets == 1)
  }

  @Test("another connection between the same hosts is not this flow")
  func otherConnection() {
    var scene = lab()
    handshake(&scene)
    send(&scene, seq: 800_000_000, ack: 700_000_000, Self.ack, length: 100, over: [there[1]])
    // one number near ours by chance
    send(&scene, seq: 800_000_000, ack: 9001, Self.ack, length: 100, over: [there[1]])
    send(&scene, seq: 1001, ack: 700_000_000, Self.ack, length: 100, over: [there[1]])
    let proof = scene.prove(flow(scene))
    #expect(proof.undecidedBecause == nil && proof.forward.packets == 2)
  }

  @Test("an ICMP error that quotes the SYN is told with the node that sent it")
  func icmpError() {
    var scene = lab()
    let (h1, a, web) = (scene.address("h1"), scene.address("a"), scene.address("web"))
    send(&scene, seq: 1000, ack: 0, Self.syn, over: [there[0]])
    let quoted = Scene.ip(
      .tcp(seq: 1000, ack: 0, flags: Self.syn, length: 0), h1, web, ttl: 64, sourcePort: 40000, destinationPort: 80)
    scene.travel(["a:eth0>h1:eth1"], .raw(proto: 1, [3, 0, 0, 0, 0, 0, 0, 0] + quoted.bytes), a, h1)
    let proof = scene.prove(flow(scene, answered: false))
    #expect(proof.errors == ["a: destination unreachable (no route)"])
    #expect(proof.forward.path == ["h1", "a"])
    // One about another connection is not ours.
    let other = Scene.ip(
      .tcp(seq: 900_000_000, ack: 0, flags: Self.syn, length: 0), h1, web, ttl: 64, sourcePort: 1, destinationPort: 2)
    var foreign = lab()
    foreign.travel(["a:eth0>h1:eth1"], .raw(proto: 1, [3, 0, 0, 0, 0, 0, 0, 0] + other.bytes), a, h1)
    #expect(foreign.prove(flow(foreign, answered: false)).errors.isEmpty)
  }
}
