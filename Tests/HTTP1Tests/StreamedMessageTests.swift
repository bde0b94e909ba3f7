import Testing

@testable import HTTP1

/// Heads that come field by field. What a parser of HTTP/1.1 would refuse is refused for the same reason.
@Suite struct StreamedMessageTests {
  private func build(_ fields: [(String, String)], hasContent: Bool = false) -> Result<RequestHead, HTTP1Failure> {
    do throws(HTTP1Failure) {
      var builder = RequestHeadBuilder()
      for (name, value) in fields {
        try with(value) { octets throws(HTTP1Failure) in
          switch name {
          case ":method": try builder.method(octets)
          case ":path": try builder.target(octets)
          case ":authority": try builder.authority(octets)
          default:
            try with(name) { name throws(HTTP1Failure) in try builder.field(name, octets, isSensitive: false) }
          }
        }
      }
      return .success(try builder.finish(hasContent: hasContent))
    } catch {
      return .failure(error)
    }
  }

  private func with(
    _ text: String, _ body: (UnsafeBufferPointer<UInt8>) throws(HTTP1Failure) -> Void
  ) throws(HTTP1Failure) {
    try Array(text.utf8).withUnsafeBufferPointer { bytes throws(HTTP1Failure) in try body(bytes) }
  }

  private static let get = [(":method", "GET"), (":path", "/a?b"), (":authority", "web")]

  @Test func partsBecomeAHead() throws {
    let head = try build(Self.get + [("x", " y ")]).get()
    #expect(head.method == .get && head.target == "/a?b" && head.authority == "web")
    #expect(head.fields.first("x") == "y")
    #expect(head.framing == .none)
    var text: [UInt8] = []
    head.write(to: &text)
    #expect(String(decoding: text, as: UTF8.self) == "GET /a?b HTTP/1.1\r\nhost: web\r\nx: y\r\n\r\n")
  }

  @Test func contentIsFramedByItsLengthOrInChunks() throws {
    #expect(try build(Self.get, hasContent: true).get().framing == .chunked)
    #expect(try build(Self.get + [("content-length", "3")], hasContent: true).get().framing == .length(3))
    #expect(try build(Self.get + [("content-length", "0")], hasContent: true).get().framing == .length(0))
  }

  @Test func cookiesAreJoinedWhereTheFirstStood() throws {
    let head = try build(Self.get + [("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")]).get()
    #expect(head.fields.combined("cookie") == "a=1; b=2; c=3")
    #expect(head.fields.count == 3)
  }

  @Test func aHostThatSaysTheSameIsOneField() throws {
    let head = try build(Self.get + [("cookie", "a=1"), ("host", "WEB"), ("cookie", "b=2")]).get()
    #expect(head.fields.count == 2 && head.authority == "web")
    #expect(head.fields.first("cookie") == "a=1; b=2")
    #expect(try build([(":method", "GET"), (":path", "/"), ("host", "only")]).get().authority == "only")
  }

  @Test(arguments: [
    ([("host", "other")], HTTP1Failure.duplicateHost), ([("transfer-encoding", "chunked")], .connectionSpecificField),
    ([("connection", "close")], .connectionSpecificField), ([("keep-alive", "5")], .connectionSpecificField),
    ([("upgrade", "x")], .connectionSpecificField), ([("x", "a\r\nb: c")], .controlCharacter),
    ([("x y", "a")], .invalidFieldName), ([("content-length", "4")], .invalidContentLength),
    ([("content-length", "+0")], .invalidContentLength),
    ([("content-length", "0"), ("content-length", "1")], .differingContentLength),
    ([("expect", "magic")], .unsupportedExpectation), (Array(repeating: ("x", "y"), count: 100), .tooManyFields),
  ]) func whatIsAmbiguousIsRefused(_ fields: [(String, String)], _ failure: HTTP1Failure) {
    #expect(throws: failure) { try build(Self.get + fields).get() }
  }

  @Test(arguments: [
    ("CONNECT", "/", "web", HTTP1Failure.connectRefused), ("GET", "*", "web", .invalidTarget),
    ("GET", "a", "web", .invalidTarget), ("GET", "/a#b", "web", .invalidTarget), ("GET", "/a b", "web", .invalidTarget),
    ("GET", "/", "u@web", .invalidHost), ("G T", "/", "web", .invalidMethod),
  ]) func pseudoFieldsAreCheckedLikeARequestLine(
    _ method: String, _ path: String, _ authority: String, _ failure: HTTP1Failure
  ) {
    #expect(throws: failure) { try build([(":method", method), (":path", path), (":authority", authority)]).get() }
  }

  /// Whatever octets come: what is let through is, as text, one request that a strict parser reads the same way.
  @Test func whatIsLetThroughMeansTheSameAsText() throws {
    var generator = Generator(state: 11)
    let names = [
      "x", "cookie", "host", "content-length", "transfer-encoding", "connection", "te", "expect", "upgrade", "x\r\ny",
      "a b", "", "x:y", "keep-alive", "trailer",
    ]
    let values = [
      "", "1", "0", "web", "WEB", "a\r\nb: c", "a\nb", "a\rb", "\0", " a ", "chunked", "trailers", "close",
      "100-continue",
      "5\r\n\r\nGET / HTTP/1.1", "é", "a, b", "+1", "\t",
    ]
    let targets = ["/", "/a?b", "*", "/ HTTP/1.1\r\nx: y", "a", "http://x/", "/a#b", "/\u{7F}"]
    var accepted = 0
    for _ in 0..<4000 {
      var fields = [
        (":method", ["GET", "POST", "OPTIONS", "G\r\nT"].randomElement(using: &generator) ?? ""),
        (":path", targets.randomElement(using: &generator) ?? ""),
        (":authority", ["web", "web", "a@b", "a b"].randomElement(using: &generator) ?? ""),
      ]
      for _ in 0..<Int.random(in: 0...3, using: &generator) {
        fields.append((names.randomElement(using: &generator) ?? "", values.randomElement(using: &generator) ?? ""))
      }
      let hasContent = Bool.random(using: &generator)
      guard case .success(let head) = build(fields, hasContent: hasContent) else { continue }
      accepted += 1
      var text: [UInt8] = []
      head.write(to: &text)
      var parser = RequestParser()
      let progress = try text.withUnsafeBytes { try parser.parse($0) }
      #expect(progress.isComplete && progress.consumed == text.count, "\(fields)")
      #expect(parser.head.methodName == head.methodName && parser.head.target == head.target)
      #expect(parser.head.authority == head.authority)
      #expect(parser.head.framing == (head.framing == .length(0) ? .none : head.framing), "\(fields)")
    }
    #expect(accepted > 100)
  }

  private struct Generator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state ^ state >> 29
    }
  }

  @Test func aResponseWithoutContentSaysSoInHTTP1() throws {
    var head = try ResponseHead(status: 200, streamed: HeaderFields(), hasContent: false)
    head.stateEmptyContent(answering: .get)
    #expect(head.fields.first("content-length") == "0")
    for (status, method) in [(204, RequestMethod.get), (304, .get), (200, .head)] {
      var head = try ResponseHead(status: status, streamed: HeaderFields(), hasContent: false)
      head.stateEmptyContent(answering: method)
      #expect(head.fields.count == 0)
    }
    #expect(throws: HTTP1Failure.invalidStatusLine) {
      try ResponseHead(status: 101, streamed: HeaderFields(), hasContent: false)
    }
  }
}
