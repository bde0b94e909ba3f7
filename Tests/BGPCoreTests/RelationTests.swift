import BGPWire
import NetTypes
import Testing

@testable import BGPCore

@Suite("Relations: valley-free filters, RFC 8212, RFC 9234, and how iBGP carries them")
struct RelationTests {
  private static func by(_ relation: Relation, roles: Bool = false) -> (inout PeerSettings) -> Void {
    {
      $0.relation = relation
      $0.roles = roles
      $0.importPolicy = .byRelation
      $0.exportPolicy = .byRelation
    }
  }

  @Test("own and customers' routes go to all, the rest to customers only")
  func valleyFree() {
    var harness = TableHarness { $0.networks = [prefix("203.0.113.0/24")] }
    let customer = harness.peer(1, asn: 64501, Self.by(.provider))
    let peer = harness.peer(2, asn: 64502, Self.by(.peer))
    let provider = harness.peer(3, asn: 64503, Self.by(.customer))
    let sibling = harness.peer(4, asn: 64504, Self.by(.sibling))
    let stranger = harness.peer(5, asn: 64505, Self.by(.none))
    for (number, from) in [customer, peer, provider, sibling, stranger].enumerated() {
      harness.announce(
        ["10.\(number + 1).0.0/16"], from: from, path: [64501 + UInt32(number)], nextHop: "10.0.0.\(number + 1)")
    }
    harness.settle()
    let names = { (peer: PeerIndex, told: [PeerIndex: [IPPrefix: PathAttributes]]) in
      Set((told[peer] ?? [:]).keys.map(\.description))
    }
    let own = "203.0.113.0/24"
    #expect(names(customer, harness.told) == [own, "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16"])
    #expect(names(peer, harness.told) == [own, "10.1.0.0/16"])
    #expect(names(provider, harness.told) == [own, "10.1.0.0/16"])
    #expect(names(sibling, harness.told) == [own, "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"])
    #expect(names(stranger, harness.told).isEmpty, "RFC 8212")
    #expect(harness.table.counters(stranger, .ipv4Unicast).received == 1, "kept, though rejected")
    #expect(harness.table.counters(stranger, .ipv4Unicast).accepted == 0)
    #expect(harness.table.explain(prefix("10.5.0.0/16"))?.candidates.first?.isRejected == true)
  }

  @Test("a border router tells the others of its AS which side a route came from, and the tag stays inside")
  func tag() {
    var border = TableHarness()
    let provider = border.peer(1, asn: 64501, Self.by(.customer))
    let inside = border.peer(2, asn: 64500, Self.by(.none))
    let edge = border.peer(3, asn: 64503, Self.by(.provider))
    border.announce(["192.0.2.0/24"], from: provider, path: [64501]) {
      $0.largeCommunities = [LargeCommunity(64500, RelationTag.function, 1), LargeCommunity(64501, 1, 1)]  // forged
    }
    border.settle()
    #expect(border.told[edge]?[prefix("192.0.2.0/24")]?.largeCommunities == [LargeCommunity(64501, 1, 1)])
    let carried = border.told[inside]?[prefix("192.0.2.0/24")]
    #expect(carried?.largeCommunities == [LargeCommunity(64501, 1, 1), LargeCommunity(64500, RelationTag.function, 3)])

    var other = TableHarness(routerID: 0x0A00_0002)
    let from = other.peer(1, asn: 64500, Self.by(.none))
    let peer = other.peer(2, asn: 64502, Self.by(.peer))
    let customer = other.peer(3, asn: 64503, Self.by(.provider))
    var attributes = carried ?? PathAttributes()
    attributes.nextHop = address("10.0.0.1")
    other.receive(UpdateMessage(announced: [prefix("192.0.2.0/24")], attributes: attributes).encode(), from: from)
    other.announce(["198.51.100.0/24"], from: from, path: [])
    other.settle()
    #expect(other.path("192.0.2.0/24", at: peer) == nil)
    #expect(other.path("192.0.2.0/24", at: customer) == [64500, 64501])
    #expect(other.told[customer]?[prefix("192.0.2.0/24")]?.largeCommunities == [LargeCommunity(64501, 1, 1)])
    #expect(other.path("198.51.100.0/24", at: peer) == [64500], "of the own AS")
    #expect(other.best("192.0.2.0/24")?.attributes.largeCommunities == [LargeCommunity(64501, 1, 1)], "not shown")
  }

