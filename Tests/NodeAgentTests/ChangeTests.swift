import ControlProtocol
import EventLoop
import Foundation
import NetTypes
import Netlink
import SwiftProtobuf
import Testing

@testable import NodeAgent

/// A data plane with something of everything.
private func everything(_ plane: inout NLDataPlane, source: String = "10.99.0.5", zone: Bool = true) throws {
  if zone { plane.zones = [NLZone.with { ($0.origin, $0.in, $0.id) = (origin("zone 7"), ["eth1"], 7) }] }
  plane.nat = [
    try natRule("snat to \(source)") { rule in
      rule.match.out = ["eth2"]
      rule.snat.addresses = try addresses(source)
    }
  ]
  plane.filter = [
    filterRule("many", .drop) { match in
      (match.in, match.connectionsOver) = (["eth2"], 1000)
      match.dscp = [46, 10]
    },
    filterRule("otherwise accept", .accept),
  ]
  plane.shapers = [
    NLShaper.with { shaper in
      (shaper.origin, shaper.interface, shaper.rate) = (origin("shape eth2", "lab.yaml:9:7"), "eth2", 10_000_000)
      shaper.classes = [
        NLShaperClass.with { one in
          (one.origin, one.name, one.rate, one.priority) = (origin("class voice"), "voice", 2_000_000, 1)
          one.match.dscp = [46]
        }
      ]
    },
    NLShaper.with { ($0.origin, $0.interface, $0.rate) = (origin("shape eth1"), "eth1", 50_000_000) },
  ]
  plane.policers = [
    NLPolicer.with { policer in
      (policer.origin, policer.interface, policer.rate) = (origin("police udp"), "eth1", 1_000_000)
      policer.match.protocol = 17
    },
    NLPolicer.with { policer in
      (policer.origin, policer.interface, policer.rate, policer.per) = (origin("police flow"), "eth1", 9_000_000, .flow)
    },
    NLPolicer.with { policer in
      (policer.origin, policer.interface, policer.packets) = (origin("police source"), "eth2", 500)
      policer.per = .source
    },
  ]
  plane.markings = [
    NLMarking.with { marking in
      (marking.origin, marking.interface, marking.dscp) = (origin("mark sip"), "eth2", 46)
      (marking.match.protocol, marking.match.ports) = (17, [ports(5060)])
    }
  ]
  plane.paths = [
    try NLPolicyRoute.with { path in
      path.origin = origin("path web")
      path.match.in = ["eth1"]
      path.match.from = [try prefix("10.7.0.0/24"), try prefix("fd07::/64")]
      (path.match.protocol, path.match.ports) = (6, [ports(80), ports(8000, 8100)])
      path.match.dscp = [10]
      path.nextHops = try route("0.0.0.0/0", ["10.8.0.2@eth2", "fd08::2@eth2"]).nextHops
      path.exceptIn = ["eth2"]
    }
  ]
  plane.sysctls = ["net.ipv4.tcp_congestion_control": "reno", "net.netfilter.nf_conntrack_udp_timeout": "17"]
}

