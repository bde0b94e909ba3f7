import Testing

@testable import HTTP1

/// The whole content of a message, decoded from pieces of the given size; nil where it does not end.
func decode(
  _ framing: BodyFraming, _ input: [UInt8], pieces: Int = .max
) throws -> (content: String, rest: Int, trailers: HeaderFields)? {
  var decoder = BodyDecoder(framing)
  var content: [UInt8] = []
  var offset = 0
  while offset < input.count {
    let end = offset + min(pieces, input.count - offset)
    var start = offset
    while start < end {
      let step = try input[start..<end].withUnsafeBytes { try decoder.decode($0) }
      content += input[(start + step.content.lowerBound)..<(start + step.content.upperBound)]
      start += step.consumed
      if step.isEnd { return (String(decoding: content, as: UTF8.self), input.count - start, decoder.trailers) }
    }
    offset = end
  }
  return nil
}

@Suite struct BodyTests {
  @Test("chunks, extensions and trailers are taken, in pieces of every size")
  func chunks() throws {
    let input = Array(
      "4\r\nWiki\r\n7;a=b;c=\"d\\\"\u{20}e\"\r\npedia i\r\nB\r\nn \r\nchunks.\r\n0\r\nExpires: never\r\n\r\nNEXT".utf8)
    for size in 1...input.count {
      let result = try #require(try decode(.chunked, input, pieces: size))
      #expect(result.content == "Wikipedia in \r\nchunks.")
      #expect(result.rest == 4 || size < 5)
      #expect(result.trailers.first("expires") == "never")
    }
  }

  @Test(
    "chunks that two recipients may read differently are refused",
    arguments: [
      ("0x5\r\nhello\r\n0\r\n\r\n", .invalidChunkSize),
      ("5 \r\nhello\r\n", .invalidChunkSize),
      (" 5\r\nhello\r\n", .invalidChunkSize),
      ("-5\r\nhello\r\n", .invalidChunkSize),
      ("\r\nhello\r\n", .invalidChunkSize),
      ("5\nhello\n", .invalidChunkSize),
      ("5\rhello", .invalidChunkSize),
      ("FFFFFFFFFFFFFFFFF\r\n", .chunkSizeOverflow),
      ("10000000000000005\r\nhello\r\n", .chunkSizeOverflow),
      ("5;a\nb\r\nhello\r\n", .invalidChunkExtension),
      ("5;a\u{0}\r\nhello\r\n", .invalidChunkExtension),
      ("5;a=\"b\r\nhello\r\n", .invalidChunkExtension),
      ("5;a b\r\nhello\r\n", .invalidChunkExtension),
      ("5\r\nhelloX\r\n", .invalidChunkEnd),
      ("5\r\nhello\n0\r\n\r\n", .invalidChunkEnd),
      ("5\r\nhello\rX0\r\n\r\n", .invalidChunkEnd),
      ("0\r\nHost: b\r\n\r\n", .forbiddenTrailer),
      ("0\r\nContent-Length: 5\r\n\r\n", .forbiddenTrailer),
      ("0\r\nX: y\n\r\n", .bareLineFeed),
      ("0\r\n X: y\r\n\r\n", .obsoleteFolding),
      ("5;" + String(repeating: "a", count: 2000), .chunkLineTooLong),
      ("0\r\nX: " + String(repeating: "a", count: 10000), .trailersTooLarge),
    ] as [(String, HTTP1Failure)])
  func refused(_ text: String, _ failure: HTTP1Failure) {
    for size in [1, 2, 3, Int.max] {
      #expect(throws: failure) { try decode(.chunked, Array(text.utf8), pieces: size) }
    }
  }

  @Test("a length ends where it says, and the rest is the next message's")
  func length() throws {
    let result = try #require(try decode(.length(5), Array("helloGET /".utf8)))
    #expect(result.content == "hello")
    #expect(result.rest == 5)
    #expect(try decode(.length(5), Array("hell".utf8)) == nil)
  }

  @Test("written chunks are what RFC 9112 section 7.1 has")
  func writing() {
    for (count, text) in [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (65536, "10000\r\n")] {
      var output: [UInt8] = []
      output.appendChunkHeader(count)
      #expect(String(decoding: output, as: UTF8.self) == text)
    }
  }
}

@Suite struct ResponseTests {
  func response(_ text: String, _ method: RequestMethod = .get) throws -> (ResponseHead, rest: Int)? {
    var parser = ResponseParser()
    let bytes = Array(text.utf8)
    let progress = try bytes.withUnsafeBytes { try parser.parse($0, answering: method) }
    return progress.isComplete ? (parser.head, bytes.count - progress.consumed) : nil
  }

