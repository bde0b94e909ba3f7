import BGPWire
import NetTypes
import Testing

@testable import BGPCore

/// One malformed attribute list, and what RFC 7606 wants done with the prefix that it came with.
struct MalformedCase: Sendable, CustomTestStringConvertible {
  enum Wanted: Sendable { case accepted, discarded, withdrawn, reset }
  var name: String
  var list: [UInt8]
  var wanted: Wanted
  var isInternal = false

  init(_ name: String, _ list: [UInt8], _ wanted: Wanted, isInternal: Bool = false) {
    self.name = name
    self.list = list
    self.wanted = wanted
    self.isInternal = isInternal
  }

  var testDescription: String { name }
}

private let origin: [UInt8] = [0x40, 1, 1, 0]
private let path: [UInt8] = [0x40, 2, 6, 2, 1, 0, 0, 0xFB, 0xF5]  // 64501
private let nextHop: [UInt8] = [0x40, 3, 4, 10, 0, 0, 1]
private let good = origin + path + nextHop
/// 2001:db8:ffff::1
private let global: [UInt8] = [0x20, 0x01, 0x0D, 0xB8, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]

/// The prefix 192.0.2.0/24 with this list.
func update(_ list: [UInt8], nlri: [UInt8] = [24, 192, 0, 2], withdrawn: [UInt8] = []) -> [UInt8] {
  let count = 23 + withdrawn.count + list.count + nlri.count
  return [UInt8](repeating: 0xFF, count: 16) + [UInt8(count >> 8), UInt8(count & 255), 2]
    + [UInt8(withdrawn.count >> 8), UInt8(withdrawn.count & 255)] + withdrawn
    + [UInt8(list.count >> 8), UInt8(list.count & 255)] + list + nlri
}

