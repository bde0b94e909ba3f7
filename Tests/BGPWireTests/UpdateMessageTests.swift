import BGPWire
import NetTypes
import Testing

private func prefix(_ text: String) -> IPPrefix {
  guard let prefix = IPPrefix(text) else { preconditionFailure("\(text) is no prefix") }
  return prefix
}

private let marker = [UInt8](repeating: 0xFF, count: 16)

private func decode(
  _ message: [UInt8], fourOctetAS: Bool = true, isExternal: Bool = true
) throws(UpdateFault) -> UpdateMessage {
  let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: message.count - 19, alignment: 1)
  defer { buffer.deallocate() }
  buffer.copyBytes(from: message[19...])
  return try UpdateMessage(
    decoding: UnsafeRawBufferPointer(buffer), UpdateContext(hasFourOctetAS: fourOctetAS, isExternal: isExternal))
}

@Suite("UPDATE: one byte array, one value, both ways")
struct UpdateMessageTests {
  /// Every attribute that has a value of its own, in order of type.
  private static let full: [UInt8] =
    marker + [
      0x00, 0x74, 2,  // length 116, UPDATE
      0x00, 0x04, 24, 198, 51, 100,  // withdrawn: 198.51.100.0/24
      0x00, 0x55,  // attributes: 85 octets
      0x40, 1, 1, 0x01,  // ORIGIN EGP
      0x40, 2, 16, 2, 2, 0, 0, 0xFD, 0xE9, 0, 1, 0, 0, 1, 1, 0, 0, 0, 7,  // sequence 65001 65536, set {7}
      0x40, 3, 4, 192, 0, 2, 1,  // NEXT_HOP
      0x80, 4, 4, 0, 0, 0, 50,  // MULTI_EXIT_DISC
      0x40, 6, 0,  // ATOMIC_AGGREGATE
      0xC0, 7, 8, 0, 0, 0xFD, 0xEA, 192, 0, 2, 9,  // AGGREGATOR 65002
      0xC0, 8, 4, 0xFF, 0xFF, 0xFF, 0x01,  // COMMUNITIES no-export
      0xC0, 32, 12, 0, 0, 0xFD, 0xE9, 0, 0, 0, 1, 0, 0, 0, 2,  // LARGE_COMMUNITY 65001:1:2
      0xC0, 35, 4, 0, 0, 0xFD, 0xE9,  // OTC 65001
      0xE0, 200, 2, 0xAB, 0xCD,  // unknown, transitive, partial
      9, 10, 128, 0,  // NLRI: 10.128.0.0/9 in two octets, and a default route
    ]

  @Test("all attributes of a route")
  func attributes() throws {
    var attributes = PathAttributes()
    attributes.origin = .egp
    attributes.asPath = ASPath([
      ASPath.Segment(.sequence, [ASNumber(65001), ASNumber(65536)]), ASPath.Segment(.set, [ASNumber(7)]),
    ])
    attributes.nextHop = IPAddress("192.0.2.1")
    attributes.med = 50
    attributes.atomicAggregate = true
    attributes.aggregator = PathAttributes.Aggregator(asn: ASNumber(65002), address: IPv4Address(192, 0, 2, 9))
    attributes.communities = [.noExport]
    attributes.largeCommunities = [LargeCommunity(65001, 1, 2)]
    attributes.otc = ASNumber(65001)
    attributes.others = [
      PathAttributes.Opaque(
        flags: [.optional, .transitive, .partial], type: AttributeType(rawValue: 200), value: [0xAB, 0xCD])
    ]
    let value = UpdateMessage(
      withdrawn: [prefix("198.51.100.0/24")], announced: [prefix("10.128.0.0/9"), prefix("0.0.0.0/0")],
      attributes: attributes)
    #expect(value.encode() == Self.full)
    #expect(try decode(Self.full) == value)
    #expect(attributes.asPath.description == "65001 65536 {7}")
  }

  @Test("IPv6 stands in MP_REACH_NLRI and MP_UNREACH_NLRI, ahead of the other attributes")
  func ipv6() throws {
    let bytes: [UInt8] =
      marker + [
        0x00, 0x50, 2, 0, 0,
        0x00, 0x39,
        0x90, 15, 0, 8, 0, 2, 1, 32, 0x20, 0x01, 0x0D, 0xB8,  // MP_UNREACH 2001:db8::/32
        0x90, 14, 0, 28, 0, 2, 1, 16,  // MP_REACH, next hop of 16 octets
        0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
        0, 48, 0x20, 0x01, 0x0D, 0xB8, 0, 1,  // 2001:db8:1::/48
        0x40, 1, 1, 0x00,
        0x40, 2, 6, 2, 1, 0, 0, 0xFD, 0xE9,
      ]
    var attributes = PathAttributes()
    attributes.asPath = ASPath(sequence: [ASNumber(65001)])
    attributes.nextHop = IPAddress("2001:db8::1")
    let value = UpdateMessage(
      withdrawn: [prefix("2001:db8::/32")], announced: [prefix("2001:db8:1::/48")], attributes: attributes)
    #expect(value.encode() == bytes)
    #expect(try decode(bytes) == value)
  }

