import NetTypes
import Testing
import Topology

/// A router `r` with two inside networks, an uplink and what is written for it.
private func router(_ functions: String, rest: String = "") -> String {
  """
  name: t
  topology:
    nodes:
      r:
        kind: router
        asn: 64500
  \(functions)
      h: {kind: host}
      g: {kind: host}
      up: {kind: router, asn: 64501}
      far: {kind: router, asn: 64502}
    links:
      - {endpoints: ["r:eth1", "up:eth1"], relation: customer-provider, addresses: [[203.0.113.1/24, 2001:db8:1::1/64], [203.0.113.2/24, 2001:db8:1::2/64]]}
      - {endpoints: ["r:in1", "h:eth1"], addresses: [[192.168.1.1/24], [192.168.1.10/24]]}
      - {endpoints: ["r:in2", "g:eth1"], addresses: [[192.168.2.1/24], [192.168.2.10/24]]}
      - {endpoints: ["up:eth2", "far:eth1"], relation: peer-peer}
      - {endpoints: ["up:eth3", "far:eth2"], relation: peer-peer}
  \(rest)
  """
}

/// Functions of `r`; every warning must be named by a word.
private func functions(_ text: String, warnings: [String] = []) throws -> PacketFunctions {
  let parsed = parse(router(text))
  #expect(parsed.errors.isEmpty, "\(shown(parsed.errors))")
  #expect(parsed.warnings.count == warnings.count, "\(shown(parsed.warnings))")
  for (warning, word) in zip(parsed.warnings, warnings) { #expect(warning.message.contains(word), "\(warning)") }
  return try #require(parsed.value?.node("r")).functions
}

private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

@Test func poolsAreOneAddressARangeOrAPrefix() throws {
  let rules = try functions(
    """
          nat:
            - {snat: {out: eth1, from: 192.168.1.1, to: 203.0.113.10-203.0.113.20, ports: 1024-65535, persistent: true}}
            - {snat: {out: eth1, from: 192.168.1.0/24, to: 203.0.113.16/28, random: true}}
    """
  ).nat
  #expect(
    rules.map(\.translation) == [
      .source(
        try address("203.0.113.10")...address("203.0.113.20"), ports: 1024...65535, persistent: true, random: false),
      // 16 addresses from .16.
      .source(try address("203.0.113.16")...address("203.0.113.31"), ports: nil, persistent: false, random: true),
    ])
  #expect(rules[0].match.from.map(\.description) == ["192.168.1.1/32"])
  #expect(
    rules[0].origin.text
      == "snat out eth1 from 192.168.1.1 to 203.0.113.10-203.0.113.20 ports 1024-65535 persistent")
}

@Test func aForwardIsForOwnAddressesOfItsInterfaceInTheFamilyOfTheServer() throws {
  let rules = try functions(
    """
          nat:
            - {dnat: {in: eth1, proto: tcp, port: 80, to: "192.168.1.10:8080"}}
            - {dnat: {in: eth1, proto: tcp, port: 80, to: "[2001:db8:7::10]:8080-8081"}}
            - {dnat: {in: eth1, address: 203.0.113.99, to: 192.168.1.10}}
    """
  ).nat
  #expect(
    rules.map { $0.match.to.map(\.description) } == [["203.0.113.1/32"], ["2001:db8:1::1/128"], ["203.0.113.99/32"]])
  let six = try address("2001:db8:7::10")
  #expect(rules[1].translation == .destination(six...six, ports: 8080...8081, hairpin: false, inside: []))
  #expect(rules[2].match.transport == nil && rules[2].match.ports.isEmpty)
}