@Suite("Errors in UPDATE messages (RFC 7606)")
struct ErrorHandlingTests {
  /// BIRD 2.0.12, asked the same over TCP, keeps and ends sessions in the same cases, and drops the route in the same
  /// ones but for AS 0 (it accepts it).
  static let cases: [MalformedCase] = [
    MalformedCase("a good list", good, .accepted),
    MalformedCase("attributes out of order", nextHop + path + origin, .accepted),
    MalformedCase("extended length where one octet would do", [0x50, 1, 0, 1, 0] + path + nextHop, .accepted),
    MalformedCase("unused flag bits set", [0x4F, 1, 1, 0] + path + nextHop, .accepted),
    // 7.1
    MalformedCase("ORIGIN of 2 octets", [0x40, 1, 2, 0, 0] + path + nextHop, .withdrawn),
    MalformedCase("ORIGIN of 0 octets", [0x40, 1, 0] + path + nextHop, .withdrawn),
    MalformedCase("ORIGIN 3", [0x40, 1, 1, 3] + path + nextHop, .withdrawn),
    MalformedCase("ORIGIN marked optional", [0xC0, 1, 1, 0] + path + nextHop, .withdrawn),
    MalformedCase("ORIGIN missing", path + nextHop, .withdrawn),
    // 7.2
    MalformedCase("AS_PATH missing", origin + nextHop, .withdrawn),
    MalformedCase("AS_PATH empty", origin + [0x40, 2, 0] + nextHop, .accepted),
    MalformedCase("segment of no numbers", origin + [0x40, 2, 2, 2, 0] + nextHop, .withdrawn),
    MalformedCase(
      "segment longer than the attribute", origin + [0x40, 2, 6, 2, 2, 0, 0, 0xFB, 0xF5] + nextHop, .withdrawn),
    MalformedCase(
      "one octet behind the segments", origin + [0x40, 2, 7, 2, 1, 0, 0, 0xFB, 0xF5, 2] + nextHop, .withdrawn),
    MalformedCase("unknown segment type", origin + [0x40, 2, 6, 5, 1, 0, 0, 0xFB, 0xF5] + nextHop, .withdrawn),
    MalformedCase("confederation segment", origin + [0x40, 2, 6, 3, 1, 0, 0, 0xFB, 0xF5] + nextHop, .withdrawn),
    MalformedCase("AS 0 in AS_PATH (RFC 7607)", origin + [0x40, 2, 6, 2, 1, 0, 0, 0, 0] + nextHop, .withdrawn),
    MalformedCase("AS_SET", origin + [0x40, 2, 6, 1, 1, 0, 0, 0xFB, 0xF5] + nextHop, .accepted),
    // 7.3
    MalformedCase("NEXT_HOP of 5 octets", origin + path + [0x40, 3, 5, 10, 0, 0, 1, 0], .withdrawn),
    MalformedCase("NEXT_HOP missing", origin + path, .withdrawn),
    // 7.4, 7.5
    MalformedCase("MED of 3 octets", good + [0x80, 4, 3, 0, 0, 0], .withdrawn),
    MalformedCase("MED marked transitive", good + [0xC0, 4, 4, 0, 0, 0, 1], .withdrawn),
    MalformedCase("LOCAL_PREF from an external peer", good + [0x40, 5, 4, 0, 0, 0, 200], .discarded),
    MalformedCase("LOCAL_PREF of 3 octets from an external peer", good + [0x40, 5, 3, 0, 0, 0], .discarded),
    MalformedCase(
      "LOCAL_PREF of 3 octets from an internal peer", good + [0x40, 5, 3, 0, 0, 0], .withdrawn, isInternal: true),
    // 7.6, 7.7
    MalformedCase("ATOMIC_AGGREGATE of 1 octet", good + [0x40, 6, 1, 0], .discarded),
    MalformedCase(
      "AGGREGATOR of 6 octets between 4-octet speakers", good + [0xC0, 7, 6, 0, 1, 10, 0, 0, 1], .discarded),
    MalformedCase("AGGREGATOR with AS 0", good + [0xC0, 7, 8, 0, 0, 0, 0, 10, 0, 0, 1], .discarded),
    // 3 c: wrong flags withdraw, also where a wrong value is only discarded
    MalformedCase("AGGREGATOR marked well-known", good + [0x40, 7, 8, 0, 0, 0, 1, 10, 0, 0, 1], .withdrawn),
    MalformedCase("AGGREGATOR marked non-transitive", good + [0x80, 7, 8, 0, 0, 0, 1, 10, 0, 0, 1], .withdrawn),
    MalformedCase("AGGREGATOR without flags", good + [0x00, 7, 8, 0, 0, 0, 1, 10, 0, 0, 1], .withdrawn),
    MalformedCase("ATOMIC_AGGREGATE marked optional", good + [0xC0, 6, 0], .withdrawn),
    MalformedCase("ATOMIC_AGGREGATE without flags", good + [0x00, 6, 0], .withdrawn),
    MalformedCase("ATOMIC_AGGREGATE marked non-transitive", good + [0x80, 6, 0], .withdrawn),
    MalformedCase("LOCAL_PREF marked optional from an external peer", good + [0xC0, 5, 4, 0, 0, 0, 1], .discarded),
    MalformedCase(
      "AS4_PATH marked well-known from a 4-octet speaker", good + [0x40, 17, 6, 2, 1, 0, 1, 0, 1], .discarded),
    MalformedCase(
      "AS4_AGGREGATOR marked well-known from a 4-octet speaker", good + [0x40, 18, 8, 0, 1, 0, 1, 10, 0, 0, 1],
      .discarded),
    // 7.8 to 7.10, 7.14, RFC 8092, RFC 9234
    MalformedCase("COMMUNITIES of 3 octets", good + [0xC0, 8, 3, 0, 0, 0], .withdrawn),
    MalformedCase("COMMUNITIES of no octets", good + [0xC0, 8, 0], .withdrawn),
    MalformedCase("ORIGINATOR_ID from an external peer", good + [0x80, 9, 4, 1, 1, 1, 1], .discarded),
    MalformedCase("ORIGINATOR_ID of 5 octets", good + [0x80, 9, 5, 1, 1, 1, 1, 1], .withdrawn, isInternal: true),
    MalformedCase("CLUSTER_LIST of 6 octets", good + [0x80, 10, 6, 1, 1, 1, 1, 1, 1], .withdrawn, isInternal: true),
    MalformedCase("CLUSTER_LIST from an external peer", good + [0x80, 10, 6, 1, 1, 1, 1, 1, 1], .discarded),
    MalformedCase("extended communities of 7 octets", good + [0xC0, 16, 7, 0, 0, 0, 0, 0, 0, 0], .withdrawn),
    MalformedCase(
      "large communities of 11 octets", good + [0xC0, 32, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], .withdrawn),
    MalformedCase("OTC of 3 octets", good + [0xC0, 35, 3, 0, 0, 1], .withdrawn),
    MalformedCase("AS4_PATH from a 4-octet speaker", good + [0xC0, 17, 6, 2, 1, 0, 1, 0, 1], .accepted),
    MalformedCase("a broken AS4_PATH", good + [0xC0, 17, 3, 2, 1, 0], .discarded),
    // 3 g
    MalformedCase("ORIGIN twice", good + origin, .discarded),
    MalformedCase(
      "MP_REACH_NLRI twice", good + [0x80, 14, 5, 0, 1, 128, 0, 0] + [0x80, 14, 5, 0, 1, 128, 0, 0], .reset),
    // 4
    MalformedCase("attribute longer than the list", good + [0xC0, 8, 8, 0, 0, 0, 1], .withdrawn),
    MalformedCase("two octets left at the end of the list", good + [0xC0, 8], .withdrawn),
    // 7.11, 7.12
    MalformedCase(
      "IPv6 next hop of 8 octets", good + [0x80, 14, 14, 0, 2, 1, 8, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0], .reset),
    MalformedCase("MP_REACH_NLRI shorter than its next hop", good + [0x80, 14, 6, 0, 2, 1, 16, 1, 1], .reset),
    MalformedCase("IPv6 prefix of 129 bits withdrawn", good + [0x80, 15, 4, 0, 2, 1, 129], .reset),
    MalformedCase("a family that is not ours", good + [0x80, 15, 5, 0, 25, 70, 0, 0], .accepted),
    // Unknown attributes
    MalformedCase("unknown optional transitive", good + [0xC0, 99, 1, 7], .accepted),
    MalformedCase("unknown optional non-transitive", good + [0x80, 99, 1, 7], .accepted),
    MalformedCase("unknown well-known", good + [0x40, 99, 1, 7], .withdrawn),
  ]

