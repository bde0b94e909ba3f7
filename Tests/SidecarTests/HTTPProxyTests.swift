import CLinux
import Foundation
import Synchronization
import Testing

@testable import Sidecar

@Suite struct HTTPProxyTests {
  @Test("curl's requests pass on one connection each side, and bring back what the server said")
  func curlPasses() throws {
    let origin = Origin.http { head, body in
      response("\(head.split(separator: " ")[1]) \(body)", fields: "X-Seen: 1\r\n")
    }
    let running = try Setup(.http, [Setup.cluster("web", origin.port)]).start()
    let url = "http://127.0.0.1:\(running.port)"
    let text = try curl(["-i", "\(url)/a?b=c", "-d", "hello", "--next", "-sS", "-i", "\(url)/second"])
    #expect(text.contains("HTTP/1.1 200 OK\r\nX-Seen: 1\r\nContent-Length: 12\r\n\r\n/a?b=c hello"))
    #expect(text.hasSuffix("/second "))
    #expect(origin.accepted == 1)
    #expect(try curl(["-w", "%{num_connects}", "\(url)/1", "\(url)/2"]).hasSuffix("/2 0"))
    #expect(running.metric("netloom_requests_total", "cluster=\"web\"", "code=\"2xx\"") == 4)
  }

  @Test("content in chunks passes both ways, with its trailers, and is framed anew")
  func chunks() throws {
    let seen = Mutex("")
    let origin = Origin.http { head, body in
      seen.withLock { $0 = head + body }
      return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n"
    }
    let running = try Setup(.http, [Setup.cluster("web", origin.port)]).start()
    let peer = try running.connect()
    peer.write(
      "PUT / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n"
    )
    let answer = Answer(peer.readAll())
    #expect(seen.withLock { $0 }.hasSuffix("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
    #expect(answer.body == "3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n")
  }

