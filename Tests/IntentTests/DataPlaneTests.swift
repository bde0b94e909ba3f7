import ControlProtocol
import Intent
import NetTypes
import Testing
import Topology

private func origin(_ text: String, line: Int = 3) -> RuleOrigin {
  RuleOrigin(text: text, place: Place(file: "change.yaml", line: line, column: 5))
}

private func prefix(_ text: String) throws -> IPPrefix { try #require(IPPrefix(text)) }
private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

/// The triangle with one node's functions.
private func triangle(_ name: String, _ change: (inout PacketFunctions) throws -> Void) throws -> ResolvedLab {
  var resolved = try lab(IntentTests.triangle)
  let index = try #require(resolved.nodes.firstIndex { $0.name == name })
  try change(&resolved.nodes[index].functions)
  return ResolvedLab(
    name: resolved.name, file: resolved.file, baseDirectory: resolved.baseDirectory, ipv4: true, ipv6: true,
    nodes: resolved.nodes, links: resolved.links, segments: resolved.segments, sessions: resolved.sessions,
    policies: resolved.policies, tests: [], hosts: resolved.hosts)
}

@Suite struct DataPlaneTests {
  /// r1 ─ r2 ─ r3, where the shortest path from r1 to r3 may be the direct link.
  @Test func anExplicitPathIsAPolicyRouteOnEachHopButTheLastAndOnlyForWhatComesFromTheHopBefore() throws {
    let far = try address("10.1.12.2")
    let third = try address("10.1.23.3")
    let resolved = try triangle("r1") { functions in
      var match = PacketMatch()
      match.to = [try prefix("198.51.100.0/24")]
      match.transport = .tcp
      match.ports = [443...443]
      functions.paths = [
        PathRule(
          origin: origin("to 198.51.100.0/24 tcp port 443 via r2 r3"), match: match,
          via: [
            .init(
              node: "r2",
              links: [.init(interface: "eth1", farInterface: "eth1", gateways: [far], weight: 1)]),
            .init(
              node: "r3",
              links: [.init(interface: "eth2", farInterface: "eth2", gateways: [third], weight: 2)]),
          ])
      ]
    }
    let planes = LabIntent(resolved).dataPlanes()
    let first = try #require(planes["r1"]?.paths.first)
    #expect(planes["r1"]?.paths.count == 1)
    #expect(first.match.in == [])
    #expect(first.exceptIn == ["eth1"])
    #expect(first.nextHops.map { Array($0.gateway) } == [[10, 1, 12, 2]])
    #expect(first.match.protocol == 6)
    #expect(first.match.ports.map(\.first) == [443])
    let second = try #require(planes["r2"]?.paths.first)
    #expect(planes["r2"]?.paths.count == 1)
    #expect(second.match.in == ["eth1"])
    #expect(second.nextHops.map { Array($0.gateway) } == [[10, 1, 23, 3]])
    #expect(second.nextHops.map(\.weight) == [2])
    #expect(second.origin.place == "change.yaml:3:5")
    #expect(planes["r3"]?.paths == [])
  }

  @Test func aHostGetsAnAgentOnlyForWhatNeedsOne() throws {
    #expect(LabIntent(try lab(triangle)).dataPlanes()["h1"] == nil)
    let resolved = try triangle("h1") { functions in
      functions.filter = [FilterRule(origin: origin("otherwise drop"), match: nil, then: .drop)]
    }
    let plane = try #require(LabIntent(resolved).dataPlanes()["h1"])
    #expect(plane.filter.map(\.hasMatch) == [false])
    #expect(plane.filter.map(\.then) == [.drop])
    #expect(plane.addresses.map(\.interface) == ["eth1"])
    let context = PlanContext(environment: [], machine: "m", programs: "/p", topology: "/t")
    let nodes = machinePlan(of: resolved, in: context).nodes
    #expect(nodes.first { $0.name == "h1" }?.agent == true)
  }

  @Test func aHostThatHasAnAgentUnaskedKeepsItsAddressesAndRoutes() throws {
    let host = "h1: {kind: host, loopback: [10.255.0.9/32], congestion: reno}"
    let intent = LabIntent(try lab(triangle.replacing("h1: {kind: host}", with: host)))
    let plane = try #require(intent.dataPlanes(agents: ["h1"])["h1"])
    #expect(plane.addresses.map(\.interface) == ["eth1", "lo"])
    #expect(plane.sysctls == ["net.ipv4.tcp_congestion_control": "reno"])
    #expect(plane.sysctlOrigins.values.map(\.place) == ["lab.yaml:9:61"])
    #expect(intent.routeSets(during: .none)["h1"] == nil)
    let routes = try #require(intent.routeSets(during: .none, agents: ["h1"])["h1"]).routes
    #expect(routes.map { Array($0.prefix.address.prefix(4)) }.first == [0, 0, 0, 0])
    #expect(routes.first?.metric == 1)
  }

  @Test func zonesStandApartFromTheTranslations() throws {
    let resolved = try triangle("r1") { functions in
      var match = PacketMatch()
      match.incoming = ["eth3"]
      functions.nat = [
        NATRule(origin: origin("zone 5 in eth3"), match: match, translation: .zone(5)),
        NATRule(
          origin: origin("masquerade out eth1"), match: PacketMatch(),
          translation: .masquerade(ports: nil, random: true)),
      ]
    }
    let plane = try #require(LabIntent(resolved).dataPlanes()["r1"])
    #expect(plane.zones.map(\.id) == [5])
    #expect(plane.zones.map(\.in) == [["eth3"]])
    #expect(plane.nat.map(\.origin.text) == ["masquerade out eth1"])
    #expect(plane.nat.first?.masquerade.random == true)
    #expect(plane.nat.first?.masquerade.hasPorts == false)
  }

  /// RFC 8955 section 4.2.1.1: a value is `==`, a range is `>=` and `<=`; section 4.2.2.12 for fragments.
  @Test func flowSpecRangesBecomeNumericOperations() throws {
    let resolved = try triangle("r1") { functions in
      var rule = FlowSpecRule(origin: origin("drop"), family: .ipv4)
      rule.destination = try prefix("192.0.2.0/24")
      rule.destinationPorts = [80...80, 8000...8080]
      rule.fragments = true
      rule.actions = [.rate(125_000)]
      functions.flowSpecs = [rule]
    }
    let rule = try #require(LabIntent(resolved).speakerConfig(of: "r1")?.flowRules.first)
    #expect(rule.components.map(\.type) == [1, 5, 12])
    let ports = rule.components[1].operations
    #expect(ports.map(\.value) == [80, 8000, 8080])
    #expect(ports.map(\.equal) == [true, true, true])
    #expect(ports.map(\.greater) == [false, true, false])
    #expect(ports.map(\.less) == [false, false, true])
    #expect(ports.map(\.and) == [false, false, true])
    #expect(rule.components[2].operations.map(\.value) == [6])
    #expect(rule.actions.map(\.rateBytes) == [125_000])
  }
}

@Suite struct ChangePlanTests {
  private func rules(_ texts: [(String, Int)]) -> [NATRule] {
    texts.map {
      NATRule(
        origin: origin($0.0, line: $0.1), match: PacketMatch(), translation: .masquerade(ports: nil, random: false))
    }
  }

  @Test func theSameLabTwiceIsNoChange() throws {
    let one = LabIntent(try lab(triangle))
    #expect(one.changes(to: one).isEmpty)
  }

  @Test func aRuleThatIsPutBetweenOthersIsOneAdditionWithItsPlace() throws {
    let old = LabIntent(try triangle("r1") { $0.nat = rules([("a", 1), ("b", 2)]) })
    let new = LabIntent(try triangle("r1") { $0.nat = rules([("a", 1), ("x", 2), ("b", 3)]) })
    let changes = old.changes(to: new)
    #expect(changes.map(\.node) == ["r1"])
    let change = try #require(changes.first?.changes.first)
    #expect(changes.first?.changes.count == 1)
    #expect(change.action == .add)
    #expect(change.section == "nat")
    #expect(change.what == "x")
    #expect(change.place == "change.yaml:2:5")
    #expect(new.changes(to: old).first?.changes.map(\.action) == [.remove])
  }

  /// r1 ─ r2 ─ r3 and its fellow: what passes r2 is a matter of r2.
  @Test func aPathIsAChangeOfEveryNodeThatSendsOnByIt() throws {
    let path = "path: {match: {to: 198.51.100.0/24}, via: [r2, r3]}"
    let old = LabIntent(try lab(triangle))
    let new = LabIntent(
      try lab(triangle.replacing("loopback: [10.255.0.1/32]}", with: "loopback: [10.255.0.1/32], \(path)}")))
    let changes = old.changes(to: new)
    #expect(changes.map(\.node) == ["r1", "r2"])
    #expect(
      changes.map { $0.changes.map(\.what) } == [
        ["path to 198.51.100.0/24 via r2,r3"], ["path to 198.51.100.0/24 via r2,r3 (a path of r1)"],
      ])
    // The same nodes as those whose data plane differs.
    let (before, after) = (old.dataPlanes(), new.dataPlanes())
    #expect(Set(changes.map(\.node)) == Set(after.keys.filter { before[$0]?.paths != after[$0]?.paths }))
  }

  @Test func aNeighborsPolicyIsAChangeOfBothTheNeighborAndItsPolicies() throws {
    let old = LabIntent(try lab(triangle))
    let changed = triangle.replacing(
      "e1: {kind: router, asn: 65001, networks: [198.51.100.0/24]}",
      with: "e1: {kind: router, asn: 65001, networks: [198.51.100.0/24], bgp: {neighbors: {r3: {import: prefer}}}}")
    let new = LabIntent(try lab(changed + "\npolicies: {prefer: [{set: {local-pref: 200}}]}\n"))
    let changes = try #require(old.changes(to: new).first)
    #expect(changes.node == "e1")
    let neighbor = try #require(changes.changes.first { $0.section == "bgp" })
    #expect(neighbor.action == .change)
    #expect(neighbor.what.contains("import prefer"))
    #expect(neighbor.was?.contains("import") == false)
    let policy = try #require(changes.changes.first { $0.section == "policies" })
    #expect(policy.action == .add)
    #expect(policy.what == "prefer: set local-pref 200")
  }
}