  @Test("each malformed attribute costs what it must and no more", arguments: cases)
  func outcome(of malformed: MalformedCase) {
    var harness = TableHarness()
    let peer = harness.peer(1, asn: malformed.isInternal ? 64500 : 64501)
    let monitor = harness.peer(2, asn: 64502)
    harness.receive(update(good), from: peer)  // so that a withdrawal has something to take away
    harness.settle()
    let outcome = harness.receive(update(malformed.list), from: peer)
    harness.settle()
    let isThere = harness.told[monitor]?[prefix("192.0.2.0/24")] != nil
    switch (malformed.wanted, outcome) {
    case (.accepted, .accepted), (.discarded, .attributesDiscarded): #expect(isThere)
    case (.withdrawn, .treatedAsWithdraw): #expect(!isThere)
    case (.reset, .sessionReset(let notification, _)): #expect(notification.code.code == 3)
    default: Issue.record("\(malformed.name): \(outcome)")
    }
  }

  @Test("an error with no reachable NLRI in sight needs a reset (section 5.2)")
  func noNLRI() {
    var harness = TableHarness()
    let peer = harness.peer(1, asn: 64501)
    let outcome = harness.receive(update([0x40, 1, 1, 9], nlri: [], withdrawn: [24, 192, 0, 2]), from: peer)
    guard case .sessionReset = outcome else {
      Issue.record("\(outcome)")
      return
    }
    let discard = harness.receive(update(good + [0x40, 6, 1, 0], nlri: []), from: peer)
    guard case .attributesDiscarded = discard else {
      Issue.record("\(discard)")
      return
    }
  }

