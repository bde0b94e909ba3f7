import ControlProtocol
import Foundation
import NetTypes
import Netlink
import SwiftProtobuf
import Testing

@testable import NodeAgent

/// Packets that go where no route to their destination would take them.
@Suite(.enabled(if: LabNode.isAllowed)) struct ZoneTests {
  /// A second router behind eth3 (10.9.0.0/24), with the same client behind it as the first has: 10.50.0.5.
  private func second(_ bench: EdgeBench) throws -> Namespace {
    let router = try Namespace.create()
    let (name, near) = (try #require(InterfaceName("eth1")), try #require(InterfaceName("eth3")))
    try bench.node.socket.commit {
      $0.addVethPair(VethEnd(near, in: bench.node.namespace, index: 13), VethEnd(name, in: router, index: 11))
    }
    try bench.run("ip link set eth3 up; ip addr add 10.9.0.1/24 dev eth3", in: bench.node.namespace)
    try bench.run(
      "ip link set lo up; ip link set eth1 up; ip addr add 10.9.0.2/24 dev eth1; ip route add default via 10.9.0.1",
      in: router)
    for place in [bench.client, router] { try bench.run("ip addr add 10.50.0.5/32 dev lo", in: place) }
    return router
  }

  /// Speaks from 10.50.0.5:5000 and says what the server saw; the first waits for the second before it ends.
  private func talk(_ bench: EdgeBench) throws -> String {
    try bench.script(
      "twin",
      """
      import os, socket, sys
      directory, me, address, port = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
      try:
        s = socket.create_connection((address, port), timeout=2, source_address=('10.50.0.5', 5000))
        seen = s.recv(100).decode().strip()
        if me == 'first':
          os.mkfifo(directory + '/done'); open(directory + '/connected', 'w').close()
          open(directory + '/done').read()  # until the other has ended
        s.sendall(me.encode()); answer = s.recv(100).decode()
      except OSError as e: seen, answer = 'failed', str(e)
      if me == 'second': open(directory + '/done', 'w').close()
      print(seen, answer, flush=True)
      """)
  }

  private func plane(_ plane: inout NLDataPlane) throws {
    plane.nat = [natRule("masquerade") { ($0.match.out, $0.masquerade) = (["eth2"], NLMasquerade()) }]
    plane.zones = try [("eth1", 7, "10.7.0.2@eth1"), ("eth3", 8, "10.9.0.2@eth3")].map { interface, id, hop in
      try NLZone.with { zone in
        (zone.origin, zone.in, zone.id) = (origin("zone \(id)"), [interface], UInt32(id))
        zone.returnHops = try route("0.0.0.0/0", [hop]).nextHops
      }
    }
  }

  @Test func `two clients of one address and port behind two routers reach one server at the same time`() throws {
    let bench = try EdgeBench()
    let second = try second(bench)
    try bench.serve([80], in: bench.server)
    let path = try talk(bench)
    let lonely = try bench.run("python3 \(path) \(bench.directory) third 10.8.0.2 80", in: second)
    #expect(lonely.hasPrefix("failed"), "no route leads back to it: \(lonely)")
    #expect(try bench.desire(plane).error.isEmpty)
    #expect(try bench.query(.drift).drift.items.isEmpty)
    try bench.run(
      "python3 \(path) \(bench.directory) first 10.8.0.2 80 > \(bench.directory)/first 2>&1 &", in: bench.client)
    try bench.node.wait("ls \(bench.directory)") { $0.contains("connected") }
    let shown = try bench.query(.conntrack).connections.filter {
      $0.original.portDestination == 80 && $0.status.contains("assured")
    }
    #expect(
      try bench.run("timeout 10 python3 \(path) \(bench.directory) second 10.8.0.2 80", in: second)
        == "10.8.0.1 second\n")
    try bench.node.wait("cat \(bench.directory)/first") { $0 == "10.8.0.1 first\n" }
    #expect(shown.map(\.zone) == [7], "\(shown)")
    let rules = try bench.node.output("ip rule; ip route show table 7500; ip route show table 7501")
    for line in [
      "9000:\tfrom all fwmark 0x4e5a0000 lookup 7500", "9001:\tfrom all fwmark 0x4e5a0001 lookup 7501",
      "default via 10.7.0.2 dev eth1 proto static metric 1024",
      "default via 10.9.0.2 dev eth3 proto static metric 1024",
    ] { #expect(rules.contains(line), "\(line) in \(rules)") }
    #expect(try bench.desire { _ in }.error.isEmpty)
    let left = try bench.node.output("ip rule; ip route show table all")
    #expect(!left.contains("fwmark") && !left.contains("table 750"), "\(left)")
  }

  @Test func `the node itself answers by the interface that it was asked by`() throws {
    let bench = try EdgeBench()
    let second = try second(bench)
    try bench.serve([90], in: bench.node.namespace)
    // Where its own routes would send the answer: to somebody else.
    try bench.run("ip route add default via 10.8.0.2", in: bench.node.namespace)
    let path = try talk(bench)
    #expect(try bench.desire(plane).error.isEmpty)
    for (place, address) in [(bench.client, "10.7.0.1"), (second, "10.9.0.1")] {
      let said = try bench.run("python3 \(path) \(bench.directory) third \(address) 90", in: place)
      #expect(said == "10.50.0.5 third\n")
    }
  }

  @Test func `lists of a path whose product is too large are refused before it is made`() throws {
    let bench = try EdgeBench()
    let answer = try bench.prepare { plane in
      plane.paths = [
        try NLPolicyRoute.with { path in
          path.origin = origin("path", "lab.yaml:3:1")
          path.match.from = try (0..<5000).map { try prefix("10.\($0 / 250).\($0 % 250).0/24") }
          path.match.to = path.match.from
          path.match.ports = (1...5000).map { ports($0) }
          path.nextHops = try route("0.0.0.0/0", ["10.8.0.2@eth2"]).nextHops
        }
      ]
    }
    #expect(answer.error.hasPrefix("more than 20000 rules of routing") && answer.place == "lab.yaml:3:1")
  }

  @Test func `an interface is in one zone, and clients on its own link need no next hop`() throws {
    let bench = try EdgeBench()
    let twice = try bench.prepare { plane in
      plane.zones = [1, 2].map { id in NLZone.with { ($0.origin, $0.in, $0.id) = (origin("zone"), ["eth1"], id) } }
    }
    #expect(twice.error == "eth1 is in two zones")
    #expect(
      try bench.desire { plane in
        plane.zones = [NLZone.with { ($0.origin, $0.in, $0.id) = (origin("zone"), ["eth1"], 1) }]
      }.error.isEmpty)
    #expect(try bench.node.output("ip route show table 7500").hasPrefix("default dev eth1 proto static scope link"))
    try bench.serve([80], in: bench.server)
    #expect(try bench.connect("10.8.0.2", 80, in: bench.client) == "10.7.0.2")
    #expect(try bench.query(.drift).drift.items.isEmpty)
  }
}

