import Testing

@testable import HTTP1

/// What a parser made of a whole input, comparable between ways of cutting it.
enum Outcome: Equatable, CustomStringConvertible {
  case head(String, target: String, host: String?, framing: BodyFraming, keepsAlive: Bool, rest: Int)
  case failure(HTTP1Failure)
  case incomplete

  var description: String {
    switch self {
    case .head(let method, let target, let host, let framing, let keepsAlive, let rest):
      "\(method) \(target) host=\(host ?? "-") \(framing) keepsAlive=\(keepsAlive) rest=\(rest)"
    case .failure(let failure): "failure \(failure.rawValue)"
    case .incomplete: "incomplete"
    }
  }

  var failure: HTTP1Failure? { if case .failure(let failure) = self { failure } else { nil } }
}

/// Parses the input in pieces that end at the given places.
func parse(_ input: [UInt8], cuts: [Int] = []) -> Outcome {
  var parser = RequestParser()
  var start = 0
  for end in cuts + [input.count] {
    let piece = Array(input[start..<end])
    do {
      let progress = try piece.withUnsafeBytes { bytes throws(HTTP1Failure) in try parser.parse(bytes) }
      if progress.isComplete {
        let head = parser.head
        return .head(
          head.methodName, target: head.target, host: head.authority, framing: head.framing,
          keepsAlive: head.keepsAlive, rest: input.count - start - progress.consumed)
      }
      #expect(progress.consumed == piece.count)
    } catch let error as HTTP1Failure {
      return .failure(error)
    } catch {
      Issue.record("another error: \(error)")
    }
    start = end
  }
  return .incomplete
}

func parse(_ text: String) -> Outcome { parse(Array(text.utf8)) }

