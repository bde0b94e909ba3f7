import ControlProtocol
import EventLoop
import Foundation
import NetTypes
import Netlink
import SwiftProtobuf
import Testing

@testable import NodeAgent

@Suite(.enabled(if: LabNode.isAllowed)) struct DriftTests {
  private func plane(_ plane: inout NLDataPlane) throws {
    plane.filter = [
      try filterRule("first", .drop) { $0.from = [try prefix("192.0.2.1/32")] },
      try filterRule("second", .drop) { $0.from = [try prefix("192.0.2.2/32")] },
    ]
    plane.nat = [natRule("masquerade out eth2") { ($0.match.out, $0.masquerade) = (["eth2"], NLMasquerade()) }]
    plane.shapers = [NLShaper.with { ($0.origin, $0.interface, $0.rate) = (origin("shape"), "eth2", 8_000_000) }]
    plane.paths = [
      try NLPolicyRoute.with { path in
        path.origin = origin("path")
        path.match.dscp = [10]
        path.nextHops = try route("0.0.0.0/0", ["10.8.0.2@eth2"]).nextHops
      }
    ]
    plane.sysctls = ["net.netfilter.nf_conntrack_udp_timeout": "17"]
    plane.addresses = [
      try NLInterfaceAddresses.with { entry in
        entry.interface = "eth1"
        entry.addresses = try ["10.7.0.1/24", "fd07::1/64"].map { NLPrefix(try #require(InterfaceAddress($0))) }
      }
    ]
  }

  private func lines(_ report: NLDriftReport) -> [String] { report.items.map { "\($0.kind) \($0.type) \($0.what)" } }

  @Test(arguments: [
    (
      "nft flush chain inet netloom srcnat",
      [
        "missing nft table inet netloom chain srcnat: masquerade out eth2",
        "missing nft table inet netloom chain srcnat: begun before it was tracked",
      ]
    ),
    ("nft flush ruleset", ["missing nft table inet netloom"]),
    ("nft add rule inet netloom filter accept", ["excess nft table inet netloom chain filter: accept"]),
    ("nft add table ip netloom-more", ["excess nft table ip netloom-more"]),
    ("nft add chain inet netloom mine", ["excess nft table inet netloom chain mine"]),
    ("tc qdisc del dev eth2 root", ["missing tc qdisc tbf 1: of eth2"]),
    ("tc qdisc change dev eth2 root handle 1: tbf rate 1mbit burst 10k limit 20k", ["changed tc qdisc tbf 1: of eth2"]),
    ("tc qdisc add dev eth1 root handle 7: tbf rate 1mbit burst 10k limit 20k", ["excess tc qdisc tbf 7: of eth1"]),
    ("ip rule del priority 10001", ["missing rule 10001: from all dscp 10 lookup 5000"]),
    ("ip rule add priority 10004 from 1.2.3.4 lookup 99", ["excess rule 10004: from 1.2.3.4/32 lookup 99"]),
    ("ip rule add priority 9500 fwmark 7 lookup 42", ["excess rule 9500: from all fwmark 0x7 lookup 42"]),
    ("ip addr del fd07::1/64 dev eth1", ["missing address fd07::1/64 of eth1"]),
    ("ip addr add 192.0.2.9/32 dev lo", ["excess address 192.0.2.9/32 of lo"]),
    (
      "ip addr del 10.7.0.1/24 dev eth1; ip addr add 10.7.0.9/24 dev eth1",
      ["missing address 10.7.0.1/24 of eth1", "excess address 10.7.0.9/24 of eth1"]
    ),
    (
      "nft chain inet netloom forward '{ policy drop; }'",
      ["changed nft table inet netloom chain forward: hook or policy"]
    ),
    (
      "nft add set inet netloom mine '{ type ipv4_addr; }'", ["excess nft table inet netloom set mine"]
    ),
    ("nft 'add table inet netloom { flags dormant; }'", ["changed nft table inet netloom: flags dormant"]),
    ("nft add counter inet netloom mine", ["excess nft table inet netloom counter mine"]),
    ("nft add quota inet netloom mine '{ over 25 mbytes; }'", ["excess nft table inet netloom quota mine"]),
    (
      "nft add counter inet netloom mine; nft add rule inet netloom filter counter name mine",
      [
        "excess nft table inet netloom counter mine",
        "excess nft table inet netloom chain filter: objref",
      ]
    ),
    ("ip route flush table 5000", ["missing route 0.0.0.0/0 of table 5000"]),
    (
      "sysctl -qw net.netfilter.nf_conntrack_udp_timeout=99",
      ["changed sysctl net.netfilter.nf_conntrack_udp_timeout is 99, not 17"]
    ),
  ]) func `what somebody changes is told, and repaired`(command: String, expected: [String]) throws {
    let bench = try EdgeBench()
    #expect(try bench.desire(plane).error.isEmpty)
    #expect(try bench.query(.drift).drift == NLDriftReport())
    let before = try bench.listing()
    let said = try bench.run(command, in: bench.node.namespace)
    #expect(said.isEmpty, "\(said)")
    if !command.hasPrefix("sysctl") {
      let pushed = try bench.node.controller.next("drift") {
        if case .drift(let drift)? = $0.body { drift } else { nil }
      }
      #expect(Set(lines(pushed)) == Set(expected))
    }
    #expect(Set(lines(try bench.query(.drift).drift)) == Set(expected))
    let left = try bench.node.controller.ask { $0.repair = NLRepair() }.drift
    #expect(left == NLDriftReport(), "\(left)")
    #expect(try bench.query(.drift).drift == NLDriftReport())
    if command != "nft flush ruleset" { #expect(try bench.listing() == before) }
  }

  @Test func `a rule in another place is changed, and put back`() throws {
    let bench = try EdgeBench()
    #expect(try bench.desire(plane).error.isEmpty)
    let before = try bench.listing()
    let handles = try bench.run(
      "nft -a list chain inet netloom filter | grep -o 'handle [0-9]*$'", in: bench.node.namespace)
    let first = try #require(handles.split(separator: "\n").dropLast().last)
    try bench.run(
      "nft 'delete rule inet netloom filter \(first); add rule inet netloom filter ip saddr 192.0.2.1 counter drop comment \"first\"'",
      in: bench.node.namespace)
    let drift = try bench.query(.drift).drift
    #expect(drift.items.count == 1 && drift.items.first?.kind == .changed, "\(drift)")
    #expect(drift.items.first?.what.hasSuffix("(out of order)") == true)
    #expect(try bench.node.controller.ask { $0.repair = NLRepair() }.drift == NLDriftReport())
    #expect(try bench.listing() == before)
  }

  @Test func `what belongs to others is listed and left alone, and disturbs nothing`() throws {
    let bench = try EdgeBench()
    #expect(try bench.desire(plane).error.isEmpty)
    let before = try bench.node.controller.sample(wave: 1)
    try bench.run(
      """
      nft add table ip theirs; ip route add 198.51.100.0/24 via 10.8.0.2 proto zebra; ip rule add priority 50 lookup 77
      ip addr add 10.77.0.9/24 dev eth1; ip addr del 10.7.0.1/24 dev eth1
      """, in: bench.node.namespace)
    let report = try bench.query(.drift).drift
    #expect(Set(report.foreign.map(\.what)) == ["table ip theirs", "1 of protocol zebra", "50: from all lookup 77"])
    let left = try bench.node.controller.ask { $0.repair = NLRepair() }.drift
    #expect(left.foreign == report.foreign)
    #expect(left.items.isEmpty, "\(left)")
    let own = try bench.run("ip -4 -br addr show dev eth1 | awk '{print $3, $4}'", in: bench.node.namespace)
    #expect(own == "10.7.0.1/24 \n")
    #expect(try bench.run("nft list tables", in: bench.node.namespace) == "table inet netloom\ntable ip theirs\n")
    let third = try bench.node.controller.sample(wave: 2)
    #expect(third.idle && before.idle)
    try bench.run("nft add table ip more; nft delete table ip more", in: bench.node.namespace)
    #expect(try bench.node.controller.sample(wave: 3).activity == third.activity)
  }

  @Test(arguments: [
    "nft delete table inet netloom; nft add table inet netloom",
    "nft 'flush chain inet netloom marking; delete chain inet netloom marking'",
    "nft 'delete chain inet netloom marking'; nft 'add table inet netloom { flags dormant; }'",
    "nft 'delete chain inet netloom marking; add chain inet netloom marking { type filter hook postrouting priority -7; }'",
    "nft 'flush table inet netloom; delete chain inet netloom police-eth1-0; add chain inet netloom police-eth1-0'",
  ]) func `a table or chain that somebody made anew is filled again`(command: String) throws {
    let bench = try EdgeBench()
    #expect(
      try bench.desire { message in
        try plane(&message)
        message.policers = [NLPolicer.with { ($0.origin, $0.interface, $0.packets) = (origin("police"), "eth1", 500) }]
      }.error.isEmpty)
    let before = try bench.listing().split(separator: "\n").sorted()
    #expect(try bench.run(command, in: bench.node.namespace).isEmpty)
    #expect(try !bench.query(.drift).drift.items.isEmpty)
    #expect(try bench.node.controller.ask { $0.repair = NLRepair() }.drift == NLDriftReport())
    #expect(try bench.listing().split(separator: "\n").sorted() == before)
  }

  @Test func `a class that somebody changed, added or took is told and repaired`() throws {
    let bench = try EdgeBench()
    let ack = try bench.desire { plane in
      plane.shapers = [
        NLShaper.with { shaper in
          (shaper.origin, shaper.interface, shaper.rate) = (origin("shape"), "eth2", 10_000_000)
          shaper.classes = ["voice", "web"].map { name in
            NLShaperClass.with { ($0.name, $0.rate) = (name, 2_000_000) }
          }
        }
      ]
    }
    #expect(ack.error.isEmpty, "\(ack)")
    let shown =
      "tc qdisc show dev eth2; tc class show dev eth2 | sort; tc filter show dev eth2; tc filter show dev eth2 parent 1:1"
    let before = try bench.node.output(shown)
    for (command, expected) in [
      ("tc class change dev eth2 parent 1:1 classid 1:10 htb rate 1mbit", ["changed tc class htb 1:10 of eth2"]),
      ("tc class add dev eth2 parent 1:1 classid 1:77 htb rate 1mbit", ["excess tc class htb 1:77 of eth2"]),
      (
        "tc class del dev eth2 classid 1:11",
        ["missing tc class htb 1:11 of eth2", "missing tc qdisc bfifo 11: of eth2"]
      ),
      (
        "tc filter add dev eth2 parent 1: pref 7 protocol ip u32 match ip dst 10.8.0.2 flowid 1:10",
        ["excess tc filter u32 pref 7 of 1: of eth2"]
      ),
      (
        "tc filter add dev eth2 parent 1:1 pref 8 protocol ipv6 u32 match u32 0 0 flowid 1:10",
        ["excess tc filter u32 pref 8 of 1:1 of eth2"]
      ),
      ("tc qdisc change dev eth2 parent 1:10 handle 10: bfifo limit 9000", ["changed tc qdisc bfifo 10: of eth2"]),
    ] {
      #expect(try bench.run(command, in: bench.node.namespace).isEmpty)
      #expect(Set(lines(try bench.query(.drift).drift)) == Set(expected), "\(command)")
      #expect(try bench.node.controller.ask { $0.repair = NLRepair() }.drift == NLDriftReport())
      #expect(try bench.node.output(shown) == before)
    }
  }

  @Test func `what a policer has learned from packets is no drift, and lives through a change and its undoing`() throws
  {
    let bench = try EdgeBench()
    func police(_ plane: inout NLDataPlane) {
      plane.policers = [NLPolicer.Per.source, .flow].enumerated().map { number, per in
        NLPolicer.with { policer in
          (policer.origin, policer.interface, policer.packets) = (origin("per \(per)"), "eth\(number + 1)", 50)
          policer.per = per
        }
      }
    }
    #expect(try bench.desire(police).error.isEmpty)
    try bench.run("ping -q -i 0.01 -c 3 10.8.0.2", in: bench.client)
    // IPv6 speaks by itself, and may add more.
    let elements = "nft list ruleset | grep -o '10.7.0.2[ .0-9icmp]* limit rate over 50/second' | sort"
    let learned = try bench.node.output(elements)
    #expect(learned.contains("10.7.0.2"), "\(learned)")
    #expect(try bench.query(.drift).drift == NLDriftReport())
    let terse = try bench.node.output("nft -s -t list ruleset")
    #expect(
      try bench.prepare { plane in
        police(&plane)
        plane.nat = [natRule("masquerade") { $0.masquerade = NLMasquerade() }]
      }.error.isEmpty)
    #expect(try bench.step(.commit).error.isEmpty)
    #expect(try bench.step(.undo).error.isEmpty)
    #expect(try bench.node.output("nft -s -t list ruleset") == terse)
    #expect(try bench.node.output(elements) == learned)
    #expect(try bench.node.controller.ask { $0.repair = NLRepair() }.drift == NLDriftReport())
    #expect(try bench.node.output(elements) == learned)
  }

  @Test func `what the file's own lines add belongs to the node, and what comes later is excess for every agent`()
    throws
  {
    let bench = try EdgeBench()
    let directory = RunDirectory(path: bench.directory)
    let record = SetUpRecord(directory, node: "r1")
    try FileManager.default.createDirectory(atPath: directory.node("r1"), withIntermediateDirectories: true)
    func agent() throws -> Node {
      let node = try Node(
        loop: bench.node.loop, log: Log(), namespace: bench.node.namespace, dataPlane: true, setUp: record)
      var plane = NLDataPlane()
      try self.plane(&plane)
      try node.apply(plane)
      return node
    }
    let first = try agent()
    try bench.run(
      "ip route add 192.0.2.0/24 via 10.8.0.2; ip addr add 192.0.2.7/32 dev eth1", in: bench.node.namespace)
    first.driftWatch.setUpMayBeOver()
    let during = first.repair()
    #expect(during.items.isEmpty, "the lines still run: \(during)")
    try SmallFile.write(record.mark, "")
    first.driftWatch.setUpMayBeOver()
    #expect(first.driftWatch.read().items.isEmpty)
    try bench.run(
      "ip route add 198.18.0.0/15 via 10.8.0.2; ip addr add 203.0.113.9/32 dev eth1", in: bench.node.namespace)
    let excess = ["excess address 203.0.113.9/32 of eth1", "excess route 198.18.0.0/15"]
    first.kernelChanged()
    let told = first.driftWatch.read()
    #expect(lines(told).sorted() == excess)
    // Its successor was not there, and knows all the same.
    let second = try agent()
    let found = second.driftWatch.read()
    #expect(lines(found).sorted() == excess)
    let left = second.repair()
    #expect(left == NLDriftReport())
    let standing = try bench.node.output("ip route; ip addr show dev eth1")
    #expect(standing.contains("192.0.2.0/24") && standing.contains("192.0.2.7/32"))
    #expect(!standing.contains("198.18.0.0/15") && !standing.contains("203.0.113.9/32"))
  }

  @Test func `a path fails over with its link, and comes back with it`() throws {
    let bench = try EdgeBench()
    #expect(
      try bench.desire { plane in
        plane.paths = [
          try NLPolicyRoute.with { path in
            path.origin = origin("path")
            path.match.dscp = [10]
            path.nextHops = try route("0.0.0.0/0", ["10.7.0.2@eth1", "10.8.0.2@eth2"]).nextHops
            path.nextHops[1].weight = 3
          }
        ]
      }.error.isEmpty)
    let table = "ip route show table 5000"
    #expect(try bench.node.output(table).contains("nexthop via 10.8.0.2 dev eth2 weight 3"))
    try bench.run("ip link set eth2 down", in: bench.server)
    try bench.node.wait(table) { $0 == "default via 10.7.0.2 dev eth1 proto static metric 1024 \n" }
    try bench.run("ip link set eth1 down", in: bench.client)
    try bench.node.wait(table) { $0.isEmpty }
    try bench.run("ip link set eth2 up", in: bench.server)
    try bench.node.wait(table) { $0.hasPrefix("default via 10.8.0.2 dev eth2") }
    let drift = try bench.query(.drift).drift
    #expect(drift.items.isEmpty, "\(drift)")
  }
}