@Suite(.enabled(if: LabNode.isAllowed)) struct ChangeTests {
  private func kernel(_ bench: EdgeBench) throws -> String {
    try bench.run(
      """
      nft -s -t list ruleset; tc qdisc; tc class show dev eth1; tc class show dev eth2; ip rule; ip -6 rule
      ip route show table all | grep -v 'table local'; ip -6 route show table all | grep -v 'table local' | sort
      cat /proc/sys/net/ipv4/tcp_congestion_control /proc/sys/net/netfilter/nf_conntrack_udp_timeout
      """, in: bench.node.namespace)
  }

  @Test func `the base table stands from the start, tracks connections and holds nothing`() throws {
    let bench = try EdgeBench()
    let shown = try bench.listing()
    for line in [
      "table inet netloom {", "type nat hook prerouting priority dstnat; policy accept;",
      "type nat hook postrouting priority srcnat; policy accept;",
      "type filter hook forward priority filter; policy accept;",
      "ct state established,related accept",
      "tcp flags != syn / fin,syn,rst,ack accept comment \"begun before it was tracked\"",
    ] { #expect(shown.contains(line), "\(line) in \(shown)") }
    try bench.serve([80], in: bench.server)
    _ = try bench.connect("10.8.0.2", 80, in: bench.client)
    #expect(try bench.query(.conntrack).total >= 1)
    #expect(try bench.query(.nat).rules.isEmpty && bench.query(.filter).rules.isEmpty)
  }

  @Test func `prepare changes nothing, commit everything, and undo takes all of it back, byte for byte`() throws {
    let bench = try EdgeBench()
    _ = try bench.desire { plane in
      plane.policers = [
        NLPolicer.with { ($0.origin, $0.interface, $0.rate) = (origin("police all"), "eth2", 5_000_000) }
      ]
      plane.nat = [natRule("masquerade") { $0.masquerade = NLMasquerade() }]
    }
    let before = try kernel(bench)
    let prepared = try bench.prepare { try everything(&$0) }
    #expect(prepared.error.isEmpty && prepared.step == .prepare && prepared.applied == ["data-plane": 1], "\(prepared)")
    #expect(try kernel(bench) == before)
    let committed = try bench.step(.commit)
    #expect(committed.error.isEmpty && committed.applied == ["data-plane": 2], "\(committed)")
    let after = try kernel(bench)
    for line in [
      "snat ip to 10.99.0.5", "ct original zone set 7", "ct count", "limit rate over 125000 bytes/second",
      "update @police-eth1-1",
      "meta priority set 1:10", "ip dscp set ef", "htb 1:", "tbf 1:", "rate 2Mbit ceil 10Mbit",
      "10001:\tfrom 10.7.0.0/24 iif eth1 ipproto tcp dport 8000-8100 lookup 5000",
      "10001:\tfrom fd07::/64 iif eth1 ipproto tcp dport 80 lookup 5000", "default via 10.8.0.2 dev eth2 table 5000",
      "default via fd08::2 dev eth2 table 5000", "reno\n17\n",
    ] { #expect(after.contains(line), "\(line) in \(after)") }
    #expect(try bench.step(.commit).error.isEmpty, "again is no error")
    let undone = try bench.step(.undo)
    #expect(undone.error.isEmpty && undone.applied == ["data-plane": 1], "\(undone)")
    #expect(try kernel(bench) == before)
    #expect(try bench.step(.undo).error.isEmpty, "nor is undoing what is not there")
    #expect(try bench.query(.drift).drift.items.isEmpty)
  }

  @Test func `a change of several resources that fails in the middle leaves none of them`() throws {
    let bench = try EdgeBench()
    _ = try bench.desire { $0.nat = [natRule("masquerade") { $0.masquerade = NLMasquerade() }] }
    let before = try kernel(bench)
    var plane = NLDesired()
    plane.version = 9
    try everything(&plane.dataPlane)
    var routes = NLDesired()
    routes.version = 9
    // Only the kernel knows that this gateway is nowhere.
    routes.routes.routes = [try route("198.51.100.0/24", ["192.0.2.1@eth1"])]
    let prepared = try bench.node.controller.ask { message in
      (message.change.id, message.change.step) = (77, .prepare)
      message.change.resources = [routes, plane]
    }.changeReply
    #expect(prepared.error.isEmpty, "\(prepared)")
    let committed = try bench.node.controller.ask { ($0.change.id, $0.change.step) = (77, .commit) }.changeReply
    #expect(committed.offender == "route 198.51.100.0/24" && committed.applied == ["data-plane": 1], "\(committed)")
    #expect(try kernel(bench) == before)
    let sample = try bench.node.controller.sample(wave: 1)
    #expect(sample.applied == ["data-plane": 1])
  }

  @Test func `a controller that comes anew ends a change: prepared is forgotten, committed stands`() throws {
    let bench = try EdgeBench()
    func reconnect() throws -> NLHello {
      bench.node.controller.stop()
      try bench.node.controller.start()
      return try bench.node.controller.hello()
    }
    let empty = try kernel(bench)
    #expect(try bench.prepare { try everything(&$0) }.error.isEmpty)
    #expect(try reconnect().applied.isEmpty)
    #expect(try bench.step(.commit).error.contains("not prepared"))
    #expect(try kernel(bench) == empty)

    #expect(try bench.prepare { try everything(&$0) }.error.isEmpty)
    #expect(try bench.step(.commit).error.isEmpty)
    let committed = try kernel(bench)
    #expect(try reconnect().applied == ["data-plane": 2])
    let undone = try bench.step(.undo)
    #expect(undone.error.contains("stands") && undone.applied == ["data-plane": 2], "\(undone)")
    #expect(try kernel(bench) == committed)
    #expect(try bench.desire { _ in }.error.isEmpty)
    #expect(try kernel(bench) == empty)
  }

  @Test func `an undo undoes the change that it names, and no other`() throws {
    let bench = try EdgeBench()
    let empty = try kernel(bench)
    #expect(try bench.prepare { try everything(&$0) }.error.isEmpty)
    #expect(try bench.step(.commit).error.isEmpty)
    let committed = try kernel(bench)
    let other = try bench.node.controller.ask { ($0.change.id, $0.change.step) = (99, .undo) }.changeReply
    #expect(other.error.isEmpty && other.applied == ["data-plane": 1])
    let settled = try bench.node.controller.ask { ($0.change.id, $0.change.step) = (98, .settle) }.changeReply
    #expect(settled.error.isEmpty)
    #expect(try kernel(bench) == committed)
    #expect(try bench.step(.undo).applied.isEmpty)
    #expect(try kernel(bench) == empty)
  }

  @Test func `a shape that marks congestion has queues that do, or is refused by name`() throws {
    let bench = try EdgeBench()
    let hasCoDel = try QdiscSupport.probe(["codel"]).missing.isEmpty
    let before = try kernel(bench)
    let reply = try bench.prepare { plane in
      plane.nat = [natRule("masquerade") { $0.masquerade = NLMasquerade() }]
      plane.shapers = [
        NLShaper.with { shaper in
          (shaper.origin, shaper.interface) = (origin("shape eth2", "lab.yaml:4:9"), "eth2")
          (shaper.rate, shaper.ecn) = (8_000_000, true)
        }
      ]
    }
    if hasCoDel {
      #expect(try bench.step(.commit).error.isEmpty)
      #expect(try bench.node.output("tc qdisc show dev eth2").contains(" ecn"))
      #expect(try bench.query(.drift).drift.items.isEmpty)
    } else {
      #expect(reply.error == "ecn needs the codel qdisc, which this kernel lacks" && reply.place == "lab.yaml:4:9")
      #expect(try bench.step(.commit).error.contains("not prepared"))
      #expect(try kernel(bench) == before)
    }
  }

  @Test func `a parameter goes back to what it was, also after the agent that set it is gone`() throws {
    let bench = try EdgeBench()
    let name = "net.ipv4.tcp_congestion_control"
    let before = try bench.node.output("sysctl -n \(name)")
    #expect(try bench.desire { $0.sysctls = [name: "reno"] }.error.isEmpty)
    #expect(try bench.node.output("sysctl -n \(name)") == "reno\n" && before != "reno\n")
    let second = try Node(loop: bench.node.loop, log: Log(), namespace: bench.node.namespace, dataPlane: true)
    try second.apply(NLDataPlane.with { $0.sysctls = [name: "reno"] })
    try second.apply(NLDataPlane())
    #expect(try bench.node.output("sysctl -n \(name)") == before)
  }

  @Test func `a rule that cannot be is refused in prepare, with the line of the file`() throws {
    let bench = try EdgeBench()
    let before = try kernel(bench)
    let wrong: [(String, (inout NLNATRule) throws -> Void, String)] = [
      ("masquerade out eth9", { ($0.match.out, $0.masquerade) = (["eth9"], NLMasquerade()) }, "no interface eth9"),
      (
        "snat mixed",
        { rule in
          rule.match.from = [try prefix("fd07::/64")]
          rule.snat.addresses = try addresses("10.99.0.5")
        }, "different families"
      ),
      (
        "snat backwards", { $0.snat.addresses = try addresses("10.99.0.9", "10.99.0.5") }, "not a range of addresses"
      ),
      (
        "ports of icmp", { ($0.match.protocol, $0.match.ports, $0.masquerade) = (1, [ports(80)], NLMasquerade()) },
        "no ports"
      ),
    ]
    for (text, fill, reason) in wrong {
      let reply = try bench.prepare { plane in
        plane.nat = (0..<100).map { number in natRule("rule \(number)") { $0.masquerade = NLMasquerade() } }
        var rule = try natRule(text, fill)
        rule.origin.place = "lab.yaml:17:9"
        plane.nat.append(rule)
      }
      #expect(reply.error.contains(reason) && reply.offender == text && reply.place == "lab.yaml:17:9", "\(reply)")
      #expect(try bench.step(.commit).error.contains("not prepared"))
    }
    let tooMuch = try bench.prepare { plane in
      plane.shapers = [
        NLShaper.with { shaper in
          (shaper.origin, shaper.interface, shaper.rate) = (origin("shape", "lab.yaml:3:3"), "eth1", 1_000_000)
          shaper.classes = [NLShaperClass.with { ($0.name, $0.rate) = ("big", 2_000_000) }]
        }
      ]
    }
    #expect(tooMuch.place == "lab.yaml:3:3" && tooMuch.error.contains("guaranteed"), "\(tooMuch)")
    #expect(try kernel(bench) == before)
  }

  @Test func `an established connection lives through NAT that comes, changes and goes`() throws {
    let bench = try EdgeBench()
    try bench.serve([80], in: bench.server)
    let path = try bench.script(
      "talk",
      """
      import socket, sys, os
      s = socket.create_connection(('10.8.0.2', 80), timeout=3); seen = s.recv(100).decode().strip()
      open(sys.argv[1] + '/talking', 'w').close()
      count = 0
      try:
        while not os.path.exists(sys.argv[1] + '/enough'):
          s.sendall(b'x'); assert s.recv(1) == b'x'; count += 1
        result = 'alive ' + seen
      except Exception as e: result = repr(e)
      open(sys.argv[1] + '/result.new', 'w').write(result); os.rename(sys.argv[1] + '/result.new', sys.argv[1] + '/result')
      """)
    try bench.start("python3 \(path) \(bench.directory)", in: bench.client)
    try bench.node.wait("ls \(bench.directory)") { $0.contains("talking") }
    for round in 0..<5 {
      #expect(try bench.prepare { try everything(&$0, source: "10.99.0.\(round + 1)", zone: false) }.error.isEmpty)
      #expect(try bench.step(.commit).error.isEmpty)
      if round % 2 == 0 { #expect(try bench.step(.undo).error.isEmpty) }
    }
    // The kernel forgets the connection: it is picked up in its middle, and stays untranslated.
    try bench.run("nft delete table inet netloom", in: bench.node.namespace)
    _ = try bench.node.controller.ask { $0.repair = NLRepair() }
    try Data().write(to: URL(fileURLWithPath: bench.directory + "/enough"))
    try bench.node.wait("cat \(bench.directory)/result 2>/dev/null") { !$0.isEmpty }
    let result = try String(contentsOfFile: bench.directory + "/result", encoding: .utf8)
    #expect(result == "alive 10.7.0.2")
  }

  @Test func `two thousand rules are one change, and what stays among them keeps its counts`() throws {
    let bench = try EdgeBench()
    try bench.serve([80], in: bench.server)
    func plane(_ plane: inout NLDataPlane, first: Int) throws {
      plane.filter = try (first..<first + 2000).map { number in
        try filterRule("drop \(number)", .drop) { $0.from = [try prefix("192.168.\(number / 250).\(number % 250)/32")] }
      }
      plane.nat = [natRule("masquerade") { $0.masquerade = NLMasquerade() }]
    }
    #expect(try bench.desire { try plane(&$0, first: 0) }.error.isEmpty)
    _ = try bench.connect("10.8.0.2", 80, in: bench.client)
    #expect(try bench.prepare { try plane(&$0, first: 1) }.error.isEmpty)
    #expect(try bench.step(.commit).error.isEmpty)
    let json = try bench.run(
      "nft -j list chain inet netloom filter | grep -o '\"comment\": \"drop' | wc -l", in: bench.node.namespace)
    #expect(json == "2000\n")
    #expect(try bench.query(.nat).rules.map(\.packets) == [1])
    #expect(try bench.query(.filter).rules.last?.text == "drop 2000")
  }

  @Test func `ten thousand rules of a filter are one change`() throws {
    let bench = try EdgeBench()
    func plane(_ plane: inout NLDataPlane, _ first: Int, _ count: Int) throws {
      plane.filter = try (first..<first + count).map { number in
        try filterRule("drop \(number)", .drop) { match in
          match.from = [try prefix("192.\(number / 62500).\(number / 250 % 250).\(number % 250)/32")]
          (match.protocol, match.ports) = (6, [ports(UInt32(1 + number))])
        }
      }
    }
    let count = ProcessInfo.processInfo.environment["NETLOOM_RULES"].flatMap { Int($0) } ?? 10_000
    for (name, first) in [("new", 0), ("other", 50_000), ("same", 50_000)] {
      var now = [EventLoop.clock()]
      #expect(try bench.prepare { try plane(&$0, first, count) }.error.isEmpty)
      now.append(EventLoop.clock())
      #expect(try bench.step(.commit).error.isEmpty)
      now.append(EventLoop.clock())
      print("\(count) rules, \(name): prepare \((now[1] - now[0]) / 1000) us, commit \((now[2] - now[1]) / 1000) us")
    }
    let shown = try bench.node.output("nft list chain inet netloom filter | grep -c 'counter packets 0 bytes 0 drop'")
    #expect(shown == "\(count)\n")
    #expect(try bench.step(.undo).error.isEmpty)
    #expect(try bench.query(.drift).drift.items.isEmpty)
  }

  @Test func `an agent that came back neither repairs nor reports what it has not been told`() throws {
    let bench = try EdgeBench()
    #expect(try bench.desire { try everything(&$0) }.error.isEmpty)
    let wanted = try kernel(bench)
    let second = try Node(loop: bench.node.loop, log: Log(), namespace: bench.node.namespace, dataPlane: true)
    try second.setFlowSpecs(FlowSpecContents())
    #expect(second.repair().error.contains("not been told"))
    let now = try kernel(bench)
    #expect(now == wanted)
  }

  @Test func `another agent makes the kernel what is desired, whatever version it finds`() throws {
    let bench = try EdgeBench()
    #expect(try bench.desire { try everything(&$0) }.error.isEmpty)
    let wanted = try kernel(bench)
    let second = try Node(loop: bench.node.loop, log: Log(), namespace: bench.node.namespace, dataPlane: true)
    #expect(try kernel(bench) == wanted, "what stands is left alone until somebody says what is desired")
    var plane = NLDataPlane()
    try everything(&plane)
    try second.apply(plane)
    let (now, then) = (try kernel(bench), wanted)
    #expect(now == then)
    try second.apply(NLDataPlane())
    let shown = try kernel(bench)
    #expect(!shown.contains("snat") && !shown.contains("5000") && !shown.contains("htb") && !shown.contains("tbf"))
  }
}
