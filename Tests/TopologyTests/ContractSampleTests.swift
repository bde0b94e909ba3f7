import NetTypes
import Testing
import Topology

/// The sample of the contract without the keys of later versions. Expected values are worked out by hand from the
/// rules of the contract.
let contractSample = """
  name: dual-isp
  addressing:
    links: [10.0.0.0/16, "fd00:10::/32"]
    loopbacks: [10.255.0.0/16, "fd00:10:ffff::/48"]
    ipv4: true
    ipv6: true
  defaults: {congestion: cubic, neighbor-entries: permanent}
  topology:
    nodes:
      h1:
        kind: host
        publish: ["8080:80"]
      h2: {kind: host}
      customer:
        kind: router
        asn: 64500
        networks: [203.0.113.0/24, 2001:db8:100::/48]
        loopback: [10.255.0.1/32]
        sysctls: {net.ipv4.ip_default_ttl: 255}
        bgp:
          timers: {keepalive: 3, hold: 9, connect: 1}
          multipath: 4
          neighbors:
            isp1: {import: prefer-isp1, export: own-only, md5: s3cret, ttl-security: true, max-prefix: 1000, next-hop-self: true,
                   graceful-restart: 120, remove-private-as: all, allow-own-as: 1, send-communities: true}
        nat:
          - {snat: {out: eth1, from: 192.168.1.0/24, to: 203.0.113.10}}
          - {dnat: {in: eth1, proto: tcp, port: 80, to: "192.168.1.10:8080"}}
          - {map: {inside: 192.168.2.0/28, outside: 203.0.113.16/28}}
          - {masquerade: {out: eth1, from: 192.168.0.0/16}}
        filter:
          - {match: {in: eth1, proto: tcp, port: [80, 443]}, then: accept}
          - {match: {in: eth1, connections-over: 100}, then: drop}
          - {otherwise: accept}
        qos:
          eth1:
            egress:  {shape: {rate: 10mbit, burst: 64kb}, classes: [{name: voice, match: {dscp: ef}, rate: 2mbit, ceil: 10mbit, priority: 1}]}
            ingress: {police: {rate: 5mbit, burst: 64kb}}
        routes: [{to: 198.18.0.0/15, via: isp1}]
      isp1: {kind: router, asn: 64496, networks: [192.0.2.0/24]}
      isp2: {kind: router, asn: 64497, networks: [198.51.100.0/24]}
      web:  {kind: host, cmd: ["python3 -m http.server 80"]}
      edge: {kind: bird, asn: 64498, config: bird.conf}
    links:
      - {endpoints: ["h1:eth1", "customer:eth3"], addresses: [[203.0.113.2/24, "2001:db8:100::2/64"], [203.0.113.1/24, "2001:db8:100::1/64"]]}
      - {endpoints: ["customer:eth1", "isp1:eth1"], relation: customer-provider}
      - {endpoints: ["customer:eth2", "isp2:eth1"], relation: customer-provider}
      - {endpoints: ["isp1:eth2", "isp2:eth2"], relation: peer-peer}
      - {endpoints: ["isp2:eth3", "web:eth1"], addresses: [[198.51.100.1/24], [198.51.100.2/24]], mtu: 1500, delay: 5ms, jitter: 1ms, loss: 0.1%, rate: 100mbit}
      - {endpoints: ["h2:eth1", "customer:eth4"], addresses: [[192.168.1.2/24], [192.168.1.1/24]]}
      - {endpoints: [isp1, edge], relation: open, addresses: [[10.9.0.1/30], [10.9.0.2/30]]}
  policies:
    prefer-isp1: [{set: {local-pref: 200}}]
    own-only:    [{match: {origin: local}, then: accept}, {otherwise: reject}]
  tests:
    - name: the way back is the other ISP
      steps:
        - trace: {from: h1, to: web, proto: tcp, port: 80}
          expect: {reachable: true, forward: [h1, customer, isp1, isp2, web], return: [web, isp2, customer, h1], symmetric: false}
        - no-transit: customer
        - route: {node: isp2, prefix: 203.0.113.0/24}
          expect: {present: true, as-path: [64500], next-hop: customer, best-because: as-path-length}
        - session: {node: customer, neighbor: isp1}
          expect: {state: established}
        - fault: {link-down: ["customer:eth1", "isp1:eth1"]}
        - trace: {from: h1, to: web, proto: tcp, port: 80}
          within: 2s
          expect: {reachable: true, forward: [h1, customer, isp2, web]}
        - fault: {link-up: ["customer:eth1", "isp1:eth1"]}
        - rate: {from: h1, to: web, proto: tcp, for: 10s}
          expect: {mbit: {min: 9, max: 10}, limited-by: shaping}
        - nat: {node: customer, flow: {from: h2, to: web}}
          expect: {translated: 203.0.113.10}
        - exec: {node: h1, command: "curl -sf http://web/"}
          expect: {exit: 0, output: "/Directory listing/"}

  """

