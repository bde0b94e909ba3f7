import HTTP2
import Testing

/// Peers that cost more than they should, or break the rules. Codes are those of RFC 9113 section 7.
@Suite struct HostilePeerTests {
  private let calm: UInt32 = 0xB
  private let protocolError: UInt32 = 0x1

  @Test func rapidResetEndsTheConnection() throws {
    let client = try HandMadeClient()
    let flood = (0..<300).flatMap { number -> [Frame] in
      let stream = UInt32(number * 2 + 1)
      return [.headers(stream, HandMadeClient.getBlock), .reset(stream)]
    }
    #expect(throws: HTTP2Failure.self) { try client.send(flood) }
    #expect(client.server.failure?.code == .enhanceYourCalm)
    #expect(client.goAwayCode() == calm)
    #expect(client.server.isFinished)
    #expect(client.events.filter { $0.hasPrefix("head") }.count <= 201)
  }

  @Test func aModerateRateOfResetsIsBorne() throws {
    let client = try HandMadeClient()
    for number in 0..<1000 {
      let stream = UInt32(number * 2 + 1)
      // 20 ms apart, half of what is allowed.
      try client.send(
        [.headers(stream, HandMadeClient.getBlock), .reset(stream)], now: UInt64(number) * 20_000_000)
      _ = client.answer()
    }
    #expect(client.server.openStreams == 0)
  }

  @Test func resetsThatThePeerProvokesCountToo() throws {
    // A window that overflows makes the server cancel the stream (RFC 9113 section 6.9.1).
    let client = try HandMadeClient()
    for number in 0..<300 {
      let stream = UInt32(number * 2 + 1)
      let frames: [Frame] = [
        .headers(stream, HandMadeClient.getBlock), .windowUpdate(stream, 0x7FFF_FFFF),
      ]
      do { try client.send(frames) } catch { break }
      if client.answer().contains(where: { $0.type == 7 }) { break }
    }
    #expect(client.server.failure?.code == .enhanceYourCalm)
  }

  @Test(arguments: [Frame.ping, Frame.settings])
  func answersThatNobodyReadsAreBounded(frame: Frame) throws {
    let client = try HandMadeClient()
    #expect(throws: HTTP2Failure.self) { try client.send(Array(repeating: frame, count: 300)) }
    let answers = client.answer()
    #expect(answers.last?.type == 7)
    #expect(answers.last?.payload[7] == UInt8(calm))
    #expect(answers.count <= 257)
  }

  @Test func pingsWhoseAnswersAreReadAreBorne() throws {
    let client = try HandMadeClient()
    for _ in 0..<5000 {
      try client.send([.ping])
      #expect(client.answer() == [Frame(type: 6, flags: Frame.acknowledge, payload: Frame.ping.payload)])
    }
  }

