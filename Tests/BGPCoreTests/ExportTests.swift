import BGPWire
import NetTypes
import Testing

@testable import BGPCore

@Suite("What leaves: attributes, next hops, reflection")
struct ExportTests {
  private let p = "192.0.2.0/24"

  @Test("over eBGP LOCAL_PREF, MED and reflection attributes stay behind; over iBGP LOCAL_PREF is always there")
  func stripping() {
    var harness = TableHarness()
    let inside = harness.peer(1, asn: 64500)
    let out = harness.peer(2, asn: 64502)
    let ebgp = harness.peer(3, asn: 64503)
    harness.announce([p], from: inside, path: [7]) {
      $0.localPref = 150
      $0.med = 9
      $0.originatorID = 5
      $0.clusterList = [6]
    }
    harness.announce(["198.51.100.0/24"], from: ebgp, path: [64503], nextHop: "10.0.0.3") { $0.med = 4 }
    harness.settle()
    let told = harness.told[out]?[prefix(p)]
    #expect(told?.localPref == nil)
    #expect(told?.med == nil)
    #expect(told?.originatorID == nil)
    #expect(told?.clusterList == [])
    let inner = harness.told[inside]?[prefix("198.51.100.0/24")]
    #expect(inner?.localPref == 100)
    #expect(inner?.med == 4)
    #expect(inner?.asPath.description == "64503", "nothing is added inside the AS")
    #expect(inner?.nextHop == address("10.0.0.3"), "nor is the next hop changed")
  }

  @Test("next-hop-self inside the AS applies to routes from outside")
  func nextHopSelf() {
    var harness = TableHarness { $0.routeReflector = true }
    let ebgp = harness.peer(1, asn: 64501)
    let client = harness.peer(2, asn: 64500) {
      $0.nextHopSelf = true; $0.routeReflectorClient = true
    }
    let other = harness.peer(3, asn: 64500)
    harness.announce([p], from: ebgp, path: [64501])
    harness.announce(["198.51.100.0/24"], from: other, path: [9], nextHop: "10.0.0.3")
    harness.settle()
    #expect(harness.told[client]?[prefix(p)]?.nextHop == address("10.0.0.254"))
    #expect(harness.told[client]?[prefix("198.51.100.0/24")]?.nextHop == address("10.0.0.3"))
  }

  @Test("a third party's next hop is kept on a shared subnet, and only there")
  func thirdParty() {
    var harness = TableHarness()
    harness.table.setUnderlay(
      [
        UnderlayRoute(prefix: prefix("10.0.0.0/24"), cost: 0, onLink: true),
        UnderlayRoute(prefix: prefix("10.0.1.0/24"), cost: 0, onLink: true),
      ], ownAddresses: [address("10.0.0.254")])
    let a = harness.peer(1, asn: 64501)
    let same = harness.peer(2, asn: 64502)
    let owner = harness.peer(3, asn: 64503)
    let elsewhere = harness.peer(4, asn: 64504) { $0.address = address("10.0.1.4") }
    let far = harness.peer(5, asn: 64505) { $0.multihop = true }
    harness.announce([p], from: a, path: [64501], nextHop: "10.0.0.3")
    harness.settle()
    #expect(harness.told[same]?[prefix(p)]?.nextHop == address("10.0.0.3"))
    #expect(harness.told[owner]?[prefix(p)]?.nextHop == address("10.0.0.254"), "never the peer's own address")
    #expect(harness.told[elsewhere]?[prefix(p)]?.nextHop == address("10.0.0.254"))
    #expect(harness.told[far]?[prefix(p)]?.nextHop == address("10.0.0.254"))
  }

  @Test("a subnet that comes or goes changes the next hops that were told")
  func subnetChange() {
    var harness = TableHarness()
    let a = harness.peer(1, asn: 64501)
    let same = harness.peer(2, asn: 64502)
    harness.announce([p], from: a, path: [64501], nextHop: "10.0.0.3")
    harness.settle()
    #expect(harness.told[same]?[prefix(p)]?.nextHop == address("10.0.0.254"))
    harness.table.setUnderlay(
      [UnderlayRoute(prefix: prefix("10.0.0.0/24"), cost: 0, onLink: true)], ownAddresses: [address("10.0.0.254")])
    harness.settle()
    #expect(harness.told[same]?[prefix(p)]?.nextHop == address("10.0.0.3"))
  }

  @Test("without an address of the family nothing of it is sent")
  func noAddress() {
    var harness = TableHarness()
    let a = harness.peer(1, asn: 64501)
    let b = harness.peer(2, asn: 64502) { $0.nextHopIPv6 = nil }
    harness.announce(["2001:db8::/32"], from: a, path: [64501], nextHop: "2001:db8:ffff::1")
    harness.settle()
    #expect(harness.told[b]?.isEmpty == true)
  }

