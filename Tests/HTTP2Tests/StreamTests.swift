import HTTP2
import Testing

/// The lives of streams and connections: cancelling, windows, limits, the end.
@Suite struct StreamTests {
  @Test func aCancelledStreamEndsOnBothSides() throws {
    let pair = Pair()
    try pair.settle()
    let stream = try pair.client.submitRequest(postRequest, endStream: false)
    try pair.exchange()
    pair.client.reset(stream, .cancel)
    try pair.exchange()
    #expect(Array(pair.serverEvents.suffix(2)) == ["reset 1 CANCEL", "closed 1 CANCEL"])
    #expect(pair.clientEvents == ["closed 1 CANCEL"])
    #expect(throws: HTTP2SubmitError.unknownStream) { try pair.server.send(stream, [1], endStream: true) }
  }

  @Test func whatWaitsOnACancelledStreamIsForgotten() throws {
    let pair = Pair()
    pair.consumes = false
    try pair.settle()
    let stream = try pair.client.submitRequest(postRequest, endStream: false)
    try pair.client.send(stream, [UInt8](repeating: 1, count: 200_000), endStream: true)
    try pair.exchange()
    #expect(pair.client.queuedBytes == 200_000 - 65535)
    pair.server.reset(stream, .refusedStream)
    try pair.exchange()
    #expect(pair.client.queuedBytes == 0)
    #expect(pair.clientEvents.suffix(2) == ["reset 1 REFUSED_STREAM", "closed 1 REFUSED_STREAM"])
  }

  @Test func unconsumedBytesHoldTheSenderBack() throws {
    let pair = Pair()
    pair.consumes = false
    try pair.settle()
    let stream = try pair.client.submitRequest(postRequest, endStream: false)
    let body = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
    #expect(try pair.client.send(stream, body, endStream: true) == 200_000)
    try pair.exchange()
    // The window of a stream that nobody changed: RFC 9113 section 6.9.2.
    #expect(pair.received[1]?.count == 65535)
    #expect(pair.client.queuedBytes(stream) == 200_000 - 65535)
    pair.server.consumed(stream, 40_000)
    try pair.exchange()
    #expect(pair.received[1]?.count == 105_535)
    pair.consumes = true
    pair.server.consumed(stream, 65_535)
    try pair.exchange()
    #expect(pair.received[1] == body)
    #expect(pair.serverEvents.last == "end 1")
    // Twice: more than the mark was queued once, and fell below it once.
    #expect(pair.clientEvents.filter { $0 == "drained 1" }.count == 1)
  }

  @Test func moreThanWasDeliveredIsNotGivenBack() throws {
    var settings = HTTP2Settings()
    settings.initialWindow = 1000
    let pair = Pair(server: settings)
    pair.consumes = false
    try pair.settle()
    let stream = try pair.client.submitRequest(postRequest, endStream: false)
    try pair.client.send(stream, [UInt8](repeating: 1, count: 10_000), endStream: true)
    try pair.exchange()
    #expect(pair.received[1]?.count == 1000)
    pair.server.consumed(stream, 1_000_000)
    try pair.exchange()
    #expect(pair.received[1]?.count == 2000)
  }

  @Test func aClosedStreamGivesTheConnectionsWindowBack() throws {
    var settings = HTTP2Settings()
    settings.connectionWindow = 65535
    let pair = Pair(server: settings)
    pair.consumes = false
    try pair.settle()
    for round in 0..<4 {
      let stream = try pair.client.submitRequest(postRequest, endStream: false)
      try pair.client.send(stream, [UInt8](repeating: 1, count: 65535), endStream: false)
      try pair.exchange()
      #expect(pair.received[stream]?.count == 65535, "round \(round)")
      pair.server.reset(stream, .cancel)
      try pair.exchange()
    }
  }

  @Test func outputStopsAtItsLimit() throws {
    var settings = HTTP2Settings()
    settings.initialWindow = 1 << 20
    let pair = Pair(server: settings)
    try pair.settle()
    let stream = try pair.client.submitRequest(postRequest, endStream: false)
    try pair.client.send(stream, [UInt8](repeating: 1, count: 1 << 19), endStream: true)
    var output: [UInt8] = []
    pair.client.pullOutput(into: &output, limit: 20_000)
    #expect(output.count >= 20_000 && output.count < 20_000 + 16384 + 9)
    #expect(pair.client.wantsWrite)
    while !output.isEmpty {
      try output.withUnsafeBytes { try pair.server.receive($0, now: 0) }
      output = []
      pair.client.pullOutput(into: &output, limit: 20_000)
    }
    #expect(pair.received[1]?.count == 1 << 19)
  }

  @Test func streamsShareTheConnection() throws {
    let pair = Pair()
    try pair.settle()
    let streams = try (0..<3).map { _ in try pair.client.submitRequest(postRequest, endStream: false) }
    for stream in streams { try pair.client.send(stream, [UInt8](repeating: 1, count: 60_000), endStream: true) }
    var output: [UInt8] = []
    pair.client.pullOutput(into: &output, limit: 60_000)
    try output.withUnsafeBytes { try pair.server.receive($0, now: 0) }
    #expect(streams.allSatisfy { pair.received[$0]?.isEmpty == false })
  }

