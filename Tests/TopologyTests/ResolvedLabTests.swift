import NetTypes
import Testing
import Topology

/// The lab, with only the warnings that are named by a word each.
private func lab(_ text: String, warnings: [String] = []) throws -> ResolvedLab {
  let parsed = parse(text)
  #expect(parsed.errors.isEmpty, "\(shown(parsed.errors))")
  #expect(parsed.warnings.count == warnings.count, "\(shown(parsed.warnings))")
  for (warning, word) in zip(parsed.warnings, warnings) { #expect(warning.message.contains(word), "\(warning)") }
  return try #require(parsed.value)
}

@Test func scalarsAreTakenAsTheyAreWritten() throws {
  let lab = try lab(
    """
    name: "123"
    topology:
      nodes:
        no: {kind: router, asn: 1000.10, labels: {a: 0x10, b: ~, c: 1e3}, env: {X: on}}
        "1": {kind: router, asn: "64512", bgp: {neighbors: {no: {md5: 0123, import: null, export: p}}}}
      links: [{endpoints: [no, 1:eth1], relation: open}]
    policies:
      p: [{match: {community: 65001:10}, then: accept}]
      null: [{match: {community: [no-export, "*:666", 65535:*]}, then: reject}]
    """)
  #expect(lab.name == "123")
  #expect(lab.nodes.map(\.name) == ["no", "1"])
  // asdot: high * 65536 + low
  #expect(lab.nodes.map { $0.asn?.rawValue } == [1000 * 65536 + 10, 64512])
  #expect(lab.nodes[0].labels == ["a": "0x10", "b": "~", "c": "1e3"])
  #expect(lab.nodes[0].environment == ["X=on"])
  #expect(lab.sessions[0].b.settings.md5 == "0123")
  #expect(lab.sessions[0].b.settings.importPolicy == .policy("null"))
  #expect(lab.policies[0].statements[0].match?.communities == [CommunityPattern(high: 65001, low: 10)])
  #expect(
    lab.policies[1].statements[0].match?.communities == [
      CommunityPattern(high: 0xFFFF, low: 0xFF01), CommunityPattern(high: nil, low: 666),
      CommunityPattern(high: 65535, low: nil),
    ])
}

@Test func defaultsFillInWhatANodeDoesNotWriteAndSkipKindsTheyMeanNothingFor() throws {
  let lab = try lab(
    """
    name: t
    defaults:
      kind: router
      asn: 64500
      sysctls: {net.ipv4.ip_default_ttl: 255, net.ipv4.ip_forward: 1}
      bgp: {prefer-customer: true, timers: {hold: 30}}
      congestion: reno
      neighbor-entries: learned
    topology:
      nodes:
        a: {}
        b: {asn: 64501, bgp: {timers: {connect: 500ms}}, sysctls: {net.ipv4.ip_default_ttl: 64}}
        h: {kind: host}
      links:
        - {endpoints: [a, b], relation: open}
        - {endpoints: [a, h]}
    """)
  #expect(lab.node("a")?.asn == ASNumber(64500) && lab.node("b")?.asn == ASNumber(64501))
  #expect(lab.node("h")?.kind == .host && lab.node("h")?.asn == nil)
  #expect(lab.node("b")?.bgp?.preferCustomer == true)
  #expect(lab.node("b")?.sysctls["net.ipv4.ip_default_ttl"] == "64")
  #expect(lab.node("b")?.sysctls["net.ipv4.ip_forward"] == "1")
  #expect(lab.node("h")?.sysctls["net.ipv4.tcp_congestion_control"] == "reno")
  #expect(lab.sessions[0].a.settings.timers == BGPTimers(keepalive: 10, hold: 30, connectMilliseconds: 1000))
  #expect(lab.sessions[0].b.settings.timers == BGPTimers(keepalive: 10, hold: 30, connectMilliseconds: 500))
  #expect(lab.links.allSatisfy { !$0.permanentNeighbors })
}

