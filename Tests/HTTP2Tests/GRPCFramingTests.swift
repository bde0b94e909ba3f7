import HTTP2
import Testing

@Suite struct GRPCFramingTests {
  /// Flag 0, length 3 in four octets, the message ("gRPC over HTTP2", Length-Prefixed-Message).
  private let example: [UInt8] = [0, 0, 0, 0, 3, 0x61, 0x62, 0x63]

  private func decode(_ pieces: [[UInt8]], maximum: Int = 100) throws(GRPCFramingError) -> ([[UInt8]], Bool) {
    var decoder = GRPCMessageDecoder(maximumMessageBytes: maximum)
    var messages: [[UInt8]] = []
    for piece in pieces {
      piece.withUnsafeBytes { decoder.append($0) }
      while let message = try decoder.next() { messages.append(message) }
    }
    return (messages, decoder.isBetweenMessages)
  }

  @Test func aMessageHasFlagAndLength() {
    #expect(GRPCFraming.frame(Array("abc".utf8)) == example)
    #expect(GRPCFraming.frame([]) == [0, 0, 0, 0, 0])
    #expect(GRPCFraming.frame([UInt8](repeating: 1, count: 0x01_0203)).prefix(5) == [0, 0, 1, 2, 3])
  }

  @Test func everySplitGivesTheSameMessages() throws {
    let body = example + [0, 0, 0, 0, 0] + example
    for first in 0...body.count {
      for second in first...body.count {
        let pieces = [Array(body[..<first]), Array(body[first..<second]), Array(body[second...])]
        let (messages, isWhole) = try decode(pieces)
        #expect(messages == [Array("abc".utf8), [], Array("abc".utf8)])
        #expect(isWhole)
      }
    }
  }

  @Test func aMessageThatIsCutIsKnown() throws {
    for count in 1..<example.count {
      let (messages, isWhole) = try decode([Array(example.prefix(count))])
      #expect(messages.isEmpty && !isWhole)
    }
  }

  @Test func compressedAndUnknownFlagsAndTooLongMessagesAreRefused() {
    #expect(throws: GRPCFramingError.compressed) { try decode([[1, 0, 0, 0, 0]]) }
    #expect(throws: GRPCFramingError.invalidFlag(2)) { try decode([[2, 0, 0, 0, 0]]) }
    #expect(throws: GRPCFramingError.tooLarge(101)) { try decode([[0, 0, 0, 0, 101]]) }
    #expect(throws: GRPCFramingError.tooLarge(0xFFFF_FFFF)) { try decode([[0, 255, 255, 255, 255]]) }
  }
}