  @Test(
    "private numbers are removed as asked, the neighbor's own one stays",
    arguments: [
      (.keep, [64512, 65000], "64500 64512 65000"), (.remove, [64512, 65000], "64500"),
      (.remove, [64512, 1], "64500 64512 1"), (.all, [64512, 1, 65000], "64500 1"),
      (.replace, [64512, 1, 65000], "64500 64500 1 64500"), (.all, [64512, 64999], "64500 64999"),
    ] as [(PrivateASRemoval, [UInt32], String)])
  func privateNumbers(removal: PrivateASRemoval, path: [UInt32], sent: String) {
    var harness = TableHarness()
    let a = harness.peer(1, asn: path[0])
    let b = harness.peer(2, asn: 64999) { $0.privateASRemoval = removal }
    harness.announce([p], from: a, path: path)
    harness.settle()
    #expect(harness.told[b]?[prefix(p)]?.asPath.description == sent)
  }

  @Test("well-known communities are obeyed (RFC 1997), and others pass unless told otherwise")
  func communities() {
    var harness = TableHarness()
    let a = harness.peer(1, asn: 64501)
    let ebgp = harness.peer(2, asn: 64502), ibgp = harness.peer(3, asn: 64500)
    let mute = harness.peer(4, asn: 64504) { $0.sendCommunities = false }
    for (number, community) in [Community.noExport, .noAdvertise, .noExportSubconfed, Community(64501, 7)].enumerated()
    {
      harness.announce(["10.\(number).0.0/16"], from: a, path: [64501]) {
        $0.communities = [community]
        $0.others = [
          PathAttributes.Opaque(
            flags: [.optional, .transitive], type: .extendedCommunities, value: [0, 2, 0, 1, 0, 0, 0, 1])
        ]
      }
    }
    harness.settle()
    #expect(Set((harness.told[ebgp] ?? [:]).keys.map(\.description)) == ["10.3.0.0/16"])
    #expect(Set((harness.told[ibgp] ?? [:]).keys.map(\.description)) == ["10.0.0.0/16", "10.2.0.0/16", "10.3.0.0/16"])
    #expect(harness.told[ebgp]?[prefix("10.3.0.0/16")]?.communities == [Community(64501, 7)])
    #expect(harness.told[ebgp]?[prefix("10.3.0.0/16")]?.others.count == 1)
    #expect(harness.told[mute]?[prefix("10.3.0.0/16")]?.communities == [])
    #expect(harness.told[mute]?[prefix("10.3.0.0/16")]?.others.isEmpty == true)
  }

  @Test("a 2-octet neighbor gets AS_TRANS and AS4_PATH, and a 4-octet path comes back out of them")
  func twoOctets() {
    var harness = TableHarness(asn: 196_608)
    let a = harness.peer(1, asn: 64501)
    let old = harness.peer(2, asn: 64502, fourOctetAS: false)
    harness.announce([p], from: a, path: [64501, 100_000]) {
      $0.aggregator = PathAttributes.Aggregator(asn: ASNumber(100_000), address: IPv4Address(10, 0, 0, 9))
    }
    harness.settle()
    let told = harness.told[old]?[prefix(p)]
    #expect(told?.asPath.description == "196608 64501 100000")
    #expect(told?.aggregator?.asn == ASNumber(100_000))
  }

  @Test("a long path that is prepended to begins a new segment at 255 numbers")
  func longPath() {
    var harness = TableHarness()
    let a = harness.peer(1, asn: 64501)
    let b = harness.peer(2, asn: 64502)
    harness.announce([p], from: a, path: [64501] + Array(repeating: 9, count: 254))
    harness.settle()
    let path = harness.told[b]?[prefix(p)]?.asPath
    #expect(path?.segments.map(\.asns.count) == [1, 255])
  }

  // MARK: - iBGP

  @Test("iBGP routes do not go on to iBGP without a reflector")
  func fullMesh() {
    var harness = TableHarness()
    let a = harness.peer(1, asn: 64500), b = harness.peer(2, asn: 64500)
    harness.announce([p], from: a, path: [7])
    harness.settle()
    #expect(harness.told[b]?.isEmpty == true)
  }

  @Test("a reflector: from clients to all, from others to clients, with originator and cluster (RFC 4456)")
  func reflection() {
    var harness = TableHarness {
      $0.routeReflector = true; $0.clusterID = 77
    }
    let client1 = harness.peer(1, asn: 64500, id: 11) { $0.routeReflectorClient = true }
    let client2 = harness.peer(2, asn: 64500, id: 12) { $0.routeReflectorClient = true }
    let other1 = harness.peer(3, asn: 64500, id: 13)
    let other2 = harness.peer(4, asn: 64500, id: 14)
    harness.announce(["10.1.0.0/16"], from: client1, path: [7])
    harness.announce(["10.2.0.0/16"], from: other1, path: [7], nextHop: "10.0.0.3") {
      $0.originatorID = 99
      $0.clusterList = [5]
    }
    harness.settle()
    #expect(Set((harness.told[client2] ?? [:]).keys.map(\.description)) == ["10.1.0.0/16", "10.2.0.0/16"])
    #expect(Set((harness.told[other2] ?? [:]).keys.map(\.description)) == ["10.1.0.0/16"])
    let reflected = harness.told[client2]?[prefix("10.2.0.0/16")]
    #expect(reflected?.originatorID == 99)
    #expect(reflected?.clusterList == [77, 5])
    #expect(harness.told[other2]?[prefix("10.1.0.0/16")]?.originatorID == 11)
    #expect(harness.told[other2]?[prefix("10.1.0.0/16")]?.clusterList == [77])
    #expect(harness.table.groups.count == 2, "clients are told the same words, and so are the others")
  }

