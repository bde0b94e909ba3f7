import CLinux
import EventLoop
import Foundation
import HTTP1
import Synchronization
import Testing

@testable import Sidecar

/// Slow clients, late content, requests that wait: what takes its time is not lost.
@Suite struct PatienceTests {
  /// Waits for a fact that somebody else makes.
  private static func eventually(_ fact: () -> Bool) -> Bool {
    let deadline = EventLoop.clock() + EventLoop.milliseconds(10_000)
    while !fact() {
      if EventLoop.clock() > deadline { return false }
      usleep(1000)  // poll
    }
    return true
  }

  /// Reads everything, at most 4 KiB each 2 ms: some 2 MB/s.
  private static func trickle(_ peer: Peer) -> Int {
    var count = 0
    while let bytes = peer.read(4096) {
      count += bytes.count
      usleep(2000)  // poll: a reader's pace
    }
    return count
  }

  private static func slow(_ applicationProtocol: ApplicationProtocol, _ origin: Origin) throws -> Running {
    var setup = Setup(applicationProtocol, [Setup.cluster("web", origin.port)])
    setup.configuration.limits.linger = 20
    return try setup.start()
  }

  @Test("the end of a response is not cut off because its client reads slowly", arguments: ["close", "keep-alive"])
  func slowReader(connection: String) throws {
    let size = 1 << 20
    let origin = Origin.http { _, _ in response(String(repeating: "x", count: size)) }
    let running = try Self.slow(.http, origin)
    let peer = try Peer.connect(running.port, receiveBuffer: 4096, keeping: running)
    peer.write("GET / HTTP/1.1\r\nHost: web\r\nConnection: \(connection)\r\n\r\n")
    let head = try #require(peer.read(until: "\r\n\r\n"))
    #expect(head.hasPrefix("HTTP/1.1 200"))
    if connection == "keep-alive" { peer.endWriting() }
    #expect(Self.trickle(peer) == size)
  }

  @Test("nor is the end of a stream of TCP")
  func slowStream() throws {
    let size = 1 << 20
    let origin = Origin { peer in
      _ = peer.read(until: "\n")
      peer.write([UInt8](repeating: 0x78, count: size))
    }
    let running = try Setup(.tcp, [Setup.cluster("web", origin.port)]).start()
    let peer = try Peer.connect(running.port, receiveBuffer: 4096, keeping: running)
    peer.write("all of it\n")
    peer.endWriting()
    #expect(Self.trickle(peer) == size)
  }

  @Test(
    "a response that goes on for long is not cut off by the looks at it", arguments: [ApplicationProtocol.http, .http2])
  func longResponse(spoken: ApplicationProtocol) throws {
    let parts = 400
    let origin = Origin { peer in
      guard peer.read(until: "\r\n\r\n") != nil else { return }
      peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
      for _ in 0..<parts {
        peer.write("4\r\nabcd\r\n")
        usleep(1000)  // poll: a writer's pace
      }
      peer.write("0\r\n\r\n")
    }
    var setup = Setup(spoken, [Setup.cluster("web", origin.port)])
    // How often it is looked at. A client of HTTP/2 must answer a PING meanwhile.
    setup.configuration.limits.idle = spoken == .http2 ? 300 : 5
    setup.configuration.limits.head = 5000
    let running = try setup.start()
    let version = spoken == .http2 ? "--http2-prior-knowledge" : "--http1.1"
    let text = try curl([version, "http://127.0.0.1:\(running.port)/"])
    #expect(text == String(repeating: "abcd", count: parts))
  }