  @Test("a link-local address behind the global next hop is left aside (RFC 2545)")
  func linkLocal() throws {
    let global: [UInt8] = [0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    let local: [UInt8] = [0xFE, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    let reach: [UInt8] = [0, 2, 1, 32] + global + local + [0, 16, 0x20, 0x01]
    let list: [UInt8] = [0x80, 14, UInt8(reach.count)] + reach + [0x40, 1, 1, 0, 0x40, 2, 0]
    let message = marker + [0, UInt8(23 + list.count), 2, 0, 0, 0, UInt8(list.count)] + list
    #expect(try decode(message).attributes?.nextHop == IPAddress("2001:db8::1"))
  }

  @Test(
    "of a next hop of 32 octets without a global address the link-local one counts",
    arguments: ["::", "fe80::9", "2001:db8::9"])
  func onlyLinkLocal(first: String) throws {
    let local: [UInt8] = [0xFE, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    let global = try #require(IPAddress(first)).bytes
    let reach: [UInt8] = [0, 2, 1, 32] + global + local + [0, 16, 0x20, 0x01]
    let list: [UInt8] = [0x80, 14, UInt8(reach.count)] + reach + [0x40, 1, 1, 0, 0x40, 2, 0]
    let message = marker + [0, UInt8(23 + list.count), 2, 0, 0, 0, UInt8(list.count)] + list
    let wanted = first.hasPrefix("2001") ? first : "fe80::1"
    #expect(try decode(message).attributes?.nextHop == IPAddress(wanted))
  }

  @Test("End-of-RIB is an empty UPDATE, or an empty MP_UNREACH_NLRI")
  func endOfRIB() {
    #expect(UpdateMessage.endOfRIB(.ipv4Unicast) == marker + [0, 23, 2, 0, 0, 0, 0])
    #expect(UpdateMessage.endOfRIB(.ipv6Unicast) == marker + [0, 29, 2, 0, 0, 0, 6, 0x80, 15, 3, 0, 2, 1])
  }

  @Test(
    "AS_PATH of a 2-octet speaker and AS4_PATH become one path (RFC 6793 section 4.2.3)",
    arguments: [
      // AS_PATH, AS4_PATH, merged
      ([2, 3, 0, 10, 0x5B, 0xA0, 0x5B, 0xA0], [2, 2, 0, 1, 0, 1, 0, 1, 0, 2], "10 65537 65538"),
      ([2, 1, 0x5B, 0xA0], [2, 2, 0, 1, 0, 1, 0, 1, 0, 2], "23456"),  // AS4_PATH is longer: ignored
      ([2, 2, 0, 10, 0, 11], [], "10 11"),
      (
        [2, 2, 0, 10, 0x5B, 0xA0, 1, 2, 0, 5, 0, 6], [2, 1, 0, 1, 0, 1, 1, 2, 0, 0, 0, 5, 0, 0, 0, 6], "10 65537 {5,6}"
      ),
      // RFC 6793 section 6: confederation segments, (65000) and [65001], are taken out of AS4_PATH and the rest counts.
      (
        [2, 3, 0, 10, 0x5B, 0xA0, 0x5B, 0xA0],
        [3, 1, 0, 0, 0xFD, 0xE8, 2, 2, 0, 1, 0, 1, 0, 1, 0, 2, 4, 1, 0, 0, 0xFD, 0xE9], "10 65537 65538"
      ),
      ([2, 2, 0, 10, 0, 11], [3, 1, 0, 0, 0xFD, 0xE8], "10 11"),  // nothing is left of it
      // AS 0, in whatever segment, costs the attribute (RFC 7607).
      ([2, 2, 0, 10, 0x5B, 0xA0], [3, 1, 0, 0, 0, 0, 2, 1, 0, 1, 0, 1], "10 23456"),
      ([2, 2, 0, 10, 0x5B, 0xA0], [5, 1, 0, 0, 0, 1, 2, 1, 0, 1, 0, 1], "10 23456"),  // no such segment
    ] as [([UInt8], [UInt8], String)])
  func as4(path: [UInt8], as4Path: [UInt8], merged: String) throws {
    var list: [UInt8] = [0x40, 1, 1, 0, 0x40, 2, UInt8(path.count)] + path + [0x40, 3, 4, 192, 0, 2, 1]
    if !as4Path.isEmpty { list += [0xC0, 17, UInt8(as4Path.count)] + as4Path }
    let message = marker + [0, UInt8(25 + list.count), 2, 0, 0, 0, UInt8(list.count)] + list + [8, 10]
    let decoded = try decode(message, fourOctetAS: false)
    #expect(decoded.attributes?.asPath.description == merged)
  }

  @Test("an AGGREGATOR that is not AS_TRANS makes AS4_PATH and AS4_AGGREGATOR stale")
  func staleAS4() throws {
    let list: [UInt8] = [
      0x40, 1, 1, 0, 0x40, 2, 4, 2, 1, 0x5B, 0xA0, 0x40, 3, 4, 192, 0, 2, 1, 0xC0, 7, 6, 0, 9, 192, 0, 2, 2,
      0xC0, 17, 6, 2, 1, 0, 1, 0, 1, 0xC0, 18, 8, 0, 1, 0, 1, 192, 0, 2, 3,
    ]
    let message = marker + [0, UInt8(25 + list.count), 2, 0, 0, 0, UInt8(list.count)] + list + [8, 10]
    let attributes = try #require(try decode(message, fourOctetAS: false).attributes)
    #expect(attributes.asPath.description == "23456")
    #expect(attributes.aggregator?.asn == ASNumber(9))
    #expect(attributes.others.isEmpty)
  }

  @Test("every message survives truncation at every octet: a value or a typed fault")
  func truncation() {
    for length in 19..<Self.full.count {
      var message = Array(Self.full.prefix(length))
      message[17] = UInt8(length)
      _ = try? decode(message)
    }
  }
}

@Suite("NLRI")
struct NLRITests {
  @Test(
    "prefixes of every length come back, with host bits cleared",
    arguments: [
      ([0], "0.0.0.0/0"), ([1, 0xFF], "128.0.0.0/1"), ([12, 10, 0xFF], "10.240.0.0/12"),
      ([32, 192, 0, 2, 1], "192.0.2.1/32"), ([25, 192, 0, 2, 0xFF], "192.0.2.128/25"),
    ] as [([UInt8], String)])
  func ipv4(bytes: [UInt8], text: String) {
    bytes.withUnsafeBytes {
      var reader = NLRIReader($0, .ipv4Unicast)
      #expect(reader.next()?.prefix(.ipv4Unicast).description == text)
      #expect(reader.next() == nil)
      #expect(NLRIReader.count($0, .ipv4Unicast) == 1)
    }
  }

  @Test("a prefix key writes what was read", arguments: [0, 1, 8, 9, 48, 63, 64, 65, 127, 128])
  func roundTrip(length: Int) throws {
    let address = IPAddress.v6(IPv6Address(high: 0x2001_0DB8_FFFF_FFFF, low: 0xFFFF_FFFF_FFFF_FFFF))
    let prefix = try #require(IPPrefix(address, length: length))
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 17, alignment: 1)
    defer { buffer.deallocate() }
    let count = try PrefixKey(prefix).encode(to: #require(buffer.baseAddress))
    var reader = NLRIReader(UnsafeRawBufferPointer(rebasing: buffer[..<count]), .ipv6Unicast)
    #expect(reader.next()?.prefix(.ipv6Unicast) == prefix)
    #expect(count == 1 + (length + 7) / 8)
  }

  /// IANA "Special-Purpose Address" registries; RFC 1112 section 4, RFC 4291 section 2.5.5.2.
  @Test(
    "loopback, multicast, reserved, link-local and IPv4-mapped space is announced by nobody",
    arguments: [
      ([8, 127], true), ([4, 0xE0], true), ([32, 224, 0, 0, 5], true), ([4, 0xF0], true), ([8, 240], true),
      ([24, 250, 1, 2], true), ([32, 255, 255, 255, 255], true), ([0], false), ([3, 0xE0], false), ([4, 0xD0], false),
      ([8, 223], false),
    ] as [([UInt8], Bool)])
  func martian(bytes: [UInt8], isMartian: Bool) {
    bytes.withUnsafeBytes {
      var reader = NLRIReader($0, .ipv4Unicast)
      #expect(reader.next()?.isMartian(.ipv4Unicast) == isMartian)
    }
  }

  @Test(
    "the same in IPv6",
    arguments: [
      ("::ffff:0:0/96", true), ("::ffff:192.0.2.0/120", true), ("::ffff:192.0.2.1/128", true), ("::/128", true),
      ("::1/128", true), ("ff00::/8", true), ("fe80::/10", true), ("::/0", false), ("::/96", false),
      ("::ffff:0:0:0/96", false), ("64:ff9b::/96", false), ("2001:db8::/32", false),
    ])
  func martian6(text: String, isMartian: Bool) {
    #expect(PrefixKey(prefix(text)).isMartian(.ipv6Unicast) == isMartian)
  }

  @Test(
    "a length beyond the family, or an address cut short, is a syntax error (RFC 7606 section 5.3)",
    arguments: [[33, 1, 2, 3, 4, 5], [24, 192, 0], [24], [8, 10, 32, 1]] as [[UInt8]])
  func syntax(bytes: [UInt8]) {
    bytes.withUnsafeBytes { #expect(NLRIReader.count($0, .ipv4Unicast) == nil) }
  }
}
