import NetTypes
import Testing

@testable import Netlink

@Suite(.enabled(if: Kernel.isAllowed)) struct RouteTests {
  @Test func `addresses are usable at once and listed`() throws {
    let pair = try Pair()
    let listed = try pair.socketA.addresses(of: 7).filter { !$0.address.address.isLinkLocal }
    #expect(listed.map(\.address.description).sorted() == ["10.7.0.1/24", "fd07::1/64"])
    #expect(listed.allSatisfy { !$0.isTentative })
    #expect(try Kernel.output(of: "ip -o addr show v0", in: pair.a).contains("inet6 fd07::1/64 scope global nodad"))
    let old = try onLink("10.7.0.1/24")
    try pair.socketA.commit { $0.deleteAddress(old, from: 7) }
    #expect(try !Kernel.output(of: "ip -o addr show v0", in: pair.a).contains("10.7.0.1"))
  }

  @Test func `a permanent neighbour needs no ARP`() throws {
    let pair = try Pair()
    let (address, mac) = (try ip("10.7.0.2"), MACAddress(rawValue: 0x02_00_00_00_07_02))
    try pair.socketA.commit { $0.addPermanentNeighbour(address, mac: mac, on: 7) }
    let shown = try Kernel.output(of: "ip neigh show dev v0 10.7.0.2", in: pair.a)
    #expect(shown.contains("lladdr 02:00:00:00:07:02 PERMANENT"))
    #expect(try pair.socketA.neighbours().contains { $0.address == address && $0.mac == mac && $0.isPermanent })
    try pair.socketA.commit { $0.deleteNeighbour(address, on: 7) }
    #expect(try Kernel.output(of: "ip neigh show dev v0 10.7.0.2", in: pair.a).contains("PERMANENT") == false)
  }

  /// Each route as written, and the words `ip route` must show for it.
  static let cases: [(Route, String, [String])] = {
    func route(_ text: String, _ hops: [(String?, UInt32)], kind: RouteKind = .unicast, metric: UInt32 = 0) -> Route? {
      guard let prefix = IPPrefix(text) else { return nil }
      return Route(
        prefix,
        hops: hops.map { Route.Hop($0.0.flatMap { IPAddress($0) }, link: kind == .unicast ? 7 : nil, weight: $0.1) },
        kind: kind, protocol: .netloomIGP, metric: metric)
    }
    let all: [(Route?, String, [String])] = [
      (
        route("198.51.100.0/24", [("10.7.0.2", 1)], metric: 50), "ip route",
        ["via 10.7.0.2 dev v0 proto ospf metric 50"]
      ),
      (route("2001:db8:1::/48", [("fd07::2", 1)]), "ip -6 route", ["via fd07::2 dev v0 proto ospf metric 1024"]),
      (route("203.0.113.0/24", [("fd07::2", 1)]), "ip route", ["via inet6 fd07::2 dev v0 proto ospf"]),
      (
        route("192.0.2.0/24", [("10.7.0.2", 1), ("10.7.0.3", 3)]), "ip route",
        ["nexthop via 10.7.0.2 dev v0 weight 1", "nexthop via 10.7.0.3 dev v0 weight 3"]
      ),
      (
        route("192.0.3.0/24", [("10.7.0.2", 1), ("fd07::3", 2)]), "ip route",
        ["nexthop via 10.7.0.2 dev v0 weight 1", "nexthop via inet6 fd07::3 dev v0 weight 2"]
      ),
      (
        route("2001:db8:2::/48", [("fd07::2", 1), ("fd07::3", 2)]), "ip -6 route",
        ["nexthop via fd07::2 dev v0 weight 1", "nexthop via fd07::3 dev v0 weight 2"]
      ),
      (route("10.99.0.0/16", [(nil, 1)]), "ip route", ["dev v0 proto ospf scope link"]),
      (route("203.0.114.0/24", [], kind: .unreachable), "ip route", ["unreachable 203.0.114.0/24 proto ospf"]),
      (
        route("2001:db8:3::/48", [], kind: .unreachable), "ip -6 route",
        ["unreachable 2001:db8:3::/48 dev lo proto ospf"]
      ),
      (route("203.0.115.0/24", [], kind: .blackhole), "ip route", ["blackhole 203.0.115.0/24 proto ospf"]),
    ]
    return all.compactMap { entry in entry.0.map { ($0, entry.1, entry.2) } }
  }()

  @Test(arguments: 0..<10) func `a route reads back as written, and as ip shows it`(index: Int) throws {
    let (route, command, words) = Self.cases[index]
    let pair = try Pair()
    try pair.socketA.commit { $0.setRoute(route, .add) }
    let shown = try Kernel.output(of: "\(command) show \(route.destination)", in: pair.a)
    for word in words { #expect(shown.contains(word), "\(shown)") }
    var read = try #require(try pair.socketA.routes(.init(protocol: .netloomIGP)).first)
    if route.destination.family == .ipv6, route.metric == 0 {
      #expect(read.metric == 1024)
      read.metric = 0
    }
    #expect(read == route)
    #expect(throws: KernelError.self) { try pair.socketA.commit { $0.setRoute(route, .add) } }
    try pair.socketA.commit { $0.setRoute(route, .replace) }
    try pair.socketA.commit { $0.deleteRoute(route) }
    #expect(try pair.socketA.routes(.init(protocol: .netloomIGP)).isEmpty)
  }

  @Test func `routes follow a nexthop group when it is replaced`() throws {
    let pair = try Pair()
    let hops = try ["10.7.0.2", "10.7.0.3"].map { try ip($0) }
    let prefix = try net("198.51.100.0/24")
    try pair.socketA.commit { batch in
      for (index, hop) in hops.enumerated() {
        let id = NexthopID(rawValue: UInt32(index + 1))
        batch.setNexthop(Nexthop(id: id, target: .gateway(hop, 7), family: .ipv4))
      }
      batch.setNexthop(
        Nexthop(
          id: NexthopID(rawValue: 9), target: .group([.init(NexthopID(rawValue: 1))]), family: nil))
      batch.setRoute(prefix, nexthop: NexthopID(rawValue: 9), protocol: .bgp)
    }
    #expect(
      try Kernel.output(of: "ip route show \(prefix)", in: pair.a).contains("nhid 9 via 10.7.0.2 dev v0 proto bgp"))
    let group = Nexthop(
      id: NexthopID(rawValue: 9),
      target: .group([.init(NexthopID(rawValue: 1), weight: 300), .init(NexthopID(rawValue: 2), weight: 5)]),
      family: nil)
    try pair.socketA.commit { $0.setNexthop(group) }
    let read = try pair.socketA.nexthops()
    #expect(read.last?.target == group.target)
    #expect(try pair.socketA.routes(.init(protocol: .bgp)).first?.hops.map(\.gateway) == hops)
    let other = try net("10.7.9.0/24")
    try pair.socketA.commit { $0.deleteNexthop(NexthopID(rawValue: 9)) }
    #expect(try pair.socketA.routes(.init(protocol: .bgp)).isEmpty)
    #expect(throws: KernelError.self) {
      try pair.socketA.commit { $0.setRoute(other, nexthop: NexthopID(rawValue: 9), protocol: .bgp) }
    }
  }

  @Test func `a policy rule asks for protocol, ports and code point, and reads back as written`() throws {
    let pair = try Pair()
    var rule = Rule(
      .ipv4, priority: 10_001, table: RouteTable(rawValue: 5000), source: try net("10.0.0.0/8"),
      inputInterface: InterfaceName("v0"))
    (rule.transport, rule.sourcePorts, rule.destinationPorts) = (6, 1024...65000, 80...80)
    let other = Rule(.ipv6, priority: 10_001, table: .main, destination: try net("fd00::/16"))
    let monitor = try Monitor(.rules, in: pair.a)
    try pair.socketA.commit { batch in
      batch.addRule(rule)
      batch.addRule(other)
    }
    let shown = try Kernel.output(of: "ip rule; ip -6 rule", in: pair.a)
    #expect(
      shown.contains(
        "10001:\tfrom 10.0.0.0/8 iif v0 ipproto tcp sport 1024-65000 dport 80 lookup 5000 proto static"), "\(shown)")
    #expect(shown.contains("10001:\tfrom all to fd00::/16 lookup main"), "\(shown)")
    #expect(try pair.socketA.rules(.ipv4).contains(rule) && pair.socketA.rules(.ipv6).contains(other))
    let events = try monitor.read().events
    #expect(events == [.rule(rule), .rule(other)])
    try pair.socketA.commit { $0.deleteRule(rule) }
    #expect(try monitor.read().events == [.ruleRemoved(rule)])
    #expect(try !pair.socketA.rules(.ipv4).contains(rule))
    if try NetlinkSocket.canRouteByCodePoint() {
      rule.codePoint = 46
      try pair.socketA.commit { $0.addRule(rule) }
      #expect(try pair.socketA.rules(.ipv4).contains(rule))
    }
  }

  @Test func `routes of a table beyond 255 are read, and of a table that is not there none`() throws {
    let pair = try Pair()
    let table = RouteTable(rawValue: 5007)
    #expect(try pair.socketA.routes(.init(table: table)).isEmpty)
    try pair.socketA.commit { batch in
      for (prefix, gateway) in [("0.0.0.0/0", "10.7.0.2"), ("::/0", "fd07::2")] {
        guard let destination = IPPrefix(prefix), let hop = IPAddress(gateway) else { continue }
        batch.setRoute(Route(destination, hops: [Route.Hop(hop, link: 7)], metric: 9, table: table))
      }
    }
    #expect(try pair.socketA.routes(.init(table: table)).map(\.destination.description) == ["0.0.0.0/0", "::/0"])
    #expect(try Kernel.output(of: "ip route show table 5007", in: pair.a).contains("default via 10.7.0.2 dev v0"))
  }

  @Test func `a rule reads back as written`() throws {
    let pair = try Pair()
    let table = RouteTable(rawValue: 1000)
    let rule = Rule(
      .ipv4, priority: 100, table: table, source: try net("10.1.0.0/16"), destination: try net("10.2.0.0/16"), mark: 5,
      inputInterface: try name("v0"))
    try pair.socketA.commit { $0.addRule(rule) }
    #expect(
      try Kernel.output(of: "ip rule", in: pair.a).contains(
        "100:\tfrom 10.1.0.0/16 to 10.2.0.0/16 fwmark 0x5 iif v0 lookup 1000"))
    #expect(try pair.socketA.rules(.ipv4).first { $0.priority == 100 } == rule)
    try pair.socketA.commit { $0.deleteRule(rule) }
    #expect(try !pair.socketA.rules(.ipv4).contains { $0.priority == 100 })
  }

  @Test func `the route to an address is the one that covers it`() throws {
    let pair = try Pair()
    #expect(try pair.socketA.route(to: ip("10.7.0.9"))?.destination == net("10.7.0.0/24"))
    #expect(try pair.socketA.route(to: ip("192.0.2.1")) == nil)
  }

  @Test func `sysctls are written in the namespace and nowhere else`() throws {
    let pair = try Pair()
    try Sysctl.write([.init("net.ipv4.ip_forward", "1"), .init("net.ipv4.conf.v0.rp_filter", "2")], in: pair.a)
    let command = "cat /proc/sys/net/ipv4/ip_forward"
    #expect(try Kernel.output(of: command, in: pair.a) == "1\n")
    #expect(try Kernel.output(of: command, in: pair.b) == "0\n")
    #expect(try pair.a.run { () throws(KernelError) in try Sysctl.read("net.ipv4.conf.v0.rp_filter") } == "2")
    #expect(throws: KernelError.self) { try Sysctl.write([.init("net.ipv4.none", "1")], in: pair.a) }
  }
}
