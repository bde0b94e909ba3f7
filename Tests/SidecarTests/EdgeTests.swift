import CLinux
import EventLoop
import Foundation
import Synchronization
import Testing

@testable import Sidecar

/// What a sidecar tells the control plane of itself.
struct Report: Decodable {
  struct Edge: Decodable {
    var direction, source, service, version: String
    var requests, failures, abandoned, retries: Int
    var codes, latency: [Int]
    var refused: [String: Int]
  }
  var started, at: UInt64
  var limits: [Double]
  var edges: [Edge]

  init(_ sidecar: Sidecar) throws { self = try JSONDecoder().decode(Self.self, from: Data(sidecar.edgeReport.utf8)) }

  subscript(version version: String) -> Edge? { edges.first { $0.version == version } }
}

@Suite struct EdgeTests {
  @Test("requests are counted by the version that the endpoint's metadata says, failures where they happen")
  func versions() throws {
    let good = Origin.http { _, _ in response("ok") }
    let bad = Origin.http { _, _ in "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n" }
    var (v1, v2) = (Setup.cluster("web-v1", good.port), Setup.cluster("web-v2", bad.port))
    v1.endpoints[0].version = "v1"
    v2.endpoints[0].version = "v2"
    let canary = RequestMatch(headers: [.init("x-canary", .present)])
    var setup = Setup(.http, [v1, v2], route: RouteRule(backends: [WeightedBackend("web-v1")]))
    var rule = RouteRule(backends: [WeightedBackend("web-v2")])
    rule.matches = [canary]
    setup.configuration.services[0].routes.insert(rule, at: 0)
    let running = try setup.start()
    for _ in 0..<5 { #expect(try running.get().status == 200) }
    for _ in 0..<3 { #expect(try running.get("/", "X-Canary: yes\r\n").status == 500) }
    let report = try Report(running.sidecar)
    let (one, two) = (try #require(report[version: "v1"]), try #require(report[version: "v2"]))
    #expect((one.requests, one.failures, one.codes[2]) == (5, 0, 5))
    #expect((two.requests, two.failures, two.codes[5]) == (3, 3, 3))
    #expect(one.latency.count == report.limits.count + 1)
    #expect(one.latency.reduce(0, +) == 5)
  }

  @Test("a cluster of two versions is told apart by endpoint")
  func mixed() throws {
    let origins = (0..<2).map { _ in Origin.http { _, _ in response("ok") } }
    var cluster = Setup.cluster("web", origins[0].port, origins[1].port)
    for index in 0..<2 { cluster.endpoints[index].version = "v\(index + 1)" }
    let running = try Setup(.http, [cluster]).start()
    for _ in 0..<60 { _ = try running.get() }
    let report = try Report(running.sidecar)
    let counts = ["v1", "v2"].map { report[version: $0]?.requests ?? 0 }
    #expect(counts.reduce(0, +) == 60)
    #expect(counts.min() ?? 0 > 0)
    #expect(running.metric("netloom_active", "version=\"v1\"") == 0)
  }

  @Test("a version that cannot be reached fails on its own edge")
  func unreachable() throws {
    let port = try Self.freePort()
    var cluster = Setup.cluster("web", port)
    cluster.endpoints[0].version = "v2"
    let running = try Setup(.http, [cluster]).start()
    #expect(try running.get().status == 503)
    let edge = try #require(try Report(running.sidecar)[version: "v2"])
    #expect((edge.requests, edge.failures, edge.refused["connect-failed"]) == (1, 1, 1))
  }

  /// One where nothing listens.
  private static func freePort() throws -> UInt16 {
    let socket = try TCPSocket.listen(Setup.loopback(0))
    return try #require(TCPSocket.local(socket.rawValue)?.port)
  }

  @Test("a client that goes away before the answer is no failure of the server")
  func abandoned() throws {
    let (asked, gate) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
    let origin = Origin { peer in
      _ = peer.read()
      asked.signal()
      gate.wait()
    }
    let running = try Setup(.http, [Setup.cluster("web", origin.port)]).start()
    let tap = try Admin(running.sidecar).follow("/tap")
    do {
      let peer = try running.connect()
      peer.write("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
      #expect(asked.wait(timeout: .now() + 10) == .success)
      peer.resetOnClose()
    }
    defer { gate.signal() }
    // A tap tells when a request is over, which is counted by then.
    #expect(tap.read(until: "\n") != nil)
    let edge = try Report(running.sidecar).edges.first { $0.abandoned > 0 }
    #expect(edge?.abandoned == 1)
    #expect(edge?.requests == 0)
    #expect(edge?.failures == 0)
  }

  /// Asks an admin server from a thread, by its port and the path of its socket, while its loop runs here.
  /// - Returns: the answers, and who may open the socket.
  private func asked(
    _ questions: @escaping @Sendable (_ port: UInt16, _ path: String) throws -> [String]
  ) throws -> (answers: [String], mode: mode_t) {
    let running = try Setup(.http, [Setup.cluster("web", 1)]).start()
    let path = "/tmp/netloom-admin-\(UUID().uuidString.prefix(8)).sock"
    let loop = try EventLoop()
    let admin = try AdminServer(loop, Setup.loopback(0), running.sidecar)
    try admin.listen(unix: path)
    defer { unlink(path) }
    let stop = try loop.waker { loop.stop() }
    let port = admin.port
    let answers = Mutex<Result<[String], any Error>>(.success([]))
    Thread {
      let result = Result { try questions(port, path) }
      answers.withLock { $0 = result }
      stop.wake()
    }.start()
    try loop.run()
    var status = stat()
    try #require(stat(path, &status) == 0)
    return (try answers.withLock { $0 }.get(), status.st_mode & 0o777)
  }

  @Test("edges are told on the private socket only, which nobody else may open")
  func socket() throws {
    let (answers, mode) = try asked { port, path in
      [
        try curl(["http://127.0.0.1:\(port)/ready"]),
        try curl(["-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:\(port)/edges"]),
        try curl(["--unix-socket", path, "http://sidecar/edges"]),
      ]
    }
    try #require(answers.count == 3)
    #expect(answers[0] == "ready\n" && answers[1] == "404" && answers[2].hasPrefix("{\"started\":"), "\(answers)")
    #expect(mode == 0o600)
  }

  @Test("whoever holds all connections of the port does not keep the controller out")
  func crowd() throws {
    let (answers, _) = try asked { port, path in
      // Those that came too late are closed; the others are held open by a request that does not end.
      let crowd = try (0..<(AdminServer.most + 1)).map { _ in try Peer.connect(port) }
      for peer in crowd { peer.write("GET /ready HTTP/1.1\r\n") }
      let last = crowd.last?.readAll() ?? "none"
      let edges = try curl(["--unix-socket", path, "http://sidecar/edges"])
      withExtendedLifetime(crowd) {}
      return [last, edges]
    }
    try #require(answers.count == 2)
    #expect(answers[0] == "" && answers[1].hasPrefix("{\"started\":"), "\(answers)")
  }
}