  @Test("content that comes between a status and the attempt after it is part of that attempt")
  func contentDuringBackoff() throws {
    let bodies = Mutex<[String]>([])
    let origin = Origin { peer in
      guard peer.read(until: "\r\n\r\n") != nil, let first = peer.read(until: "one\r\n") else { return }
      let isFirst = bodies.withLock { list in
        list.append(first)
        return list.count == 1
      }
      guard !isFirst else {
        peer.write(response("later", status: "503 Service Unavailable"))
        _ = peer.read()
        return
      }
      guard let rest = peer.read(until: "0\r\n\r\n") else { return }
      bodies.withLock { $0.append(rest) }
      peer.write(response("done"))
    }
    var rule = RouteRule(backends: [WeightedBackend("web")])
    rule.retry = RetryPolicy(attempts: 1, codes: [503])
    rule.retry?.backoff = 300
    let running = try Setup(.http, [Setup.cluster("web", origin.port)], route: rule).start()
    let peer = try running.connect()
    peer.write("PUT / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
    #expect(Self.eventually { running.metric("netloom_retries_total", "cluster=\"web\"") == 1 })
    peer.write("3\r\ntwo\r\n")
    peer.write("5\r\nthree\r\n0\r\n\r\n")
    #expect(try #require(peer.read(until: "done")).hasPrefix("HTTP/1.1 200"))
    #expect(bodies.withLock { $0.joined() }.components(separatedBy: "two").count == 2)
    #expect(bodies.withLock { $0.last }?.contains("three") == true)
  }

  @Test("requests that have given up leave their places in the queue")
  func abandonedPlaces() throws {
    let release = DispatchSemaphore(value: 0)
    let origin = Origin.http { head, _ in
      if head.contains("/held") { release.wait() }
      return response("good")
    }
    var cluster = Setup.cluster("web", origin.port)
    cluster.circuitBreaker = CircuitBreaker(connections: 1, pending: 3, requests: 100)
    var rule = RouteRule(backends: [WeightedBackend("web")])
    rule.timeouts.request = 3000
    let running = try Setup(.http, [cluster], route: rule).start()
    let held = try running.connect()
    held.write("GET /held HTTP/1.1\r\nHost: web\r\n\r\n")
    #expect(Self.eventually { origin.accepted == 1 })
    // Three wait, and leave.
    var waiting: [Peer] = []
    for _ in 0..<3 {
      let peer = try running.connect()
      peer.resetOnClose()
      peer.write("GET /waits HTTP/1.1\r\nHost: web\r\n\r\n")
      waiting.append(peer)
    }
    #expect(Self.eventually { running.metric("netloom_active", "cluster=\"web\"") == 4 })
    waiting = []
    #expect(Self.eventually { running.metric("netloom_active", "cluster=\"web\"") == 1 })
    let last = try running.connect()
    last.write("GET /last HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
    #expect(Self.eventually { running.metric("netloom_active", "cluster=\"web\"") == 2 })
    release.signal()
    #expect(Answer(last.readAll()).status == 200)
  }

  @Test("copies of requests that nobody answers are bounded, and the requests are not held up")
  func mirrors() throws {
    let origin = Origin.http { _, _ in response("good") }
    let silent = Origin { peer in _ = peer.readAll() }
    var rule = RouteRule(backends: [WeightedBackend("web")])
    rule.mirrors = [Mirror(cluster: "shadow")]
    let running = try Setup(
      .http, [Setup.cluster("web", origin.port), Setup.cluster("shadow", silent.port)], route: rule
    ).start()
    let peer = try running.connect()
    for _ in 0..<(MirroredRequest.most + 10) {
      peer.write("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
      #expect(peer.read(until: "good")?.hasPrefix("HTTP/1.1 200") == true)
    }
    #expect(running.metric("netloom_refusals_total", "service=\"mirror\"", "reason=\"overflow\"") == 10)
  }

  @Test("a connection that stands when draining begins is served its first request")
  func firstRequestWhileDraining() throws {
    let origin = Origin.http { _, _ in response("good") }
    let running = try Setup(.http, [Setup.cluster("web", origin.port)]).start()
    let peer = try running.connect()
    let drained = DispatchSemaphore(value: 0)
    running.sidecar.drain { drained.signal() }
    peer.write("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let answer = Answer(peer.readAll())
    #expect(answer.status == 200 && answer.field("connection") == "close")
    #expect(drained.wait(timeout: .now() + 10) == .success)
  }

  @Test("the addresses of a pod's program are tried in their order, from the one that took a connection last")
  func localAddresses() {
    var random = FastRandom()
    let local = ClusterRuntime(
      Cluster("local", [1, 2, 3].map { Endpoint(Setup.loopback($0)) }), contexts: nil, workers: 1, keeping: nil,
      isLocal: true)
    func port(_ attempt: Int) -> UInt16? {
      local.choose(hash: 0, excluding: nil, attempt: attempt, now: 0, &random)?.configuration.address.port
    }
    #expect([0, 1, 2].map(port) == [1, 2, 3])
    _ = local.note(.success, local.endpoints[2], now: 0)
    #expect([0, 1, 2].map(port) == [3, 1, 2])
    _ = local.note(.connectFailure, local.endpoints[0], now: 0)
    #expect(port(0) == 3)
  }

  @Test("a redirect keeps the host and port that were asked for, addresses of IPv6 among them")
  func redirects() throws {
    func location(_ host: String, _ redirect: Redirect = Redirect(path: .full("/b"))) throws -> String? {
      var parser = RequestParser()
      let text = Array("GET /a HTTP/1.1\r\nHost: \(host)\r\n\r\n".utf8)
      _ = try text.withUnsafeBytes { bytes throws(HTTP1Failure) in try parser.parse(bytes) }
      return redirect.response(to: parser.head, "/a").fields.first("location")
    }
    #expect(try location("web:8080") == "http://web:8080/b")
    #expect(try location("[fd00:254::1]:8080") == "http://[fd00:254::1]:8080/b")
    #expect(try location("[fd00:254::1]") == "http://[fd00:254::1]/b")
    #expect(try location("[::1]:80", Redirect(scheme: "https")) == "https://[::1]/a")
  }
}
