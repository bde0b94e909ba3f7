import HTTP2
import Testing

@Suite struct MessageTests {
  @Test func aRequestWithoutBodyIsAnswered() throws {
    let pair = Pair()
    try pair.settle()
    let stream = try pair.client.submitRequest(getRequest, endStream: true)
    try pair.exchange()
    #expect(
      pair.serverEvents == ["head 1 [:method: GET, :scheme: http, :path: /a, :authority: web] end"])
    try pair.server.submitResponse(stream, ok, endStream: false)
    try pair.server.send(stream, Array("hello".utf8), endStream: true)
    try pair.exchange()
    #expect(pair.clientEvents == ["head 1 [:status: 200]", "data 1", "end 1", "closed 1 NO_ERROR"])
    #expect(pair.received[1] == Array("hello".utf8))
    #expect(pair.serverEvents.last == "closed 1 NO_ERROR")
    #expect(pair.client.openStreams == 0 && pair.server.openStreams == 0)
  }

  @Test func trailersFollowTheBody() throws {
    let pair = Pair()
    try pair.settle()
    let stream = try pair.client.submitRequest(postRequest, endStream: false)
    try pair.client.send(stream, [1, 2, 3], endStream: false)
    try pair.client.submitTrailers(stream, [HeaderField("checksum", "6")])
    try pair.exchange()
    #expect(pair.received[1] == [1, 2, 3])
    #expect(Array(pair.serverEvents.suffix(2)) == ["data 1", "trailers 1 [checksum: 6]"])
  }

  @Test func trailersCanComeLongAfterTheBodyWasSent() throws {
    let pair = Pair()
    try pair.settle()
    let stream = try pair.client.submitRequest(postRequest, endStream: false)
    try pair.client.send(stream, [1], endStream: false)
    try pair.exchange()
    try pair.client.submitTrailers(stream, [HeaderField("a", "b")])
    try pair.exchange()
    #expect(pair.serverEvents.last == "trailers 1 [a: b]")
  }

  @Test func aTrailersOnlyResponseIsOneHead() throws {
    let pair = Pair()
    try pair.settle()
    let stream = try pair.client.submitRequest(postRequest, endStream: true)
    try pair.exchange()
    try pair.server.submitResponse(stream, ok + [HeaderField("grpc-status", "12")], endStream: true)
    try pair.exchange()
    #expect(pair.clientEvents == ["head 1 [:status: 200, grpc-status: 12] end", "closed 1 NO_ERROR"])
  }

  @Test func interimResponsesComeBeforeTheFinalOne() throws {
    let pair = Pair()
    try pair.settle()
    let stream = try pair.client.submitRequest(postRequest, endStream: true)
    try pair.exchange()
    try pair.server.submitInformational(stream, [HeaderField(":status", "103"), HeaderField("link", "</a>")])
    try pair.server.submitResponse(stream, ok, endStream: true)
    try pair.exchange()
    #expect(
      pair.clientEvents == [
        "informational 1 [:status: 103, link: </a>]", "head 1 [:status: 200] end", "closed 1 NO_ERROR",
      ])
  }

  @Test func aBodyInBothDirectionsStaysOpen() throws {
    let pair = Pair()
    try pair.settle()
    let stream = try pair.client.submitRequest(postRequest, endStream: false)
    try pair.exchange()
    try pair.server.submitResponse(stream, ok, endStream: false)
    for round in UInt8(0)..<3 {
      try pair.client.send(stream, [round], endStream: false)
      try pair.exchange()
      try pair.server.send(stream, [round], endStream: false)
      try pair.exchange()
    }
    #expect(pair.received[1] == [0, 0, 1, 1, 2, 2])
    #expect(pair.client.openStreams == 1)
  }

  @Test func octetsOfValuesArriveAsTheyAre() throws {
    let pair = Pair()
    try pair.settle()
    let odd = HeaderField("x", bytes: [0x61, 0xE9, 0xFF])
    var heads: [FieldList] = []
    pair.server.onEvent = { if case .head(_, let fields, _) = $0 { heads.append(fields) } }
    _ = try pair.client.submitRequest(getRequest + [odd], endStream: true)
    try pair.exchange()
    #expect(heads.first?.last == odd)
  }

  @Test func aSensitiveFieldArrivesMarked() throws {
    let pair = Pair()
    try pair.settle()
    var heads: [FieldList] = []
    pair.server.onEvent = { if case .head(_, let fields, _) = $0 { heads.append(fields) } }
    _ = try pair.client.submitRequest(getRequest + [HeaderField("k", "v", isSensitive: true)], endStream: true)
    try pair.exchange()
    #expect(heads.first?.last?.isSensitive == true)
    #expect(heads.first?.first?.isSensitive == false)
  }

  @Test(arguments: [
    HeaderField("Upper", "a"), HeaderField("a b", "c"), HeaderField("", "a"), HeaderField("a", "b\r\nc: d"),
    HeaderField("a", bytes: [0]), HeaderField("a", " b"), HeaderField(":path", "/a b"),
  ])
  func aFieldThatMayNotBeSentIsRefused(field: HeaderField) throws {
    let pair = Pair()
    #expect(throws: HTTP2SubmitError.invalidField(field.name)) {
      try pair.client.submitRequest(getRequest + [field], endStream: true)
    }
  }

  @Test func whatDoesNotFitTheStateIsRefused() throws {
    let pair = Pair()
    try pair.settle()
    let stream = try pair.client.submitRequest(getRequest, endStream: true)
    #expect(throws: HTTP2SubmitError.wrongState) { try pair.client.send(stream, [1], endStream: true) }
    #expect(throws: HTTP2SubmitError.wrongState) { try pair.client.submitTrailers(stream, []) }
    #expect(throws: HTTP2SubmitError.unknownStream) { try pair.client.send(99, [1], endStream: true) }
    #expect(throws: HTTP2SubmitError.wrongState) { try pair.server.submitRequest(getRequest, endStream: true) }
    try pair.exchange()
    #expect(throws: HTTP2SubmitError.wrongState) { try pair.server.send(stream, [1], endStream: true) }
    try pair.server.submitResponse(stream, ok, endStream: true)
    #expect(throws: HTTP2SubmitError.wrongState) { try pair.server.submitResponse(stream, ok, endStream: true) }
  }
}