@Suite struct RequestParserTests {
  @Test("the example of RFC 9112 section 2.1 is understood")
  func example() {
    #expect(
      parse(
        "GET /hello.txt HTTP/1.1\r\nUser-Agent: curl/7.64.1\r\nHost: www.example.com\r\nAccept-Language: en, mi\r\n\r\n"
      )
        == .head(
          "GET", target: "/hello.txt", host: "www.example.com", framing: .none, keepsAlive: true, rest: 0))
  }

  @Test("the four forms of a target (RFC 9112 section 3.2)")
  func targets() {
    func target(_ line: String) -> String? {
      guard case .head(_, let target, let host, _, _, _) = parse("\(line) HTTP/1.1\r\nHost: other\r\n\r\n") else {
        return nil
      }
      return "\(host ?? "-") \(target)"
    }
    #expect(target("GET /where?q=now") == "other /where?q=now")
    #expect(target("GET http://www.example.org/pub/WWW/TheProject.html") == "www.example.org /pub/WWW/TheProject.html")
    #expect(target("GET http://www.example.org:8001") == "www.example.org:8001 /")
    #expect(target("GET http://a?b") == "a /?b")
    #expect(target("OPTIONS *") == "other *")
    #expect(target("OPTIONS http://www.example.org:8001") == "www.example.org:8001 *")
    #expect(parse("CONNECT www.example.com:80 HTTP/1.1\r\nHost: www.example.com\r\n\r\n").failure == .connectRefused)
    #expect(parse("GET * HTTP/1.1\r\nHost: a\r\n\r\n").failure == .invalidTarget)
    #expect(parse("GET http://user@host/ HTTP/1.1\r\nHost: a\r\n\r\n").failure == .invalidTarget)
    #expect(parse("GET ftp://host/ HTTP/1.1\r\nHost: a\r\n\r\n").failure == .invalidTarget)
  }

  @Test(
    "what two recipients may read differently is refused, and why is said",
    arguments: [
      // CL.TE and TE.CL, TE.TE with a coding that one of two does not see
      (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nSMUGGLED",
        .lengthAndTransferEncoding
      ),
      (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n8\r\nSMUGGLED\r\n0\r\n\r\n",
        .lengthAndTransferEncoding
      ),
      (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
        .invalidTransferEncoding
      ),
      ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", .invalidTransferEncoding),
      ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", .spaceBeforeColon),
      ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\u{0B}chunked\r\n\r\n", .controlCharacter),
      ("POST / HTTP/1.1\r\nHost: a\r\n Transfer-Encoding: chunked\r\n\r\n", .obsoleteFolding),
      ("POST / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n", .bareLineFeed),
      ("POST / HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n", .controlCharacter),
      ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", .invalidTransferEncoding),
      ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", .invalidTransferEncoding),
      ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", .invalidTransferEncoding),
      ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", .invalidTransferEncoding),
      ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", .unsupportedTransferCoding),
      ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncodingInOldVersion),
      ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", .differingContentLength),
      ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n", .invalidContentLength),
      ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", .invalidContentLength),
      ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", .invalidContentLength),
      ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\n", .invalidContentLength),
      ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n", .invalidContentLength),
      ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", .invalidContentLength),
      // Host
      ("GET / HTTP/1.1\r\n\r\n", .missingHost),
      ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", .duplicateHost),
      ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", .invalidHost),
      ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", .invalidHost),
      ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", .invalidHost),
      // Lines
      ("GET / HTTP/1.1\r\nHost: a\r\nX\u{0}Y: z\r\n\r\n", .controlCharacter),
      ("GET / HTTP/1.1\r\nHost: a\r\nX: y\u{0}z\r\n\r\n", .controlCharacter),
      ("GET / HTTP/1.1\r\nHost: a\r\nX(Y): z\r\n\r\n", .invalidFieldName),
      ("GET / HTTP/1.1\r\nHost: a\r\n: z\r\n\r\n", .invalidFieldName),
      ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", .spaceBeforeColon),
      ("GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n", .invalidFieldName),
      ("GET / HTTP/1.1\nHost: a\n\n", .bareLineFeed),
      ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", .obsoleteFolding),
      // Request lines
      ("GET /\r\n", .http09),
      ("GET  / HTTP/1.1\r\n", .invalidRequestLine),
      ("GET / HTTP/1.1 \r\n", .invalidRequestLine),
      ("GET /a b HTTP/1.1\r\n", .invalidRequestLine),
      ("GET\t/ HTTP/1.1\r\n", .invalidMethod),
      ("G(T / HTTP/1.1\r\n", .invalidMethod),
      (" GET / HTTP/1.1\r\n", .invalidMethod),
      ("GET /\u{7F} HTTP/1.1\r\n", .invalidTarget),
      ("GET /\u{E9} HTTP/1.1\r\n", .invalidTarget),
      ("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", .invalidTarget),
      ("GET / HTTP/2.0\r\n", .unsupportedVersion),
      ("GET / HTTP/1.2\r\n", .unsupportedVersion),
      ("GET / http/1.1\r\n", .invalidRequestLine),
      ("GET / HTTP/1.1\r\r\n", .invalidRequestLine),
      ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .unsupportedVersion),
      ("\u{16}\u{3}\u{1}", .invalidMethod),
      ("\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", .invalidRequestLine),
      ("GET / HTTP/1.1\r\nHost: a\r\nConnection: a b\r\n\r\n", .invalidConnection),
      ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 200-ok\r\n\r\n", .unsupportedExpectation),
    ] as [(String, HTTP1Failure)])
  func refused(_ text: String, _ failure: HTTP1Failure) {
    #expect(parse(text).failure == failure)
  }

  @Test("framing of requests that are in order")
  func framing() {
    func framing(_ fields: String) -> BodyFraming? {
      guard case .head(_, _, _, let framing, _, _) = parse("POST / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n") else {
        return nil
      }
      return framing
    }
    #expect(framing("") == BodyFraming.none)
    #expect(framing("Content-Length: 0\r\n") == BodyFraming.none)
    #expect(framing("content-LENGTH:\t42 \r\n") == .length(42))
    #expect(framing("Content-Length: 7\r\nContent-Length: 7\r\n") == .length(7))
    #expect(framing("Transfer-Encoding: CHUNKED\r\n") == .chunked)
  }

  @Test("persistence (RFC 9112 section 9.3)")
  func persistence() {
    func keeps(_ version: String, _ connection: String) -> Bool? {
      guard case .head(_, _, _, _, let keeps, _) = parse("GET / \(version)\r\nHost: a\r\n\(connection)\r\n") else {
        return nil
      }
      return keeps
    }
    #expect(keeps("HTTP/1.1", "") == true)
    #expect(keeps("HTTP/1.1", "Connection: Close\r\n") == false)
    #expect(keeps("HTTP/1.1", "Connection: x, close\r\n") == false)
    #expect(keeps("HTTP/1.0", "") == false)
    #expect(keeps("HTTP/1.0", "Connection: keep-alive\r\n") == true)
  }

  @Test("a head that has grown too large is refused at its limit, whatever is in it")
  func limits() {
    let long = "GET / HTTP/1.1\r\nHost: a\r\n" + "X: " + String(repeating: "y", count: 70000)
    #expect(parse(long).failure == .headTooLarge)
    #expect(parse("GET /" + String(repeating: "y", count: 20000)).failure == .requestLineTooLong)
    let many = "GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: "X: y\r\n", count: 100) + "\r\n"
    #expect(parse(many).failure == .tooManyFields)
    #expect(HTTP1Failure.headTooLarge.status == 431)
    #expect(HTTP1Failure.requestLineTooLong.status == 414)
  }

  @Test(
    "every cut at every byte gives the same result",
    arguments: [
      "GET /a?b=c HTTP/1.1\r\nHost: x.y:80\r\nConnection: a, close\r\nA:  b  \r\n\r\nnext",
      "\r\nPOST http://h/p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
      "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
      "GET /\r\nHost: a\r\n\r\n",
      "BAD(/ HTTP/1.1\r\n\r\n",
    ])
  func cuts(_ text: String) {
    let input = Array(text.utf8)
    let whole = parse(input)
    for first in 0...input.count {
      for second in first...input.count {
        let outcome = parse(input, cuts: [first, second])
        #expect(outcome == whole, "cut at \(first) and \(second)")
      }
    }
    #expect(parse(input, cuts: Array(0..<input.count)) == whole)
  }

  @Test("random damage never traps, and a cut changes nothing")
  func damage() {
    var generator = SplitMix(state: 7)
    let seeds = [
      "POST /p?q HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: x, keep-alive\r\nX: 1\r\n\r\nhello",
      "POST http://h/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\nT: x\r\n\r\n",
    ].map { Array($0.utf8) }
    for round in 0..<20000 {
      var input = seeds[round % 2]
      for _ in 0...Int.random(in: 0...3, using: &generator) {
        let index = Int.random(in: 0..<input.count, using: &generator)
        switch Int.random(in: 0...2, using: &generator) {
        case 0: input[index] = UInt8.random(in: 0...255, using: &generator)
        case 1: input.remove(at: index)
        default: input.insert([0, 10, 13, 32, 9, 58, 44, 127][Int.random(in: 0...7, using: &generator)], at: index)
        }
      }
      let cut = Int.random(in: 0...input.count, using: &generator)
      let whole = parse(input)
      let pieces = parse(input, cuts: [cut])
      #expect(whole == pieces)
    }
  }
}

/// A small generator with a fixed start (Steele et al., SplitMix64), so that a failure can be seen again.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
  }
}
