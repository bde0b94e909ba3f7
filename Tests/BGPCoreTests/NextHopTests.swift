import BGPWire
import NetTypes
import Testing

@testable import BGPCore

@Suite("Next hops that are of no use (RFC 4271 section 6.3)")
struct NextHopTests {
  private static let list: [UInt8] = [0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xFB, 0xF5]  // IGP, 64501

  /// 192.0.2.0/24 with this NEXT_HOP.
  private static func classic(_ nextHop: [UInt8]) -> [UInt8] { update(list + [0x40, 3, 4] + nextHop) }

  /// 2001:db8:1::/48 with this next hop.
  private static func multiprotocol(_ nextHop: String) -> [UInt8] {
    let reach = [0, 2, 1, 16] + address(nextHop).bytes + [0, 48, 0x20, 0x01, 0x0D, 0xB8, 0, 1]
    return update([0x80, 14, UInt8(reach.count)] + reach + list, nlri: [])
  }

  @Test("our own address is no next hop, though nothing is known of the kernel's routes")
  func ownAddress() {
    var harness = TableHarness(hasView: false)
    let peer = harness.peer(1, asn: 64501) { $0.nextHopIPv4 = IPv4Address(10, 0, 0, 253) }
    let monitor = harness.peer(2, asn: 64502)
    let own = [
      Self.classic([10, 0, 0, 254]),  // what the session stands on
      Self.classic([10, 0, 0, 253]),  // what we write as next hop
      Self.multiprotocol("2001:db8:ffff::254"),
    ]
    for message in own {
      #expect(harness.receive(message, from: peer) == .accepted, "the session is not at fault")
      harness.settle()
      #expect(harness.table.bestCount == 0)
      #expect(harness.told[monitor]?.isEmpty == true)
    }
    harness.receive(Self.classic([10, 0, 0, 1]), from: peer)
    harness.receive(Self.multiprotocol("2001:db8:ffff::1"), from: peer)
    harness.settle()
    #expect(harness.told[monitor]?.count == 2)
  }

  @Test("a next hop that becomes our own, or ceases to be, is decided on again")
  func addressComesAndGoes() {
    var harness = TableHarness(hasView: false)
    let peer = harness.peer(1, asn: 64501)
    let monitor = harness.peer(2, asn: 64502)
    harness.receive(Self.classic([10, 0, 0, 77]), from: peer)
    harness.settle()
    #expect(harness.told[monitor]?.count == 1)
    let third = harness.peer(3, asn: 64503), fourth = harness.peer(4, asn: 64504)
    harness.up(third, id: 3, local: "10.0.0.77")
    harness.up(fourth, id: 4, local: "10.0.0.77")
    harness.settle()
    #expect(harness.told[monitor]?.isEmpty == true)
    harness.told[third] = nil
    harness.table.removePeer(third)
    harness.settle()
    #expect(harness.table.bestCount == 0, "another session stands on it still")
    harness.up(fourth, id: 4)
    harness.settle()
    #expect(harness.told[monitor]?.count == 1)
  }

  @Test("a link-local address is our own on the session's link alone")
  func linkLocal() {
    var harness = TableHarness(hasView: false)
    let peer = harness.peer(1, asn: 64501), other = harness.peer(2, asn: 64501)
    harness.up(peer, id: 1, local: "fe80::1")
    harness.up(other, id: 2, local: "fe80::2")
    harness.receive(Self.multiprotocol("fe80::1"), from: peer)
    #expect(harness.table.counters(peer, .ipv6Unicast).accepted == 0)
    harness.receive(Self.multiprotocol("fe80::1"), from: other)
    #expect(harness.table.counters(other, .ipv6Unicast).accepted == 1)
  }

  @Test("a peer without a global address is reached by its link-local one, which never goes further")
  func withoutGlobal() {
    var harness = TableHarness(hasView: false)
    let peer = harness.peer(1, asn: 64501)
    let inside = harness.peer(2, asn: 64500), outside = harness.peer(3, asn: 64503)
    let reach = [0, 2, 1, 32] + address("::").bytes + address("fe80::7").bytes + [0, 16, 0x20, 0x01]
    #expect(
      harness.receive(update([0x80, 14, UInt8(reach.count)] + reach + Self.list, nlri: []), from: peer) == .accepted)
    harness.settle()
    #expect(harness.best("2001::/16")?.nextHop == address("fe80::7"))
    #expect(harness.told[inside]?[prefix("2001::/16")]?.nextHop == address("2001:db8:ffff::254"))
    #expect(harness.told[outside]?[prefix("2001::/16")]?.nextHop == address("2001:db8:ffff::254"))
  }

  /// RFC 1122 section 3.2.1.3; RFC 3021 section 2.1 for a subnet of two. The kernel refuses such gateways.
  @Test(
    "the network's own address and the broadcast of a subnet of ours are nobody's",
    arguments: [
      ("10.0.0.0", false), ("10.0.0.255", false), ("10.0.0.7", true),  // 10.0.0.0/24
      ("10.1.0.4", false), ("10.1.0.7", false), ("10.1.0.5", true),  // 10.1.0.4/30
      ("10.2.0.0", true), ("10.2.0.1", true),  // 10.2.0.0/31
      ("10.3.0.0", true), ("10.3.0.255", true),  // behind a router, who knows
    ])
  func broadcast(nextHop: String, isUsable: Bool) {
    var harness = TableHarness()
    harness.table.setUnderlay(
      [
        UnderlayRoute(prefix: prefix("10.0.0.0/24"), cost: 0, onLink: true),
        UnderlayRoute(prefix: prefix("10.1.0.4/30"), cost: 0, onLink: true),
        UnderlayRoute(prefix: prefix("10.2.0.0/31"), cost: 0, onLink: true),
        UnderlayRoute(prefix: prefix("10.3.0.0/24"), cost: 0, onLink: false),
      ], ownAddresses: [address("10.0.0.254")])
    let peer = harness.peer(1, asn: 64501)
    #expect(harness.receive(Self.classic(address(nextHop).bytes), from: peer) == .accepted)
    harness.settle()
    #expect(harness.table.bestCount == (isUsable ? 1 : 0))
  }
}