  @Test(arguments: [Frame.settings, .priority(1), .data(1, [])])
  func framesThatDoNothingAreBounded(frame: Frame) throws {
    let client = try HandMadeClient()
    try client.send([.headers(1, HandMadeClient.getBlock, flags: Frame.endHeaders)])
    #expect(throws: HTTP2Failure.self) {
      for _ in 0..<1100 {
        try client.send([frame])
        _ = client.answer()
      }
    }
    #expect(client.server.failure?.code == .enhanceYourCalm)
  }

  @Test func endlessContinuationsEndTheConnection() throws {
    let client = try HandMadeClient()
    let field: [UInt8] = [0x00, 0x01, 0x61, 0x01, 0x62]  // a: b, not indexed
    var frames: [Frame] = [.headers(1, HandMadeClient.getBlock, flags: Frame.endStream)]
    frames += (0..<100).map { _ in .continuation(1, field) }
    #expect(throws: HTTP2Failure.self) { try client.send(frames) }
    #expect(client.goAwayCode() == calm)
    #expect(client.events.isEmpty)
  }

  @Test func aHeadInContinuationsIsRead() throws {
    let client = try HandMadeClient()
    let block = HandMadeClient.getBlock
    try client.send([
      .headers(1, Array(block.prefix(3)), flags: Frame.endStream), .continuation(1, Array(block[3..<8])),
      .continuation(1, Array(block[8...]), flags: Frame.endHeaders),
    ])
    #expect(
      client.events == ["head 1 [:method: GET, :scheme: http, :path: /, :authority: www.example.com] end"])
  }

  @Test func aSmallBlockThatUnpacksToAHugeHeadIsRefused() throws {
    let client = try HandMadeClient()
    // One field of 4000 octets put into the table (its index is then 62), and a reference to it per octet.
    let length = 4000 - 127
    let big: [UInt8] =
      [0x40, 0x01, 0x61, 0x7F, UInt8(length & 0x7F | 0x80), UInt8(length >> 7)] + [UInt8](repeating: 0x62, count: 4000)
    let block = HandMadeClient.getBlock + big + [UInt8](repeating: 0xBE, count: 12_000)
    try client.send([.headers(1, block, flags: Frame.endHeaders)])
    #expect(client.events.isEmpty)
    let answer = client.answer()
    try #require(answer.map(\.type) == [1, 3], "\(answer)")
    // 431 is a literal value of :status, whose first name in the static table is 8; NO_ERROR cancels the rest.
    #expect(answer[0].payload.first == 0x48)
    #expect(answer[1].payload == [0, 0, 0, 0])
    #expect(client.server.openStreams == 0)
    // The connection goes on.
    try client.send([.headers(3, HandMadeClient.getBlock)])
    #expect(client.events.last?.hasPrefix("head 3") == true)
  }

  private func pairOfLittleRoom() -> Pair {
    var settings = HTTP2Settings()
    settings.maxHeaderListBytes = 1000
    return Pair(server: settings)
  }

  private let longField = HeaderField("a", String(repeating: "b", count: 1000))

  @Test func aRequestWhoseHeadIsTooLongIsAnswered431() throws {
    let pair = pairOfLittleRoom()
    // The client does not know the limit yet.
    _ = try pair.client.submitRequest(getRequest + [longField], endStream: true)
    try pair.exchange()
    #expect(Array(pair.clientEvents.suffix(2)) == ["head 1 [:status: 431] end", "closed 1 NO_ERROR"])
    #expect(!pair.serverEvents.contains { $0.hasPrefix("head") || $0.hasPrefix("closed") })
    #expect(throws: HTTP2SubmitError.headTooLarge) {
      try pair.client.submitRequest(getRequest + [longField], endStream: true)
    }
  }

  @Test func trailersThatAreTooLongCancelTheStream() throws {
    let pair = pairOfLittleRoom()
    let stream = try pair.client.submitRequest(postRequest, endStream: false)
    try pair.client.submitTrailers(stream, [longField])
    try pair.exchange()
    #expect(Array(pair.clientEvents.suffix(2)) == ["reset 1 ENHANCE_YOUR_CALM", "closed 1 ENHANCE_YOUR_CALM"])
    #expect(pair.serverEvents.contains("closed 1 ENHANCE_YOUR_CALM"))
  }

  @Test(
    arguments: [
      ("upper-case name", [0x00, 0x01, 0x41, 0x01, 0x62]),
      ("CR LF in a value", [0x00, 0x01, 0x61, 0x03, 0x62, 0x0D, 0x0A]),
      ("NUL in a value", [0x00, 0x01, 0x61, 0x01, 0x00]),
      ("space around a value", [0x00, 0x01, 0x61, 0x02, 0x20, 0x62]),
      ("connection: close", [0x00, 0x0A] + Array("connection".utf8) + [0x05] + Array("close".utf8)),
      ("transfer-encoding", [0x00, 0x11] + Array("transfer-encoding".utf8) + [0x07] + Array("chunked".utf8)),
      ("te: gzip", [0x00, 0x02, 0x74, 0x65, 0x04] + Array("gzip".utf8)),
      ("pseudo after regular", [0x00, 0x01, 0x61, 0x01, 0x62, 0x82]),
      ("second :path", [0x84]), ("response field", [0x88]),
    ] as [(String, [UInt8])])
  func aMalformedRequestIsCancelled(name: String, extra: [UInt8]) throws {
    let client = try HandMadeClient()
    try client.send([.headers(1, HandMadeClient.getBlock + extra)])
    #expect(client.events.isEmpty)
    #expect(client.resetCode(1) == protocolError)
    #expect(client.server.openStreams == 0)
    #expect(client.events.isEmpty)
  }

  @Test func aRequestWithoutPathIsCancelled() throws {
    let client = try HandMadeClient()
    try client.send([.headers(1, [0x82, 0x86])])
    #expect(client.resetCode(1) == protocolError)
    #expect(client.events.isEmpty)
  }

  @Test func aBodyUnlikeItsContentLengthIsCancelled() throws {
    let client = try HandMadeClient()
    let length: [UInt8] = [0x0F, 0x0D, 0x01, 0x35]  // content-length (28): 5
    try client.send([
      .headers(1, HandMadeClient.getBlock + length, flags: Frame.endHeaders),
      .data(1, [1, 2, 3, 4], flags: Frame.endStream),
    ])
    #expect(client.resetCode(1) == protocolError)
    #expect(client.events.last == "closed 1 PROTOCOL_ERROR")
  }

  @Test func paddingGivesItsWindowBack() throws {
    let client = try HandMadeClient()
    client.server.onEvent = { [unowned client] event in
      if case .data(let stream, let bytes, _) = event { client.server.consumed(stream, bytes.count) }
    }
    try client.send([.headers(1, HandMadeClient.getBlock, flags: Frame.endHeaders)])
    // One octet of data in 257 of payload: 40 windows' worth of padding.
    for _ in 0..<10_000 {
      try client.send([.data(1, [255, 7] + [UInt8](repeating: 0, count: 255), flags: Frame.padded)])
      _ = client.answer()
    }
    #expect(client.server.openStreams == 1)
  }

  @Test func dataBeyondTheWindowEndsTheConnection() throws {
    var settings = HTTP2Settings()
    settings.connectionWindow = 65535
    let client = try HandMadeClient(settings)
    try client.send([.headers(1, HandMadeClient.getBlock, flags: Frame.endHeaders)])
    for _ in 0..<5 { try client.send([.data(1, [UInt8](repeating: 0, count: 16384))]) }
    #expect(client.goAwayCode() == 0x3)
    #expect(client.server.failure?.code == .flowControlError)
    #expect(client.server.isFinished)
    #expect(client.events.last == "closed 1 FLOW_CONTROL_ERROR")
  }

  @Test(arguments: [
    Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8), [UInt8](repeating: 0, count: 100), [0x16, 0x03, 0x01, 0x02, 0x00],
  ])
  func somethingElseThanHTTP2IsTold(bytes: [UInt8]) throws {
    let server = HTTP2Session(.server)
    let thrown = #expect(throws: HTTP2Failure.self) { try bytes.withUnsafeBytes { try server.receive($0, now: 0) } }
    #expect(thrown?.code == .protocolError)
    #expect(thrown?.reason == "peer does not speak HTTP/2")
  }

  @Test func aFrameThatIsTooLongEndsTheConnection() throws {
    let client = try HandMadeClient()
    try client.send([0x00, 0x40, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01])
    #expect(client.goAwayCode() == 0x6)
    #expect(client.server.failure?.code == .frameSizeError)
    #expect(throws: Never.self) { try client.send([1, 2, 3]) }
  }

  @Test func randomBytesNeverCrash() throws {
    var generator = SplitMix64(state: 7)
    for _ in 0..<2000 {
      let client = try HandMadeClient()
      for _ in 0..<6 {
        var bytes = Frame(
          type: UInt8.random(in: 0...12, using: &generator), flags: UInt8.random(in: 0...0x2F, using: &generator),
          stream: UInt32.random(in: 0...5, using: &generator),
          payload: (0..<Int.random(in: 0...40, using: &generator)).map { _ in
            UInt8.random(in: 0...255, using: &generator)
          }
        ).bytes
        if Bool.random(using: &generator) { bytes[2] &+= 1 }
        do { try client.send(bytes) } catch { break }
        _ = client.answer()
      }
    }
  }
}

/// A small generator whose sequence is the same every time.
struct SplitMix64: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }
}
