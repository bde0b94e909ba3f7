import NetTypes
import Testing
import Topology

private let base = """
  name: t
  defaults: {congestion: reno}
  topology:
    nodes:
      a:
        kind: router
        asn: 64500
        nat: [{masquerade: {out: eth1}}]
        filter: [{otherwise: drop}]
        bgp: {multipath: 4, timers: {hold: 9}, neighbors: {b: {import: p}}}
      b: {kind: router, asn: 64501}
    links: [{endpoints: ["a:eth1", "b:eth1"], relation: peer-peer}]
  policies:
    p: [{then: accept}]
  tests: [{name: x, steps: [{session: {node: a, neighbor: b}}]}]
  """

private func changed(_ changes: String...) -> Parsed<ResolvedLab> {
  let layers = changes.enumerated().map { FileLayer(file: "c\($0 + 1).yaml", text: $1) }
  return TopologyFile.parse([FileLayer(file: "t.yaml", text: base)] + layers, baseDirectory: "/nonexistent")
}

@Test func aKeyOfAChangeReplacesTheWholeValueAndEverythingElseStays() throws {
  let before = try #require(parse(base).value)
  let parsed = changed(
    "{topology: {nodes: {a: {bgp: {timers: {hold: 30}}, nat: [{snat: {out: eth1, to: 192.0.2.1}}]}}}}")
  let lab = try #require(parsed.value, "\(shown(parsed.errors))")
  let node = try #require(lab.node("a"))
  // `multipath` and the neighbors stood in the value that was replaced.
  #expect(node.bgp?.multipath == 1 && lab.sessions[0].a.settings.timers.hold == 30)
  #expect(lab.sessions[0].a.settings.importPolicy == .unset)
  #expect(node.functions.nat.map(\.origin.text) == ["snat out eth1 to 192.0.2.1"])
  #expect(node.functions.nat.map(\.origin.place.description) == ["c1.yaml:1:58"])
  #expect(node.functions.filter == before.node("a")?.functions.filter && lab.node("b") == before.node("b"))
  #expect(node.interfaces == before.node("a")?.interfaces && lab.policies == before.policies)
  #expect(lab.file == "t.yaml" && lab.tests.isEmpty)
}

@Test func nullTakesAKeyOrAPolicyAway() throws {
  let parsed = changed("topology:\n  nodes:\n    a: {nat: null, filter: ~, bgp: }\npolicies: {p: null}\n")
  let lab = try #require(parsed.value, "\(shown(parsed.errors))")
  #expect(lab.node("a")?.functions == PacketFunctions() && lab.policies.isEmpty)
  #expect(lab.node("a")?.bgp?.multipath == 1)
}

@Test func changesLieOverEachOtherInOrder() throws {
  let parsed = changed(
    "topology: {nodes: {b: {congestion: bbr, networks: [192.0.2.0/24]}}}",
    "topology: {nodes: {b: {congestion: cubic}}}\npolicies: {q: [{then: reject}], p: [{then: reject}]}")
  let lab = try #require(parsed.value, "\(shown(parsed.errors))")
  #expect(lab.node("b")?.sysctls["net.ipv4.tcp_congestion_control"] == "cubic")
  #expect(lab.node("b")?.networks.map(\.description) == ["192.0.2.0/24"])
  #expect(lab.policies.map(\.name) == ["p", "q"] && lab.policies[0].statements.map(\.then) == [.reject])
  let back = changed(
    "topology: {nodes: {b: {congestion: bbr}}}", "topology: {nodes: {b: {congestion: null}}}")
  #expect(back.value?.node("b")?.sysctls["net.ipv4.tcp_congestion_control"] == "reno")
}

@Test func withoutChangesItIsTheFile() {
  let parsed = TopologyFile.parse([FileLayer(file: "t.yaml", text: base)], baseDirectory: "/nonexistent")
  #expect(parsed.value == parse(base).value && parsed.value != nil)
  #expect(TopologyFile.parse([], baseDirectory: "/").errors.count == 1)
}

