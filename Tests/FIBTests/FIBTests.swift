import NetTypes
import Netlink
import Testing

@testable import FIB

@Suite(.enabled(if: Router.isAllowed)) struct FIBTests {
  @Test func `a few routes are in the kernel when commit returns`() throws {
    let router = try Router()
    router.fib.set(try net("198.51.100.0/24"), to: 2, nextHops: Router.nextHops)
    router.fib.set(try net("2001:db8::/32"), to: 3, nextHops: Router.nextHops6)
    router.fib.commit(version: 17)
    #expect(router.fib.acknowledgedVersion == 17 && router.fib.isIdle && router.fib.routeCount == 2)
    #expect(
      try router.output("ip route show proto bgp").contains("198.51.100.0/24 nhid 1 via 10.7.0.2 dev v0 metric 20"))
    #expect(
      try router.output("ip -6 route show proto bgp").contains("2001:db8::/32 nhid 2 via fd07::3 dev v0 metric 1044"))
    router.fib.set(try net("198.51.100.0/24"), to: FIB.noSet, nextHops: Router.nextHops)
    router.fib.commit(version: 18)
    #expect(router.fib.acknowledgedVersion == 18)
    #expect(try router.output("ip route show proto bgp").isEmpty)
    #expect(try router.output("ip nexthop").split(separator: "\n").count == 1, "its nexthop object goes with it")
    #expect(router.events.isEmpty)
  }

  @Test func `a set of several next hops is a group, and IPv4 may leave over IPv6`() throws {
    let router = try Router()
    router.fib.set(try net("198.51.100.0/24"), to: 23, nextHops: Router.nextHops)
    router.fib.set(try net("203.0.113.0/24"), to: 45, nextHops: Router.nextHops6)
    router.fib.commit(version: 1)
    let shown = try router.output("ip route show proto bgp")
    #expect(
      shown.contains("nexthop via 10.7.0.2 dev v0 weight 1") && shown.contains("nexthop via 10.7.0.3 dev v0 weight 1"))
    #expect(shown.contains("via inet6 fd07::4 dev v0") && shown.contains("via inet6 fd07::5 dev v0"))
    router.fib.set(try net("198.51.100.0/24"), to: FIB.noSet, nextHops: Router.nextHops)
    router.fib.set(try net("203.0.113.0/24"), to: FIB.noSet, nextHops: Router.nextHops)
    router.fib.commit(version: 2)
    #expect(try router.output("ip nexthop").isEmpty, "members go with their groups")
    #expect(router.events.isEmpty)
  }

  @Test func `a route to an unreachable next hop is not installed until it can be reached`() throws {
    let router = try Router()
    let hop = try ip("10.255.0.9")
    router.fib.set(try net("198.51.100.0/24"), to: 1, nextHops: { _ in [hop] })
    router.fib.commit(version: 1)
    #expect(router.fib.acknowledgedVersion == 1 && router.fib.routeCount == 0)
    #expect(try router.output("ip route show proto bgp").isEmpty)
    router.underlay.set(try net("10.255.0.9/32"), [.init(gateway: try ip("10.7.0.2"), link: 7)])
    router.fib.setUnderlay(router.underlay)
    #expect(try router.output("ip route show proto bgp").contains("via 10.7.0.2 dev v0"))
    router.underlay.remove(try net("10.255.0.9/32"))
    router.fib.setUnderlay(router.underlay)
    #expect(try router.output("ip route show proto bgp").isEmpty)
    #expect(router.events.isEmpty)
  }

  @Test func `a way that changes after the kernel flushed the old one, and before we were told, costs no route`() throws
  {
    let router = try Router()
    let hop = try ip("10.255.0.9")
    router.underlay.set(try net("10.255.0.9/32"), [.init(gateway: try ip("10.7.0.2"), link: 7)])
    router.fib.setUnderlay(router.underlay)
    for network in ["198.51.100.0/24", "203.0.113.0/24"] {
      router.fib.set(try net(network), to: 1, nextHops: { _ in [hop] })
    }
    router.fib.commit(version: 1)
    // The kernel takes the object and its routes away with the link; nobody calls linkLost yet.
    try router.socket.commit { $0.setLink(7, up: false) }
    #expect(try router.output("ip route show proto bgp").isEmpty && router.output("ip nexthop").isEmpty)
    router.underlay.set(try net("10.255.0.9/32"), [.init(gateway: try ip("10.8.0.2"), link: 8)])
    router.fib.setUnderlay(router.underlay)
    let shown = try router.output("ip route show proto bgp")
    #expect(
      shown.contains("198.51.100.0/24") && shown.contains("203.0.113.0/24") && shown.contains("via 10.8.0.2 dev v1"))
    // And when the word of the loss comes at last, nothing is lost again.
    router.fib.linkLost(7)
    router.fib.verify()
    #expect(try router.output("ip route show proto bgp").split(separator: "\n").count == 2)
    #expect(router.events.isEmpty)
  }

  @Test func `a changed way to the next hop is one request, however many routes use it`() throws {
    let router = try Router()
    let hop = try ip("10.255.0.9")
    let loopback = try net("10.255.0.9/32")
    router.underlay.set(loopback, [.init(gateway: try ip("10.7.0.2"), link: 7)])
    router.fib.setUnderlay(router.underlay)
    for index in 0..<500 { router.fib.set(Router.prefix(index), to: 1, nextHops: { _ in [hop] }) }
    router.fib.commit(version: 1)
    router.settle()
    let before = router.fib.activity
    router.underlay.set(loopback, [.init(gateway: try ip("10.8.0.3"), link: 8)])
    router.fib.setUnderlay(router.underlay)
    #expect(router.fib.activity == before + 1)
    #expect(try router.output("ip route show proto bgp via 10.8.0.3 dev v1 | wc -l") == "500\n")

    // From one way to two: the kernel wants a new object, the routes are written again.
    router.underlay.set(
      loopback, [.init(gateway: try ip("10.7.0.2"), link: 7), .init(gateway: try ip("10.8.0.3"), link: 8)])
    router.fib.setUnderlay(router.underlay)
    router.settle()
    #expect(try router.output("ip route show proto bgp | grep -c 'nexthop via'") == "1000\n")
    let grouped = router.fib.activity
    router.underlay.set(loopback, [.init(gateway: try ip("10.8.0.3"), link: 8)])
    router.fib.setUnderlay(router.underlay)
    #expect(router.fib.activity <= grouped + 3, "the group loses a member")
    router.settle()
    #expect(try router.output("ip route show proto bgp via 10.8.0.3 dev v1 | wc -l") == "500\n")
    #expect(try router.output("ip nexthop | wc -l") == "2\n")
    #expect(router.events.isEmpty)
  }

  @Test(arguments: ["down", "carrier"]) func `routes lost with their link come back with it`(how: String) throws {
    let router = try Router()
    for (set, prefix) in [(2 as UInt32, "198.51.100.0/24"), (23, "198.51.101.0/24"), (1002, "198.51.102.0/24")] {
      router.fib.set(try net(prefix), to: set, nextHops: Router.nextHops)
    }
    router.fib.set(try net("2001:db8::/32"), to: 2, nextHops: Router.nextHops6)
    router.fib.commit(version: 1)
    let before = try router.output("ip route show proto bgp; ip -6 route show proto bgp")
    #expect(before.split(separator: "\n").count == 6)

    let socket = how == "down" ? router.socket : try NetlinkSocket(in: router.far)
    try router.socket.commit { _ in }
    try Sysctl.write([.init("net.ipv6.conf.all.keep_addr_on_down", "1")], in: router.namespace)
    try socket.commit { $0.setLink(7, up: false) }
    var without = router.underlay
    without.remove(try net("10.7.0.0/24"))
    without.remove(try net("fd07::/64"))
    router.fib.linkLost(7)
    router.fib.setUnderlay(without)
    router.fib.verify()
    router.settle()
    #expect(try router.output("ip route show proto bgp").contains("198.51.102.0/24"))
    #expect(try router.output("ip route show proto bgp; ip -6 route show proto bgp").split(separator: "\n").count == 1)

    try socket.commit { $0.setLink(7, up: true) }
    router.fib.setUnderlay(router.underlay)
    router.fib.verify()
    router.settle()
    let ids = /nhid [0-9]+/
    let after = try router.output("ip route show proto bgp; ip -6 route show proto bgp")
    #expect(after.replacing(ids, with: "") == before.replacing(ids, with: ""))
    #expect(router.events.isEmpty, "\(router.events)")
  }

  @Test func `what somebody else deletes is made again`() throws {
    let router = try Router()
    router.fib.set(try net("198.51.100.0/24"), to: 2, nextHops: Router.nextHops)
    router.fib.set(try net("198.51.101.0/24"), to: 34, nextHops: Router.nextHops)
    router.fib.commit(version: 1)
    let ids = /nhid [0-9]+/
    let before = try router.output("ip route show proto bgp").replacing(ids, with: "")
    _ = try router.output("ip route del 198.51.100.0/24")
    router.fib.routesLost([try net("198.51.100.0/24")])
    #expect(try router.output("ip route show proto bgp").replacing(ids, with: "") == before)
    for spoil in ["ip nexthop flush", "ip nexthop del id 1", "ip nexthop add id 4711 via 10.7.0.9 dev v0 proto bgp"] {
      _ = try router.output(spoil)
      router.fib.verify()
      router.settle()
      #expect(try router.output("ip route show proto bgp").replacing(ids, with: "") == before, "after \(spoil)")
      #expect(try router.output("ip nexthop | wc -l") == "4\n", "after \(spoil)")
    }
  }

  /// As a monitor tells: what stands in table main and is not what stood.
  private func strangers(_ router: Router, _ before: [Route]) throws -> [Route] {
    try router.socket.routes(.init()).filter { !before.contains($0) && router.fib.claims($0) }
  }

  @Test(arguments: [
    "ip route replace 198.51.100.0/24 via 10.8.0.9 metric 20",
    "ip route replace 198.51.100.0/24 via 10.8.0.9 metric 20 proto bgp",
    "ip route append 198.51.100.0/24 via 10.8.0.9 metric 20 proto bgp",
    "ip route add 198.51.100.0/24 via 10.8.0.9 proto bgp",
    "ip route add 192.0.2.0/24 via 10.8.0.9 metric 20 proto bgp",
    "ip -6 route replace 2001:db8::/32 via fd08::9 metric 1044",
    "ip -6 route replace 2001:db8::/32 via fd08::9 metric 1044 proto bgp",
    "ip -6 route append 2001:db8::/32 via fd08::9 metric 1044 proto bgp",
    "ip -6 route add 2001:db8:9::/48 via fd08::9 proto bgp",
  ]) func `what somebody writes in our place or under our protocol gives way`(command: String) throws {
    let router = try Router()
    router.fib.set(try net("198.51.100.0/24"), to: 2, nextHops: Router.nextHops)
    router.fib.set(try net("2001:db8::/32"), to: 3, nextHops: Router.nextHops6)
    router.fib.commit(version: 1)
    let shown =
      "ip route show metric 20; ip route show proto bgp; ip -6 route show metric 1044; ip -6 route show proto bgp"
    let (before, routes) = (try router.output(shown), try router.socket.routes(.init()))
    #expect(try router.output("\(command) 2>&1").isEmpty)
    #expect(try router.output(shown) != before)
    let strangers = try strangers(router, routes)
    #expect(strangers.count == 1)
    router.fib.routesLost(strangers)
    router.settle()
    #expect(try router.output(shown) == before)
    #expect(router.events.isEmpty, "\(router.events)")
    // The same, where nobody has told.
    _ = try router.output(command)
    router.fib.verifyRoutes()
    router.settle()
    #expect(try router.output(shown) == before)
  }

  @Test func `somebody who gives one of our objects another way takes no route away`() throws {
    let router = try Router()
    router.fib.set(try net("198.51.100.0/24"), to: 2, nextHops: Router.nextHops)
    router.fib.commit(version: 1)
    let routes = try router.socket.routes(.init())
    _ = try router.output("ip nexthop replace id 1 via 10.7.0.9 dev v0 proto bgp")
    router.fib.routesLost(try strangers(router, routes))
    router.settle()
    #expect(try router.output("ip route show proto bgp").contains("198.51.100.0/24 nhid 1"))
  }

  @Test func `what the kernel refuses is an event, and tried again`() throws {
    let router = try Router()
    let stranger = try ip("10.99.0.1")
    router.underlay.set(try net("10.99.0.0/24"), [.init(gateway: nil, link: 7)])
    router.fib.setUnderlay(router.underlay)
    router.fib.set(try net("198.51.100.0/24"), to: 1, nextHops: { _ in [stranger] })
    router.fib.commit(version: 1)
    #expect(
      router.events.contains { $0.contains("nexthop 1: RTM_NEWNEXTHOP") && $0.contains("Nexthop has invalid gateway") })
    #expect(router.events.contains { $0.contains("198.51.100.0/24: RTM_NEWROUTE") })
    #expect(router.fib.acknowledgedVersion == 1)
    _ = try router.output("ip addr add 10.99.0.2/24 dev v0")
    router.underlay.set(try net("10.100.0.0/24"), [.init(gateway: nil, link: 7)])
    router.fib.setUnderlay(router.underlay)
    #expect(try router.output("ip route show proto bgp").contains("198.51.100.0/24"))
  }

  @Test func `an earlier process's routes stay until confirmed or swept`() throws {
    let router = try Router()
    for index in 0..<3 {
      router.fib.set(Router.prefix(index), to: UInt32(index == 2 ? 34 : 2), nextHops: Router.nextHops)
    }
    router.fib.set(try net("2001:db8::/32"), to: 2, nextHops: Router.nextHops6)
    router.fib.commit(version: 9)
    let successor = try FIB(in: router.namespace)
    #expect(try successor.adopt() == [.ipv4, .ipv6])
    successor.setUnderlay(router.underlay)
    successor.set(Router.prefix(0), to: 1, nextHops: { _ in Router.nextHops(1005) })
    successor.set(Router.prefix(2), to: FIB.noSet, nextHops: { _ in [] })
    successor.commit(version: 1)
    let between = try router.output("ip route show proto bgp")
    #expect(between.contains("20.0.0.0/24") && between.contains("via 10.8.0.5"))
    #expect(between.contains("20.0.1.0/24") && !between.contains("20.0.2.0/24"))
    successor.sweep()
    #expect(try router.output("ip route show proto bgp | wc -l") == "1\n")
    #expect(try router.output("ip -6 route show proto bgp").isEmpty)
    #expect(try router.output("ip nexthop | wc -l") == "1\n")
    successor.withdrawAll()
    #expect(try router.output("ip route show proto bgp; ip nexthop").isEmpty)
  }

  @Test func `a connected subnet is not taken by a neighbour that announces it`() throws {
    let router = try Router()
    router.fib.set(try net("10.8.0.0/24"), to: 2, nextHops: Router.nextHops)
    router.fib.set(try net("fd08::/64"), to: 2, nextHops: Router.nextHops6)
    router.fib.commit(version: 1)
    #expect(try router.output("ip route get 10.8.0.5").contains("10.8.0.5 dev v1"))
    #expect(try router.output("ip route get fd08::5").contains("fd08::5 from :: dev v1"))
  }

  @Test func `a hundred thousand routes are loaded and deleted behind the caller's back`() throws {
    let router = try Router()
    let clock = ContinuousClock()
    let handedOver = clock.measure {
      for index in 0..<100_000 {
        router.fib.set(Router.prefix(index), to: 2, nextHops: Router.nextHops)
        if index % 8192 == 8191 { router.fib.commit(version: nil) }
      }
      router.fib.commit(version: 5)
    }
    #expect(router.fib.acknowledgedVersion < 5 && !router.fib.isIdle)
    router.settle()
    #expect(router.fib.acknowledgedVersion == 5)
    #expect(try router.output("grep -A99 Main /proc/net/fib_triestat | grep -m1 Prefixes").contains("100006"))
    #expect(try router.output("cat /proc/sys/net/ipv4/nexthop_compat_mode") == "1\n")
    for index in 0..<100_000 { router.fib.set(Router.prefix(index), to: FIB.noSet, nextHops: Router.nextHops) }
    router.fib.commit(version: 6)
    router.settle()
    #expect(router.fib.acknowledgedVersion == 6 && router.fib.routeCount == 0)
    #expect(try router.output("ip route show proto bgp | wc -l") == "0\n")
    #expect(router.events.isEmpty)
    print("100,000 routes handed over in \(handedOver)")
  }
}