  @Test("own originator id, own cluster id and own AS number are loops")
  func loops() {
    var harness = TableHarness {
      $0.routeReflector = true; $0.clusterID = 77
    }
    let a = harness.peer(1, asn: 64500)
    let b = harness.peer(2, asn: 64502)
    let tolerant = harness.peer(3, asn: 64503) { $0.allowOwnAS = 1 }
    harness.announce(["10.1.0.0/16"], from: a, path: [7]) { $0.originatorID = 0x0A00_0001 }
    harness.announce(["10.2.0.0/16"], from: a, path: [7]) { $0.clusterList = [5, 77] }
    harness.announce(["10.3.0.0/16"], from: b, path: [64502, 64500], nextHop: "10.0.0.2")
    harness.announce(["10.4.0.0/16"], from: tolerant, path: [64503, 64500], nextHop: "10.0.0.3")
    harness.announce(["10.5.0.0/16"], from: tolerant, path: [64503, 64500, 64500], nextHop: "10.0.0.3")
    harness.settle()
    let reasons = ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16", "10.5.0.0/16"].map {
      harness.table.explain(prefix($0))?.candidates.first?.unusableBecause
    }
    #expect(
      reasons == [
        "own router id as originator", "own cluster id in cluster list", "own AS in path", nil, "own AS in path",
      ])
  }
}

@Suite("Graceful restart, seen from the table (RFC 4724)")
struct StaleTests {
  @Test("routes of a restarting peer stay in use, and go at End-of-RIB unless they came again")
  func helper() {
    var harness = TableHarness()
    let a = harness.peer(1, asn: 64501), b = harness.peer(2, asn: 64502)
    harness.announce(["10.1.0.0/16", "10.2.0.0/16"], from: a, path: [64501])
    harness.settle()
    let sent = harness.messages[b]?.count
    harness.told[a] = nil
    harness.table.sessionDown(a, retainingStale: .ipv4Unicast)
    harness.settle()
    #expect(harness.told[b]?.count == 2)
    #expect(harness.table.counters(a, .ipv4Unicast).stale == 2)
    harness.up(a, id: 1)
    harness.announce(["10.1.0.0/16"], from: a, path: [64501])
    #expect(harness.table.counters(a, .ipv4Unicast).stale == 1)
    #expect(harness.receive(UpdateMessage.endOfRIB(.ipv4Unicast), from: a) == .endOfRIB(.ipv4Unicast))
    #expect(harness.receive(UpdateMessage.endOfRIB(.ipv6Unicast), from: a) == .endOfRIB(.ipv6Unicast))
    harness.settle()
    #expect(harness.messages[b]?.count == sent, "nobody noticed")
    harness.table.sweepStale(a, .ipv4Unicast)
    harness.settle()
    #expect(harness.told[b]?.keys.map(\.description) == ["10.1.0.0/16"])
    #expect(
      harness.table.counters(a, .ipv4Unicast)
        == FamilyCounters(
          received: 1, accepted: 1, sent: 0, stale: 0, endOfRIBReceived: true, endOfRIBSent: true))
  }

  @Test("a peer that is lost again while its routes are stale loses them")
  func twice() {
    var harness = TableHarness()
    let a = harness.peer(1, asn: 64501)
    harness.announce(["10.1.0.0/16"], from: a, path: [64501])
    harness.told[a] = nil
    harness.table.sessionDown(a, retainingStale: .all)
    harness.up(a, id: 1)
    harness.table.sessionDown(a, retainingStale: .all)
    harness.told[a] = nil
    harness.settle()
    #expect(harness.table.bestCount == 0)
  }

  @Test("a restarting speaker decides and says nothing until deferral ends, then all of it and End-of-RIB")
  func deferral() {
    var harness = TableHarness()
    harness.table.beginDeferral()
    let a = harness.peer(1, asn: 64501), b = harness.peer(2, asn: 64502)
    harness.announce(["10.1.0.0/16"], from: a, path: [64501])
    harness.settle()
    #expect(harness.messages[b] == nil)
    #expect(harness.endOfRIBs[b] == nil)
    #expect(harness.table.bestCount == 0)
    #expect(!harness.table.hasWork && !harness.table.hasFIBChanges)
    harness.table.endDeferral()
    harness.settle()
    #expect(harness.told[b]?.count == 1)
    #expect(harness.endOfRIBs[b]?.count == 2)
  }
}