@Test func routersOfOneASMeetBetweenLoopbacksInAFullMesh() throws {
  let lab = try lab(
    """
    name: t
    topology:
      nodes:
        r1: {kind: router, asn: 64500}
        r2: {kind: router, asn: 64500, bgp: {neighbors: {r3: {next-hop-self: false}}}}
        r3: {kind: router, asn: 64500}
      links: [{endpoints: [r1, r2], cost: 5}, {endpoints: [r2, r3]}]
    """)
  #expect(lab.sessions.map { "\($0.a.node)-\($0.b.node)" } == ["r1-r2", "r1-r3", "r2-r3"])
  let session = lab.sessions[1]
  #expect(session.kind == .internal && session.link == nil && session.a.interface == nil)
  #expect(session.a.address == IPAddress("10.255.0.0") && session.b.address == IPAddress("10.255.0.2"))
  #expect(session.a.key == "r3/ipv4" && session.families == [.ipv4, .ipv6])
  #expect(session.a.settings.nextHopSelf && session.a.settings.role == nil && !session.a.settings.client)
  #expect(!lab.sessions[2].a.settings.nextHopSelf && lab.sessions[2].b.settings.nextHopSelf)
  #expect(lab.links.map(\.cost) == [5, 1])
}

@Test func reflectorsReplaceTheMesh() throws {
  let lab = try lab(
    """
    name: t
    topology:
      nodes:
        rr: {kind: router, asn: 64500, bgp: {route-reflector: true, cluster-id: 1.2.3.4}}
        r1: {kind: router, asn: 64500}
        r2: {kind: router, asn: 64500}
      links: [{endpoints: [rr, r1]}, {endpoints: [r1, r2]}]
    """)
  #expect(lab.sessions.map { "\($0.a.node)-\($0.b.node)" } == ["rr-r1", "rr-r2"])
  #expect(lab.sessions.allSatisfy { $0.a.settings.client && !$0.b.settings.client })
  #expect(lab.node("rr")?.bgp?.clusterID == IPv4Address(1, 2, 3, 4))
  #expect(lab.node("rr")?.bgp?.routeReflector == true)
}

@Test func anASThatIsCutInTwoIsAWarningAndMeshesWithinEachPart() throws {
  let lab = try lab(
    """
    name: t
    topology:
      nodes:
        a1: {kind: router, asn: 64500}
        a2: {kind: router, asn: 64500}
        b: {kind: router, asn: 64501}
        a3: {kind: router, asn: 64500}
      links:
        - {endpoints: [a1, a2]}
        - {endpoints: [a2, b], relation: customer-provider}
        - {endpoints: [b, a3], relation: peer-peer}
    """, warnings: ["cut in two"])
  #expect(lab.sessions.filter { $0.kind == .internal }.map { "\($0.a.node)-\($0.b.node)" } == ["a1-a2"])
}

@Test func stationsOfASwitchShareASubnetAndPeerOnlyWhereItIsWritten() throws {
  let lab = try lab(
    """
    name: ix
    topology:
      nodes:
        lan: {kind: switch}
        rs: {kind: router, asn: 64510}
        a: {kind: router, asn: 64501, bgp: {neighbors: {rs: {relation: route-server}}}}
        b: {kind: router, asn: 64502, bgp: {neighbors: {rs: {relation: route-server}, "a:eth1": {relation: peer-peer, roles: false}}}}
        c: {kind: router, asn: 64503}
      links:
        - {endpoints: [rs, lan]}
        - {endpoints: [a, lan]}
        - {endpoints: [lan, b]}
        - {endpoints: [c, lan]}
    """)
  #expect(lab.segments.count == 1)
  #expect(lab.segments[0].subnets.map(\.description) == ["10.0.0.0/24", "fd00:10::/64"])
  #expect(lab.segments[0].members.map { "\($0.node):\($0.interface)" } == ["rs:eth1", "a:eth1", "b:eth1", "c:eth1"])
  #expect(lab.node("b")?.interfaces[0].addresses.map(\.description) == ["10.0.0.3/24", "fd00:10::3/64"])
  #expect(lab.node("lan")?.interfaces.map(\.addresses.count) == [0, 0, 0, 0])
  #expect(lab.sessions.map { "\($0.a.node)-\($0.b.node)" } == ["a-rs", "b-rs", "b-a"])
  #expect(lab.sessions[0].a.settings.role == .routeServerClient && lab.sessions[0].b.settings.role == .routeServer)
  #expect(!lab.sessions[0].b.settings.nextHopSelf && !lab.sessions[0].a.settings.nextHopSelf)
  #expect(
    lab.sessions[2].a.settings.role == .peer && !lab.sessions[2].a.settings.roles && !lab.sessions[2].b.settings.roles)
  #expect(lab.sessions[2].a.key == "a:eth1/ipv4" && lab.sessions[2].link == nil)
}

