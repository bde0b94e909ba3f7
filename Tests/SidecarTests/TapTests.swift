import EventLoop
import Foundation
import Testing

@testable import Sidecar

/// A line of `/tap`.
private struct Line: Decodable {
  var service: String?
  var method: String?
  var path: String?
  var status: Int?
  var endpoint: String?
  var refused: String?
  var trace: String?
  var server: String?
  var bytesToServer: UInt64?
  var dropped: UInt64?
}

/// The admin of a sidecar on a thread of its own, with its private socket.
final class Admin: @unchecked Sendable {  // proof: written before the thread starts, read after
  let path: String
  private let stop: Waker

  init(_ sidecar: Sidecar) throws {
    path = "/tmp/netloom-tap-\(UUID().uuidString.prefix(8)).sock"
    let loop = try EventLoop()
    let server = try AdminServer(loop, Setup.loopback(0), sidecar)
    try server.listen(unix: path)
    stop = try loop.waker { loop.stop() }
    let holder = Holder(loop, server, stop)
    Thread { holder.run() }.start()
  }

  private final class Holder: @unchecked Sendable {  // proof: handed to one thread
    let loop: EventLoop
    let server: AdminServer
    let stop: Waker
    init(_ loop: EventLoop, _ server: AdminServer, _ stop: Waker) {
      self.loop = loop
      self.stop = stop
      self.server = server
    }
    func run() { try? loop.run() }
  }

  deinit {
    stop.wake()
    unlink(path)
  }

  /// A reader of `/tap` or `/keylog`; returns when the sidecar has begun, or has answered.
  func follow(_ target: String) throws -> Peer {
    let socket = try UnixSocket.connect(path).release()
    _ = fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) & ~O_NONBLOCK)
    let peer = Peer(socket, keeping: self)
    peer.write("GET \(target) HTTP/1.1\r\nHost: sidecar\r\n\r\n")
    #expect(peer.read(until: "\r\n\r\n")?.hasPrefix("HTTP/1.1 200") == true)
    return peer
  }
}

extension Peer {
  fileprivate func line() throws -> Line {
    let text = try #require(read(until: "\n"))
    return try JSONDecoder().decode(Line.self, from: Data(text.utf8))
  }
}

@Suite struct TapTests {
  @Test("a tap shows what passes its filter and nothing else; without one nothing is recorded")
  func filter() throws {
    let origin = Origin.http { _, body in response(body) }
    let running = try Setup(.http, [Setup.cluster("web", origin.port)]).start()
    let taps = running.sidecar.observation.taps
    #expect(!taps.isActive)
    let admin = try Admin(running.sidecar)
    let tap = try admin.follow("/tap?path=%2Fcart&status=2xx")
    for path in ["/", "/cartoon", "/cart/1?x=y", "/cart"] { _ = try running.get(path) }
    let one = try tap.line()
    #expect(one.path == "/cart/1?x=y" && one.method == "GET" && one.status == 200 && one.service == "web")
    #expect(one.endpoint == "127.0.0.1:\(origin.port)")
    #expect(one.trace?.wholeMatch(of: /[0-9a-f]{32}/) != nil)
    #expect(try tap.line().path == "/cart")
    tap.close()
    // Its loop hears of the end before it hears of another reader.
    _ = try admin.follow("/ready")
    #expect(!taps.isActive)
  }

  @Test("who refused and why stands in the line, whichever hop it was")
  func refused() throws {
    let origin = Origin.http { _, _ in
      "HTTP/1.1 403 Forbidden\r\nnetloom-refused: web-1/inbound; not-authorized\r\nContent-Length: 0\r\n\r\n"
    }
    let far = try Setup(.http, [Setup.cluster("web", origin.port)]).start()
    let farTap = try Admin(far.sidecar).follow("/tap")
    _ = try far.get()
    #expect(try farTap.line().refused == "web-1/inbound; not-authorized")
    let near = try Setup(.http, [Cluster("web", [])]).start()
    let nearTap = try Admin(near.sidecar).follow("/tap")
    _ = try near.get()
    #expect(try nearTap.line().refused?.hasPrefix("client-1/outbound; no-healthy-endpoint") == true)
  }

  @Test("connections of TCP are told with their bytes")
  func tcp() throws {
    let origin = Origin { peer in peer.write("\(peer.readAll().utf8.count)") }
    let running = try Setup(.tcp, [Setup.cluster("web", origin.port)]).start()
    let tap = try Admin(running.sidecar).follow("/tap?service=web")
    let peer = try running.connect()
    peer.write("12345")
    peer.endWriting()
    #expect(peer.readAll() == "5")
    let line = try tap.line()
    #expect(line.bytesToServer == 5 && line.status == nil && line.service == "web")
  }

  @Test("a reader that does not keep up loses lines, is told how many, and holds nothing up")
  func bounded() throws {
    let loop = try EventLoop()
    let feed = LineFeed(TapFilter(), try loop.waker {})
    let line = String(repeating: "x", count: 1023) + "\n"
    for _ in 0..<1000 { feed.add(line) }
    let (bytes, dropped) = feed.take()
    #expect(bytes.count < LineFeed.limit)
    #expect(bytes.count / 1024 + Int(dropped) == 1000)
    #expect(dropped > 700)
    feed.add(line)
    #expect(feed.take() == (Array(line.utf8), 0))
  }

  @Test("classes, statuses and prefixes by segments")
  func matching() {
    let filter = TapFilter(query: Array("status=5xx&service=web&path=/a".utf8)[...])
    #expect(filter.matches(service: "web", method: "GET", path: "/a/b", status: 503))
    #expect(!filter.matches(service: "web", method: "GET", path: "/ab", status: 503))
    #expect(!filter.matches(service: "web", method: "GET", path: "/a", status: 404))
    #expect(!filter.matches(service: "db", method: "GET", path: "/a", status: 503))
    #expect(!filter.matches(service: "web", method: nil, path: nil, status: 0))
    #expect(TapFilter(query: nil).matches(service: "web", method: nil, path: nil, status: 0))
  }
}
