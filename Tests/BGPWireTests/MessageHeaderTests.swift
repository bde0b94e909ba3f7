import NetTypes
import Testing

@testable import BGPWire

/// Cuts one message; nil: more bytes are needed.
func frame(_ bytes: [UInt8]) throws(MessageError) -> MessageHeader? {
  try decoding(bytes) { (buffer) throws(MessageError) in try MessageHeader.frame(buffer) }
}

/// `withUnsafeBytes` with a typed error, which that of an array does not have.
func decoding<T>(
  _ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws(MessageError) -> T
) throws(MessageError) -> T {
  try bytes.withUnsafeBytes { buffer in Result { () throws(MessageError) in try body(buffer) } }.get()
}

func header(length: Int, type: UInt8, marker: [UInt8] = Array(repeating: 0xFF, count: 16)) -> [UInt8] {
  marker + [UInt8(length >> 8), UInt8(length & 255), type]
}

@Suite struct MessageHeaderTests {
  @Test func aKeepaliveIsNineteenOctets() throws {
    let bytes: [UInt8] = [
      0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,  // marker
      0x00, 0x13,  // length
      0x04,  // KEEPALIVE
    ]
    #expect(Keepalive.encoded == bytes)
    #expect(try frame(bytes) == MessageHeader(length: 19, type: .keepalive))
  }

  @Test func aMessageThatHasNotComeWholeNeedsMore() throws {
    let open = Open(asn: ASNumber(64500), holdTime: 90, identifier: 1, capabilities: [.routeRefresh]).encode()
    for count in 0..<open.count { #expect(try frame(Array(open[..<count])) == nil) }
    #expect(try frame(open + [1, 2, 3])?.length == open.count)
  }

  @Test func everyMarkerBitCounts() {
    for octet in 0..<16 {
      for bit in 0..<8 {
        var marker = [UInt8](repeating: 0xFF, count: 16)
        marker[octet] ^= 1 << bit
        #expect(throws: MessageError.notSynchronized) { try frame(header(length: 19, type: 4, marker: marker)) }
      }
    }
    #expect(MessageError.notSynchronized.notification == Notification(.init(1, 1)))
  }

  /// RFC 4271 section 6.1: least and most per type, and the erroneous length as data.
  static let refused: [(UInt8, [Int])] = [
    (1, [0, 18, 19, 28, 4097, 65535]), (2, [18, 22, 4097]), (3, [18, 20, 4097]), (4, [18, 20, 4096]),
    (5, [18, 22, 24, 4096]), (9, [0, 18, 4097]),
  ]

  @Test(arguments: refused)
  func lengthsThatATypeDoesNotAllowAreRefused(type: UInt8, lengths: [Int]) {
    for length in lengths {
      #expect(throws: MessageError.badLength(UInt16(length))) { try frame(header(length: length, type: type)) }
      #expect(
        MessageError.badLength(UInt16(length)).notification
          == Notification(.init(1, 2), data: [UInt8(length >> 8), UInt8(length & 255)]))
    }
  }

  @Test func anUnknownTypeIsNamedInTheNotification() {
    for type in [UInt8(0), 6, 7, 128, 255] {
      let error = MessageError.badType(MessageType(rawValue: type))
      #expect(throws: error) { try frame(header(length: 19, type: type)) }
      #expect(error.notification == Notification(.init(1, 3), data: [type]))
    }
  }

  @Test func theLargestMessageIsTaken() throws {
    let bytes = header(length: 4096, type: 2) + [UInt8](repeating: 0, count: 4077)
    #expect(try frame(bytes) == MessageHeader(length: 4096, type: .update))
  }
}