  @Test("a neighbor's own policy replaces the filter, OTC stays")
  func ownPolicy() {
    var harness = TableHarness()
    let provider = harness.peer(1, asn: 64501, Self.by(.customer, roles: true))
    let leaky = harness.peer(2, asn: 64502) {
      $0.relation = .customer
      $0.roles = false
      $0.exportPolicy = .accept
    }
    let guarded = harness.peer(3, asn: 64503) {
      $0.relation = .customer
      $0.roles = true
      $0.exportPolicy = .accept
    }
    harness.announce(["192.0.2.0/24"], from: provider, path: [64501])
    harness.settle()
    #expect(harness.path("192.0.2.0/24", at: leaky) == [64500, 64501], "today's Internet")
    #expect(harness.path("192.0.2.0/24", at: guarded) == nil)
  }

  @Test(
    "OTC on the way in (RFC 9234 section 5)",
    arguments: [
      // our relation, OTC received, usable, OTC after
      (.provider, nil, true, nil), (.provider, 64501, false, 64501), (.routeServer, 1, false, 1),
      (.peer, nil, true, 64501), (.peer, 64501, true, 64501), (.peer, 1, false, 1),
      (.customer, nil, true, 64501), (.customer, 1, true, 1), (.routeServerClient, nil, true, 64501),
      (.sibling, nil, true, nil), (.sibling, 1, true, 1),
    ] as [(Relation, UInt32?, Bool, UInt32?)])
  func ingress(relation: Relation, otc: UInt32?, usable: Bool, after: UInt32?) {
    var harness = TableHarness()
    let peer = harness.peer(1, asn: 64501, Self.by(relation, roles: true))
    harness.announce(["192.0.2.0/24"], from: peer, path: [64501]) { $0.otc = otc.map(ASNumber.init) }
    harness.settle()
    let view = harness.table.explain(prefix("192.0.2.0/24"))?.candidates.first
    #expect(view?.isBest == usable)
    #expect(view?.unusableBecause == (usable ? nil : "route leak (OTC)"))
    #expect(view?.attributes.otc?.rawValue == after)
  }

  @Test(
    "OTC on the way out",
    arguments: [
      (.provider, nil, true, 64500), (.provider, 1, true, 1), (.peer, nil, true, 64500), (.peer, 1, false, nil),
      (.customer, nil, true, nil), (.customer, 1, false, nil), (.routeServer, nil, true, 64500),
      (.routeServerClient, nil, true, nil), (.routeServerClient, 1, false, nil),
    ] as [(Relation, UInt32?, Bool, UInt32?)])
  func egress(relation: Relation, otc: UInt32?, passes: Bool, after: UInt32?) {
    var harness = TableHarness()
    let from = harness.peer(1, asn: 64501)
    let to = harness.peer(2, asn: 64502) {
      $0.relation = relation
      $0.roles = true
    }
    harness.announce(["192.0.2.0/24"], from: from, path: [64501]) { $0.otc = otc.map(ASNumber.init) }
    harness.settle()
    #expect((harness.told[to]?[prefix("192.0.2.0/24")] != nil) == passes)
    #expect(harness.told[to]?[prefix("192.0.2.0/24")]?.otc?.rawValue == after)
  }

  @Test("local-pref follows the relation only when asked for")
  func preferCustomer() {
    for asked in [false, true] {
      var harness = TableHarness { $0.preferCustomer = asked }
      let customer = harness.peer(1, asn: 64501, Self.by(.provider))
      let provider = harness.peer(2, asn: 64502, Self.by(.customer))
      harness.announce(["192.0.2.0/24"], from: customer, path: [64501, 1, 2])
      harness.announce(["192.0.2.0/24"], from: provider, path: [64502], nextHop: "10.0.0.2")
      harness.settle()
      #expect(harness.best("192.0.2.0/24")?.neighbor == (asked ? "n1" : "n2"))
      #expect(harness.best("192.0.2.0/24")?.because == (asked ? .localPref : .asPathLength))
    }
  }

  @Test("a route server changes neither path nor next hop (RFC 7947)")
  func routeServer() {
    var harness = TableHarness()
    let a = harness.peer(1, asn: 64501, Self.by(.routeServer, roles: true))
    let b = harness.peer(2, asn: 64502, Self.by(.routeServer, roles: true))
    harness.announce(["192.0.2.0/24"], from: a, path: [64501]) { $0.med = 7 }
    harness.settle()
    let told = harness.told[b]?[prefix("192.0.2.0/24")]
    #expect(told?.asPath.description == "64501")
    #expect(told?.nextHop == address("10.0.0.1"))
    #expect(told?.med == 7)
    #expect(told?.otc == ASNumber(64500))
    _ = a
  }

  @Test("of its own networks a route server is the origin")
  func ownNetworksOfRouteServer() {
    var harness = TableHarness { $0.networks = [prefix("203.0.113.0/24")] }
    let client = harness.peer(1, asn: 64501, Self.by(.routeServer, roles: true))
    harness.settle()
    #expect(harness.told[client]?[prefix("203.0.113.0/24")]?.asPath.description == "64500")
  }
}
