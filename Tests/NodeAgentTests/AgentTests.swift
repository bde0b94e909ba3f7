import ControlProtocol
import EventLoop
import NetTypes
import Netlink
import Testing

@testable import NodeAgent

@Suite(.enabled(if: LabNode.isAllowed)) struct AgentTests {
  @Test func `it says hello, also again to a controller that crashed, with what is applied`() throws {
    let node = try LabNode()
    let hello = try node.controller.hello()
    #expect(hello.role == .node && hello.name == "r1" && hello.applied.isEmpty && hello.pid > 0)
    #expect(try node.controller.desire(3, routes: []).error.isEmpty)
    node.controller.stop()
    let start = EventLoop.clock()
    try node.loop.step(timeout: EventLoop.milliseconds(20))
    try node.controller.start()
    let again = try node.controller.hello()
    #expect(again.incarnation == hello.incarnation && again.applied == ["routes": 3])
    #expect(EventLoop.clock() - start < EventLoop.milliseconds(500))
  }

  @Test func `desired routes stand in the kernel when the acknowledgement comes`() throws {
    let node = try LabNode()
    _ = try node.controller.hello()
    let routes = [
      try route("198.51.100.0/24", ["10.7.0.2@eth1"], metric: 1),
      try route("10.255.0.9/32", ["10.7.0.2@eth1", "10.8.0.2@eth2"], metric: 110, origin: .igp),
      try route("2001:db8::/32", ["fd08::2@eth2"], metric: 110, origin: .igp),
      try route("203.0.113.0/24", kind: .unreachable, metric: 255),
      try route("2001:db8:1::/48", kind: .unreachable, metric: 255),
    ]
    let ack = try node.controller.desire(1, routes: routes)
    #expect(ack.type == "routes" && ack.version == 1 && ack.error.isEmpty)
    let shown = try node.output("ip route; ip -6 route")
    for line in [
      "198.51.100.0/24 via 10.7.0.2 dev eth1 proto static metric 1", "10.255.0.9 proto ospf metric 110",
      "2001:db8::/32 via fd08::2 dev eth2 proto ospf metric 110", "unreachable 203.0.113.0/24 proto static metric 255",
      "unreachable 2001:db8:1::/48 dev lo proto static metric 255",
    ] { #expect(shown.contains(line), "\(shown)") }

    // The same again writes nothing; a smaller and changed set takes away and replaces.
    let activity = try node.controller.sample(wave: 1).activity
    #expect(try node.controller.desire(2, routes: routes).error.isEmpty)
    #expect(try node.controller.sample(wave: 2).activity == activity)
    let changed = try route("198.51.100.0/24", ["10.8.0.9@eth2"], metric: 1)
    #expect(try node.controller.desire(3, routes: [changed]).error.isEmpty)
    let after = try node.output("ip route; ip -6 route")
    #expect(after.contains("198.51.100.0/24 via 10.8.0.9 dev eth2 proto static metric 1"))
    #expect(!after.contains("unreachable") && !after.contains("ospf"))
    #expect(try node.controller.sample(wave: 3).applied == ["routes": 3])
  }

  @Test(arguments: [
    ("198.51.100.0/24", "10.7.0.2@eth9", "no interface eth9"),
    ("198.51.100.0/24", "192.0.2.1@eth1", "Nexthop has invalid gateway"),
    ("2001:db8::/32", "10.7.0.2@eth1", "IPv4 gateway"),
  ]) func `a set with a bad route is refused whole`(destination: String, hop: String, reason: String) throws {
    let node = try LabNode()
    _ = try node.controller.hello()
    let good = try route("198.18.0.0/15", ["10.7.0.2@eth1"])
    #expect(try node.controller.desire(1, routes: [good]).error.isEmpty)
    let before = try node.output("ip route; ip -6 route")
    let other = try route("198.19.0.0/16", ["10.8.0.2@eth2"])
    let ack = try node.controller.desire(2, routes: [other, try route(destination, [hop])])
    #expect(ack.error.contains(reason) && ack.offender == "route \(destination)")
    #expect(try node.output("ip route; ip -6 route") == before)
    let sample = try node.controller.sample(wave: 1)
    #expect(sample.applied == ["routes": 1] && sample.failed == ["routes": 2])
  }

  @Test func `a route that somebody deletes is back at once`() throws {
    let node = try LabNode()
    _ = try node.controller.hello()
    let routes = [try route("198.51.100.0/24", ["10.7.0.2@eth1"]), try route("2001:db8::/32", ["fd07::2@eth1"])]
    #expect(try node.controller.desire(1, routes: routes).error.isEmpty)
    for command in [
      "ip route del 198.51.100.0/24", "ip -6 route del 2001:db8::/32",
      "ip route replace 198.51.100.0/24 via 10.8.0.9 proto static",
    ] {
      _ = try node.output(command)
      try node.wait("ip route; ip -6 route") {
        $0.contains("198.51.100.0/24 via 10.7.0.2 dev eth1") && $0.contains("2001:db8::/32 via fd07::2 dev eth1")
      }
    }
  }

  @Test func `what is too much of our own goes, what is others' stays`() throws {
    let node = try LabNode()
    _ = try node.controller.hello()
    _ = try node.output(
      "ip route add 192.0.2.0/24 via 10.7.0.2 proto static; ip route add 192.0.3.0/24 via 10.7.0.2;"
        + "ip route add 192.0.4.0/24 via 10.7.0.2 proto 188; ip route add 192.0.5.0/24 via 10.7.0.2 proto bird")
    #expect(try node.controller.desire(1, routes: []).error.isEmpty)
    let shown = try node.output("ip route")
    #expect(!shown.contains("192.0.2.0/24"))
    // 188 is OSPF's number, and no speaker of ours runs here: it may be a daemon's.
    #expect(shown.contains("192.0.3.0/24") && shown.contains("192.0.4.0/24") && shown.contains("192.0.5.0/24"))
  }

  @Test func `routes lost with a link come back with it, and both are told`() throws {
    let node = try LabNode()
    _ = try node.controller.hello()
    let routes = [
      try route("198.51.100.0/24", ["10.7.0.2@eth1"]), try route("2001:db8::/32", ["fd07::2@eth1"]),
      try route("192.0.2.0/24", ["10.7.0.2@eth1", "10.8.0.2@eth2"]),
    ]
    #expect(try node.controller.desire(1, routes: routes).error.isEmpty)
    let whole = try node.output("ip route show proto static; ip -6 route show proto static")
    try node.socket.commit { $0.setLink(11, up: false) }
    let event = try node.controller.next("event") { if case .event(let event)? = $0.body { event } else { nil } }
    #expect(event.kind == "link" && event.subject == "eth1" && event.text == "down" && event.atNs > 0)
    let sample = try node.controller.next("sample") { if case .sample(let sample)? = $0.body { sample } else { nil } }
    #expect(sample.wave == 0 && sample.links.first { $0.interface == "eth1" }?.up == false)
    try node.wait("ip route show proto static") { $0.contains("192.0.2.0/24 via 10.8.0.2 dev eth2") }
    #expect(try !node.output("ip route show proto static").contains("eth1"))
    try node.socket.commit { $0.setLink(11, up: true) }
    try node.wait("ip route show proto static; ip -6 route show proto static") { $0 == whole }
    #expect(try node.controller.sample(wave: 7).links.allSatisfy { $0.up && $0.carrier })
  }

  @Test func `a lost carrier is a lost link`() throws {
    let node = try LabNode()
    _ = try node.controller.hello()
    try node.farSocket.commit { $0.setLink(12, up: false) }
    let event = try node.controller.next("event") { if case .event(let event)? = $0.body { event } else { nil } }
    #expect(event.subject == "eth2" && event.text == "carrier lost")
    let sample = try node.controller.sample(wave: 5)
    let link = try #require(sample.links.first { $0.interface == "eth2" })
    #expect(sample.wave == 5 && sample.idle && link.up && !link.carrier && link.ifindex == 12)
    #expect(link.addresses.contains(NLPrefix(try #require(InterfaceAddress("10.8.0.1/24")))))
  }

  @Test func `questions are answered from the kernel`() throws {
    let node = try LabNode()
    _ = try node.controller.hello()
    _ = try node.output(
      "ip nexthop add id 5 via 10.7.0.2 dev eth1; ip nexthop add id 6 via 10.8.0.2 dev eth2;"
        + "ip nexthop add id 7 group 5,1/6,3; ip route add 198.51.100.0/24 nhid 7 proto bgp;"
        + "ip route add 198.51.100.128/25 via 10.7.0.3 metric 9; echo 0 > /proc/sys/net/ipv4/nexthop_compat_mode")
    let query = try prefix("198.51.100.0/24")
    let reply = try node.controller.ask { message in
      message.query.kind = .routes
      message.query.prefix = query
    }.queryReply
    #expect(reply.total == 2 && reply.routes.map(\.origin) == [.bgp, .other] && reply.routes.map(\.metric) == [0, 9])
    let hops = try #require(reply.routes.first).nextHops
    #expect(hops.map(\.interface) == ["eth1", "eth2"] && hops.map(\.weight) == [1, 3])
    #expect(hops.map { IPAddress($0.gateway)?.description } == ["10.7.0.2", "10.8.0.2"])

    let page = try node.controller.ask { message in
      message.query.kind = .routes
      message.query.offset = 1
      message.query.limit = 2
    }.queryReply
    #expect(page.routes.count == 2 && page.total > 3)

    _ = try node.output("ping -c 1 -W 0.1 10.7.0.2")
    let links = try node.controller.ask { $0.query.kind = .links }.queryReply.links
    #expect(links.map(\.interface) == ["lo", "eth1", "eth2"] && links[1].txPackets > 0)

    let explain = try node.controller.ask { message in
      message.query.kind = .explain
      message.query.prefix = query
    }.queryReply.explanation
    #expect(explain.inKernel && explain.kernelRoute.origin == .bgp && explain.candidates.isEmpty)
    #expect(try !node.controller.ask { $0.query.kind = .bgp }.queryReply.error.isEmpty)
    let command = try node.controller.ask { $0.speakerCommand.reset.neighbor = "nobody" }.ack
    #expect(command.type == "command" && !command.error.isEmpty)
  }
}
