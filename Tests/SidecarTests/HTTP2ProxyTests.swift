import CLinux
import Foundation
import HTTP2
import Synchronization
import Testing

@testable import Sidecar

extension Setup {
  /// A service of HTTP/2 whose servers speak it too.
  static func cluster2(_ name: String = "web", _ ports: UInt16...) -> Cluster {
    var cluster = Cluster(name, ports.map { Endpoint(loopback($0)) })
    cluster.usesHTTP2 = true
    return cluster
  }
}

@Suite struct HTTP2ProxyTests {
  @Test("curl's large content passes both ways")
  func curlPasses() throws {
    let origin = Origin.echo2
    let running = try Setup(.http2, [Setup.cluster2("web", origin.port)]).start()
    let large = String(repeating: "0123456789abcdef", count: 50_000)
    let text = try curl(
      [
        "--http2-prior-knowledge", "-w", " %{http_version} %{http_code}", "-d", "@-",
        "http://127.0.0.1:\(running.port)/a?b",
      ],
      input: large)
    #expect(text == "/a?b \(large) 2 200")
  }

  @Test("h2load's requests on many streams share a connection to the server")
  func multiplexing() throws {
    let origin = Origin.echo2
    let running = try Setup(.http2, [Setup.cluster2("web", origin.port)]).start()
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["h2load", "-n", "2000", "-c", "4", "-m", "20", "http://127.0.0.1:\(running.port)/x"]
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(text.contains("2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed"), "\(text)")
    #expect(origin.accepted == 1)
    #expect(running.metric("netloom_requests_total", "cluster=\"web\"", "code=\"2xx\"") == 2000)
  }

