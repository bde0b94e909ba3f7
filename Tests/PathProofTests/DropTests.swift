import NetTypes
import PathProof
import Testing

/// h1 - a - b - web: where packets ended, and why as far as the captures and the kernels say.
@Suite struct DropTests {
  private let there = ["h1:eth1>a:eth0", "a:eth1>b:eth0", "b:eth1>web:eth1"]
  private let back = ["web:eth1>b:eth1", "b:eth0>a:eth1", "a:eth0>h1:eth1"]

  private func lab() -> Scene { Scene("h1:eth1-a:eth0", "a:eth1-b:eth0", "b:eth1-web:eth1") }

  private func flow(_ scene: Scene, probes: UInt8 = 1, answered: Bool = false) -> TracedFlow {
    TracedFlow(
      kind: .icmp, from: "h1", to: "web",
      probes: (0..<probes).map {
        FlowProbe(
          identity: .nonce(Scene.nonce($0)), source: nil, destination: Endpoint(.v4(scene.address("web"))), sent: true,
          answered: answered)
      })
  }

  private func send(_ scene: inout Scene, _ probe: UInt8 = 0, over links: Int) {
    scene.travel(
      Array(there.prefix(links)), .echo(type: 8, nonce: Scene.nonce(probe)), scene.address("h1"), scene.address("web"))
  }

  /// An ICMP error of `node` to h1 by `links`, which quotes the probe.
  private func complain(_ scene: inout Scene, _ node: String, over links: [String], type: UInt8, code: UInt8) {
    let quoted = Scene.ip(
      .echo(type: 8, nonce: Scene.nonce(0)), scene.address("h1"), scene.address("web"), ttl: 60, sourcePort: 0,
      destinationPort: 0)
    scene.travel(
      links, .raw(proto: 1, [type, code, 0, 0, 0, 0, 0, 0] + quoted.bytes), scene.address(node), scene.address("h1"))
  }

  private let fromA = ["a:eth0>h1:eth1"]

  @Test("a packet that came in and did not leave ended there; a flow that arrived has no drops")
  func cameIn() {
    var scene = lab()
    send(&scene, over: 2)
    let proof = scene.prove(flow(scene))
    #expect(
      proof.forward.drops == [
        Drop(
          node: "b", interface: "eth0", sent: false, destination: .v4(scene.address("web")), packets: 1,
          reason: .unknown, detail: "it came in, and did not leave")
      ])
    var whole = lab()
    send(&whole, over: 3)
    whole.travel(back, .echo(type: 0, nonce: Scene.nonce(0)), whole.address("web"), whole.address("h1"))
    let answered = whole.prove(flow(whole, answered: true))
    #expect(answered.forward.drops.isEmpty && answered.back.drops.isEmpty)
  }

  @Test("a packet that left and never came ended on the link; if the far end is down, that is why")
  func onTheLink() {
    var scene = lab()
    send(&scene, over: 1)
    scene.see(
      "a:eth1", from: "a:eth1", to: "b:eth0", .echo(type: 8, nonce: Scene.nonce(0)), scene.address("h1"),
      scene.address("web"), ttl: 63)
    var drop = scene.prove(flow(scene)).forward.drops.first
    #expect(drop?.node == "a" && drop?.interface == "eth1" && drop?.sent == true && drop?.reason == .unknown)
    scene.coverage[InterfacePlace("b", "eth0")] = .down
    drop = scene.prove(flow(scene)).forward.drops.first
    #expect(drop?.reason == .linkDown && drop?.detail == "b:eth0 is down")
  }

  /// Type and code by RFC 792 and RFC 1812 section 5.2.7.1.
  @Test(
    "an ICMP error of the node that had the packet says why",
    arguments: [
      (3, 0, "no-route", "destination unreachable (no route)"),
      (3, 4, "mtu", "destination unreachable (fragmentation needed)"),
      (3, 13, "filter", "destination unreachable (administratively prohibited)"),
      (3, 3, "filter", "destination unreachable (port unreachable)"), (11, 0, "ttl", "time exceeded (TTL)"),
      (3, 1, "unknown", "destination unreachable (host unreachable)"),
    ] as [(UInt8, UInt8, String, String)])
  func icmpError(_ type: UInt8, _ code: UInt8, _ reason: String, _ words: String) {
    var scene = lab()
    send(&scene, over: 1)
    complain(&scene, "a", over: fromA, type: type, code: code)
    let drop = scene.prove(flow(scene)).forward.drops.first
    #expect(drop?.reason.rawValue == reason && drop?.detail == "a says \(words)")
  }

  @Test("an error of a node that did not have the packet explains nothing")
  func errorOfAnother() {
    var scene = lab()
    send(&scene, over: 2)
    complain(&scene, "a", over: fromA, type: 3, code: 0)
    #expect(scene.prove(flow(scene)).forward.drops.first?.reason == .unknown)
  }

  @Test("at its end a packet met nobody who listens, or nobody who answered")
  func atTheEnd() {
    var scene = lab()
    send(&scene, over: 3)
    var drop = scene.prove(flow(scene)).forward.drops.first
    #expect(drop?.node == "web" && drop?.interface == "eth1" && drop?.atEnd == true && drop?.reason == .unknown)
    complain(&scene, "web", over: back, type: 3, code: 3)
    drop = scene.prove(flow(scene)).forward.drops.first
    #expect(drop?.reason == .noListener && drop?.detail == "web says destination unreachable (port unreachable)")
    #expect(scene.prove(flow(scene)).forward.lost == 0)
  }

  @Test("a refused connection had no listener; refused by a router in its name, it met a rule")
  func reset() {
    func drop(by node: String, _ way: [String], over links: Int) -> Drop? {
      var scene = lab()
      let (h1, web) = (scene.address("h1"), scene.address("web"))
      scene.travel(Array(there.prefix(links)), .tcp(seq: 1000, ack: 0, flags: 2, length: 0), h1, web)
      scene.travel(
        way, .tcp(seq: 0, ack: 1001, flags: 20, length: 0), web, h1, sourcePort: 80, destinationPort: 40000)
      let probe = FlowProbe(
        identity: .sequence(1000), source: nil, destination: Endpoint(.v4(web), 80), sent: true, answered: false)
      return scene.prove(TracedFlow(kind: .tcp, from: "h1", to: "web", probes: [probe])).forward.drops.first
    }
    let refused = drop(by: "web", back, over: 3)
    #expect(refused?.node == "web" && refused?.reason == .noListener)
    let rejected = drop(by: "a", fromA, over: 1)
    #expect(rejected?.node == "a" && rejected?.reason == .filter && rejected?.interface == "eth0")
  }

  @Test("packets that ended at one place for one reason are one entry, the place of most first")
  func counted() {
    var scene = lab()
    send(&scene, 0, over: 1)
    for probe in 1...3 as ClosedRange<UInt8> { send(&scene, probe, over: 2) }
    let drops = scene.prove(flow(scene, probes: 4)).forward.drops
    #expect(drops.map(\.node) == ["b", "a"] && drops.map(\.packets) == [3, 1])
  }

  @Test("what the sender's kernel refused, or took and did not send, ended at the sender")
  func unseen() {
    let scene = lab()
    var taken = flow(scene)
    #expect(scene.prove(taken).forward.drops.first?.interface == nil)
    #expect(scene.prove(taken).forward.drops.first?.node == "h1")
    taken.probes[0].sent = false
    taken.probes[0].refusal = .init(.noRoute, "Network is unreachable")
    let drop = scene.prove(taken).forward.drops.first
    #expect(drop?.reason == .noRoute && drop?.detail == "h1 says Network is unreachable")
  }

  @Test("a lost answer is a drop of the way back")
  func answerLost() {
    var scene = lab()
    send(&scene, over: 3)
    scene.travel(
      Array(back.prefix(1)), .echo(type: 0, nonce: Scene.nonce(0)), scene.address("web"), scene.address("h1"))
    let proof = scene.prove(flow(scene))
    #expect(proof.forward.drops.isEmpty)
    #expect(proof.back.drops.first?.node == "b" && proof.back.drops.first?.interface == "eth1")
  }
}

