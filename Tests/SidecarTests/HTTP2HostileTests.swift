import CLinux
import Foundation
import HTTP2
import Synchronization
import Testing

@testable import Sidecar

/// Clients that cost more than they should, and messages that two recipients could read differently. Codes are those of
/// RFC 9113 section 7.
@Suite struct HTTP2HostileTests {
  struct Flood: CustomTestStringConvertible, Sendable {
    let testDescription: String
    /// What is sent after the opening, time and again.
    let frames: @Sendable (UInt32) -> [RawFrame]

    static let all = [
      Flood(testDescription: "rapid reset") { number in
        [.get(number * 2 + 1), RawFrame(type: 3, stream: number * 2 + 1, payload: [0, 0, 0, 8])]
      },
      Flood(testDescription: "settings") { _ in [RawFrame(type: 4)] },
      Flood(testDescription: "ping") { _ in [RawFrame(type: 6, payload: [1, 2, 3, 4, 5, 6, 7, 8])] },
      Flood(testDescription: "continuation") { number in
        number == 0
          ? [RawFrame(type: 1, flags: 1, stream: 1, payload: [0x82])]
          : [RawFrame(type: 9, stream: 1, payload: [0, 1, 0x61, 1, 0x62])]
      },
      Flood(testDescription: "empty data") { number in
        number == 0 ? [.get(1, endStream: false)] : [RawFrame(type: 0, stream: 1)]
      },
      Flood(testDescription: "window updates of one byte") { _ in [RawFrame(type: 8, payload: [0, 0, 0, 1])] },
      Flood(testDescription: "priorities") { _ in [RawFrame(type: 2, stream: 1, payload: [0, 0, 0, 0, 15])] },
    ]
  }

  @Test("a flood ends its connection with ENHANCE_YOUR_CALM, is counted, and hurts nobody else", arguments: Flood.all)
  func flood(_ flood: Flood) throws {
    let origin = Origin.http2 { server, id, message in
      if message.field(":path") == "/ok" { server.reply(id, "ok") }
    }
    let running = try Setup(.http2, [Setup.cluster2("web", origin.port)]).start()
    let other = try running.connect2()
    #expect(try other.send("/ok").text == "ok")
    let peer = try running.connect()
    peer.write(RawFrame.opening + (0..<3000).flatMap { flood.frames($0) }.flatMap(\.bytes))
    let goAway = try #require(peer.frame(7))
    #expect(Array(goAway.payload[4..<8]) == [0, 0, 0, 0xB])
    #expect(running.metric("netloom_refusals_total", "reason=\"http2-flood\"") == 1)
    #expect(try other.send("/ok").text == "ok")
  }

  @Test("a window that overflows or grows by nothing is an error of the protocol")
  func windowAbuse() throws {
    let origin = Origin.echo2
    let running = try Setup(.http2, [Setup.cluster2("web", origin.port)]).start()
    for (payload, code) in [([0, 0, 0, 0] as [UInt8], 1 as UInt8), ([0x7F, 0xFF, 0xFF, 0xFF], 3)] {
      let peer = try running.connect()
      peer.write(RawFrame.opening + RawFrame(type: 8, payload: payload).bytes)
      let goAway = try #require(peer.frame(7))
      #expect(Array(goAway.payload[4..<8]) == [0, 0, 0, code])
    }
    #expect(running.metric("netloom_refusals_total", "reason=\"http2-violation\"") == 2)
  }

  @Test("a head that is too long is answered 431, and the connection goes on")
  func longHead() throws {
    let origin = Origin.echo2
    let running = try Setup(.http2, [Setup.cluster2("web", origin.port)]).start()
    let client = try running.connect2()
    let field = HeaderField("x", String(repeating: "y", count: 30_000))
    let id = try client.begin(HTTP2Peer.request("/", [field, field, field]))
    #expect(client.whole(id).status == 431)
    let many = (0..<200).map { HeaderField("x-\($0)", "y") }
    let refused = try client.send("/", many)
    #expect(refused.status == 431)
    #expect(refused.field("netloom-refused") == "client-1/outbound; too-many-fields")
    #expect(try client.send("/ok").text == "/ok ")
  }

  struct Malformed: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let frames: [RawFrame]
    /// RST_STREAM with PROTOCOL_ERROR, or a response of 400.
    var isReset = true

    private static func get(_ more: (String, String)...) -> [RawFrame] { [.head(1, RawFrame.request + more)] }