  @Test("100 (Continue) comes from the server, not from the sidecar")
  func expectContinue() throws {
    let origin = Origin { peer in
      guard peer.read(until: "\r\n\r\n") != nil else { return }
      peer.write("HTTP/1.1 100 Continue\r\n\r\n")
      guard let body = peer.read(exactly: 5) else { return }
      peer.write(response("got \(body)"))
    }
    let running = try Setup(.http, [Setup.cluster("web", origin.port)]).start()
    let peer = try running.connect()
    peer.write("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    #expect(peer.read(until: "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
    peer.write("hello")
    #expect(peer.read(until: "got hello") != nil)
  }

  @Test("after 101 the connection is a tunnel, and its ends pass")
  func upgrade() throws {
    let origin = Origin { peer in
      guard let head = peer.read(until: "\r\n\r\n"), head.contains("Upgrade: echo") else { return }
      peer.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
      while let bytes = peer.read() { peer.write(bytes) }
      peer.write("bye")
    }
    let running = try Setup(.http, [Setup.cluster("web", origin.port)]).start()
    let peer = try running.connect()
    peer.write("GET / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly")
    #expect(peer.read(until: "\r\n\r\n")?.contains("101") == true)
    #expect(peer.read(exactly: 5) == "early")
    peer.write("0\r\n\r\nGET / HTTP/1.1\r\n\r\n")
    #expect(peer.read(exactly: 23) == "0\r\n\r\nGET / HTTP/1.1\r\n\r\n")
    peer.endWriting()
    #expect(peer.readAll() == "bye")
  }

  @Test("requests sent ahead are answered in their order")
  func pipelining() throws {
    let origin = Origin.http { head, body in response("<\(head.split(separator: " ")[1])\(body)>") }
    let running = try Setup(.http, [Setup.cluster("web", origin.port)]).start()
    let peer = try running.connect()
    var requests = ""
    for number in 0..<50 {
      requests += "POST /\(number) HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\n\r\nxy"
    }
    peer.write(requests + "GET /last HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
    let text = peer.readAll()
    let answers = text.components(separatedBy: "<").dropFirst().map { $0.prefix { $0 != ">" } }
    #expect(answers.map(String.init) == (0..<50).map { "/\($0)xy" } + ["/last"])
  }

  @Test("nothing of a refused request reaches the server, and the client reads why")
  func smuggling() throws {
    let seen = Mutex<[String]>([])
    let origin = Origin.http { head, _ in
      seen.withLock { $0.append(String(head.prefix { $0 != "\r" })) }
      return response("ok")
    }
    let running = try Setup(.http, [Setup.cluster("web", origin.port)]).start()
    let bad = [
      "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
      "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
      "GET /x HTTP/1.1\r\nHost: a\r\nX: y\nZ: w\r\n\r\n",
    ]
    for text in bad {
      let peer = try running.connect()
      peer.write(text)
      let answer = Answer(peer.readAll())
      #expect(answer.status == 400)
      #expect(answer.field("netloom-refused")?.hasPrefix("client-1/outbound; ") == true)
      #expect(answer.text.components(separatedBy: "HTTP/1.1 ").count == 2, "one answer, then the end")
    }
    #expect(seen.withLock { $0 }.isEmpty)
    #expect(try running.get("/ok").status == 200)
  }

  @Test("a response that two recipients may read differently becomes 502")
  func badResponse() throws {
    let origin = Origin.http { _, _ in
      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    }
    let running = try Setup(.http, [Setup.cluster("web", origin.port)]).start()
    let answer = try running.get()
    #expect(answer.status == 502)
    #expect(answer.field("netloom-refused")?.contains("content-length-with-transfer-encoding") == true)
  }

  @Test("a response that is cut off does not look whole")
  func cutOff() throws {
    let origin = Origin { peer in
      _ = peer.read(until: "\r\n\r\n")
      peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    }
    let running = try Setup(.http, [Setup.cluster("web", origin.port)]).start()
    let peer = try running.connect()
    peer.write("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    #expect(!peer.readAll().contains("0\r\n\r\n"))
  }

  @Test("a client that takes ever longer for its head is told so and dropped")
  func slowHead() throws {
    let origin = Origin.http { _, _ in response("ok") }
    var setup = Setup(.http, [Setup.cluster("web", origin.port)])
    setup.configuration.limits.head = 200
    let running = try setup.start()
    let peer = try running.connect()
    peer.write("GET / HTTP/1.1\r\nHo")
    let answer = Answer(peer.readAll())
    #expect(answer.status == 408)
    #expect(origin.accepted == 0)
  }

  @Test("a server that sends more than its client reads is held back")
  func backPressure() throws {
    let written = Mutex(0)
    let stuck = DispatchSemaphore(value: 0)
    let origin = Origin { peer in
      _ = peer.read(until: "\r\n\r\n")
      peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
      var time = timeval(tv_sec: 1, tv_usec: 0)
      setsockopt(peer.descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
      let piece = [UInt8](repeating: 120, count: 65536)
      while peer.write(piece) { written.withLock { $0 += piece.count } }
      stuck.signal()
    }
    let running = try Setup(.http, [Setup.cluster("web", origin.port)]).start()
    let peer = try Peer.connect(running.port, receiveBuffer: 65536, keeping: running)
    peer.write("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    #expect(stuck.wait(timeout: .now() + 20) == .success)
    // What two pairs of socket buffers and the sidecar's own limits hold.
    #expect(written.withLock { $0 } < 24 << 20)
  }

  @Test("headers, paths and redirects are changed as the rule says")
  func filters() throws {
    let origin = Origin.http { head, _ in response(head) }
    var rule = RouteRule(backends: [WeightedBackend("web")])
    rule.matches = [RequestMatch(path: .prefix("/old"))]
    rule.rewrite = Rewrite(host: "inner", path: .prefix("/new"))
    rule.requestHeaders = HeaderChanges(set: [.init("X-Set", "1")], add: [.init("X-Add", "2")], remove: ["X-Gone"])
    rule.responseHeaders = HeaderChanges(set: [.init("X-Answer", "3")])
    var redirecting = RouteRule()
    redirecting.matches = [RequestMatch(path: .exact("/moved"))]
    redirecting.redirect = Redirect(host: "elsewhere", path: .full("/there"))
    var setup = Setup(.http, [Setup.cluster("web", origin.port)])
    setup.configuration.services[0].routes = [redirecting, rule]
    let running = try setup.start()
    let answer = try running.get("/old/x?q=1", "X-Gone: yes\r\nX-Set: 0\r\n")
    #expect(answer.field("x-answer") == "3")
    #expect(answer.body.hasPrefix("GET /new/x?q=1 HTTP/1.1\r\n"))
    #expect(Origin.field("host", answer.body) == "inner")
    #expect(Origin.field("x-set", answer.body) == "1" && Origin.field("x-add", answer.body) == "2")
    #expect(Origin.field("x-gone", answer.body) == nil)
    let trace = try #require(Origin.field("traceparent", answer.body))
    #expect(trace.wholeMatch(of: /00-[0-9a-f]{32}-[0-9a-f]{16}-01/) != nil)
    let moved = try running.get("/moved?q=1")
    #expect(moved.status == 302 && moved.field("location") == "http://elsewhere/there?q=1")
    #expect(try running.get("/unknown").status == 404)
  }
}