  @Test("an MP_REACH_NLRI without NLRI is no reachable NLRI (section 5.2), one of a family that is not ours may be")
  func emptyReach() {
    let reach: [UInt8] = [0x80, 14, 21, 0, 2, 1, 16] + global + [0]
    var harness = TableHarness()
    let peer = harness.peer(1, asn: 64501)
    #expect(harness.receive(update(reach + origin + path, nlri: []), from: peer) == .accepted)
    guard
      case .sessionReset(let notification, _) = harness.receive(
        update(reach + [0x40, 1, 1, 9] + path, nlri: []), from: peer)
    else {
      Issue.record("an empty MP_REACH_NLRI")
      return
    }
    #expect(notification == Notification(.init(3, 6), data: [0x40, 1, 1, 9]))
    let other: [UInt8] = [0x80, 14, 9, 0, 25, 65, 0, 0, 1, 2, 3, 4]
    for (list, nlri) in [(other, []), (reach + [48, 0x20, 1, 0x0D, 0xB8, 0, 1], []), (reach, [24, 192, 0, 2])]
      as [([UInt8], [UInt8])]
    {
      var list = list + [0x40, 1, 1, 9] + path + nextHop
      if list[2] == 21, list[24] == 48 { list[2] = 28 }  // the NLRI belong to the attribute
      guard case .treatedAsWithdraw = harness.receive(update(list, nlri: nlri), from: peer) else {
        Issue.record("\(list)")
        return
      }
    }
  }

  @Test(
    "an attribute of a family that was not agreed on is ignored, whatever it holds (RFC 4760 section 8)",
    arguments: [
      [0x80, 14, 8, 0, 2, 1, 3, 1, 2, 3, 0],  // next hop of 3 octets
      [0x80, 14, 22, 0, 2, 1, 16] + global + [0, 129],  // prefix of 129 bits
      [0x80, 15, 4, 0, 2, 1, 129], [0x80, 15, 5, 0, 2, 1, 48, 0x20],
    ] as [[UInt8]])
  func familyNotAgreedOn(attribute: [UInt8]) {
    var harness = TableHarness()
    let peer = harness.peer(1, asn: 64501, families: .ipv4Unicast)
    let monitor = harness.peer(2, asn: 64502)
    let list = attribute + good
    #expect(harness.receive(update(list), from: peer) == .accepted)
    harness.settle()
    #expect(harness.told[monitor]?[prefix("192.0.2.0/24")] != nil)
    let both = harness.peer(3, asn: 64503)
    guard case .sessionReset = harness.receive(update(list), from: both) else {
      Issue.record("agreed on, and taken all the same")
      return
    }
  }

  @Test("wrong flags of an AS4_PATH or AS4_AGGREGATOR that counts withdraw the route (section 3 c)")
  func as4Flags() {
    let short: [UInt8] = [0x40, 1, 1, 0, 0x40, 2, 4, 2, 1, 0x5B, 0xA0, 0x40, 3, 4, 10, 0, 0, 1]
    for (attribute, isGood) in [
      ([0xC0, 17, 6, 2, 1, 0, 1, 0, 1], true), ([0x80, 17, 6, 2, 1, 0, 1, 0, 1], false),
      ([0x40, 17, 6, 2, 1, 0, 1, 0, 1], false), ([0xC0, 18, 8, 0, 1, 0, 1, 10, 0, 0, 1], true),
      ([0x40, 18, 8, 0, 1, 0, 1, 10, 0, 0, 1], false),
    ] as [([UInt8], Bool)] {
      var harness = TableHarness()
      let peer = harness.peer(1, asn: 23456, fourOctetAS: false)
      let outcome = harness.receive(update(short + attribute), from: peer)
      harness.settle()
      #expect((outcome == .accepted) == isGood)
      #expect(harness.table.bestCount == (isGood ? 1 : 0))
    }
  }

