import Intent
import NetTypes
import NorthboundAPI
import Testing
import Topology

@testable import Controller

/// Verdicts on whole labs, from tables written by hand. What must come out follows from the drawing above each.
@Suite("Checks of a whole lab") struct CheckTests {
  private static let lab = """
    name: square
    topology:
      nodes:
        h1: {kind: host}
        customer: {kind: router, asn: 64500, networks: [203.0.113.0/24, 192.0.2.128/25]}
        isp1: {kind: router, asn: 64496, networks: [192.0.2.0/25]}
        isp2: {kind: router, asn: 64497, networks: [198.51.100.0/24]}
        web: {kind: host}
      links:
        - {endpoints: ["h1:eth1", "customer:eth3"], addresses: [[203.0.113.2/24], [203.0.113.1/24]]}
        - {endpoints: ["customer:eth1", "isp1:eth1"], relation: customer-provider, addresses: [[10.1.0.1/31], [10.1.0.0/31]]}
        - {endpoints: ["customer:eth2", "isp2:eth1"], relation: customer-provider, addresses: [[10.2.0.1/31], [10.2.0.0/31]]}
        - {endpoints: ["isp1:eth2", "isp2:eth2"], relation: peer-peer, addresses: [[10.3.0.0/31], [10.3.0.1/31]]}
        - {endpoints: ["isp2:eth3", "web:eth1"], addresses: [[198.51.100.1/24], [198.51.100.2/24]]}
    """

  private let lab: ResolvedLab
  private let book: AddressBook

  init() throws {
    let parsed = TopologyFile.parse(text: Self.lab, file: "square.yaml", baseDirectory: "/tmp")
    lab = try #require(parsed.value, "\(parsed.diagnostics)")
    book = AddressBook(
      machinePlan(of: lab, in: PlanContext(environment: [], machine: "here", programs: "/", topology: "/")))
  }

  private func route(
    _ prefix: String, _ gateways: String..., proto: String = "bgp", kind: String = "unicast", metric: UInt32 = 20,
    on interface: String? = nil
  ) -> KernelRoute {
    KernelRoute(
      prefix: prefix, kind: kind,
      nextHops: gateways.map { RouteNextHop(address: $0, interface: nil, node: nil, weight: 1) }
        + (interface.map { [RouteNextHop(address: nil, interface: $0, node: nil, weight: 1)] } ?? []),
      proto: proto, metric: metric)
  }

  /// What each kernel holds when all is well.
  private var healthy: [String: [KernelRoute]] {
    let lan = route("203.0.113.0/24", proto: "kernel", metric: 0, on: "eth3")
    return [
      "h1": [
        route("0.0.0.0/0", "203.0.113.1", proto: "static"),
        route("203.0.113.0/24", proto: "kernel", metric: 0, on: "eth1"),
      ],
      "customer": [
        lan, route("192.0.2.128/25", proto: "static", kind: "unreachable"), route("192.0.2.0/25", "10.1.0.0"),
        route("198.51.100.0/24", "10.2.0.0"),
      ],
      "isp1": [
        route("192.0.2.0/25", proto: "static", kind: "unreachable"), route("203.0.113.0/24", "10.1.0.1"),
        route("192.0.2.128/25", "10.1.0.1"), route("198.51.100.0/24", "10.3.0.1"),
      ],
      "isp2": [
        route("198.51.100.0/24", proto: "kernel", metric: 0, on: "eth3"), route("203.0.113.0/24", "10.2.0.1"),
        route("192.0.2.128/25", "10.2.0.1"), route("192.0.2.0/25", "10.3.0.0"),
      ],
      "web": [
        route("0.0.0.0/0", "198.51.100.1", proto: "static"),
        route("198.51.100.0/24", proto: "kernel", metric: 0, on: "eth1"),
      ],
    ]
  }

  private func checks(_ tables: [String: [KernelRoute]]) -> ForwardingChecks {
    var all = LabTables(ForwardingPicture(book))
    for node in lab.nodes { all.add(node, kernel: tables[node.name] ?? [], bgp: nil) }
    return ForwardingChecks(picture: all.picture, subjects: CheckSubjects(lab) { _ in true })
  }

  @Test func `a healthy lab has no loop and no black hole, and is found to have been looked at`() {
    let checks = checks(healthy)
    let (loops, holes) = (checks.loops(), checks.blackholes())
    #expect(loops.holds && loops.violations.isEmpty && loops.examined > 0)
    #expect(holes.holds && holes.violations.isEmpty, "\(holes.violations)")
    // Four prefixes, three routers.
    #expect(holes.examined == 12)
  }

