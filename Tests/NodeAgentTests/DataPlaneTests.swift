import ControlProtocol
import EventLoop
import Foundation
import NetTypes
import Netlink
import Testing

@testable import NodeAgent

@Suite(.enabled(if: LabNode.isAllowed)) struct AddressTranslationTests {
  @Test func `masquerade gives the address of the interface that packets leave by, in both families`() throws {
    let bench = try EdgeBench()
    try bench.serve([80], in: bench.server)
    #expect(try bench.connect("10.8.0.2", 80, in: bench.client) == "10.7.0.2")
    let ack = try bench.desire { plane in
      plane.nat = [
        natRule("masquerade out eth2") { rule in
          rule.match.out = ["eth2"]
          rule.masquerade.random = true
        }
      ]
    }
    #expect(ack.type == "data-plane" && ack.error.isEmpty, "\(ack)")
    #expect(try bench.connect("10.8.0.2", 80, in: bench.client) == "10.8.0.1")
    #expect(try bench.connect("fd08::2", 80, in: bench.client) == "fd08::1")
    let shown = try bench.query(.nat)
    #expect(shown.rules.map(\.text) == ["masquerade out eth2"])
    #expect(shown.rules.map(\.packets) == [2] && shown.rules.map(\.place) == ["lab.yaml:1:1"])
    let connections = try bench.query(.conntrack).connections.filter { $0.status.contains("snat") }
    #expect(connections.count == 2 && connections.allSatisfy { $0.protocol == 6 })
    #expect(connections.contains { IPAddress($0.reply.destination) == IPAddress("10.8.0.1") })
  }

  @Test func `the first rule that matches wins: source addresses, pools and ports`() throws {
    let bench = try EdgeBench()
    try bench.serve([80, 81, 82], in: bench.server)
    let ack = try bench.desire { plane in
      plane.nat = [
        try natRule("snat port 80") { rule in
          rule.match.out = ["eth2"]
          rule.match.from = [try prefix("10.7.0.0/24")]
          rule.match.protocol = 6
          rule.match.ports = [ports(80)]
          rule.snat.addresses = try addresses("10.99.0.5")
          rule.snat.ports = ports(40_000, 40_010)
        },
        try natRule("snat pool port 81") { rule in
          rule.match.out = ["eth2"]
          rule.match.ports = [ports(81)]
          rule.snat.addresses = try addresses("10.99.0.6", "10.99.0.7")
          rule.snat.persistent = true
        },
        natRule("masquerade the rest") { rule in
          rule.match.out = ["eth2"]
          rule.masquerade = NLMasquerade()
        },
      ]
    }
    #expect(ack.error.isEmpty, "\(ack)")
    #expect(try bench.connect("10.8.0.2", 80, in: bench.client) == "10.99.0.5")
    let pool = try bench.connect("10.8.0.2", 81, in: bench.client)
    #expect(["10.99.0.6", "10.99.0.7"].contains(pool))
    #expect(try bench.connect("10.8.0.2", 81, in: bench.client) == pool)
    #expect(try bench.connect("10.8.0.2", 82, in: bench.client) == "10.8.0.1")
  }

  @Test func `a port forward reaches the server from outside, from its own side and from the node itself`() throws {
    let bench = try EdgeBench()
    try bench.serve([80, 9000, 9001], in: bench.server)
    let ack = try bench.desire { plane in
      plane.nat = [
        try natRule("dnat 8080") { rule in
          rule.match.in = ["eth1"]
          rule.match.to = [try prefix("10.7.0.1/32")]
          (rule.match.protocol, rule.match.ports) = (6, [ports(8080)])
          rule.dnat.addresses = try addresses("10.8.0.2")
          rule.dnat.ports = ports(80)
          rule.dnat.hairpin = true
          rule.dnat.inside = [try prefix("10.8.0.0/24")]
        },
        try natRule("dnat range") { rule in
          rule.match.in = ["eth1"]
          rule.match.to = [try prefix("fd07::1/128")]
          (rule.match.protocol, rule.match.ports) = (6, [ports(8000, 8001)])
          rule.dnat.addresses = try addresses("fd08::2")
          rule.dnat.ports = ports(9000, 9001)
        },
      ]
    }
    #expect(ack.error.isEmpty, "\(ack)")
    #expect(try bench.connect("10.7.0.1", 8080, in: bench.client) == "10.7.0.2")
    #expect(try bench.connect("10.7.0.1", 8080, in: bench.server) == "10.8.0.1")
    // The node speaks to an address of its own, from that address.
    #expect(try bench.connect("10.7.0.1", 8080, in: bench.node.namespace) == "10.7.0.1")
    #expect(try bench.connect("fd07::1", 8001, in: bench.client) == "fd07::2")
    let translated = try bench.query(.conntrack).connections.filter { $0.original.portDestination == 8001 }
    #expect(translated.map(\.reply.portSource) == [9001], "the k-th port of the range to the k-th")
    let shown = try bench.listing()
    #expect(shown.contains("dport map { 8000 : 9000, 8001 : 9001 }"), "\(shown)")
  }

  @Test(arguments: [
    ("10.7.0.0/29", "10.99.0.8/29", "10.8.0.2", "10.99.0.10", "10.8.0.2"),
    ("10.7.0.2/32", "10.99.0.1/32", "10.8.0.2", "10.99.0.1", "10.8.0.2"),
    ("fd07::/112", "fd99::/112", "fd08::2", "fd99::2", "fd08::2"),
  ]) func `a map works both ways`(
    inside: String, outside: String, server: String, seen: String, back: String
  ) throws {
    let bench = try EdgeBench()
    try bench.serve([80], in: bench.server)
    try bench.serve([81], in: bench.client)
    let ack = try bench.desire { plane in
      plane.nat = [
        try natRule("map") { rule in
          rule.map.inside = try prefix(inside)
          rule.map.outside = try prefix(outside)
        }
      ]
    }
    #expect(ack.error.isEmpty, "\(ack)")
    #expect(try bench.connect(server, 80, in: bench.client) == seen)
    #expect(try bench.connect(seen, 81, in: bench.server) == back)
  }
}