private let refusals = [
  Broken("an empty file", "expected a CHANGE", "§"),
  Broken("an empty mapping", "empty", "§{}"),
  Broken("a list", "is a list", "§[]"),
  Broken("no nodes", "changes nothing", "§topology: {nodes: {}}"),
  Broken("a node of which nothing changes", "empty", "topology: {nodes: {§a: {}}}"),
  Broken("an unknown node", "did you mean `a`", "topology: {nodes: {§aa: {nat: []}}}"),
  Broken("a new node", "adds none", "topology: {nodes: {§other: {nat: []}}}"),
  Broken("a key that cannot change", "expected one of `nat`, `qos`", "topology: {nodes: {a: {§kind: host}}}"),
  Broken(
    "links", "unknown key `links` in `topology` of a CHANGE", "topology: {§links: [], nodes: {a: {nat: []}}}"),
  Broken("a new name", "unknown key `name` in a CHANGE", "§name: u\npolicies: {q: [{then: reject}]}"),
  Broken("a mesh of which nothing changes", "empty", "§mesh: {}\npolicies: {q: [{then: reject}]}"),
  Broken("the mesh of a lab without one", "a lab that has none", "§mesh: {mtls: strict}"),
  Broken("an unknown policy taken away", "no policy `r` to take away", "policies: {§r: null}"),
  Broken("a default taken away", "comes from `defaults`", "topology: {nodes: {b: {§congestion: null}}}"),
  Broken(
    "a wrong rule", "no interface `eth7`",
    "topology: {nodes: {a: {filter: [{match: {in: §eth7}, then: drop}]}}}"),
  Broken("what is no YAML", "YAML", "topology: {nodes: {a: {nat: [§}}}}\n"),
]

@Test(arguments: refusals)
func aChangeIsRefusedAtItsPlace(_ refused: Broken) throws {
  let parsed = changed(refused.text)
  #expect(parsed.value == nil)
  #expect(parsed.errors.count == 1, "\(shown(parsed.errors))")
  let error = try #require(parsed.errors.first)
  #expect(error.place.description == "c1.yaml:\(refused.line):\(refused.column)", "\(error)")
  #expect(error.message.contains(refused.word), "\(error)")
}

@Test func aPolicyThatIsTakenAwayIsMissedWhereItIsUsed() {
  let parsed = changed("policies: {p: null}")
  // The place is that of `p` in line 10 of the file.
  #expect(parsed.errors.map(\.place.line) == [10] && parsed.errors.map(\.place.file) == ["t.yaml"])
  #expect(parsed.errors.first?.message.contains("unknown policy `p`") == true, "\(shown(parsed.errors))")
}

@Test func placesAreThoseOfTheChangeThatIsWrong() {
  let parsed = changed(
    "topology: {nodes: {a: {nat: []}}}", "topology: {nodes: {a: {routes: [{to: 198.18.0.0/15, via: 10.9.9.9}]}}}")
  #expect(parsed.errors.map(\.place.description) == ["c2.yaml:1:58"], "\(shown(parsed.errors))")
}

@Test func warningsOfWhatAChangeMakesAreSaid() {
  let parsed = changed("topology: {nodes: {a: {filter: [{otherwise: drop}, {match: {proto: tcp}, then: drop}]}}}")
  #expect(parsed.value != nil)
  #expect(parsed.warnings.map(\.place.description) == ["c1.yaml:1:52"], "\(shown(parsed.warnings))")
}

// MARK: Steps

private func lab(steps: String, directory: String) throws -> Parsed<ResolvedLab> {
  let text = base.split(separator: "\n").filter { !$0.hasPrefix("tests") }.joined(separator: "\n")
  return TopologyFile.load(
    path: try temporaryFile(Array("\(text)\ntests:\n  - name: x\n    steps:\n\(steps)\n".utf8), directory: directory))
}

@Test func anInlineChangeIsWrittenOutSoThatItReadsBackTheSame() throws {
  let written =
    #"{topology: {nodes: {a: {nat: null, routes: [{to: 198.18.0.0/15, via: b}]}}}, policies: {"q": [{match: {as-path: "^1_\\\\.2$"}, then: reject}]}}"#
  let parsed = try lab(steps: "      - apply: \(written)", directory: temporaryDirectory())
  let step = try #require(parsed.value?.tests.first?.steps.first, "\(shown(parsed.errors))")
  guard case .apply(let apply) = step.action else { throw Unexpected() }
  #expect(apply.applied == true && apply.confirmWithinMilliseconds == nil && apply.file == parsed.value?.file)
  let (direct, again) = (changed(written), changed(apply.text))
  #expect(direct.value?.policies.map(\.name) == ["p", "q"])
  #expect(again.value?.policies.map(\.statements) == direct.value?.policies.map(\.statements))
  #expect(again.value?.node("a")?.routes == direct.value?.node("a")?.routes)
  #expect(again.value?.node("a")?.functions.nat.isEmpty == true && direct.value?.node("a")?.routes.count == 1)
}

