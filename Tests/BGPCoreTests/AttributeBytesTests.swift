import BGPWire
import NetTypes
import Testing

@testable import BGPCore

/// One attribute in, the octets of it that leave.
///
///     64501 ──► 64500 ──► 64502 (eBGP), 64500 (iBGP)
@Suite("Attributes as they are passed on, octet by octet")
struct AttributeBytesTests {
  private let origin: [UInt8] = [0x40, 1, 1, 0]
  private let rest: [UInt8] = [0x40, 2, 6, 2, 1, 0, 0, 0xFB, 0xF5, 0x40, 3, 4, 10, 0, 0, 1]

  /// What eBGP and iBGP neighbors are sent of the type.
  private func passOn(
    _ list: [UInt8], _ type: AttributeType, _ adjust: (inout PeerSettings) -> Void = { _ in }
  ) -> (outside: [UInt8]?, inside: [UInt8]?) {
    var harness = TableHarness()
    let peer = harness.peer(1, asn: 64501, adjust)
    let outside = harness.peer(2, asn: 64502), inside = harness.peer(3, asn: 64500)
    #expect(harness.receive(update(list), from: peer) == .accepted)
    harness.settle()
    #expect(harness.told[outside]?.count == 1)
    #expect(harness.told[inside]?.count == 1)
    return (harness.sent(type, to: outside), harness.sent(type, to: inside))
  }

  @Test("the Partial bit is zero on well-known and on non-transitive attributes (RFC 4271 section 4.3)")
  func partialBit() {
    #expect(passOn([0x60, 1, 1, 0] + rest, .origin).outside == [0x40, 1, 1, 0])
    #expect(passOn(origin + rest + [0x60, 6, 0], .atomicAggregate).outside == [0x40, 6, 0])
    #expect(passOn(origin + rest + [0xA0, 4, 4, 0, 0, 0, 9], .med).inside == [0x80, 4, 4, 0, 0, 0, 9])
    let path: [UInt8] = [0x60, 2, 6, 2, 1, 0, 0, 0xFB, 0xF5, 0x40, 3, 4, 10, 0, 0, 1]
    #expect(passOn(origin + path, .asPath).inside == [0x40, 2, 6, 2, 1, 0, 0, 0xFB, 0xF5])
    let aggregator: [UInt8] = [0xE0, 7, 8, 0, 0, 0, 1, 10, 0, 0, 1]
    #expect(passOn(origin + rest + aggregator, .aggregator).outside == aggregator, "it stays")
  }

  @Test("a Partial bit that an earlier AS set stays where a list is written anew (RFC 4271 section 5)")
  func partialStays() {
    let communities: [UInt8] = [0xE0, 8, 4, 0xFB, 0xF5, 0, 7]
    let large: [UInt8] = [0xE0, 32, 12, 0, 0, 0xFB, 0xF5, 0, 0, 0, 1, 0, 0, 0, 1]
    let longer: [UInt8] = [0xE0, 8, 8, 0xFB, 0xF4, 0, 1, 0xFB, 0xF5, 0, 7]
    let longerLarge: [UInt8] =
      [0xE0, 32, 24, 0, 0, 0xFB, 0xF4, 0, 0, 0, 1, 0, 0, 0, 2] + large.dropFirst(3)
    for side in [\PeerSettings.importPolicy, \PeerSettings.exportPolicy] {
      var harness = TableHarness {
        var set = SetActions()
        set.addCommunities = [Community(64500, 1)]
        set.addLargeCommunities = [LargeCommunity(64500, 1, 2)]
        $0.policies = [Policy(name: "tag", statements: [Statement(match: Match(), set: set, then: .accept)])]
      }
      let isImport = side == \PeerSettings.importPolicy
      let peer = harness.peer(1, asn: 64501) { if isImport { $0[keyPath: side] = .named("tag") } }
      let outside = harness.peer(2, asn: 64502) { if !isImport { $0[keyPath: side] = .named("tag") } }
      #expect(harness.receive(update(origin + rest + communities + large), from: peer) == .accepted)
      harness.settle()
      #expect(harness.sent(.communities, to: outside) == longer)
      #expect(harness.sent(.largeCommunities, to: outside) == longerLarge)
      // One that we add ourselves has none.
      harness.receive(update(origin + rest), from: peer)
      harness.settle()
      #expect(harness.sent(.communities, to: outside) == [0xC0, 8, 4, 0xFB, 0xF4, 0, 1])
    }
    // The relation tag of iBGP, which is written into the list of large communities.
    let tagged = passOn(origin + rest + large, .largeCommunities) { $0.relation = .provider }
    #expect(tagged.inside?.first == 0xE0)
    #expect(tagged.outside == large)
  }

  @Test("non-transitive extended communities stay inside the AS (RFC 4360 section 6)")
  func nonTransitive() {
    let target: [UInt8] = [0, 2, 0xFB, 0xF5, 0, 0, 0, 1]
    let opaque: [UInt8] = [0x43, 7, 0, 0, 0, 0, 0, 1]
    let bandwidth: [UInt8] = [0x40, 4, 0xFB, 0xF5, 0, 0, 0, 1]
    let mixed = passOn(origin + rest + [0xE0, 16, 24] + opaque + target + bandwidth, .extendedCommunities)
    #expect(mixed.outside == [0xE0, 16, 8] + target)
    #expect(mixed.inside == [0xE0, 16, 24] + opaque + target + bandwidth)
    let none = passOn(origin + rest + [0xC0, 16, 8] + bandwidth, .extendedCommunities)
    #expect(none.outside == nil)
    #expect(none.inside == [0xC0, 16, 8] + bandwidth)
    let target6: [UInt8] = [0, 2, 0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 7]
    let local6 = [0x40] + target6.dropFirst()
    let ipv6 = passOn(origin + rest + [0xC0, 25, 40] + local6 + target6, .ipv6ExtendedCommunities)
    #expect(ipv6.outside == [0xC0, 25, 20] + target6)
    #expect(ipv6.inside == [0xC0, 25, 40] + local6 + target6)
  }

  @Test("the origin validation state of another AS is dropped as it comes in (RFC 8097 section 2)")
  func originValidationState() {
    let state: [UInt8] = [0x43, 0, 0, 0, 0, 0, 0, 2]
    let target: [UInt8] = [0, 2, 0xFB, 0xF5, 0, 0, 0, 1]
    let both = passOn(origin + rest + [0xC0, 16, 16] + state + target, .extendedCommunities)
    #expect(both.inside == [0xC0, 16, 8] + target)
    #expect(passOn(origin + rest + [0xC0, 16, 8] + state, .extendedCommunities).inside == nil)
  }
}
