import CLinux
import EventLoop
import Foundation
import HTTP1
import Synchronization
import TLS
import Testing

@testable import Sidecar

/// Slow clients, late content, requests that wait: what takes its time is not lost.
@Suite struct PatienceTests {
  /// Looks until a fact is there. Each look at a sidecar's metrics is a round trip through its workers.
  private static func eventually(_ fact: () -> Bool) -> Bool {
    let deadline = EventLoop.clock() + EventLoop.milliseconds(10_000)
    while !fact() { if EventLoop.clock() > deadline { return false } }
    return true
  }

  /// Returns when every worker has done what it was told before: its counts come the same way.
  private static func awaitWorkers(_ running: Running) { _ = running.sidecar.metrics }

  /// Returns when the sidecar's own loop says that its time for a head is over (408).
  private static func awaitHeadTime(_ running: Running) throws {
    let clock = try running.connect()
    clock.write("GET / HT")
    #expect(clock.read(until: "head-timeout") != nil)
  }

  /// How much the kernel takes is its own business: of one of these sizes the end waits in the sidecar.
  @Test("the end of a response is not cut off because its client reads late", arguments: ["close", "keep-alive"])
  func lateReader(connection: String) throws {
    let origin = Origin.http { head, _ in
      let size = Int(head.split(separator: " ")[1].dropFirst()) ?? 0
      return response(String(repeating: "x", count: size))
    }
    var setup = Setup(.http, [Setup.cluster("web", origin.port)])
    setup.configuration.limits.linger = 20
    setup.configuration.limits.head = 500
    let running = try setup.start()
    let sizes = (1...48).map { $0 << 16 }
    let peers = try sizes.map { size in
      let peer = try Peer.connect(running.port, receiveBuffer: 4096, keeping: running)
      peer.write("GET /\(size) HTTP/1.1\r\nHost: web\r\nConnection: \(connection)\r\n\r\n")
      #expect(try #require(peer.read(until: "\r\n\r\n")).hasPrefix("HTTP/1.1 200"))
      if connection == "keep-alive" { peer.endWriting() }
      return peer
    }
    try Self.awaitHeadTime(running)
    for (peer, size) in zip(peers, sizes) { #expect(peer.readAll().utf8.count == size) }
  }

  @Test("the first look at what waits never takes it for stuck; the second does, unless something has gone out")
  func looks() throws {
    var pair: [Int32] = [0, 0]
    try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &pair) == 0)
    let other = FileDescriptor(owning: pair[1])
    let loop = try EventLoop()
    let channel = try Channel(loop, FlushQueue(loop), FileDescriptor(owning: pair[0]), isConnecting: false)
    defer { channel.close() }
    #expect(!channel.isStuck(), "nothing waits")
    channel.append { $0 += [1, 2, 3] }
    let first = (channel.isStuck(), channel.isStuck())
    #expect(!first.0 && first.1)
    try loop.step(timeout: 0)
    #expect(channel.queued == 0 && !channel.isStuck())
    channel.append { $0 += [4] }
    let second = (channel.isStuck(), channel.isStuck())
    #expect(!second.0 && second.1, "it has come since the last look")
    withExtendedLifetime(other.rawValue) {}
  }

  @Test("output of which something has gone out since the last look does not stand still, however much waits")
  func standstill() {
    var standstill = Standstill()
    // What waits and what has gone, and whether that is a standstill.
    let looks: [(Int, UInt64, Bool)] = [
      (0, 0, false), (0, 0, false), (10, 0, false), (10, 0, true), (20, 0, true), (15, 5, false), (15, 5, true),
      (0, 20, false), (7, 20, false), (7, 20, true),
    ]
    for (number, look) in looks.enumerated() {
      #expect(standstill.look(waiting: look.0, gone: look.1) == look.2, "look \(number)")
    }
  }

  /// Counts what a channel tells.
  private final class Owner: ChannelOwner {
    var drained = 0
    func channelReady(_ channel: Channel) {}
    func channelReceived(_ channel: Channel, _ bytes: UnsafeRawBufferPointer) {}
    func channelEnded(_ channel: Channel) {}
    func channelDrained(_ channel: Channel) { drained += 1 }
    func channelFailed(_ channel: Channel, _ failure: ChannelFailure) { Issue.record("\(failure)") }
  }

  @Test("close_notify waits until a full socket has room for it, and what waits for the end with it")
  func closeNotify() throws {
    let contexts = try TLSContexts(try Mesh().certificates("web"), keys: FeedHub())
    let (mine, theirs) = try UnixSocket.pair()
    let other = FileDescriptor(owning: theirs)
    let loop = try EventLoop()
    let channel = try Channel(loop, FlushQueue(loop), FileDescriptor(owning: mine), isConnecting: false) { descriptor in
      try TLSConnection(try #require(contexts.server(.tcp)), descriptor: descriptor)
    }
    defer { channel.close() }
    let owner = Owner()
    channel.owner = owner
    let client = try TLSConnection(try #require(contexts.client(.tcp)), descriptor: theirs)
    var buffer = [UInt8](repeating: 0, count: 4096)
    while !channel.isOpen || client.handshake() != .done {
      _ = client.handshake()
      try loop.step(timeout: 0)
    }
    // The server's tickets.
    #expect(buffer.withUnsafeMutableBytes { client.read(into: $0) } == .wantsRead)

    // Bytes beside TLS, until there is not even room for one.
    var junk = 0
    for size in [4096, 1] {
      while true {
        let count = Glibc.write(mine, buffer, size)
        guard count > 0 else { break }
        junk += count
      }
    }
    channel.awaitsDrain = true
    channel.endOutput()
    while try loop.step(timeout: 0) {}
    #expect(owner.drained == 0 && !channel.isFlushed)
    while junk > 0 {
      let count = Glibc.read(theirs, &buffer, min(junk, buffer.count))
      try #require(count > 0)
      junk -= count
    }
    while try loop.step(timeout: 0) {}
    #expect(owner.drained == 1 && channel.isFlushed)
    #expect(buffer.withUnsafeMutableBytes { client.read(into: $0) } == .closed, "the stream is whole")
    withExtendedLifetime(other.rawValue) {}
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
    Self.awaitWorkers(running)
    peer.write("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    let answer = Answer(peer.readAll())
    #expect(answer.status == 200 && answer.field("connection") == "close")
    #expect(drained.wait(timeout: .now() + 10) == .success)
  }

  @Test("so is one whose first byte has yet to tell TLS from plain text")
  func firstByteWhileDraining() throws {
    let origin = Origin.http { _, _ in response("good") }
    let running = try Mesh().server(.http, origin.port, .permissive)
    let peer = try running.connect()
    let drained = DispatchSemaphore(value: 0)
    running.sidecar.drain { drained.signal() }
    Self.awaitWorkers(running)
    peer.write("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    #expect(Answer(peer.readAll()).status == 200)
    #expect(drained.wait(timeout: .now() + 10) == .success)
  }

  @Test("a server that speaks first is heard, though its port takes TLS as well")
  func serverSpeaksFirst() throws {
    let origin = Origin { peer in
      peer.write("220 ready\r\n")
      if peer.read(until: "QUIT\r\n") != nil { peer.write("221 bye\r\n") }
    }
    let running = try Mesh().server(.tcp, origin.port, .permissive)
    let peer = try running.connect()
    #expect(peer.read(until: "\r\n") == "220 ready\r\n")
    peer.write("QUIT\r\n")
    #expect(peer.readAll() == "221 bye\r\n")
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