    static let all = [
      Malformed(testDescription: "line break in a value", frames: get(("x", "a\r\nGET /smuggled HTTP/1.1"))),
      Malformed(testDescription: "NUL in a value", frames: get(("x", "a\0b"))),
      Malformed(testDescription: "line break in a name", frames: get(("x\r\ny", "a"))),
      Malformed(testDescription: "space in a name", frames: get(("x y", "a"))),
      Malformed(testDescription: "capital letters in a name", frames: get(("X-Y", "a"))),
      Malformed(testDescription: "transfer-encoding", frames: get(("transfer-encoding", "chunked"))),
      Malformed(testDescription: "connection", frames: get(("connection", "close"))),
      Malformed(testDescription: "upgrade", frames: get(("upgrade", "h2c"))),
      Malformed(testDescription: "te: gzip", frames: get(("te", "gzip"))),
      Malformed(testDescription: "content-length without content", frames: get(("content-length", "5"))),
      Malformed(testDescription: "content-length twice", frames: get(("content-length", "0"), ("content-length", "1"))),
      Malformed(
        testDescription: "less content than content-length",
        frames: [
          .head(1, RawFrame.request + [("content-length", "5")], endStream: false),
          RawFrame(type: 0, flags: 1, stream: 1, payload: [0x61]),
        ]),
      Malformed(
        testDescription: "more content than content-length",
        frames: [
          .head(1, RawFrame.request + [("content-length", "1")], endStream: false),
          RawFrame(type: 0, flags: 1, stream: 1, payload: [0x61, 0x62]),
        ]),
      Malformed(testDescription: "no path", frames: [.head(1, [(":method", "GET"), (":scheme", "http")])]),
      Malformed(testDescription: "two paths", frames: [.head(1, RawFrame.request + [(":path", "/x")])]),
      Malformed(testDescription: "a pseudo-header field that is none", frames: get((":x", "y"))),
      Malformed(
        testDescription: "a pseudo-header field after others",
        frames: [.head(1, [(":method", "GET"), (":scheme", "http"), ("x", "y"), (":path", "/")])]),
      Malformed(
        testDescription: "space in the path",
        frames: [.head(1, [(":method", "GET"), (":scheme", "http"), (":authority", "web"), (":path", "/ HTTP/1.1")])]),
      Malformed(
        testDescription: "a method that is none",
        frames: [.head(1, [(":method", "GET /x"), (":scheme", "http"), (":authority", "web"), (":path", "/")])]),
      Malformed(
        testDescription: "user information in the authority",
        frames: [.head(1, [(":method", "GET"), (":scheme", "http"), (":authority", "a@b"), (":path", "/")])],
        isReset: false),
      Malformed(testDescription: "host and authority differ", frames: get(("host", "other")), isReset: false),
      Malformed(
        testDescription: "no host at all",
        frames: [.head(1, [(":method", "GET"), (":scheme", "http"), (":path", "/")])]),
      Malformed(
        testDescription: "fragment in the path",
        frames: [.head(1, [(":method", "GET"), (":scheme", "http"), (":authority", "web"), (":path", "/a#b")])],
        isReset: false),
      Malformed(
        testDescription: "trailers that frame",
        frames: [
          .get(1, endStream: false), .head(1, [("content-length", "3")]),
        ]),
    ]
  }

  @Test("nothing of a malformed request reaches a server of HTTP/1.1 as a request", arguments: Malformed.all)
  func malformed(_ message: Malformed) throws {
    let seen = Mutex<[String]>([])
    let origin = Origin { peer in
      while let head = peer.read(until: "\r\n\r\n") {
        let isWhole = Origin.field("content-length", head).map { peer.read(exactly: Int($0) ?? 0) != nil } ?? true
        guard isWhole, Origin.field("transfer-encoding", head) == nil || peer.read(until: "0\r\n\r\n") != nil else {
          return
        }
        seen.withLock { $0.append(head) }
        peer.write(response("ok"))
      }
    }
    let running = try Setup(.http2, [Setup.cluster("web", origin.port)]).start()
    let peer = try running.connect()
    peer.write(RawFrame.opening + message.frames.flatMap(\.bytes))
    if message.isReset {
      #expect(peer.frame(3, stream: 1)?.payload == [0, 0, 0, 1])
    } else {
      // The status stands in the first field: an index or a literal of 400.
      #expect(peer.frame(1, stream: 1)?.payload.first == 0x8C)
    }
    // The connection goes on with its next request, whose answer is its own.
    peer.write(RawFrame.get(3).bytes)
    #expect(peer.frame(0, stream: 3)?.payload == Array("ok".utf8))
    #expect(seen.withLock { $0 }.count == 1)
  }

  @Test("what does not speak HTTP/2 is told so, and who says nothing is dropped")
  func otherProtocols() throws {
    let origin = Origin.echo2
    var setup = Setup(.http2, [Setup.cluster2("web", origin.port)])
    setup.configuration.limits.head = 200
    let running = try setup.start()
    let peer = try running.connect()
    peer.write("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let goAway = try #require(peer.frame(7))
    #expect(Array(goAway.payload[4..<8]) == [0, 0, 0, 1])
    let silent = try running.connect()
    silent.write("PRI * HT")
    _ = silent.readAll()
    #expect(running.metric("netloom_refusals_total", "reason=\"settings-timeout\"") == 1)
    #expect(origin.accepted == 0)
  }

  @Test("a response that breaks the rules becomes 502")
  func badResponse() throws {
    let origin = Origin { peer in
      guard peer.read(until: "SM\r\n\r\n") != nil, peer.frame(1, stream: 1) != nil else { return }
      peer.write(
        RawFrame(type: 4).bytes + RawFrame.head(1, [(":status", "200"), ("transfer-encoding", "chunked")]).bytes)
      _ = peer.readAll()
    }
    let running = try Setup(.http2, [Setup.cluster2("web", origin.port)]).start()
    let answer = try running.connect2().send()
    #expect(answer.status == 502)
    #expect(answer.field("netloom-refused")?.contains("because=stream-ended-by-PROTOCOL_ERROR") == true)
  }

  @Test("a stream whose client never opens its window ends")
  func stuckStream() throws {
    let origin = Origin.http2 { server, id, _ in server.reply(id, String(repeating: "x", count: 300_000)) }
    var setup = Setup(.http2, [Setup.cluster2("web", origin.port)])
    setup.configuration.limits.idle = 200
    let running = try setup.start()
    let client = try running.connect2()
    client.consumes = false
    let id = try client.begin(HTTP2Peer.request("/"))
    #expect(client.run { client.messages[id]?.end != nil })
    #expect(client.messages[id]?.end == .cancel)
  }
}