@Test func aHairpinIsForTheSubnetOfTheServerOrAllThatAreInside() throws {
  let rules = try functions(
    """
          nat:
            - {dnat: {in: eth1, proto: tcp, port: 80, to: 192.168.1.10, hairpin: true}}
            - {dnat: {in: eth1, proto: tcp, port: 81, to: 10.99.0.1, hairpin: true}}
    """
  ).nat
  let inside = rules.map { rule -> [String] in
    if case .destination(_, _, true, let inside) = rule.translation { inside.map(\.description) } else { [] }
  }
  #expect(inside == [["192.168.1.0/24"], ["192.168.1.0/24", "192.168.2.0/24"]])
}

@Test func zonesKeepTheirNumber() throws {
  let rules = try functions("      nat: [{zone: {in: [in1], id: 5}}]").nat
  #expect(rules.map(\.translation) == [.zone(5)] && rules[0].match.incoming == ["in1"])
  #expect(rules[0].origin.text == "zone in in1 id 5")
}

@Test func aRuleThatCanNeverMatchIsAWarningAtItsPlace() throws {
  _ = try functions(
    """
          nat:
            - {masquerade: {out: eth1, from: 192.168.0.0/16}}
            - {snat: {out: eth1, from: 192.168.1.0/24, to: 203.0.113.10}}
            - {snat: {out: in1, from: 192.168.1.0/24, to: 203.0.113.10}}
            - {dnat: {in: eth1, proto: tcp, port: 80-90, to: 192.168.1.10}}
            - {dnat: {in: eth1, proto: tcp, port: 80, to: 192.168.2.10}}
            - {dnat: {in: eth1, proto: udp, port: 80, to: 192.168.2.10}}
          filter:
            - {match: {proto: tcp}, then: accept}
            - {match: {proto: tcp, port: 80}, then: drop}
            - {match: {port: 80}, then: drop}
            - {match: {connections-over: 100}, then: drop}
            - {match: {in: eth1}, then: drop}
            - {otherwise: drop}
            - {match: {in: in1}, then: accept}
    """,
    warnings: [
      "`masquerade out eth1 from 192.168.0.0/16` in line 8 takes all of it", "port 80-90",
      "`filter proto tcp accept`", "`otherwise` in line 20",
    ])
}

@Test func aRuleIsNotHiddenByOneOfAnotherFamily() throws {
  // The first leaves IPv6 alone, whatever its match says.
  _ = try functions(
    """
          nat:
            - {snat: {out: eth1, to: 203.0.113.10}}
            - {snat: {out: eth1, to: "2001:db8:1::9"}}
            - {masquerade: {out: eth1}}
    """)
}

@Test func classesMarksAndPolicersAreReadWithTheirUnits() throws {
  let qos = try functions(
    """
          qos:
            eth1:
              egress:
                shape: {rate: 1.5mbit, limit: 1mb}
                classes: [{name: a, match: {proto: udp, port: 5000-5010}, rate: 500kbit}, {name: b, match: {dscp: [af11, 12]}, rate: 1mbit}]
                mark: [{match: {from: 192.168.1.0/24}, dscp: cs5}, {dscp: be}]
              ingress:
                police: [{packets: 1000, burst: 50, per: source, match: {proto: icmp}}, {rate: 2gbit, per: flow}]
    """
  ).qos
  let one = try #require(qos.first)
  #expect(one.shaper?.rate == 1_500_000 && one.shaper?.limit == 1_048_576 && one.shaper?.burst == nil)
  // RFC 2597: af11 is 10.
  #expect(
    one.shaper?.classes.map(\.match.dscp) == [[], [10, 12]] && one.shaper?.classes.map(\.rate) == [500_000, 1_000_000])
  #expect(one.shaper?.classes.map(\.priority) == [7, 7] && one.shaper?.classes.map(\.ceil) == [nil, nil])
  #expect(one.markings.map(\.dscp) == [40, 0])
  #expect(one.policers.map(\.limit) == [.packets(1000), .rate(2_000_000_000)])
  #expect(one.policers.map(\.per) == [.source, .flow] && one.policers.map(\.burst) == [50, nil])
  #expect(
    one.policers.map(\.origin.text) == [
      "police eth1 packets 1000 burst 50 per source match proto icmp", "police eth1 2gbit per flow",
    ])
  #expect(one.markings.map(\.origin.text) == ["mark eth1 cs5 match from 192.168.1.0/24", "mark eth1 be"])
}