  @Test("as many streams as a server allows, then another connection")
  func streamLimit() throws {
    var settings = HTTP2Settings()
    settings.maxConcurrentStreams = 2
    let held = DispatchSemaphore(value: 0)
    let origin = Origin.http2(settings) { server, id, message in
      guard message.field(":path") == "/held" else { return server.reply(id, "free") }
      held.signal()
    }
    let running = try Setup(.http2, [Setup.cluster2("web", origin.port)]).start()
    let client = try running.connect2()
    // Its SETTINGS have come when the first response has.
    #expect(try client.send().text == "free")
    for _ in 0..<3 { _ = try client.begin(HTTP2Peer.request("/held")) }
    #expect(try client.send().text == "free")
    for _ in 0..<3 { #expect(held.wait(timeout: .now() + 20) == .success) }
    #expect(origin.accepted == 2)
  }

  @Test("a burst beyond what a server allows is refused there and asked again elsewhere")
  func burst() throws {
    var settings = HTTP2Settings()
    settings.maxConcurrentStreams = 3
    let origin = Origin.http2(settings) { server, id, message in server.reply(id, message.field(":path") ?? "") }
    let running = try Setup(.http2, [Setup.cluster2("web", origin.port)]).start()
    let client = try running.connect2()
    let ids = try (0..<40).map { try client.begin(HTTP2Peer.request("/\($0)")) }
    for (number, id) in ids.enumerated() { #expect(client.whole(id).text == "/\(number)") }
  }

  @Test("a new connection takes no more than its server has said, whatever others to it may carry")
  func burstOnNewConnection() throws {
    var settings = HTTP2Settings()
    settings.maxConcurrentStreams = 200
    let origin = Origin.http2(settings) { server, id, message in
      if message.field(":path") != "/held" { server.reply(id, "free") }
    }
    let running = try Setup(.http2, [Setup.cluster2("web", origin.port)]).start()
    let clients = try (0..<4).map { _ in try running.connect2() }
    #expect(try clients[0].send().text == "free")
    // The connection that there is gets full; the next one is not there yet when 150 requests come for it.
    for number in 0..<200 { _ = try clients[number % 2].begin(HTTP2Peer.request("/held")) }
    for client in clients[..<2] { #expect(client.settle()) }
    var ids: [(HTTP2Peer, StreamID)] = []
    for client in clients[2...] {
      let opened = try (0..<75).map { _ in try client.session.submitRequest(HTTP2Peer.request("/free"), endStream: true)
      }
      ids += opened.map { (client, $0) }
    }
    for client in clients[2...] { client.flush() }
    for (client, id) in ids { #expect(client.whole(id).status == 200) }
  }

  @Test("a request of HTTP/1.1 becomes one of HTTP/2, and the response comes back")
  func upgradeOfVersion() throws {
    let seen = Mutex<[HeaderField]>([])
    let origin = Origin.http2 { server, id, message in
      seen.withLock { $0 = message.head + message.trailers }
      try? server.session.submitResponse(
        id, [HeaderField(":status", "201"), HeaderField("x-a", "b")], endStream: false)
      _ = try? server.session.send(id, Array(message.text.utf8), endStream: false)
      try? server.session.submitTrailers(id, [HeaderField("x-sum", "5")])
    }
    let running = try Setup(.http, [Setup.cluster2("web", origin.port)]).start()
    let peer = try running.connect()
    peer.write(
      "POST /p?q HTTP/1.1\r\nHost: shop:80\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nX-Kept: yes\r\n"
        + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Check: 9\r\n\r\n")
    let answer = Answer(peer.readAll())
    #expect(answer.status == 201 && answer.field("x-a") == "b")
    #expect(answer.body == "5\r\nhello\r\n0\r\nx-sum: 5\r\n\r\n")
    var fields = seen.withLock { $0 }
    fields.removeAll { $0.name == "traceparent" }
    #expect(
      fields.map(\.description) == [
        ":method: POST", ":scheme: http", ":path: /p?q", ":authority: shop:80", "x-kept: yes", "te: trailers",
        "x-check: 9",
      ])
  }

  @Test("a request of HTTP/2 becomes one of HTTP/1.1: Host, joined cookies, chunks, trailers")
  func downgradeOfVersion() throws {
    let seen = Mutex("")
    let origin = Origin { peer in
      guard let request = peer.read(until: "x-check: 9\r\n\r\n") else { return }
      seen.withLock { $0 = request }
      peer.write("HTTP/1.1 200 OK\r\nKeep-Alive: 5\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n")
      peer.write("3\r\nabc\r\n0\r\nX-Sum: 3\r\n\r\n")
    }
    let running = try Setup(.http2, [Setup.cluster("web", origin.port)]).start()
    let client = try running.connect2()
    let id = try client.begin(
      HTTP2Peer.request(
        "/p?q", [HeaderField("cookie", "a=1"), HeaderField("x-kept", "yes"), HeaderField("cookie", "b=2")],
        method: "PUT"),
      endStream: false)
    try client.session.send(id, Array("hello".utf8), endStream: false)
    try client.session.submitTrailers(id, [HeaderField("x-check", "9")])
    let answer = client.whole(id)
    #expect(answer.head.map(\.description) == [":status: 200", "x-a: b"])
    #expect(answer.text == "abc" && answer.trailers.map(\.description) == ["x-sum: 3"])
    let request = seen.withLock { $0 }
    #expect(
      request.replacing(/traceparent: .*\r\n/, with: "")
        == "PUT /p?q HTTP/1.1\r\nhost: web\r\ncookie: a=1; b=2\r\nx-kept: yes\r\nTransfer-Encoding: chunked\r\n\r\n"
        + "5\r\nhello\r\n0\r\nx-check: 9\r\n\r\n")
  }

  @Test("an empty response of HTTP/2 has an end that HTTP/1.1 sees; HEAD and 204 stay as they are")
  func emptyResponse() throws {
    let origin = Origin.http2 { server, id, message in
      server.reply(id, "", status: message.field(":path") == "/204" ? "204" : "200")
    }
    let running = try Setup(.http, [Setup.cluster2("web", origin.port)]).start()
    #expect(try running.get("/200").field("content-length") == "0")
    #expect(try running.get("/204").field("content-length") == nil)
  }

  @Test("a client that cancels cancels at the server, and counts no more as under way")
  func cancellation() throws {
    let asked = DispatchSemaphore(value: 0)
    let cancelled = DispatchSemaphore(value: 0)
    let code = Mutex<HTTP2ErrorCode?>(nil)
    let origin = Origin { peer in
      let server = HTTP2Peer(peer, .server)
      server.onMessage = { _, _ in asked.signal() }
      server.run { server.messages[1]?.end != nil }
      code.withLock { $0 = server.messages[1]?.end }
      cancelled.signal()
      server.run { false }
    }
    let running = try Setup(.http2, [Setup.cluster2("web", origin.port)]).start()
    let client = try running.connect2()
    let id = try client.begin(HTTP2Peer.request("/"))
    client.run { client.session.openStreams == 1 }
    #expect(asked.wait(timeout: .now() + 10) == .success)
    client.session.reset(id, .cancel)
    client.flush()
    #expect(cancelled.wait(timeout: .now() + 10) == .success)
    #expect(code.withLock { $0 } == .cancel)
    #expect(running.metric("netloom_active", "cluster=\"web\"") == 0)
    let active = running.sidecar.onEveryWorker { $0.clusters["web"]?.endpoints.map(\.active) ?? [] }
    #expect(active == [[0]])
  }

  @Test("a server's GOAWAY moves requests to a new connection, and what it refused is asked again")
  func goAway() throws {
    let origin = Origin { peer in
      let server = HTTP2Peer(peer, .server)
      server.onMessage = { [unowned server] id, message in
        if id == 3 {
          server.session.reset(id, .refusedStream)
          server.session.goAway()
        } else {
          server.reply(id, "\(message.text)!")
        }
      }
      server.run { false }
    }
    let running = try Setup(.http2, [Setup.cluster2("web", origin.port)]).start()
    let client = try running.connect2()
    for number in 0..<6 {
      #expect(try client.send("/", HTTP2Peer.call, method: "POST", body: "\(number)").text == "\(number)!")
    }
    #expect(origin.accepted >= 3)
  }

  @Test("a server that has fallen silent loses its connection, not every request from then on")
  func silentServer() throws {
    let connections = Mutex(0)
    let done = DispatchSemaphore(value: 0)
    let origin = Origin { peer in
      let isFirst = connections.withLock { count in
        count += 1
        return count == 1
      }
      let server = HTTP2Peer(peer, .server)
      server.onMessage = { [unowned server] id, message in server.reply(id, "alive") }
      guard isFirst else {
        server.run { false }
        return
      }
      server.run { server.messages[1]?.isWhole == true }
      // It neither reads nor closes from here on.
      done.wait()
    }
    defer { done.signal() }
    var cluster = Setup.cluster2("web", origin.port)
    cluster.connectTimeout = 300
    var rule = RouteRule(backends: [WeightedBackend("web")])
    rule.timeouts.request = 100
    let running = try Setup(.http2, [cluster], route: rule).start()
    let client = try running.connect2()
    #expect(try client.send().text == "alive")
    #expect(try client.send().status == 504)
    var answers: [Int] = []
    repeat { answers.append(try client.send().status) } while answers.last == 504 && answers.count < 100
    #expect(answers.last == 200 && answers.count < 100)
  }

  @Test("a field that must not be compressed is marked so for the next hop too")
  func sensitiveField() throws {
    let seen = Mutex<[HeaderField]>([])
    let origin = Origin.http2 { server, id, message in
      seen.withLock { $0 = message.head }
      server.reply(id, "")
    }
    let running = try Setup(.http2, [Setup.cluster2("web", origin.port)]).start()
    let secret = HeaderField("authorization", "secret", isSensitive: true)
    _ = try running.connect2().send("/", [secret, HeaderField("x", "y")])
    let fields = seen.withLock { $0 }
    #expect(fields.contains(secret) && fields.filter(\.isSensitive).count == 1)
  }

  @Test("draining says GOAWAY and lets the stream under way end")
  func drain() throws {
    let asked = DispatchSemaphore(value: 0)
    let go = DispatchSemaphore(value: 0)
    let origin = Origin.http2 { server, id, _ in
      asked.signal()
      go.wait()
      server.reply(id, "late")
    }
    let running = try Setup(.http2, [Setup.cluster2("web", origin.port)]).start()
    let client = try running.connect2()
    let id = try client.begin(HTTP2Peer.request("/"))
    client.run { client.session.openStreams == 1 }
    #expect(asked.wait(timeout: .now() + 10) == .success)
    let drained = DispatchSemaphore(value: 0)
    running.sidecar.drain { drained.signal() }
    #expect(client.run { client.goAway == .noError })
    go.signal()
    #expect(client.whole(id).text == "late")
    client.run { false }
    client.peer.close()
    #expect(drained.wait(timeout: .now() + 10) == .success)
  }

  @Test("a response that comes before the end of its request ends the request too")
  func earlyResponse() throws {
    let origin = Origin { peer in
      let server = HTTP2Peer(peer, .server)
      server.run { server.messages[1]?.head.isEmpty == false }
      server.reply(1, "no more")
      server.run { false }
    }
    let running = try Setup(.http2, [Setup.cluster2("web", origin.port)]).start()
    let client = try running.connect2()
    let id = try client.begin(HTTP2Peer.request("/", method: "POST"), endStream: false)
    #expect(client.run { client.messages[id]?.end != nil })
    #expect(client.messages[id]?.text == "no more" && client.messages[id]?.isWhole == true)
    #expect(client.messages[id]?.end == .noError)
  }

  @Test("a server that sends more than its client takes is held back, and the other streams go on")
  func responseBackPressure() throws {
    let queued = Mutex(0)
    let origin = Origin.http2 { server, id, message in
      guard message.field(":path") == "/large" else { return server.reply(id, "small") }
      try? server.session.submitResponse(id, [HeaderField(":status", "200")], endStream: false)
      _ = try? server.session.send(id, [UInt8](repeating: 120, count: 4 << 20), endStream: true)
      queued.withLock { $0 = server.session.queuedBytes(id) }
      let session = server.session
      server.onMessage = { [unowned server] id, _ in
        queued.withLock { $0 = session.queuedBytes }
        server.reply(id, "small")
      }
    }
    let running = try Setup(.http2, [Setup.cluster2("web", origin.port)]).start()
    let client = try running.connect2()
    client.consumes = false
    let large = try client.begin(HTTP2Peer.request("/large"))
    client.run { (client.messages[large]?.body.count ?? 0) >= 65535 }
    for _ in 0..<20 { #expect(try client.send("/small").text == "small") }
    // The window of the sidecar, its queue, and what the client has.
    #expect(queued.withLock { $0 } > (4 << 20) - (1 << 19))
    client.session.consumed(large, 65535)
    client.consumes = true
    #expect(client.whole(large).body.count == 4 << 20)
  }

  @Test("a client that sends more than its server takes is held back")
  func requestBackPressure() throws {
    let taken = DispatchSemaphore(value: 0)
    let go = DispatchSemaphore(value: 0)
    let origin = Origin { peer in
      let server = HTTP2Peer(peer, .server)
      server.consumes = false
      server.run { (server.messages[1]?.body.count ?? 0) >= 65535 }
      taken.signal()
      go.wait()
      server.session.consumed(1, 65535)
      server.consumes = true
      server.onMessage = { [unowned server] id, message in server.reply(id, "\(message.body.count)") }
      server.run { false }
    }
    let running = try Setup(.http2, [Setup.cluster2("web", origin.port)]).start()
    let client = try running.connect2()
    let id = try client.begin(HTTP2Peer.request("/", method: "POST"), endStream: false)
    try client.session.send(id, [UInt8](repeating: 120, count: 4 << 20), endStream: true)
    client.flush()
    #expect(taken.wait(timeout: .now() + 10) == .success)
    // Nobody reads; what the windows allow has gone, and a PING comes back although this stream stands still.
    #expect(client.settle())
    #expect(client.session.queuedBytes(id) > (4 << 20) - (1 << 19))
    go.signal()
    #expect(client.whole(id).text == "\(4 << 20)")
  }
}
