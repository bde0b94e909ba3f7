import Testing

@testable import BGPWire

private func decode(_ bytes: [UInt8]) throws(MessageError) -> BGPWire.Notification {
  try decoding(bytes) { (body) throws(MessageError) in try BGPWire.Notification(decoding: body) }
}

@Suite struct NotificationTests {
  @Test func aNotificationIsCodeSubcodeAndData() throws {
    let bytes: [UInt8] = [0x06, 0x02, 0x04, 0x62, 0x79, 0x65, 0x21]
    let notification = BGPWire.Notification.cease(.administrativeShutdown, text: "bye!")
    #expect(Array(notification.encode()[19...]) == bytes)
    #expect(notification.encode()[16...18] == [0, 26, 3])
    #expect(try decode(bytes) == notification)
    #expect(notification.shutdownText == "bye!")
    #expect(notification.description == "Cease/Administrative Shutdown: bye!")
  }

  @Test func codesHaveTheNamesOfTheRegistries() {
    #expect(NotificationCode(1, 1).description == "Message Header Error/Connection Not Synchronized")
    #expect(NotificationCode(2, 11).description == "OPEN Message Error/Role Mismatch")
    #expect(NotificationCode(4, 0).description == "Hold Timer Expired")
    #expect(NotificationCode(6, 1).description == "Cease/Maximum Number of Prefixes Reached")
    #expect(NotificationCode(6, 99).description == "Cease/subcode 99")
    #expect(NotificationCode(99, 1).description == "error 99/1")
  }

  @Test func aLongTextIsCutBetweenCharacters() {
    let notification = BGPWire.Notification.cease(.administrativeReset, text: String(repeating: "ü", count: 200))
    #expect(notification.data.count == 1 + 254)
    #expect(notification.shutdownText == String(repeating: "ü", count: 127))
  }

  @Test(arguments: [[UInt8](), [0], [5, 0x61], [2, 0xC3, 0x28]])
  func aTextThatIsNotValidIsNoText(data: [UInt8]) {
    #expect(BGPWire.Notification(.administrativeShutdown, data: data).shutdownText == nil)
  }

  @Test func controlCharactersDoNotReachATerminal() {
    let notification = BGPWire.Notification(.administrativeShutdown, data: [5, 0x1B, 0x5B, 0x32, 0x4A, 0x0A])
    #expect(notification.shutdownText == "[2J")
  }

  @Test func lessThanTwoOctetsAreNoNotification() {
    for bytes in [[UInt8](), [6]] { #expect(throws: MessageError.self) { try decode(bytes) } }
  }

  @Test func moreDataThanAMessageHoldsIsCut() {
    let notification = BGPWire.Notification(.openUnspecific, data: [UInt8](repeating: 1, count: 9000))
    #expect(notification.encode().count == 4096)
  }
}

@Suite struct RouteRefreshTests {
  @Test func aRequestNamesItsFamily() throws {
    let bytes = RouteRefresh(.ipv6Unicast).encode()
    #expect(Array(bytes[16...]) == [0, 23, 5, 0, 2, 0, 1])
    let decoded = try decoding(Array(bytes[19...])) { (body) throws(MessageError) in try RouteRefresh(decoding: body) }
    #expect(decoded == RouteRefresh(.ipv6Unicast))
  }
}

@Suite struct RoleTests {
  /// RFC 9234 section 4.2, table 2: the five pairs that fit, of twenty-five.
  @Test func onlyThePairsOfTheTableAgree() {
    let all: [Role] = [.provider, .routeServer, .routeServerClient, .customer, .peer]
    let pairs = all.flatMap { a in all.filter { a.agrees(with: $0) }.map { [a.rawValue, $0.rawValue] } }
    #expect(Set(pairs) == [[0, 3], [3, 0], [1, 2], [2, 1], [4, 4]])
  }
}