@Suite struct TheContractSample {
  let lab: ResolvedLab

  init() throws {
    let directory = try temporaryDirectory()
    _ = try temporaryFile([0x23], name: "bird.conf", directory: directory)
    let path = try temporaryFile(Array(contractSample.utf8), directory: directory)
    let parsed = TopologyFile.load(path: path)
    #expect(parsed.diagnostics.isEmpty, "\(shown(parsed.diagnostics))")
    lab = try #require(parsed.value)
  }

  @Test func hasItsNodesInOrderWithKindAndAS() {
    #expect(lab.name == "dual-isp")
    #expect(lab.nodes.map(\.name) == ["h1", "h2", "customer", "isp1", "isp2", "web", "edge"])
    #expect(lab.nodes.map(\.kind) == [.host, .host, .router, .router, .router, .host, .bird])
    #expect(lab.nodes.map { $0.asn?.rawValue } == [nil, nil, 64500, 64496, 64497, nil, 64498])
    #expect(lab.node("edge")?.config == lab.baseDirectory + "/bird.conf")
    #expect(lab.node("web")?.commands == ["python3 -m http.server 80"])
  }

  @Test func impairsOneLinkAndNoOther() throws {
    let impaired = lab.links.filter { $0.impairment != nil }
    #expect(impaired.map(\.a.name) == ["isp2:eth3"])
    let impairment = try #require(impaired.first?.impairment)
    #expect(impairment.canDelay && impairment.delayMicroseconds == 5000 && impairment.jitterMicroseconds == 1000)
    #expect(impairment.lossPPM == 1000 && impairment.rate == 100_000_000)
  }

  @Test func givesOutLoopbacksAroundTheWrittenOne() {
    // The written 10.255.0.1 leaves 10.255.0.0 and then 10.255.0.2.
    #expect(lab.node("customer")?.loopbacks.map(\.description) == ["10.255.0.1/32", "fd00:10:ffff::/128"])
    #expect(lab.node("isp1")?.loopbacks.map(\.description) == ["10.255.0.0/32", "fd00:10:ffff::1/128"])
    #expect(lab.node("isp2")?.loopbacks.map(\.description) == ["10.255.0.2/32", "fd00:10:ffff::2/128"])
    #expect(lab.node("edge")?.loopbacks.isEmpty == true)
    #expect(lab.node("customer")?.routerID == IPv4Address(10, 255, 0, 1))
  }

  @Test func givesOutLinkAddressesInTheOrderOfTheFile() {
    let addresses = lab.links.map { [$0.a, $0.b].map { $0.addresses.map(\.description) } }
    #expect(addresses[0] == [["203.0.113.2/24", "2001:db8:100::2/64"], ["203.0.113.1/24", "2001:db8:100::1/64"]])
    #expect(addresses[1] == [["10.0.0.0/31", "fd00:10::/127"], ["10.0.0.1/31", "fd00:10::1/127"]])
    #expect(addresses[2] == [["10.0.0.2/31", "fd00:10::2/127"], ["10.0.0.3/31", "fd00:10::3/127"]])
    #expect(addresses[3] == [["10.0.0.4/31", "fd00:10::4/127"], ["10.0.0.5/31", "fd00:10::5/127"]])
    #expect(addresses[4] == [["198.51.100.1/24", "fd00:10::6/127"], ["198.51.100.2/24", "fd00:10::7/127"]])
    #expect(addresses[6] == [["10.9.0.1/30", "fd00:10::a/127"], ["10.9.0.2/30", "fd00:10::b/127"]])
  }

  @Test func numbersInterfacesPerNodeAndNamesThoseLeftOut() {
    let customer = lab.node("customer")?.interfaces ?? []
    #expect(customer.map(\.name) == ["eth3", "eth1", "eth2", "eth4"])
    #expect(customer.map(\.index) == [2, 3, 4, 5])
    #expect(lab.links[6].a.name == "isp1:eth3")
    #expect(lab.links[6].b.name == "edge:eth1")
    let macs = lab.links.flatMap { [$0.a.mac, $0.b.mac] }
    #expect(Set(macs).count == macs.count)
    // Locally administered and unicast: the two low bits of the first byte are 10.
    #expect(macs.allSatisfy { $0.bytes[0] & 3 == 2 })
  }