@Test func aPathKnowsTheLinksOfEveryHop() throws {
  let paths = try functions("      path: {match: {proto: tcp, port: 80}, via: [up, far]}").paths
  let path = try #require(paths.first)
  #expect(path.via.map(\.node) == ["up", "far"] && path.origin.text == "path proto tcp port 80 via up,far")
  #expect(
    path.via[0].links == [
      PathRule.Link(
        interface: "eth1", farInterface: "eth1", gateways: [try address("203.0.113.2"), try address("2001:db8:1::2")],
        weight: 1)
    ])
  #expect(
    path.via[1].links.map(\.interface) == ["eth2", "eth3"] && path.via[1].links.map(\.farInterface) == ["eth1", "eth2"])
  let one = try functions("      path: [{match: {dscp: ef}, via: [up, \"far:eth2\"]}]").paths
  #expect(one[0].via[1].links.map(\.interface) == ["eth3"])
}

@Test func aPathOverASwitchLeadsToTheStation() throws {
  let parsed = parse(
    """
    name: t
    topology:
      nodes:
        a: {kind: router, path: {match: {proto: udp}, via: [c]}}
        b: {kind: router}
        c: {kind: router}
        s: {kind: switch}
      links: [{endpoints: [a, s]}, {endpoints: [b, s]}, {endpoints: [c, s]}]
    """)
  let hop = try #require(parsed.value?.node("a")?.functions.paths.first?.via.first)
  // The third station of 10.0.0.0/24.
  #expect(hop.links.map(\.interface) == ["eth1"] && hop.links[0].gateways.first == IPAddress("10.0.0.3"))
}

@Test func pathsThatMeetWithoutChasingEachOtherAreFine() {
  let parsed = parse(
    """
    name: t
    topology:
      nodes:
        a: {kind: router, path: {match: {proto: tcp, port: 80}, via: [b]}}
        b: {kind: router, path: {match: {proto: tcp, port: 443}, via: [a]}}
        c: {kind: router, path: {match: {proto: tcp, port: 80}, via: [a, b]}}
      links: [{endpoints: [a, b]}, {endpoints: [c, a]}]
    """)
  #expect(parsed.diagnostics.isEmpty, "\(shown(parsed.diagnostics))")
}

@Test func threePathsInACircleAreOneError() {
  let parsed = parse(
    """
    name: t
    topology:
      nodes:
        a: {kind: router, path: {match: {proto: tcp}, via: [b]}}
        b: {kind: router, path: {match: {proto: tcp}, via: [c]}}
        c: {kind: router, path: {match: {proto: tcp}, via: [a]}}
      links: [{endpoints: [a, b]}, {endpoints: [b, c]}, {endpoints: [c, a]}]
    """)
  #expect(parsed.errors.map { "\($0.place.line):\($0.place.column)" } == ["6:29"], "\(shown(parsed.errors))")
}

