import Foundation
import Synchronization
import Testing

@testable import Sidecar

@Suite struct ResilienceTests {
  @Test("requests go to the endpoint that stands when another one is down")
  func endpointDown() throws {
    let origin = Origin.http { _, _ in response("up") }
    let running = try Setup(.http, [Setup.cluster("web", Origin.closedPort(), origin.port)]).start()
    for _ in 0..<30 { #expect(try running.get().body == "up") }
  }

  @Test("no endpoint: 503, and who says so and why")
  func noEndpoint() throws {
    var setup = Setup(.http, [Setup.cluster("web")])
    setup.configuration.version = "7"
    let answer = try setup.start().get()
    #expect(answer.status == 503)
    #expect(
      answer.field("netloom-refused")
        == "client-1/outbound; no-healthy-endpoint service=web cluster=web version=7")
  }

  @Test("a status of the policy is tried again for GET, and not for POST")
  func retryOnStatus() throws {
    let calls = Mutex(0)
    let origin = Origin.http { _, _ in
      let call = calls.withLock { count in
        count += 1
        return count
      }
      return call % 3 == 0 ? response("good") : response("bad", status: "503 Service Unavailable")
    }
    var rule = RouteRule(backends: [WeightedBackend("web")])
    rule.retry = RetryPolicy(attempts: 2, codes: [503])
    rule.retry?.backoff = 1
    let running = try Setup(.http, [Setup.cluster("web", origin.port)], route: rule).start()
    #expect(try running.get().body == "good")
    #expect(calls.withLock { $0 } == 3)
    #expect(running.metric("netloom_retries_total", "cluster=\"web\"") == 2)
    let url = "http://127.0.0.1:\(running.port)/"
    #expect(try curl(["-d", "x", "-w", " %{http_code}", url]) == "bad 503")
    #expect(calls.withLock { $0 } == 4)
  }

  @Test("a request with content is sent again whole")
  func retryWithContent() throws {
    let bodies = Mutex<[String]>([])
    let origin = Origin.http { _, body in
      let count = bodies.withLock { list in
        list.append(body)
        return list.count
      }
      return count == 1 ? "" : response("done")
    }
    var rule = RouteRule(backends: [WeightedBackend("web")])
    rule.retry = RetryPolicy(attempts: 1)
    let running = try Setup(.http, [Setup.cluster("web", origin.port)], route: rule).start()
    #expect(try curl(["-X", "PUT", "-d", "content", "http://127.0.0.1:\(running.port)/"]) == "done")
    #expect(bodies.withLock { $0 } == ["content", "content"])
  }