/// What the kernel's counters add, and what they must not.
@Suite struct DropEvidenceTests {
  private func drop(
    _ reason: DropReason = .unknown, packets: Int = 3, sent: Bool = false, suspect: DropReason? = nil
  ) -> Drop {
    Drop(
      node: "a", interface: "eth0", sent: sent, suspect: suspect, packets: packets, reason: reason, detail: "seen")
  }

  private let rule = KernelEvidence(.filter, 3, "rule `x` counted 3")

  @Test("the one counter that moved by as many packets says why")
  func one() {
    let explained = drop().explained(by: [rule, KernelEvidence(.ttl, 1, "Ip InHdrErrors counted 1")])
    #expect(explained.reason == .filter && explained.detail == "rule `x` counted 3")
  }

  @Test("a counter that moved by fewer packets, or none, explains nothing")
  func tooFew() {
    #expect(drop(packets: 4).explained(by: [rule]) == drop(packets: 4))
    #expect(drop().explained(by: []) == drop())
  }

  @Test("two counters are two possible reasons: both are named and none is chosen")
  func two() {
    let explained = drop().explained(by: [rule, KernelEvidence(.noRoute, 5, "InNoRoutes counted 5")])
    #expect(explained.reason == .unknown)
    #expect(explained.detail == "seen; more than one counter moved: rule `x` counted 3, InNoRoutes counted 5")
  }

  @Test("an ICMP error stands against counters of other reasons, and takes those of its own as its witnesses")
  func errorStands() {
    #expect(drop(.ttl).explained(by: [rule]) == drop(.ttl))
    #expect(drop(.filter).explained(by: [rule]).detail == "seen; rule `x` counted 3")
    // Except that a rule may reject in the words of a closed port.
    #expect(drop(.noListener).explained(by: [rule]).reason == .filter)
  }

  @Test("host unreachable is no route when the kernel has none, otherwise a next hop that does not answer")
  func hostUnreachable() {
    let route = KernelEvidence(.noRoute, .max, "its route to 192.0.2.1: No route to host")
    #expect(drop(suspect: .noRoute).explained(by: [route, rule]).reason == .noRoute)
    let silent = drop(suspect: .noRoute).explained(by: [rule])
    #expect(silent.reason == .unknown && silent.detail == "seen; the next hop does not answer")
  }

  @Test("a counter of the node says nothing of a packet that left it")
  func left() { #expect(drop(sent: true).explained(by: [rule]) == drop(sent: true)) }
}