@Suite(.enabled(if: LabNode.isAllowed)) struct RedirectTests {
  private func speaker(_ target: String) throws -> NLSpeakerConfig {
    try NLSpeakerConfig.with { config in
      (config.asn, config.routerID, config.ipv4, config.ipv6) = (64500, 1, true, true)
      config.flowRules = [
        try NLFlowRule.with { rule in
          (rule.origin, rule.family) = (origin("redirect"), .ipv4Unicast)
          rule.components = [
            try NLFlowComponent.with { ($0.type, $0.prefix) = (1, try prefix("203.0.113.9/32")) }
          ]
          rule.actions = [NLFlowAction.with { $0.redirect = IPAddress(target)?.data ?? Data() }]
        }
      ]
    }
  }

  @Test func `redirected packets go where the routes to the address lead, as they change`() throws {
    let bench = try EdgeBench()
    // Nobody but the server has the destination, and no route leads to it.
    try bench.run("ip addr add 203.0.113.9/32 dev lo; ip addr add 192.0.2.1/32 dev lo", in: bench.server)
    try bench.serve([80], in: bench.server)
    #expect(try bench.connect("203.0.113.9", 80, in: bench.client) != "10.7.0.2")
    let config = try speaker("192.0.2.1")
    #expect(try bench.node.controller.ask { ($0.desired.version, $0.desired.speaker) = (1, config) }.ack.error.isEmpty)
    let lost = try #require(try bench.query(.flowspec).flowSpecs.first)
    #expect(!lost.active && lost.inactiveBecause == "redirect to 192.0.2.1: no route leads there", "\(lost)")

    #expect(try bench.node.controller.desire(2, routes: [route("192.0.2.0/24", ["10.8.0.2@eth2"])]).error.isEmpty)
    #expect(try bench.connect("203.0.113.9", 80, in: bench.client) == "10.7.0.2")
    let found = try #require(try bench.query(.flowspec).flowSpecs.first)
    #expect(found.active && found.packets > 0, "\(found)")
    let shown = try bench.node.output("ip rule; ip route show table 8500")
    #expect(shown.contains("8000:\tfrom all fwmark 0x4e460000 lookup 8500"), "\(shown)")
    #expect(shown.contains("default via 10.8.0.2 dev eth2"), "\(shown)")
    #expect(try bench.query(.drift).drift.items.isEmpty)

    // Another agent finds it, and leaves it until its speaker has decided.
    let second = try Node(loop: bench.node.loop, log: Log(), namespace: bench.node.namespace, dataPlane: true)
    try second.apply(NLDataPlane())
    #expect(try bench.connect("203.0.113.9", 80, in: bench.client) == "10.7.0.2")

    #expect(try bench.node.controller.desire(3, routes: [route("192.0.2.0/24", ["10.7.0.2@eth1"])]).error.isEmpty)
    #expect(try bench.node.output("ip route show table 8500").contains("default via 10.7.0.2 dev eth1"))
    #expect(try bench.node.controller.desire(4, routes: []).error.isEmpty)
    #expect(try !bench.node.output("ip rule; ip route show table all").contains(" 8500"))
    #expect(try bench.query(.flowspec).flowSpecs.first?.active == false)
  }
}