@Test func aChangeOfAStepIsReadFromItsFileBesideTheTopology() throws {
  let directory = try temporaryDirectory()
  let text = "# why\ntopology: {nodes: {a: {nat: []}}}\n"
  _ = try temporaryFile(Array(text.utf8), name: "change.yaml", directory: directory)
  let parsed = try lab(
    steps: """
            - plan: change.yaml
              expect: {nodes: [a]}
            - apply: {change: change.yaml, confirm-within: 5s}
              expect: {nodes: [a, b]}
            - rollback: previous
            - rollback: {to: 3}
      """, directory: directory)
  let steps = try #require(parsed.value?.tests.first?.steps, "\(shown(parsed.errors))")
  guard case .plan(let plan) = steps[0].action, case .apply(let apply) = steps[1].action else { throw Unexpected() }
  #expect(plan.text == text && apply.text == text && plan.file == directory + "/change.yaml")
  #expect(plan.nodes == ["a"] && apply.nodes == ["a", "b"] && apply.applied == nil)
  #expect(apply.confirmWithinMilliseconds == 5000)
  #expect(steps[2].action == .rollback(RollbackStep(version: nil)))
  #expect(steps[3].action == .rollback(RollbackStep(version: 3)))
}

@Test func whatIsWrongInTheFileOfAStepIsSaidInItsPlace() throws {
  let directory = try temporaryDirectory()
  _ = try temporaryFile(
    Array("topology:\n  nodes:\n    a: {nat: [{masquerade: {out: eth2}}]}\n".utf8), name: "bad.yaml",
    directory: directory)
  let parsed = try lab(steps: "      - apply: bad.yaml", directory: directory)
  #expect(parsed.errors.map(\.place.description) == ["\(directory)/bad.yaml:3:34"], "\(shown(parsed.errors))")
  // One that is meant to be refused may be wrong.
  let refused = try lab(
    steps: "      - {apply: bad.yaml, expect: {refused: eth2}}\n      - {apply: bad.yaml, expect: {applied: false}}",
    directory: directory)
  let steps = try #require(refused.value?.tests.first?.steps, "\(shown(refused.errors))")
  guard case .apply(let apply) = steps[0].action else { throw Unexpected() }
  #expect(apply.refusal == "eth2" && apply.applied == false)
}

@Test func eachChangeOfATestLiesOverThoseBefore() throws {
  let parsed = try lab(
    steps: """
            - apply: {policies: {q: [{then: reject}]}}
            - apply: {topology: {nodes: {a: {bgp: {neighbors: {b: {import: q}}}}}}}
            - rollback: previous
            - apply: {topology: {nodes: {b: {bgp: {neighbors: {a: {export: q}}}}}}}
      """, directory: temporaryDirectory())
  #expect(parsed.errors.isEmpty, "\(shown(parsed.errors))")
  let without = try lab(
    steps: "      - apply: {topology: {nodes: {a: {bgp: {neighbors: {b: {import: q}}}}}}}",
    directory: temporaryDirectory())
  #expect(without.errors.map(\.message).allSatisfy { $0.contains("unknown policy `q`") } && without.errors.count == 1)
}

@Test func aRateStepKnowsItsOfferAndItsLimits() throws {
  let parsed = try lab(
    steps: """
            - rate: {from: a, to: "b:eth1", proto: udp, port: 9, for: 1500ms, offer: 20mbit, dscp: ef, family: ipv6}
              expect: {mbit: {min: 9.5}, limited-by: policing, delay: {max: 5ms}}
            - rate: {from: a, to: b, rate: 1gbit}
            - nat: {node: a, flow: {from: b, to: 192.0.2.1, proto: tcp, port: 80}}
              expect: {translated: false}
            - nat: {node: a, flow: {from: b, to: a}}
      """, directory: temporaryDirectory())
  let steps = try #require(parsed.value?.tests.first?.steps, "\(shown(parsed.errors))")
  guard case .rate(let udp) = steps[0].action, case .rate(let tcp) = steps[1].action else { throw Unexpected() }
  #expect(udp.transport == .udp && udp.port == 9 && udp.milliseconds == 1500 && udp.offered == 20_000_000)
  #expect(udp.dscp == 46 && udp.family == .ipv6 && udp.minimum == 9.5 && udp.maximum == nil && udp.maximumDelay == 5)
  #expect(tcp.offered == 1_000_000_000 && tcp.milliseconds == 10_000 && tcp.limitedBy == nil)
  guard case .nat(let untouched) = steps[2].action, case .nat(let plain) = steps[3].action else { throw Unexpected() }
  #expect(untouched.untouched && untouched.translated == nil && untouched.port == 80 && untouched.reachable == nil)
  #expect(plain.reachable == true && !plain.untouched)
}