  @Test func noMoreStreamsThanThePeerAllows() throws {
    var settings = HTTP2Settings()
    settings.maxConcurrentStreams = 2
    let pair = Pair(server: settings)
    try pair.settle()
    let first = try pair.client.submitRequest(postRequest, endStream: false)
    _ = try pair.client.submitRequest(postRequest, endStream: false)
    #expect(!pair.client.canSubmitRequest)
    #expect(throws: HTTP2SubmitError.streamsExhausted) {
      try pair.client.submitRequest(postRequest, endStream: false)
    }
    pair.client.reset(first, .cancel)
    try pair.exchange()
    #expect(pair.client.canSubmitRequest)
  }

  @Test func streamsAboveTheLimitAreRefusedBeforeTheSettingsAreKnown() throws {
    var settings = HTTP2Settings()
    settings.maxConcurrentStreams = 2
    let pair = Pair(server: settings)
    for _ in 0..<3 { _ = try pair.client.submitRequest(postRequest, endStream: false) }
    try pair.exchange()
    #expect(pair.clientEvents.contains("closed 5 REFUSED_STREAM"))
    #expect(pair.server.openStreams == 2)
  }

  @Test func aGoAwayLetsOpenStreamsFinish() throws {
    let pair = Pair()
    try pair.settle()
    let stream = try pair.client.submitRequest(getRequest, endStream: true)
    try pair.exchange()
    pair.server.goAway()
    try pair.exchange()
    #expect(pair.clientEvents == ["goaway 1 NO_ERROR"])
    #expect(!pair.client.canSubmitRequest)
    #expect(throws: HTTP2SubmitError.goingAway) { try pair.client.submitRequest(getRequest, endStream: true) }
    #expect(!pair.server.isFinished)
    try pair.server.submitResponse(stream, ok, endStream: true)
    try pair.exchange()
    #expect(pair.clientEvents.last == "closed 1 NO_ERROR")
    #expect(pair.server.isFinished && pair.client.isFinished)
    #expect(pair.server.failure == nil && pair.client.failure == nil)
  }

  @Test func drainingAnnouncesTheEndAndTakesWhatIsUnderWay() throws {
    let pair = Pair()
    try pair.settle()
    pair.server.drain()
    let stream = try pair.client.submitRequest(getRequest, endStream: true)
    try pair.exchange()
    #expect(pair.clientEvents == ["goaway 2147483647 NO_ERROR"])
    try pair.server.submitResponse(stream, ok, endStream: true)
    try pair.exchange()
    #expect(pair.clientEvents.last == "closed 1 NO_ERROR")
  }

  @Test func terminatingClosesEveryStream() throws {
    let pair = Pair()
    try pair.settle()
    _ = try pair.client.submitRequest(postRequest, endStream: false)
    try pair.exchange()
    pair.server.terminate(.internalError)
    try pair.exchange()
    #expect(pair.server.isFinished)
    #expect(pair.serverEvents.last == "closed 1 NO_ERROR")
    #expect(pair.clientEvents.first == "goaway 1 INTERNAL_ERROR")
  }

  @Test func aLostTransportClosesEveryStream() throws {
    let pair = Pair()
    try pair.settle()
    _ = try pair.client.submitRequest(postRequest, endStream: false)
    _ = try pair.client.submitRequest(postRequest, endStream: false)
    pair.client.transportClosed()
    #expect(pair.clientEvents == ["closed 1 CANCEL", "closed 3 CANCEL"])
    #expect(pair.client.isFinished)
    #expect(throws: HTTP2SubmitError.finished) { try pair.client.submitRequest(getRequest, endStream: true) }
  }

  @Test func aPingIsAnsweredWithItsPayload() throws {
    let pair = Pair()
    try pair.settle()
    pair.client.ping(0x0102_0304_0506_0708)
    try pair.exchange()
    #expect(pair.clientEvents == ["pong 72623859790382856"])
  }

  @Test func eventsMaySubmitAndMayNotReenter() throws {
    let pair = Pair()
    try pair.settle()
    var refused = false
    pair.server.onEvent = { [unowned pair] event in
      guard case .head(let stream, _, _) = event else { return }
      do {
        try pair.server.receive(UnsafeRawBufferPointer(start: nil, count: 0), now: 0)
      } catch {
        refused = true
      }
      var output: [UInt8] = []
      pair.server.pullOutput(into: &output)
      #expect(output.isEmpty)
      try? pair.server.submitResponse(stream, ok, endStream: true)
    }
    _ = try pair.client.submitRequest(getRequest, endStream: true)
    try pair.exchange()
    #expect(refused)
    #expect(pair.clientEvents == ["head 1 [:status: 200] end", "closed 1 NO_ERROR"])
  }
}
