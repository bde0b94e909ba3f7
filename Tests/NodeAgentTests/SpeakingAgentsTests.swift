import ControlProtocol
import EventLoop
import NetTypes
import Netlink
import Testing

@testable import NodeAgent

/// Two routers with real sessions over a real link:
///
///     left (AS 64500)  eth1 10.7.0.1/24 fd07::1/64 ───── 10.7.0.2/24 fd07::2/64 eth1  right (AS 64501)
///     originates 203.0.113.0/24, 2001:db8:1::/48                originates 198.51.100.0/24, 2001:db8:2::/48
@Suite(.enabled(if: LabNode.isAllowed), .serialized) struct SpeakingAgentsTests {
  struct Lab {
    let left: RouterThread
    let right: RouterThread

    init() throws {
      let loop = try EventLoop()
      left = try RouterThread(loop, namespace: Namespace.create())
      right = try RouterThread(loop, namespace: Namespace.create())
      let name = try #require(InterfaceName("eth1"))
      let ends = (VethEnd(name, in: left.namespace, index: 11), VethEnd(name, in: right.namespace, index: 11))
      try left.socket.commit { $0.addVethPair(ends.0, ends.1) }
      for (router, host) in [(left, 1), (right, 2)] {
        try Sysctl.write([.init("net.ipv6.conf.all.keep_addr_on_down", "1")], in: router.namespace)
        let v4 = try #require(InterfaceAddress("10.7.0.\(host)/24"))
        let v6 = try #require(InterfaceAddress("fd07::\(host)/64"))
        try router.socket.commit { batch in
          batch.setLink(.loopback, up: true)
          batch.setLink(11, up: true)
          batch.addAddress(v4, to: 11)
          batch.addAddress(v6, to: 11)
        }
      }
    }
  }

  private func config(left: Bool) throws -> NLSpeakerConfig {
    var config = NLSpeakerConfig()
    config.asn = left ? 64500 : 64501
    config.routerID = left ? 1 : 2
    config.ipv4 = true
    config.ipv6 = true
    config.fib = true
    config.openListener = true
    config.restartTime = 60
    config.networks = try (left ? ["203.0.113.0/24", "2001:db8:1::/48"] : ["198.51.100.0/24", "2001:db8:2::/48"])
      .map { try prefix($0) }
    var neighbor = NLNeighbor()
    neighbor.name = left ? "right" : "left"
    neighbor.session = "\(neighbor.name):eth1/ipv4"
    neighbor.address = try #require(IPAddress(left ? "10.7.0.2" : "10.7.0.1")).data
    neighbor.localAddress = try #require(IPAddress(left ? "10.7.0.1" : "10.7.0.2")).data
    neighbor.asn = left ? 64501 : 64500
    neighbor.interface = "eth1"
    neighbor.relation = .openRelation
    neighbor.families = [.ipv4Unicast, .ipv6Unicast]
    neighbor.nextHopIpv6 = try #require(IPAddress(left ? "fd07::1" : "fd07::2")).data
    neighbor.hold = 9
    neighbor.keepalive = 3
    neighbor.connectRetryMs = 100
    neighbor.gracefulRestart = 60
    config.neighbors = [neighbor]
    return config
  }

  private func start(_ router: RouterThread, left: Bool) throws {
    router.start(left ? "left" : "right")
    _ = try router.controller.hello()
    let config = try config(left: left)
    let ack = try router.controller.ask { message in
      message.desired.version = 1
      message.desired.speaker = config
    }.ack
    #expect(ack.type == "speaker" && ack.error.isEmpty)
  }

  private func isSettled(_ sample: NLSample) -> Bool {
    sample.idle && sample.sessions.allSatisfy { $0.state == .established } && sample.ribRoutes == 4
      && sample.fibVersion == sample.ribVersion && sample.fibRoutes == 2
  }

  @Test func `routes of both families are in both kernels, and samples agree`() throws {
    let lab = try Lab()
    try start(lab.left, left: true)
    try start(lab.right, left: false)
    let a = try #require(try lab.left.sample("settled", isSettled).sessions.first)
    let b = try #require(try lab.right.sample("settled", isSettled).sessions.first)
    #expect(a.localPort == b.remotePort && a.remotePort == b.localPort && a.localAddress == b.remoteAddress)
    #expect(a.updatesSent == b.updatesProcessed && b.updatesSent == a.updatesProcessed)
    #expect(try lab.left.output("ip route show proto bgp").contains("198.51.100.0/24"))
    #expect(try lab.left.output("ip -6 route show proto bgp").contains("via fd07::2 dev eth1"))
    #expect(try lab.right.output("ip route show proto bgp").contains("203.0.113.0/24"))

    let bgp = try lab.left.controller.ask { $0.query.kind = .bgp }.queryReply
    #expect(bgp.total == 4)
    let learned = try #require(bgp.bgp.first { $0.neighbor == "right" })
    #expect(learned.best && learned.asPath.first?.asns == [64501])
    let query = try prefix("198.51.100.0/24")
    let explanation = try lab.left.controller.ask { message in
      message.query.kind = .explain
      message.query.prefix = query
    }.queryReply.explanation
    #expect(explanation.inKernel && explanation.candidates.first?.because == "only-path")
    #expect(explanation.kernelRoute.nextHops.first?.interface == "eth1")
  }

  @Test func `a lost link takes session and routes at once, and gives them back`() throws {
    let lab = try Lab()
    try start(lab.left, left: true)
    try start(lab.right, left: false)
    _ = try lab.left.sample("settled", isSettled)
    _ = try lab.right.sample("settled", isSettled)
    try lab.left.socket.commit { $0.setLink(11, up: false) }
    for router in [lab.left, lab.right] {
      let sample = try router.sample("down") { $0.idle && $0.fibRoutes == 0 && $0.fibVersion == $0.ribVersion }
      #expect(sample.sessions.allSatisfy { $0.state != .established } && sample.ribRoutes == 2)
      #expect(try router.output("ip route show proto bgp; ip -6 route show proto bgp").isEmpty)
    }
    try lab.left.socket.commit { $0.setLink(11, up: true) }
    _ = try lab.left.sample("settled again", isSettled)
    _ = try lab.right.sample("settled again", isSettled)
    #expect(try lab.left.output("ip -6 route show proto bgp").contains("2001:db8:2::/48"))
  }

  @Test(arguments: [
    "ip route replace 198.51.100.0/24 via 10.7.0.9 metric 20",
    "ip route replace 198.51.100.0/24 via 10.7.0.9 metric 20 proto bgp",
    "ip -6 route replace 2001:db8:2::/48 via fd07::9 metric 1044",
    "ip route add 192.0.2.0/24 via 10.7.0.9 proto bgp",
  ]) func `a route that somebody puts in the place of BGP's, or beside it in its name, is gone at once`(
    command: String
  ) throws {
    let lab = try Lab()
    try start(lab.left, left: true)
    try start(lab.right, left: false)
    _ = try lab.left.sample("settled", isSettled)
    let shown = "ip route; ip -6 route show 2001:db8:2::/48"
    let before = try lab.left.output(shown)
    #expect(before.contains("198.51.100.0/24 nhid"))
    #expect(try lab.left.output("\(command) 2>&1").isEmpty)
    let deadline = EventLoop.clock() + EventLoop.milliseconds(20_000)
    while case let now = try lab.left.output(shown), now != before {  // poll
      try #require(EventLoop.clock() < deadline, "\(now)")
      try lab.left.controller.loop.step(timeout: EventLoop.milliseconds(20))
    }
    #expect(try lab.left.controller.ask { $0.query.kind = .drift }.queryReply.drift.items.isEmpty)
  }

  @Test func `an agent that dies costs neither kernel a route, and is back after it`() throws {
    let lab = try Lab()
    try start(lab.left, left: true)
    try start(lab.right, left: false)
    _ = try lab.left.sample("settled", isSettled)
    _ = try lab.right.sample("settled", isSettled)
    lab.left.kill()
    _ = try lab.right.sample("stale") { $0.sessions.contains { $0.state != .established } }
    for router in [lab.left, lab.right] {
      #expect(try router.output("ip route show proto bgp").split(separator: "\n").count == 1)
    }
    try start(lab.left, left: true)
    _ = try lab.left.sample("settled again", isSettled)
    _ = try lab.right.sample("settled again", isSettled)
    #expect(try lab.left.output("ip nexthop").split(separator: "\n").count == 2, "the old objects are swept")
  }
}
