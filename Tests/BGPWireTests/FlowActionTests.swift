import BGPWire
import NetTypes
import Testing

private func communities(_ bytes: [UInt8]) -> [ExtendedCommunity] { bytes.withUnsafeBytes(ExtendedCommunity.list) }

@Suite("Traffic filtering actions: extended communities, and what they mean")
struct FlowActionTests {
  @Test(
    "One community, one action (RFC 8955 section 7)",
    arguments: [
      ([0x80, 0x06, 0, 0, 0, 0, 0, 0], ["drop"]),
      ([0x80, 0x06, 0xFD, 0xE9, 0x49, 0x74, 0x24, 0x00], ["rate 1000000 bytes/s"]),  // 1e6 in IEEE 754
      ([0x80, 0x06, 0, 0, 0xBF, 0x80, 0, 0], ["drop"]),  // −1 is zero (section 7.1)
      ([0x80, 0x0C, 0, 0, 0x42, 0xC8, 0, 0], ["rate 100 packets/s"]),
      ([0x80, 0x09, 0, 0, 0, 0, 0, 46], ["mark dscp 46"]),
      ([0x80, 0x07, 0, 0, 0, 0, 0, 1], ["go on"]),  // T is bit 47, the last
      ([0x80, 0x07, 0, 0, 0, 0, 0, 2], ["sample"]),
      ([0x80, 0x08, 0xFB, 0xF4, 0, 0, 0, 100], ["redirect to route target 64500:100"]),
      ([0x81, 0x08, 192, 0, 2, 1, 0, 7], ["redirect to route target 192.0.2.1:7"]),
      ([0x82, 0x08, 0, 1, 0, 0, 0, 7], ["redirect to route target 65536:7"]),
      ([0x01, 0x0C, 192, 0, 2, 1, 0, 0], ["redirect to 192.0.2.1"]),
      ([0x01, 0x0C, 192, 0, 2, 1, 0, 1], ["copy to 192.0.2.1"]), ([0x00, 0x02, 0, 1, 0, 0, 0, 1], ["accept"]),
      ([], ["accept"]),
    ] as [([UInt8], [String])])
  func actions(bytes: [UInt8], texts: [String]) throws {
    #expect(try FlowActions(communities(bytes)).texts == texts)
  }

  @Test("What we write is what we read, and as the RFC writes it")
  func bothWays() throws {
    var actions = FlowActions()
    actions.rateBytes = 125_000
    actions.ratePackets = 10
    actions.dscp = 46
    actions.continues = true
    actions.redirect = .address(try #require(IPAddress("192.0.2.1")), copies: false)
    let bytes = ExtendedCommunity.encode(actions.communities(ASNumber(65001)))
    #expect(
      bytes == [
        0x80, 0x06, 0xFD, 0xE9, 0x47, 0xF4, 0x24, 0x00, 0x80, 0x0C, 0xFD, 0xE9, 0x41, 0x20, 0, 0,
        0x80, 0x07, 0, 0, 0, 0, 0, 1, 0x01, 0x0C, 192, 0, 2, 1, 0, 0, 0x80, 0x09, 0, 0, 0, 0, 0, 46,
      ])
    #expect(try FlowActions(communities(bytes)) == actions)
    // An AS number of four octets does not fit, and is for information only.
    #expect(actions.communities(ASNumber(65536))[0].rawValue == 0x8006_0000_47F4_2400)
  }

  @Test("A redirect to an IPv6 address stands in attribute 25")
  func ipv6Redirect() throws {
    var actions = FlowActions()
    actions.redirect = .address(try #require(IPAddress("2001:db8::1")), copies: true)
    let bytes = IPv6ExtendedCommunity.encode(actions.ipv6Communities)
    #expect(bytes == [0x00, 0x0C, 0x20, 0x01, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [1, 0, 1])
    #expect(try FlowActions([], ipv6: bytes.withUnsafeBytes(IPv6ExtendedCommunity.list)) == actions)
    #expect(actions.communities(ASNumber(1)).isEmpty)
  }

  @Test("The older redirect points to the next hop of the message")
  func redirectToNextHop() throws {
    let list = communities([0x08, 0x00, 0, 0, 0, 0, 0, 0])
    #expect(try FlowActions(list, nextHop: IPAddress("192.0.2.9")).texts == ["redirect to 192.0.2.9"])
    #expect(try FlowActions(list).texts == ["accept"])
  }

  @Test("Of several limits the lowest counts; a rate that is no number is a fault")
  func contradictions() throws {
    let two = communities([0x80, 0x06, 0, 0, 0x49, 0x74, 0x24, 0, 0x80, 0x06, 0, 0, 0x42, 0xC8, 0, 0])
    #expect(try FlowActions(two).rateBytes == 100)
    #expect(throws: FlowActionFault.rate) { try FlowActions(communities([0x80, 0x06, 0, 0, 0x7F, 0xC0, 0, 0])) }
  }

  @Test("An UPDATE with rules: MP_REACH_NLRI of SAFI 133 without a next hop, both ways")
  func update() throws {
    var attributes = PathAttributes()
    attributes.asPath = ASPath(sequence: [ASNumber(65001)])
    attributes.others = [
      PathAttributes.Opaque(
        flags: [.optional, .transitive], type: .extendedCommunities, value: [0x80, 6, 0, 0, 0, 0, 0, 0])
    ]
    let rule = try FlowRule(decoding: [1, 24, 192, 0, 2], .ipv4)
    var message = UpdateMessage(attributes: attributes)
    message.announcedRules = [rule]
    let bytes = message.encode()
    let expected: [UInt8] = [
      0x90, 14, 0, 11, 0, 1, 133, 0, 0, 5, 1, 24, 192, 0, 2, 0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xFD, 0xE9,
      0xC0, 16, 8, 0x80, 6, 0, 0, 0, 0, 0, 0,
    ]
    #expect(Array(bytes[23...]) == expected)
    let decoded = try bytes.withUnsafeBytes {
      try UpdateMessage(
        decoding: UnsafeRawBufferPointer(rebasing: $0[19...]), UpdateContext(hasFourOctetAS: true, isExternal: true))
    }
    #expect(decoded == message)
    #expect(Array(UpdateMessage.endOfRIB(.ipv6FlowSpec)[19...]) == [0, 0, 0, 6, 0x80, 15, 3, 0, 2, 133])
  }
}