  @Test func `two defaults that point at each other are a loop, at the router that was told by hand`() throws {
    var tables = healthy
    tables["isp1"]?.append(route("0.0.0.0/0", "10.3.0.1", proto: "static", metric: 0))
    tables["isp2"]?.append(route("0.0.0.0/0", "10.3.0.0", proto: "bgp"))
    tables["isp1"]?.removeAll { $0.prefix == "198.51.100.0/24" }
    tables["isp2"]?.removeAll { $0.prefix == "203.0.113.0/24" }
    tables["isp1"]?.removeAll { $0.prefix == "203.0.113.0/24" }
    let loops = checks(tables).loops()
    #expect(!loops.holds && loops.violations.count == 1)
    let violation = try #require(loops.violations.first)
    #expect(violation.node == "isp1" && violation.because == "static" && violation.prefix == "0.0.0.0/0")
    #expect(violation.path == ["isp1", "isp2", "isp1"] || violation.path == ["isp2", "isp1", "isp2"])
  }

  @Test func `one branch of a multipath route is enough for a loop`() {
    var tables = healthy
    tables["customer"]?.removeAll { $0.prefix == "198.51.100.0/24" }
    tables["customer"]?.append(route("198.51.100.0/24", "10.1.0.0", "10.2.0.0"))
    tables["isp1"]?.removeAll { $0.prefix == "198.51.100.0/24" }
    tables["isp1"]?.append(route("198.51.100.0/24", "10.1.0.1"))
    let loops = checks(tables).loops()
    #expect(loops.violations.map { Set($0.path ?? []) } == [["customer", "isp1"]])
  }

  @Test func `a router that has lost the route is a black hole for those who send to it`() throws {
    var tables = healthy
    tables["isp1"]?.removeAll { $0.prefix == "203.0.113.0/24" }
    tables["isp2"]?.removeAll { $0.prefix == "203.0.113.0/24" }
    tables["isp2"]?.append(route("203.0.113.0/24", "10.3.0.0"))
    let holes = checks(tables).blackholes()
    let violation = try #require(holes.violations.first)
    #expect(holes.violations.count == 1 && !holes.holds)
    #expect(violation.node == "isp1" && violation.because == "no-route" && violation.prefix == "203.0.113.0/24")
    #expect(violation.path == ["isp2", "isp1"])
  }

  @Test func `the unreachable route of one's own network is no black hole, another's is`() {
    #expect(checks(healthy).blackholes().holds)
    var tables = healthy
    tables["isp2"]?.append(route("192.0.2.128/25", proto: "static", kind: "blackhole", metric: 0))
    let holes = checks(tables).blackholes()
    #expect(holes.holds, "isp2 has no unicast route to it, so it sends nothing there: \(holes.violations)")
    tables["isp1"]?.removeAll { $0.prefix == "192.0.2.128/25" }
    tables["isp1"]?.append(route("192.0.2.128/25", "10.3.0.1"))
    let seen = checks(tables).blackholes()
    #expect(seen.violations.map(\.node) == ["isp2"] && seen.violations.first?.because == "blackhole")
  }

  @Test func `somebody else's aggregate is no place to arrive at`() throws {
    // isp1 originates 203.0.0.0/16 too, and has lost the customer's /24 of it.
    let yaml = Self.lab.replacing(
      "networks: [192.0.2.0/25]}", with: "networks: [192.0.2.0/25, 203.0.0.0/16]}")
    let lab = try #require(TopologyFile.parse(text: yaml, file: "square.yaml", baseDirectory: "/tmp").value)
    var tables = healthy
    tables["isp1"]?.removeAll { $0.prefix == "203.0.113.0/24" }
    tables["isp1"]?.append(route("203.0.0.0/16", proto: "static", kind: "unreachable"))
    tables["isp2"]?.removeAll { $0.prefix == "203.0.113.0/24" }
    tables["isp2"]?.append(route("203.0.0.0/16", "10.3.0.0"))
    var all = LabTables(ForwardingPicture(book))
    for node in lab.nodes { all.add(node, kernel: tables[node.name] ?? [], bgp: nil) }
    let holes = ForwardingChecks(picture: all.picture, subjects: CheckSubjects(lab) { _ in true }).blackholes()
    #expect(holes.violations.map { "\($0.node) \($0.prefix ?? "")" } == ["isp1 203.0.113.0/24"])
  }