@Suite(.enabled(if: LabNode.isAllowed)) struct QoSQueryTests {
  @Test func `classes, policers and markings are read from the kernel, with what they dropped`() throws {
    let bench = try EdgeBench()
    let ack = try bench.desire { plane in
      plane.shapers = [
        NLShaper.with { shaper in
          (shaper.origin, shaper.interface, shaper.rate) = (origin("shape"), "eth2", 10_000_000)
          shaper.classes = [
            NLShaperClass.with { one in
              (one.origin, one.name, one.rate) = (origin("class voice"), "voice", 2_000_000)
              one.match.dscp = [46]
            }
          ]
        }
      ]
      plane.policers = [
        NLPolicer.with { ($0.origin, $0.interface, $0.packets, $0.burst) = (origin("police"), "eth1", 1, 5) }
      ]
      plane.markings = [
        NLMarking.with { ($0.origin, $0.interface, $0.dscp, $0.match.protocol) = (origin("mark"), "eth2", 46, 1) }
      ]
    }
    #expect(ack.error.isEmpty, "\(ack)")
    let sent = try bench.run("ping -q -i 0.01 -c 20 -W 1 10.8.0.2", in: bench.client)
    #expect(sent.contains("20 packets transmitted"))
    // Packets that nobody asked for come at any time: what tc says before and after is the same, or it is asked again.
    let shown = "tc -s class show dev eth2 classid 1:10"
    var tc = try bench.node.output(shown)
    var qos = try bench.query(.qos).qos
    while case let after = try bench.node.output(shown), after != tc {  // poll
      (tc, qos) = (after, try bench.query(.qos).qos)
    }
    let (inner, outer) = (try #require(qos.first), try #require(qos.last))
    let police = inner.policers.filter { $0.chain.hasPrefix("police") }
    #expect(police.map(\.text) == ["police", "police, over the rate"])
    #expect(police[0].packets >= 20 && police[1].packets > 0 && police[1].packets < police[0].packets)
    let voice = try #require(outer.classes.first { $0.name == "voice" })
    #expect(voice.rate == 2_000_000 && voice.ceil == 10_000_000 && voice.handle == "1:10")
    #expect(voice.counters.packets > 0)
    #expect(outer.policers.map(\.text) == ["mark", "mark"])
    #expect(outer.qdiscs.contains { $0.kind == "htb" && $0.parent == "root" })
    #expect(tc.contains("Sent \(voice.counters.bytes) bytes \(voice.counters.packets) pkt"), "\(tc)")
  }

  @Test func `a policer per source gives each source a bucket of its own`() throws {
    let bench = try EdgeBench()
    let ack = try bench.desire { plane in
      plane.policers = [
        try NLPolicer.with { policer in
          (policer.origin, policer.interface, policer.packets, policer.burst) = (origin("police"), "eth1", 1, 5)
          // Not what IPv6 tells its neighbours about groups.
          policer.match.from = [try prefix("10.7.0.0/24")]
          (policer.match.protocol, policer.per) = (1, .source)
        }
      ]
    }
    #expect(ack.error.isEmpty, "\(ack)")
    try bench.run("ip addr add 10.7.0.3/24 dev eth1", in: bench.client)
    var received: [Int] = []
    for source in ["10.7.0.2", "10.7.0.3"] {
      let said = try bench.run("ping -q -i 0.01 -c 20 -W 1 -I \(source) 10.8.0.2", in: bench.client)
      received.append(try #require(said.firstMatch(of: /(\d+) received/).flatMap { Int($0.1) }))
    }
    #expect(received.allSatisfy { (5..<20).contains($0) }, "\(received)")
    let police = try #require(try bench.query(.qos).qos.first).policers
    #expect(police.map(\.packets) == [40, UInt64(40 - received[0] - received[1])])
    let sets = try bench.run("nft list table inet netloom", in: bench.node.namespace)
    #expect(sets.contains("10.7.0.2 ") && sets.contains("10.7.0.3 "), "\(sets)")
  }
}
