import BGPWire
import NetTypes
import Testing

@testable import BGPCore

@Suite("The way of a route through the table")
struct RouteWayTests {
  @Test("a route from one neighbor reaches another with our AS in front and our address as next hop")
  func passesOn() {
    var harness = TableHarness()
    let a = harness.peer(1, asn: 64501)
    let b = harness.peer(2, asn: 64502)
    harness.announce(["192.0.2.0/24", "198.51.100.0/25"], from: a, path: [64501, 64510])
    harness.settle()
    #expect(harness.path("192.0.2.0/24", at: b) == [64500, 64501, 64510])
    #expect(harness.told[b]?[prefix("198.51.100.0/25")]?.nextHop == address("10.0.0.254"))
    #expect(harness.told[a]?.isEmpty == true, "never back to where it came from")
    #expect(harness.forwarding[prefix("192.0.2.0/24")] == [address("10.0.0.1")])
    #expect(harness.messages[b]?.count == 1, "one attribute set, one message")
    #expect(harness.endOfRIBs[b]?.sorted { $0.rawValue < $1.rawValue } == [.ipv4Unicast, .ipv6Unicast])
  }

  @Test("a withdrawal passes on, and only to those that were told")
  func withdrawal() {
    var harness = TableHarness()
    let a = harness.peer(1, asn: 64501)
    let b = harness.peer(2, asn: 64502)
    harness.announce(["192.0.2.0/24"], from: a, path: [64501])
    harness.settle()
    harness.withdraw(["192.0.2.0/24"], from: a)
    harness.settle()
    #expect(harness.told[b]?.isEmpty == true)
    #expect(harness.forwarding.isEmpty)
    #expect(harness.table.tables[.ipv4Unicast].count == 0, "nothing is left of the prefix")
    #expect(harness.table.attributes.count == 0)
    #expect(harness.table.paths.count == 0)
    #expect(harness.table.outgoing.count == 0)
  }

  @Test("IPv6 travels in MP_REACH_NLRI, with our global address as next hop")
  func ipv6() {
    var harness = TableHarness()
    let a = harness.peer(1, asn: 64501)
    let b = harness.peer(2, asn: 64502)
    harness.announce(
      ["2001:db8:1::/48", "2001:db8::/32"], from: a, path: [64501], nextHop: "2001:db8:ffff::1")
    harness.settle()
    #expect(harness.path("2001:db8:1::/48", at: b) == [64500, 64501])
    #expect(harness.told[b]?[prefix("2001:db8::/32")]?.nextHop == address("2001:db8:ffff::254"))
    harness.withdraw(["2001:db8:1::/48"], from: a)
    harness.settle()
    #expect(harness.told[b]?.keys.map(\.description) == ["2001:db8::/32"])
  }

  @Test("many prefixes of one set share full messages, and every message is at most 4096 octets")
  func packing() {
    var harness = TableHarness()
    let a = harness.peer(1, asn: 64501)
    let b = harness.peer(2, asn: 64502)
    for high in 0..<20 {
      let prefixes = (0..<100).map { "100.\(high).\($0).0/24" }
      harness.announce(prefixes, from: a, path: [64501])
      harness.announce(
        (0..<100).map { "2001:db8:\(high + 1):\($0)::/64" }, from: a, path: [64501], nextHop: "2001:db8:ffff::1")
    }
    harness.settle(budget: 100_000, limit: 1 << 20)
    #expect(harness.told[b]?.count == 4000)
    // 2000 x 4 octets of IPv4 need two messages, 2000 x 9 octets of IPv6 five.
    #expect(harness.messages[b]?.count == 7)
  }

  @Test("a neighbor that comes late gets the whole table, then End-of-RIB")
  func lateComer() {
    var harness = TableHarness { $0.networks = [prefix("203.0.113.0/24")] }
    let a = harness.peer(1, asn: 64501)
    harness.announce(["192.0.2.0/24"], from: a, path: [64501])
    harness.settle()
    let b = harness.peer(2, asn: 64502)
    harness.settle()
    #expect(harness.told[b]?.count == 2)
    #expect(harness.path("203.0.113.0/24", at: b) == [64500])
    #expect(harness.endOfRIBs[b]?.count == 2)
    #expect(harness.table.counters(b, .ipv4Unicast).sent == 2)
  }

  @Test("ROUTE-REFRESH repeats everything")
  func refresh() {
    var harness = TableHarness()
    let a = harness.peer(1, asn: 64501)
    let b = harness.peer(2, asn: 64502)
    harness.announce(["192.0.2.0/24"], from: a, path: [64501])
    harness.settle()
    harness.table.sendAgain(b, .ipv4Unicast)
    harness.settle()
    #expect(harness.messages[b]?.count == 2)
    #expect(harness.messages[b]?.first == harness.messages[b]?.last)
  }

  @Test("the loss of a session moves its routes to the next best")
  func failover() {
    var harness = TableHarness()
    let a = harness.peer(1, asn: 64501)
    let b = harness.peer(2, asn: 64502)
    let c = harness.peer(3, asn: 64503)
    let prefixes = (0..<50).map { "100.64.\($0).0/24" }
    harness.announce(prefixes, from: a, path: [64501])
    harness.announce(prefixes, from: b, path: [64502, 64510], nextHop: "10.0.0.2")
    harness.settle()
    #expect(harness.path("100.64.7.0/24", at: c) == [64500, 64501])
    #expect(harness.path("100.64.7.0/24", at: a) == nil)
    harness.told[a] = nil
    harness.table.sessionDown(a)
    harness.settle()
    #expect(harness.path("100.64.7.0/24", at: c) == [64500, 64502, 64510])
    #expect(harness.told[b]?.isEmpty == true)
    #expect(harness.messages[c]?.count == 2, "whole attribute sets at once")
    #expect(harness.forwarding[prefix("100.64.7.0/24")] == [address("10.0.0.2")])
  }
}
