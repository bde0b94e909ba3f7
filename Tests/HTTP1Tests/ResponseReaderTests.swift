import Testing

@testable import HTTP1

@Suite struct ResponseReaderTests {
  /// The status and content of what is read in pieces of every size, nil where it is not whole.
  private func read(_ text: String, ends: Bool = false) throws -> [String?] {
    let bytes = Array(text.utf8)
    return try (1...max(1, bytes.count)).map { size in
      var reader = ResponseReader(mostContent: 8)
      var isWhole = false
      for start in stride(from: 0, to: bytes.count, by: size) where !isWhole {
        isWhole = try bytes[start..<min(start + size, bytes.count)].withUnsafeBytes { try reader.read($0) }
      }
      guard isWhole || ends && reader.isWholeAtEnd else { return nil }
      return "\(reader.head.status) \(String(decoding: reader.content, as: UTF8.self))"
    }
  }

  @Test(
    arguments: [
      ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, "200 ok"),
      ("HTTP/1.1 204 No Content\r\n\r\n", false, "204 "),
      ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\n\r\n", false, "200 ok!"),
      ("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", false, "404 "),
      ("HTTP/1.0 500 Oh\r\n\r\nbody", true, "500 body"),
      ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", false, "200 01234567"),
    ])
  func whole(text: String, ends: Bool, said: String) throws {
    #expect(try read(text, ends: ends).allSatisfy { $0 == said })
  }

  @Test(arguments: ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"])
  func cutOff(text: String) throws {
    #expect(try read(text, ends: true).allSatisfy { $0 == nil })
  }

  @Test func anotherProtocolIsAFailure() {
    #expect(throws: HTTP1Failure.self) { try read("SSH-2.0-x\r\n") }
  }
}