  @Test func `what the tables do not carry is unreachable, at the router that ends it`() throws {
    var tables = healthy
    tables["customer"]?.removeAll { $0.prefix == "198.51.100.0/24" }
    let checks = checks(tables)
    let web = try #require(checks.subjects.destinations.first { $0.holder == "web" })
    let violation = try #require(checks.unreachable("h1", web))
    #expect(violation.node == "customer" && violation.because == "no-route")
    #expect(violation.path == ["h1", "customer"])
    #expect(checks.unreachable("web", web) == nil)
  }

  @Test func `every sender and every destination is among few pairs`() {
    let subjects = CheckSubjects(lab) { _ in true }
    // Held by an address: h1's and web's prefixes. customer and isp2 have addresses of their own in them.
    #expect(
      Set(subjects.destinations.filter { $0.holder != nil }.map(\.prefix.description)) == [
        "203.0.113.0/24", "198.51.100.0/24",
      ])
    #expect(Set(subjects.senders.map(\.name)) == ["h1", "web", "customer", "isp2"])
    #expect(Set(subjects.pairs(limit: 4).map(\.from)).count == 4)
    #expect(subjects.pairs(limit: Int.max).count == 6)
    #expect(subjects.senderPairs(limit: Int.max).count == 6)
  }
}

@Suite("Valley-free") struct ValleyCheckTests {
  private let check: ValleyCheck
  private let lab: ResolvedLab

  /// 64510 ── 64511 are peers; 64500 is a customer of both; 64501 of 64511; 64520 is open with 64500.
  init() throws {
    let yaml = """
      name: relations
      topology:
        nodes:
          big1: {kind: router, asn: 64510}
          big2: {kind: router, asn: 64511}
          small: {kind: router, asn: 64500}
          other: {kind: router, asn: 64501}
          friend: {kind: router, asn: 64502}
        links:
          - {endpoints: [small, big1], relation: customer-provider}
          - {endpoints: [small, big2], relation: customer-provider}
          - {endpoints: [other, big2], relation: customer-provider}
          - {endpoints: [big1, big2], relation: peer-peer}
          - {endpoints: [small, friend], relation: open}
      """
    let parsed = TopologyFile.parse(text: yaml, file: "relations.yaml", baseDirectory: "/tmp")
    lab = try #require(parsed.value, "\(parsed.diagnostics)")
    check = ValleyCheck(lab)
  }

  /// The viewer in front, the origin last.
  @Test(
    arguments: [
      [64510, 64500], [64500, 64510], [64500, 64510, 64511, 64501], [64510, 64511, 64501], [64501, 64511, 64510],
      [64501, 64511, 64510, 64500], [64510, 64500, 64500, 64500], [64502, 64500, 64510], [64999, 64500],
    ] as [[UInt32]])
  func `up, across once and down is no leak`(path: [UInt32]) {
    #expect(check.leak(in: path) == nil)
  }

  @Test func `a customer that passes on one provider's route to the other is the leaker`() {
    let leak = check.leak(in: [64511, 64500, 64510])
    #expect(leak == ValleyCheck.Leak(leaker: 64500, learnedFrom: 64510, sentTo: 64511))
    #expect(leak.flatMap(check.router) == "small")
    // Seen from further away, and with prepending, it is the same leak.
    #expect(check.leak(in: [64501, 64511, 64500, 64500, 64510]) == leak)
    // A friend to whom everything goes makes no customer of what came from a provider.
    #expect(check.leak(in: [64510, 64500, 64502]) == nil)
  }