  @Test("a kept connection that its server has closed costs no request")
  func staleConnection() throws {
    let origin = Origin { peer in
      guard peer.read(until: "\r\n\r\n") != nil else { return }
      peer.write(response("one"))
      // Waits for the next request and closes in place of an answer.
      _ = peer.read(until: "\r\n\r\n")
    }
    let running = try Setup(.http, [Setup.cluster("web", origin.port)]).start()
    for _ in 0..<5 { #expect(try running.get().body == "one") }
    #expect(origin.accepted == 5)
  }

  @Test("beyond the limit of requests the answer is 503 at once")
  func circuitBreaker() throws {
    let release = DispatchSemaphore(value: 0)
    let entered = DispatchSemaphore(value: 0)
    let origin = Origin.http { _, _ in
      entered.signal()
      release.wait()
      return response("late")
    }
    var cluster = Setup.cluster("web", origin.port)
    cluster.circuitBreaker = CircuitBreaker(connections: 10, pending: 10, requests: 2)
    let running = try Setup(.http, [cluster]).start()
    let first = try running.connect()
    let second = try running.connect()
    for peer in [first, second] {
      peer.write("GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
      #expect(entered.wait(timeout: .now() + 10) == .success)
    }
    let answer = try running.get()
    #expect(answer.status == 503)
    #expect(answer.field("netloom-refused")?.contains("overflow limit=requests") == true)
    release.signal()
    release.signal()
    #expect(Answer(first.readAll()).body == "late" && Answer(second.readAll()).body == "late")
    release.signal()
    #expect(try running.get().body == "late")
  }

  @Test("beyond the limit of connections requests wait for one to come free")
  func waiting() throws {
    let origin = Origin.http { _, _ in response("ok") }
    var cluster = Setup.cluster("web", origin.port)
    cluster.circuitBreaker = CircuitBreaker(connections: 1, pending: 100, requests: 100)
    let running = try Setup(.http, [cluster]).start()
    let peers = try (0..<20).map { _ in try running.connect() }
    for peer in peers { peer.write("GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n") }
    for peer in peers { #expect(Answer(peer.readAll()).body == "ok") }
    #expect(origin.accepted == 1)
  }

  @Test("an endpoint that answers with errors is left out, and comes back")
  func ejection() throws {
    let isBad = Mutex(true)
    let bad = Origin.http { _, _ in
      isBad.withLock { $0 } ? response("bad", status: "500 Internal Server Error") : response("mended")
    }
    let good = Origin.http { _, _ in response("good") }
    var cluster = Setup.cluster("web", bad.port, good.port)
    cluster.outlierDetection = OutlierDetection()
    cluster.outlierDetection?.consecutiveErrors = 3
    cluster.outlierDetection?.baseEjection = 1000
    cluster.outlierDetection?.maximumPercent = 50
    let running = try Setup(.http, [cluster]).start()
    var errors = 0
    for _ in 0..<60 where try running.get().status == 500 { errors += 1 }
    #expect(errors == 3)
    #expect(running.metric("netloom_ejections_total", "cluster=\"web\"") == 1)
    isBad.withLock { $0 = false }
    let end = ContinuousClock.now + .seconds(10)
    var mended = false
    while !mended, ContinuousClock.now < end { mended = try running.get().body == "mended" }
    #expect(mended)
  }

  @Test("a server that does not answer in time: 504, and the reason")
  func timeout() throws {
    let origin = Origin { peer in _ = peer.readAll() }
    var rule = RouteRule(backends: [WeightedBackend("web")])
    rule.timeouts.backendRequest = 50
    let running = try Setup(.http, [Setup.cluster("web", origin.port)], route: rule).start()
    let answer = try running.get()
    #expect(answer.status == 504 && answer.field("netloom-refused")?.contains("backend-timeout") == true)
    rule.timeouts = Timeouts(request: 50)
    let other = try Setup(.http, [Setup.cluster("web", origin.port)], route: rule).start().get()
    #expect(other.status == 504 && other.field("netloom-refused")?.contains("request-timeout") == true)
  }

  @Test("a split by weight lies within four standard deviations of its share")
  func split() throws {
    let one = Origin.http { _, _ in response("1") }
    let two = Origin.http { _, _ in response("2") }
    let rule = RouteRule(backends: [WeightedBackend("v1", weight: 80), WeightedBackend("v2", weight: 20)])
    let running = try Setup(
      .http, [Setup.cluster("v1", one.port), Setup.cluster("v2", two.port)], route: rule
    ).start()
    let peer = try running.connect()
    var seconds = 0
    for _ in 0..<2000 {
      peer.write("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
      _ = peer.read(until: "\r\n\r\n")
      if peer.read(exactly: 1) == "2" { seconds += 1 }
    }
    // n = 2000, p = 0.2: mean 400, standard deviation 17.9.
    #expect((328...472).contains(seconds))
  }

  @Test("changes of configuration under load lose no request, and the last one holds")
  func swap() throws {
    let one = Origin.http { _, _ in response("1") }
    let two = Origin.http { _, _ in response("2") }
    let setup = Setup(.http, [Setup.cluster("v1", one.port), Setup.cluster("v2", two.port)])
    let running = try setup.start()
    let failures = Mutex<[String]>([])
    let group = DispatchGroup()
    for _ in 0..<4 {
      group.enter()
      Thread {
        defer { group.leave() }
        guard let peer = try? running.connect() else { return }
        for _ in 0..<1000 {
          peer.write("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
          guard let head = peer.read(until: "\r\n\r\n"), head.hasPrefix("HTTP/1.1 200"), peer.read(exactly: 1) != nil
          else { return failures.withLock { $0.append("no answer") } }
        }
      }.start()
    }
    for round in 1...50 {
      var changed = setup.configuration
      changed.version = "\(round)"
      changed.services[0].routes[0].backends = [WeightedBackend(round % 2 == 0 ? "v1" : "v2")]
      if round % 5 == 0 { changed.clusters.reverse() }
      try running.sidecar.apply(changed)
    }
    group.wait()
    #expect(failures.withLock { $0 }.isEmpty)
    #expect(try running.get().body == "1")
  }

  @Test("a bad configuration is refused and the one before stays")
  func badConfiguration() throws {
    let origin = Origin.http { _, _ in response("ok") }
    let setup = Setup(.http, [Setup.cluster("web", origin.port)])
    let running = try setup.start()
    var bad = setup.configuration
    bad.services[0].routes[0].backends = [WeightedBackend("nowhere")]
    #expect(throws: ConfigurationError("service web: routes[0]: no cluster nowhere")) {
      try running.sidecar.apply(bad)
    }
    #expect(try running.get().body == "ok")
  }

  @Test("draining lets the request under way end and takes no new connection")
  func drain() throws {
    let release = DispatchSemaphore(value: 0)
    let entered = DispatchSemaphore(value: 0)
    let origin = Origin.http { _, _ in
      entered.signal()
      release.wait()
      return response("last")
    }
    let running = try Setup(.http, [Setup.cluster("web", origin.port)]).start()
    let idle = try running.connect()
    let busy = try running.connect()
    busy.write("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    #expect(entered.wait(timeout: .now() + 10) == .success)
    let drained = DispatchSemaphore(value: 0)
    running.sidecar.drain { drained.signal() }
    #expect(idle.readAll() == "")
    #expect(throws: POSIXError.self) { try running.connect() }
    release.signal()
    let answer = Answer(busy.readAll())
    #expect(answer.body == "last" && answer.field("connection") == "close")
    #expect(drained.wait(timeout: .now() + 10) == .success)
  }
}