  /// RFC 4271 section 6.3: the data is the attribute at fault (type, length, value), the type code of a missing one, and
  /// nothing where the list or the path is malformed.
  @Test(
    "the NOTIFICATION that ends the session holds what the RFC wants to see",
    arguments: [
      ([0x80, 14, 8, 0, 2, 1, 3, 1, 2, 3, 0], [3, 9, 0x80, 14, 8, 0, 2, 1, 3, 1, 2, 3, 0]),
      ([0x90, 15, 0, 4, 0, 2, 1, 129], [3, 9, 0x90, 15, 0, 4, 0, 2, 1, 129]),
      ([0x40, 1, 1, 9], [3, 6, 0x40, 1, 1, 9]), ([0x40, 1, 2, 0, 0], [3, 5, 0x40, 1, 2, 0, 0]),
      ([0xC0, 1, 1, 0], [3, 4, 0xC0, 1, 1, 0]), ([0x40, 99, 1, 7], [3, 2, 0x40, 99, 1, 7]),
      (origin + [0xC0, 8, 8, 0, 0, 0, 1], [3, 5, 0xC0, 8, 8, 0, 0, 0, 1]),  // cut short by the list
      ([0x80, 14, 21, 0, 2, 1, 16] + global + [0] + path, [3, 3, 1]),  // ORIGIN is missing
      ([0x40, 2, 6, 5, 1, 0, 0, 0, 1], [3, 11]), (origin + [0xC0, 8], [3, 1]),
    ] as [([UInt8], [UInt8])])
  func notification(list: [UInt8], body: [UInt8]) {
    var harness = TableHarness()
    let peer = harness.peer(1, asn: 64501)
    guard case .sessionReset(let notification, _) = harness.receive(update(list, nlri: []), from: peer) else {
      Issue.record("\(list)")
      return
    }
    #expect(Array(notification.encode().dropFirst(19)) == body)
  }

  @Test("the largest attribute that a message holds fits into a NOTIFICATION")
  func largestNotification() {
    var harness = TableHarness()
    let peer = harness.peer(1, asn: 64501)
    let list: [UInt8] = [0x50, 1, 0x0F, 0xE5] + [UInt8](repeating: 0, count: 4069)  // 4096 octets in all
    guard case .sessionReset(let notification, _) = harness.receive(update(list, nlri: []), from: peer) else {
      Issue.record("accepted")
      return
    }
    #expect(Array(notification.encode().dropFirst(19)) == [3, 5] + list)
    #expect(notification.encode().count == 4094)
  }

  @Test("what cannot be cut into sections or prefixes needs a reset")
  func unreadable() {
    var harness = TableHarness()
    let peer = harness.peer(1, asn: 64501)
    let bad: [[UInt8]] = [
      update(good, nlri: [33, 1, 1, 1, 1, 1]), update(good, nlri: [24, 192, 0]),
      update([], nlri: [], withdrawn: [24, 1]), update([], nlri: [], withdrawn: [40, 1, 1, 1, 1, 1]),
    ]
    for message in bad {
      guard case .sessionReset = harness.receive(message, from: peer) else {
        Issue.record("\(message)")
        return
      }
    }
    var lengths = update(good)
    lengths[22] = 0xFF  // attribute length beyond the message
    guard case .sessionReset(let notification, _) = harness.receive(lengths, from: peer) else {
      Issue.record("lengths")
      return
    }
    #expect(notification.code == .malformedAttributeList)
  }

  @Test("an unknown transitive attribute goes on unharmed with the Partial bit, a non-transitive one does not")
  func unknown() {
    var harness = TableHarness()
    let peer = harness.peer(1, asn: 64501)
    let monitor = harness.peer(2, asn: 64502)
    harness.receive(update(good + [0xC0, 99, 2, 7, 8, 0x80, 100, 1, 9, 0xE0, 101, 0]), from: peer)
    harness.settle()
    let others = harness.told[monitor]?[prefix("192.0.2.0/24")]?.others
    #expect(others?.map(\.type.rawValue) == [99, 101])
    #expect(others?.first?.value == [7, 8])
    #expect(others?.allSatisfy { $0.flags == [.optional, .transitive, .partial] } == true)
  }

  @Test("of an attribute that comes twice the first counts")
  func repeated() {
    var harness = TableHarness()
    let peer = harness.peer(1, asn: 64501)
    let monitor = harness.peer(2, asn: 64502)
    harness.receive(update(good + [0x40, 1, 1, 2]), from: peer)
    harness.settle()
    #expect(harness.told[monitor]?[prefix("192.0.2.0/24")]?.origin == .igp)
  }