  @Test func `a peer's route passed on to a peer is a leak`() throws {
    let yaml = """
      name: peers
      topology:
        nodes:
          a: {kind: router, asn: 64496}
          b: {kind: router, asn: 64497}
          c: {kind: router, asn: 64498}
        links:
          - {endpoints: [a, b], relation: peer-peer}
          - {endpoints: [b, c], relation: peer-peer}
      """
    let lab = try #require(TopologyFile.parse(text: yaml, file: "peers.yaml", baseDirectory: "/tmp").value)
    #expect(
      ValleyCheck(lab).leak(in: [64498, 64497, 64496])
        == ValleyCheck.Leak(leaker: 64497, learnedFrom: 64496, sentTo: 64498))
    #expect(ValleyCheck(lab).stubs(lab).map(\.asn) == [64497])
  }

  @Test func `clients of a route server are peers of each other, though its number stands in no path`() throws {
    let yaml = """
      name: exchange
      topology:
        nodes:
          rs: {kind: router, asn: 64600}
          a: {kind: router, asn: 64501}
          b: {kind: router, asn: 64502}
          up: {kind: router, asn: 64510}
        links:
          - {endpoints: [a, rs], relation: route-server}
          - {endpoints: [b, rs], relation: route-server}
          - {endpoints: [a, up], relation: customer-provider}
          - {endpoints: [b, up], relation: customer-provider}
      """
    let lab = try #require(TopologyFile.parse(text: yaml, file: "exchange.yaml", baseDirectory: "/tmp").value)
    let check = ValleyCheck(lab)
    #expect(check.leak(in: [64502, 64501]) == nil)
    // a's provider's route to the exchange; the exchange's route to b's provider.
    #expect(
      check.leak(in: [64502, 64501, 64510]) == ValleyCheck.Leak(leaker: 64501, learnedFrom: 64510, sentTo: 64502))
    #expect(
      check.leak(in: [64510, 64502, 64501]) == ValleyCheck.Leak(leaker: 64502, learnedFrom: 64501, sentTo: 64510))
  }

  @Test func `stubs are those with two neighbors that are nobody's provider and open to nobody`() {
    // small is open to a friend, other has one provider only.
    #expect(check.stubs(lab).isEmpty)
  }
}

@Suite("FIB equals RIB") struct FIBCheckTests {
  private func best(_ prefix: String, via hop: String, multipath: Bool = false, best: Bool = true) -> BGPRoute {
    BGPRoute(
      prefix: prefix, best: best, multipath: multipath, usable: true, unusableBecause: nil, neighbor: "n", nextHop: hop,
      nextHopNode: nil, asPath: [64496], asPathText: "64496", origin: "igp", med: nil, localPref: nil, weight: 0,
      communities: [], largeCommunities: [], otc: nil, because: nil, igpCost: nil, stale: false, rejected: false,
      originatorID: nil, clusterList: [])
  }

  private func kernel(_ prefix: String, _ hops: [String?], proto: String = "bgp") -> KernelRoute {
    KernelRoute(
      prefix: prefix, kind: "unicast",
      nextHops: hops.map { RouteNextHop(address: $0, interface: "eth1", node: nil, weight: 1) }, proto: proto,
      metric: 20)
  }

  private func violations(_ bgp: [BGPRoute], _ rows: [KernelRoute]) -> [String] {
    FIBCheck(node: "r1", bgp: bgp, kernel: rows).violations().map { "\($0.because) \($0.prefix ?? "")" }
  }

  @Test func `missing, excess and wrong next hops are told apart`() {
    let link = kernel("10.0.0.0/31", [nil], proto: "kernel")
    let route = best("192.0.2.0/24", via: "10.0.0.1")
    #expect(violations([route], [link, kernel("192.0.2.0/24", ["10.0.0.1"])]).isEmpty)
    #expect(violations([route], [link]) == ["missing 192.0.2.0/24"])
    #expect(violations([route], [link, kernel("192.0.2.0/24", ["10.9.0.1"])]) == ["next-hop 192.0.2.0/24"])
    #expect(violations([], [link, kernel("192.0.2.0/24", ["10.0.0.1"])]) == ["excess 192.0.2.0/24"])
    #expect(violations([], [link, kernel("192.0.2.0/24", ["10.0.0.1"], proto: "static")]).isEmpty)
  }

  @Test func `a next hop behind the AS's own routers is looked up, every path of a multipath counts`() {
    let way = kernel("10.255.0.9/32", ["10.0.0.1"], proto: "igp")
    #expect(
      violations([best("192.0.2.0/24", via: "10.255.0.9")], [way, kernel("192.0.2.0/24", ["10.0.0.1"])]).isEmpty)
    let paths = [
      best("192.0.2.0/24", via: "10.0.0.1"), best("192.0.2.0/24", via: "10.0.0.3", multipath: true, best: false),
    ]
    #expect(violations(paths, [kernel("192.0.2.0/24", ["10.0.0.3", "10.0.0.1"])]).isEmpty)
    #expect(violations(paths, [kernel("192.0.2.0/24", ["10.0.0.1"])]) == ["next-hop 192.0.2.0/24"])
    #expect(violations([best("192.0.2.0/24", via: "10.0.0.1", best: false)], []).isEmpty)
  }
}