@Suite(.enabled(if: LabNode.isAllowed)) struct FilterTests {
  @Test func `the first rule that matches decides, replies pass, and the node itself is protected as well`() throws {
    let bench = try EdgeBench()
    try bench.serve([80, 81, 82], in: bench.server)
    try bench.serve([80, 81], in: bench.node.namespace)
    let ack = try bench.desire { plane in
      plane.filter = [
        filterRule("accept 80", .accept) { match in
          (match.in, match.protocol, match.ports) = (["eth1"], 6, [ports(80)])
        },
        filterRule("drop 82", .drop) { match in (match.in, match.protocol, match.ports) = (["eth1"], 6, [ports(82)]) },
        filterRule("reject from eth1", .reject) { $0.in = ["eth1"] },
        filterRule("otherwise accept", .accept),
      ]
    }
    #expect(ack.error.isEmpty, "\(ack)")
    for (address, port, outcome) in [
      ("10.8.0.2", 80, "10.7.0.2"), ("10.8.0.2", 81, "refused"), ("10.8.0.2", 82, "timeout"),
      ("10.7.0.1", 80, "10.7.0.2"), ("10.7.0.1", 81, "refused"), ("fd07::1", 80, "fd07::2"),
    ] {
      #expect(try bench.connect(address, port, in: bench.client) == outcome, "\(address) \(port)")
    }
    #expect(try bench.run("ping -c1 -W1 10.8.0.2", in: bench.client).contains("Destination Port Unreachable"))
    #expect(try bench.run("ping -c1 -W1 10.7.0.2", in: bench.server).contains("1 received"))
    #expect(try bench.connect("10.8.0.2", 81, in: bench.node.namespace) == "10.8.0.1")
    let counted = try bench.query(.filter).rules.filter { $0.text == "accept 80" }
    #expect(counted.map(\.packets) == [3] && counted.map(\.chain) == ["filter"])
  }

  @Test func `connections beyond a number are refused, those before it live on`() throws {
    let bench = try EdgeBench()
    try bench.serve([80], in: bench.server)
    let ack = try bench.desire { plane in
      plane.filter = [
        filterRule("no more than two", .reject) { match in
          (match.in, match.protocol, match.ports, match.connectionsOver) = (["eth1"], 6, [ports(80)], 2)
        }
      ]
    }
    #expect(ack.error.isEmpty, "\(ack)")
    let path = try bench.script(
      "many",
      """
      import socket
      kept = []
      for _ in range(4):
        try:
          s = socket.create_connection(('10.8.0.2', 80), timeout=1); s.recv(100); kept.append(s)
        except ConnectionRefusedError: pass
      for s in kept: s.sendall(b'x'); assert s.recv(1) == b'x'
      print(len(kept))
      """)
    #expect(try bench.run("python3 \(path)", in: bench.client) == "2\n")
  }

  @Test func `what the node sends itself is filtered only by rules that name where it leaves`() throws {
    let bench = try EdgeBench()
    try bench.serve([80, 81], in: bench.server)
    let ack = try bench.desire { plane in
      plane.filter = [
        filterRule("reject out eth2 80", .reject) { match in
          (match.out, match.protocol, match.ports) = (["eth2"], 6, [ports(80)])
        },
        filterRule("otherwise drop", .drop),
      ]
    }
    #expect(ack.error.isEmpty, "\(ack)")
    #expect(try bench.connect("10.8.0.2", 80, in: bench.node.namespace) == "refused")
    #expect(try bench.connect("10.8.0.2", 81, in: bench.node.namespace) == "10.8.0.1")
    #expect(try bench.connect("10.8.0.2", 81, in: bench.client) == "timeout")
    #expect(try bench.run("ping -c1 -W1 fd07::2", in: bench.node.namespace).contains("1 received"))
  }
}