  @Test("a set that another family or we ourselves left in the table does not make a bad one good")
  func knownSets() {
    var harness = TableHarness { $0.networks = [prefix("203.0.113.0/24")] }
    let peer = harness.peer(1, asn: 64501)
    // Ours has ORIGIN and an empty AS_PATH, and no NEXT_HOP.
    guard case .treatedAsWithdraw = harness.receive(update([0x40, 1, 1, 0, 0x40, 2, 0]), from: peer) else {
      Issue.record("NEXT_HOP missing")
      return
    }
    harness.announce(["2001:db8::/32"], from: peer, path: [64501], nextHop: "2001:db8:ffff::1")
    let next: [UInt8] = [0x20, 0x01, 0x0D, 0xB8, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    guard case .treatedAsWithdraw = harness.receive(update(origin + path + [0x40, 3, 16] + next), from: peer) else {
      Issue.record("NEXT_HOP of 16 octets")
      return
    }
  }

  @Test("one prefix more than allowed ends the session with Cease/1, family and bound as data (RFC 4486)")
  func maxPrefix() {
    var harness = TableHarness()
    let peer = harness.peer(1, asn: 64501) { $0.maxPrefix = 3 }
    #expect(harness.announce(["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"], from: peer, path: [64501]) == .accepted)
    #expect(harness.announce(["10.3.0.0/16"], from: peer, path: [64501, 1]) == .accepted)
    let outcome = harness.announce(["10.4.0.0/16"], from: peer, path: [64501])
    #expect(outcome == .maxPrefixesExceeded(Notification(.maximumPrefixes, data: [0, 1, 1, 0, 0, 0, 3])))
  }

  @Test("reserved and IPv4-mapped prefixes are ignored, those beside them are not (RFC 4271 section 6.3)")
  func martians() {
    var harness = TableHarness()
    let peer = harness.peer(1, asn: 64501)
    let nlri: [UInt8] = [4, 0xF0, 32, 255, 255, 255, 255, 24, 250, 1, 2, 24, 192, 0, 2]
    #expect(harness.receive(update(good, nlri: nlri), from: peer) == .accepted)
    #expect(harness.table.counters(peer, .ipv4Unicast).received == 1)
    harness.announce(
      ["::ffff:0:0/96", "::ffff:192.0.2.0/120", "2001:db8::/32"], from: peer, path: [64501],
      nextHop: "2001:db8:ffff::1")
    #expect(harness.table.counters(peer, .ipv6Unicast).received == 1)
  }

  @Test("a limit that is lowered below what is held has been exceeded, and a neighbor without routes never has")
  func loweredLimit() {
    var harness = TableHarness()
    let peer = harness.peer(1, asn: 64501) { $0.maxPrefix = 3 }
    harness.announce(["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"], from: peer, path: [64501])
    #expect(harness.table.maxPrefixesExceeded(by: peer) == nil)
    var settings = harness.table.peers[Int(peer.rawValue)].settings
    settings.maxPrefix = 2
    harness.table.updatePeer(peer, settings)
    #expect(
      harness.table.maxPrefixesExceeded(by: peer) == Notification(.maximumPrefixes, data: [0, 1, 1, 0, 0, 0, 2]))
    settings.maxPrefix = 0
    harness.table.updatePeer(peer, settings)
    #expect(harness.table.maxPrefixesExceeded(by: peer) == nil)
  }

  @Test("loopback, multicast and unspecified next hops make a route unusable, never the session")
  func martianNextHops() {
    var harness = TableHarness()
    let peer = harness.peer(1, asn: 64501)
    for (number, nextHop) in ["127.0.0.1", "224.0.0.5", "0.0.0.0", "255.255.255.255", "10.0.0.254"].enumerated() {
      #expect(harness.announce(["10.\(number).0.0/16"], from: peer, path: [64501], nextHop: nextHop) == .accepted)
    }
    harness.settle()
    #expect(harness.table.bestCount == 0)
    #expect(harness.table.counters(peer, .ipv4Unicast).received == 5)
  }
}