@Test func flowSpecificationsTakeTheNumbersOfTheirFamily() throws {
  let rules = try functions(
    """
          flowspec:
            - {match: {to: 192.168.1.10, proto: [udp, 47], source-port: 53, length: 512-65535}, then: [{rate: 8mbit}, {mark: af11}]}
            - {match: {proto: icmp, icmp-type: 8}, then: drop}
            - {match: {family: ipv6, proto: tcp, tcp-flags: [syn, ack]}, then: {packets: 100}}
            - {match: {to: "2001:db8:1::/64", fragment: true}, then: {redirect: "2001:db8:1::2"}}
    """
  ).flowSpecs
  #expect(rules.map(\.family) == [.ipv4, .ipv4, .ipv6, .ipv6, .ipv6])
  #expect(rules[0].destination == IPPrefix("192.168.1.10/32") && rules[0].protocols == [17, 47])
  #expect(rules[0].sourcePorts == [53...53] && rules[0].lengths == [512...65535])
  // 8 Mbit/s are a million bytes a second (RFC 8955 section 7.1).
  #expect(rules[0].actions == [.rate(1_000_000), .mark(10)])
  // RFC 8955 names ICMP 1; RFC 4443 has 58.
  #expect(rules[1].protocols == [1] && rules[2].protocols == [58])
  #expect(rules[1].origin.text != rules[2].origin.text && rules[1].origin.place == rules[2].origin.place)
  // RFC 9293: ACK 16, SYN 2.
  #expect(rules[3].tcpFlags == 18 && rules[3].actions == [.packets(100)])
  let next = try address("2001:db8:1::2")
  #expect(rules[4].fragments == true && rules[4].actions == [.redirect(next)])
}

@Test func aSwitchShapesAndDefaultsReachOnlyWhomTheyMeanSomethingTo() throws {
  let parsed = parse(
    """
    name: t
    defaults: {filter: [{otherwise: accept}], qos: {eth1: {egress: {shape: {rate: 10mbit}}}}}
    topology:
      nodes:
        a: {kind: host}
        b: {kind: host, filter: []}
        s: {kind: switch}
      links: [{endpoints: [a, s]}, {endpoints: [b, s]}]
    drift: repair
    """)
  let lab = try #require(parsed.value, "\(shown(parsed.errors))")
  #expect(lab.nodes.map(\.functions.filter.count) == [1, 0, 0])
  #expect(lab.nodes.map(\.functions.qos.count) == [1, 1, 1])
  #expect(lab.repairsDrift)
}

@Test func qosAndARateOnOneLinkContradictEachOther() {
  let parsed = parse(
    """
    name: t
    topology:
      nodes:
        a: {kind: host, qos: {eth1: {ingress: {police: {rate: 5mbit}}}}}
        b: {kind: host}
      links: [{endpoints: [a, b], rate: 10mbit}]
    """)
  #expect(parsed.errors.map { "\($0.place.line):\($0.place.column)" } == ["4:27"], "\(shown(parsed.errors))")
  #expect(parsed.errors.first?.message.contains("expected one of them") == true)
}

@Test func everyWrongRuleOfAListIsNamed() {
  let rules = (0..<50).map { "      - {match: {in: eth\($0)}, then: drop}" }.joined(separator: "\n")
  let parsed = parse(router("      filter:\n" + rules.replacing("      - ", with: "        - ")))
  // All but eth1, which is there.
  #expect(parsed.errors.count == 49)
  #expect(parsed.errors.allSatisfy { $0.message.contains("has no interface") })
}

@Test func thousandsOfRulesOfANodeAreRead() throws {
  var text = "      filter:\n"
  for index in 0..<3000 {
    text += "        - {match: {from: 10.\(index / 250).\(index % 250).0/24, proto: tcp, port: 80}, then: accept}\n"
  }
  #expect(try functions(text).filter.count == 3000)
}

@Test func aRouteOverSeveralHopsKeepsTheirWeights() throws {
  let parsed = parse(
    router(
      "      routes: [{to: 198.18.0.0/15, via: {up: 3, 192.168.1.10: 1}}, {to: 192.0.2.0/24, via: [h, g]}, {to: 10.9.0.0/16, via: up}]"
    ))
  let routes = try #require(parsed.value?.node("r")?.routes, "\(shown(parsed.errors))")
  #expect(routes.map(\.gateway.description) == ["203.0.113.2", "192.168.1.10", "203.0.113.2"])
  #expect(routes.map(\.weight) == [3, 1, 1] && routes.map(\.others.count) == [1, 1, 0])
  #expect(routes[0].others.map(\.interface) == ["in1"] && routes[0].others.map(\.weight) == [1])
  #expect(routes[1].others.map(\.gateway.description) == ["192.168.2.10"])
}