  @Test func derivesOneSessionPerLinkBetweenSpeakers() throws {
    #expect(
      lab.sessions.map { "\($0.a.node)-\($0.b.node)" } == ["customer-isp1", "customer-isp2", "isp1-isp2", "isp1-edge"])
    let first = try #require(lab.sessions.first)
    #expect(first.kind == .external && first.transport == .ipv4 && first.families == [.ipv4, .ipv6])
    #expect(first.a.key == "isp1:eth1/ipv4" && first.b.key == "customer:eth1/ipv4")
    #expect(first.a.address == IPAddress("10.0.0.0") && first.b.address == IPAddress("10.0.0.1"))
    #expect(first.a.nextHopIPv6 == IPAddress("fd00:10::") && first.a.interface == "eth1")
    #expect(first.a.settings.role == .customer && first.b.settings.role == .provider && first.a.settings.roles)
    #expect(lab.sessions[2].a.settings.role == .peer)
    #expect(lab.sessions[3].a.settings.role == .open && !lab.sessions[3].a.settings.roles)
    #expect(lab.sessions[3].b.daemon)
  }

  @Test func mergesWhatIsWrittenForANeighbor() throws {
    let session = try #require(lab.sessions.first)
    let ours = session.a.settings
    #expect(ours.importPolicy == .policy("prefer-isp1") && ours.exportPolicy == .policy("own-only"))
    #expect(ours.md5 == "s3cret" && ours.ttlSecurity && ours.maxPrefix == 1000 && ours.allowOwnAS == 1)
    #expect(ours.removePrivateAS == .all && ours.gracefulRestart == 120 && ours.sendCommunities)
    // Written on one end, held by both.
    #expect(session.b.settings.md5 == "s3cret" && session.b.settings.ttlSecurity)
    // The rest is each end's own.
    #expect(session.b.settings.importPolicy == .unset && session.b.settings.maxPrefix == 0)
    #expect(session.b.settings.timers == BGPTimers(keepalive: 3, hold: 9, connectMilliseconds: 1000))
    #expect(lab.node("customer")?.bgp?.multipath == 4)
  }

  @Test func resolvesPolicies() {
    #expect(lab.policies.map(\.name) == ["prefer-isp1", "own-only"])
    #expect(lab.policies[0].statements.map(\.then) == [.next])
    #expect(lab.policies[0].statements[0].set?.localPref == 200)
    #expect(lab.policies[1].statements.map(\.then) == [.accept, .reject])
    #expect(lab.policies[1].statements[0].match?.origins == [.local])
  }

  @Test func knowsRoutesAndWhatNoInterfaceCovers() {
    // 203.0.113.0/24 stands on eth3; of 2001:db8:100::/48 only a /64 does.
    #expect(lab.node("customer")?.unreachable.map(\.description) == ["2001:db8:100::/48"])
    #expect(lab.node("isp1")?.unreachable.map(\.description) == ["192.0.2.0/24"])
    #expect(lab.node("isp2")?.unreachable.isEmpty == true)
    #expect(
      lab.node("customer")?.routes.map { "\($0.to) \($0.gateway) \($0.interface) \($0.derived)" } == [
        "198.18.0.0/15 10.0.0.1 eth1 false"
      ])
    #expect(
      lab.node("h1")?.routes.map { "\($0.to) \($0.gateway) \($0.interface) \($0.derived)" } == [
        "0.0.0.0/0 203.0.113.1 eth1 true", "::/0 2001:db8:100::1 eth1 true",
      ])
    #expect(
      lab.node("customer")?.sysctls == [
        "net.ipv4.ip_default_ttl": "255", "net.ipv4.tcp_congestion_control": "cubic",
      ])
  }

  @Test func writesHostsByFirstInterfaceAndRoutersByLoopback() {
    #expect(
      lab.hosts == """
        127.0.0.1 localhost
        ::1 localhost ip6-localhost ip6-loopback
        203.0.113.2 h1
        2001:db8:100::2 h1
        192.168.1.2 h2
        fd00:10::8 h2
        10.255.0.1 customer
        fd00:10:ffff:: customer
        10.255.0.0 isp1
        fd00:10:ffff::1 isp1
        10.255.0.2 isp2
        fd00:10:ffff::2 isp2
        198.51.100.2 web
        10.9.0.2 edge
        fd00:10::b edge

        """)
  }

  @Test func typesItsTests() throws {
    let test = try #require(lab.tests.first)
    #expect(test.name == "the way back is the other ISP" && test.steps.count == 10)
    #expect(
      test.steps[0].action
        == .trace(
          TraceStep(
            from: "h1", to: "web", transport: .tcp, port: 80, reachable: true,
            forward: ["h1", "customer", "isp1", "isp2", "web"], back: ["web", "isp2", "customer", "h1"],
            symmetric: false)))
    #expect(test.steps[1].action == .noTransit(NoTransitStep(node: "customer", exceptCustomers: false)))
    guard case .route(let route) = test.steps[2].action else { throw Unexpected() }
    #expect(route.prefix == IPPrefix("203.0.113.0/24") && route.asPath == [ASNumber(64500)])
    #expect(route.nextHops == ["customer"] && route.bestBecause == "as-path-length")
    guard case .fault(let fault) = test.steps[4].action else { throw Unexpected() }
    #expect(fault.kind == .linkDown && fault.targets == ["customer:eth1", "isp1:eth1"])
    #expect(test.steps[5].withinMilliseconds == 2000)
    guard case .exec(let exec) = test.steps[9].action else { throw Unexpected() }
    #expect(exec.exit == 0 && exec.output == .pattern("Directory listing"))
  }

  @Test func typesWhatTheCustomerDoesWithPackets() throws {
    let functions = try #require(lab.node("customer")?.functions)
    #expect(
      functions.nat.map(\.origin.text) == [
        "snat out eth1 from 192.168.1.0/24 to 203.0.113.10", "dnat in eth1 proto tcp port 80 to 192.168.1.10:8080",
        "map inside 192.168.2.0/28 outside 203.0.113.16/28", "masquerade out eth1 from 192.168.0.0/16",
      ])
    let pool = try #require(IPAddress("203.0.113.10"))
    let server = try #require(IPAddress("192.168.1.10"))
    #expect(
      functions.nat[0].match.outgoing == ["eth1"]
        && functions.nat[0].match.from.map(\.description) == ["192.168.1.0/24"])
    #expect(functions.nat[0].translation == .source(pool...pool, ports: nil, persistent: false, random: false))
    // The address that eth1 was given, since none is written.
    #expect(
      functions.nat[1].match.to.map(\.description) == ["10.0.0.0/32"] && functions.nat[1].match.ports == [80...80])
    #expect(
      functions.nat[1].translation == .destination(server...server, ports: 8080...8080, hairpin: false, inside: []))
    #expect(functions.filter.map(\.then) == [.accept, .drop, .accept])
    #expect(functions.filter[0].match?.ports == [80...80, 443...443])
    #expect(functions.filter[1].match?.connectionsOver == 100 && functions.filter[2].match == nil)
    #expect(functions.filter[0].origin.text == "filter in eth1 proto tcp port 80,443 accept")
    let qos = try #require(functions.qos.first)
    // RFC 3246: ef is 46. 64 * 1024 bytes.
    #expect(qos.interface == "eth1" && qos.shaper?.rate == 10_000_000 && qos.shaper?.burst == 65536)
    let voice = try #require(qos.shaper?.classes.first)
    #expect(voice.name == "voice" && voice.match.dscp == [46] && voice.rate == 2_000_000 && voice.ceil == 10_000_000)
    #expect(voice.priority == 1)
    #expect(
      voice.origin.text == "shape eth1 10mbit class voice rate 2mbit ceil 10mbit priority 1 match dscp ef")
    #expect(qos.policers.map(\.limit) == [.rate(5_000_000)] && qos.policers.map(\.burst) == [65536])
    #expect(lab.node("h1")?.functions.published.map { [$0.outer, $0.inner] } == [[8080, 80]])
    #expect(lab.node("isp1")?.functions == PacketFunctions() && !lab.repairsDrift)
  }

  @Test func typesItsRateAndNATSteps() throws {
    let steps = try #require(lab.tests.first?.steps)
    guard case .rate(let rate) = steps[7].action, case .nat(let nat) = steps[8].action else { throw Unexpected() }
    #expect(rate.from == "h1" && rate.to == "web" && rate.transport == .tcp && rate.port == 5201)
    #expect(rate.milliseconds == 10_000 && rate.minimum == 9 && rate.maximum == 10 && rate.limitedBy == .shaping)
    #expect(nat.node == "customer" && nat.from == "h2" && nat.to == "web" && nat.transport == .icmp)
    #expect(nat.translated == IPAddress("203.0.113.10") && !nat.untouched && nat.reachable == nil)
  }

  @Test func isTheSameEveryTime() {
    let again = TopologyFile.load(path: lab.file).value
    #expect(again == lab)
  }
}

struct Unexpected: Error {}