  @Test("where a response ends (RFC 9112 section 6.3)")
  func framing() throws {
    func framing(_ text: String, _ method: RequestMethod = .get) throws -> BodyFraming? {
      try response(text + "\r\n\r\n", method)?.0.framing
    }
    #expect(try framing("HTTP/1.1 200 OK\r\nContent-Length: 5") == .length(5))
    #expect(try framing("HTTP/1.1 200 OK\r\nContent-Length: 5", .head) == BodyFraming.none)
    #expect(try framing("HTTP/1.1 204 No Content\r\nContent-Length: 5") == BodyFraming.none)
    #expect(try framing("HTTP/1.1 304 Not Modified\r\nContent-Length: 5") == BodyFraming.none)
    #expect(try framing("HTTP/1.1 100 Continue") == BodyFraming.none)
    #expect(try framing("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked") == .chunked)
    #expect(try framing("HTTP/1.1 200 OK") == .untilClose)
    #expect(try framing("HTTP/1.0 200 OK") == .untilClose)
    #expect(try response("HTTP/1.1 200\r\n\r\n")?.0.status == 200)
  }

  @Test(
    "responses that are none are refused",
    arguments: [
      ("HTTP/1.1 20 OK\r\n", .invalidStatusLine), ("HTTP/1.1 2000 OK\r\n", .invalidStatusLine),
      ("HTTP/2 200 OK\r\n\r\n", .invalidStatusLine), ("ICY 200 OK\r\n", .invalidStatusLine),
      ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", .lengthAndTransferEncoding),
      ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", .differingContentLength),
      ("HTTP/1.1 200 OK\nX: y\n\n", .bareLineFeed), ("HTTP/1.1 200 O\u{1}K\r\n", .controlCharacter),
    ] as [(String, HTTP1Failure)])
  func refused(_ text: String, _ failure: HTTP1Failure) {
    #expect(throws: failure) { try response(text) }
  }
}

@Suite struct WriterTests {
  func request(_ text: String) throws -> RequestHead {
    var parser = RequestParser()
    let complete = try Array(text.utf8).withUnsafeBytes { try parser.parse($0).isComplete }
    try #require(complete)
    return parser.head
  }

  func text(_ head: RequestHead, _ forwarding: Forwarding = Forwarding()) -> String {
    var output: [UInt8] = []
    head.write(to: &output, forwarding)
    return String(decoding: output, as: UTF8.self)
  }

  @Test("fields for this hop alone stay here, those that Connection names too (RFC 9110 section 7.6.1)")
  func hopByHop() throws {
    let head = try request(
      "GET /a HTTP/1.1\r\nHost: h\r\nConnection: X-Mine, keep-alive\r\nx-mine: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
        + "Trailer: T\r\nUpgrade: websocket\r\nProxy-Authorization: s\r\nProxy-Connection: x\r\nAccept:   */*  \r\n\r\n"
    )
    #expect(text(head) == "GET /a HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n")
  }

  @Test("Connection cannot take away what frames or routes the message")
  func connectionNamesFraming() throws {
    let head = try request(
      "POST / HTTP/1.1\r\nHost: h\r\nConnection: host, content-length\r\nContent-Length: 3\r\n\r\n")
    #expect(text(head) == "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n")
  }

  @Test("an upgrade goes along when it is let through")
  func upgrade() throws {
    let head = try request("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    #expect(head.asksUpgrade)
    #expect(
      text(head, Forwarding(keepsUpgrade: true))
        == "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
  }

  @Test("a filter cannot write a second line into a head")
  func injection() throws {
    var head = try request("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    let injected = head.fields.append("X", "a\r\nY: b")
    let named = head.fields.append("X\r\nY", "a")
    let retargeted = head.setTarget("/ HTTP/1.1\r\nX: y")
    #expect(!injected && !named && !retargeted)
    #expect(text(head) == "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
  }

  @Test("what is written is read back as the same")
  func roundTrip() throws {
    var head = try request(
      "PATCH http://h:1/a?b HTTP/1.1\r\nHost: z\r\nTransfer-Encoding: chunked\r\nA: b\r\nA: c\r\n\r\n")
    head.fields.set("X-New", "1")
    let again = try request(text(head))
    #expect(again.methodName == "PATCH" && again.target == "/a?b" && again.authority == "h:1")
    #expect(again.framing == .chunked && again.fields.combined("a") == "b, c" && again.fields.first("x-new") == "1")
  }
}