@Test func aSwitchTakesTheSubnetThatIsWrittenAndFillsInTheRest() throws {
  let lab = try lab(
    """
    name: t
    topology:
      nodes: {s1: {kind: switch}, s2: {kind: switch}, r: {kind: router}, h: {kind: host}, k: {kind: host}}
      links:
        - {endpoints: [s1, s2]}
        - {endpoints: [h, s1]}
        - {endpoints: [r, s1], addresses: [[192.168.7.1/25], []]}
        - {endpoints: [s2, k]}
    """)
  #expect(lab.segments.map(\.switches) == [["s1", "s2"]])
  // .1 is the router's; hosts follow in the order of the file.
  #expect(lab.node("h")?.interfaces[0].address(.ipv4) == IPAddress("192.168.7.2"))
  #expect(lab.node("k")?.interfaces[0].address(.ipv4) == IPAddress("192.168.7.3"))
  #expect(lab.node("k")?.routes.first?.gateway == IPAddress("192.168.7.1"))
}

@Test func anIPv6LabHasNoIPv4AndTakesRouterIDsFromTheOrder() throws {
  let lab = try lab(
    """
    name: t
    addressing: {ipv4: false}
    topology:
      nodes: {h: {kind: host}, a: {kind: router, asn: 64500}, b: {kind: router, asn: 64501}}
      links: [{endpoints: [h, a]}, {endpoints: [a, b], relation: peer-peer}]
    """)
  #expect(lab.nodes.flatMap(\.interfaces).flatMap(\.addresses).allSatisfy { $0.address.family == .ipv6 })
  #expect(lab.node("a")?.routerID == IPv4Address(0, 0, 0, 2) && lab.node("b")?.routerID == IPv4Address(0, 0, 0, 3))
  #expect(lab.sessions[0].transport == .ipv6 && lab.sessions[0].families == [.ipv6])
  #expect(lab.sessions[0].a.key == "b:eth1/ipv6" && lab.sessions[0].a.nextHopIPv4 == nil)
}

@Test func aSessionPerFamilyWhereItIsAskedFor() throws {
  let lab = try lab(
    """
    name: t
    topology:
      nodes:
        a: {kind: router, asn: 64500, bgp: {neighbors: {b: {sessions: [ipv4, ipv6]}, "b:eth2": {sessions: []}}}}
        b: {kind: router, asn: 64501}
      links:
        - {endpoints: [a, b], relation: peer-peer}
        - {endpoints: [a, b], relation: peer-peer}
    """)
  #expect(lab.sessions.map(\.a.key) == ["b:eth1/ipv4", "b:eth1/ipv6"])
  #expect(lab.sessions.map(\.families) == [[.ipv4], [.ipv6]])
  #expect(lab.sessions.map(\.a.address) == [IPAddress("10.0.0.0"), IPAddress("fd00:10::")])
}

@Test func withoutRelationAndPolicyTheFileSaysThatNothingPasses() throws {
  _ = try lab(
    """
    name: t
    topology:
      nodes: {a: {kind: router, asn: 64500}, b: {kind: router, asn: 64501, bgp: {neighbors: {a: {import: accept}}}}}
      links: [{endpoints: [a, b]}]
    policies: {p: [{then: accept}]}
    """, warnings: ["no export policy on `b`", "no import and export policy on `a`", "used by no neighbor"])
}

@Test func customersOfEachOtherAreAWarning() throws {
  _ = try lab(
    """
    name: t
    topology:
      nodes: {a: {kind: router, asn: 1}, b: {kind: router, asn: 2}, c: {kind: router, asn: 3}}
      links:
        - {endpoints: [a, b], relation: customer-provider}
        - {endpoints: [b, c], relation: customer-provider}
        - {endpoints: [c, a], relation: customer-provider}
    """,
    warnings: ["AS 1 is a customer of AS 2 is a customer of AS 3 is a customer of AS 1"])
}

@Test func aHostWithTwoRoutersIsToldToWriteRoutes() throws {
  let lab = try lab(
    """
    name: t
    topology:
      nodes:
        h: {kind: host}
        g: {kind: host, routes: [{to: 0.0.0.0/0, via: "r:eth2"}]}
        r: {kind: router}
        q: {kind: router}
      links:
        - {endpoints: [h, r]}
        - {endpoints: [g, "r:eth2"]}
        - {endpoints: [h, q]}
        - {endpoints: [g, q]}
    """, warnings: ["several routers"])
  #expect(lab.node("h")?.routes.isEmpty == true)
  #expect(lab.node("g")?.routes.map { "\($0.to) \($0.gateway) \($0.interface)" } == ["0.0.0.0/0 10.0.0.3 eth1"])
}

@Test func theSamePrivateSubnetMayStandBehindTwoRouters() throws {
  let lab = try lab(
    """
    name: t
    topology:
      nodes: {h: {kind: host}, a: {kind: router}, b: {kind: router}, g: {kind: host}}
      links:
        - {endpoints: [h, a], addresses: [[192.168.1.2/24], [192.168.1.1/24]]}
        - {endpoints: [a, b]}
        - {endpoints: [b, g], addresses: [[192.168.1.1/24], [192.168.1.2/24]]}
    """)
  #expect(lab.links.count == 3)
}

@Test func aDefaultRouteMayBeAnnouncedAndDoesNotUseUpThePool() throws {
  let lab = try lab(
    """
    name: t
    topology:
      nodes: {a: {kind: router, asn: 64500, networks: [0.0.0.0/0, 10.0.0.0/28]}, b: {kind: router, asn: 64501}}
      links: [{endpoints: [a, b], relation: peer-peer}]
    """)
  // 10.0.0.0/28 is somebody's network: links begin behind it.
  #expect(lab.links[0].a.addresses[0].description == "10.0.0.16/31")
}

@Test func moreThanAHundredNodesGetSlowerTimers() throws {
  var text = "name: chain\ntopology:\n  nodes:\n"
  for index in 0..<101 { text += "    n\(index): {kind: router, asn: \(64512 + index)}\n" }
  text += "  links:\n"
  for index in 1..<101 { text += "    - {endpoints: [n\(index - 1), n\(index)], relation: open}\n" }
  let lab = try lab(text)
  #expect(lab.sessions.count == 100)
  #expect(lab.sessions[99].a.settings.timers == BGPTimers(keepalive: 10, hold: 30, connectMilliseconds: 1000))
}

@Test func anchorsAndMergeKeysWorkAsInOtherFiles() throws {
  let lab = try lab(
    """
    name: t
    topology:
      nodes:
        a: &base {kind: router, asn: 64500, env: {X: 1}}
        b: {<<: *base, asn: 64501}
        c: *base
      links: [{endpoints: [a, b], relation: open}, {endpoints: [a, c]}]
    """)
  #expect(lab.node("b")?.asn == ASNumber(64501) && lab.node("b")?.environment == ["X=1"])
  #expect(lab.node("c")?.asn == ASNumber(64500))
}

@Test func aTestsFileNamesItsTopology() throws {
  let directory = try temporaryDirectory()
  _ = try temporaryFile(
    Array("name: t\ntopology:\n  nodes: {a: {kind: host}}\ntests: [{name: old, steps: [{fault: {kill: a}}]}]\n".utf8),
    name: "lab.yaml", directory: directory)
  let tests = "topology: lab.yaml\ntests: [{name: new, steps: [{exec: {node: a, command: \"true\"}}]}]\n"
  let path = try temporaryFile(Array(tests.utf8), name: "tests.yaml", directory: directory)
  let parsed = TopologyFile.load(path: path)
  #expect(parsed.diagnostics.isEmpty, "\(shown(parsed.diagnostics))")
  #expect(parsed.value?.tests.map(\.name) == ["new"])
  #expect(parsed.value?.file == directory + "/lab.yaml" && parsed.value?.baseDirectory == directory)
  let broken = try temporaryFile(
    Array(tests.replacing("node: a", with: "node: z").utf8), name: "broken.yaml", directory: directory)
  let errors = TopologyFile.load(path: broken).errors
  #expect(errors.map { "\($0.place)" } == ["\(broken):2:43"], "\(errors)")
}
