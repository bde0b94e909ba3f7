import CLinux
import Foundation
import HTTP2
import Synchronization
import Testing

@testable import Sidecar

@Suite struct GRPCProxyTests {
  private func call(_ running: Running) throws -> HTTP2Peer.Message {
    try running.connect2().send("/test.Echo/Name", HTTP2Peer.call, method: "POST", body: "\0\0\0\0\0")
  }

  @Test("a refusal is a status of gRPC without content, and says who refused and why")
  func refusal() throws {
    let answer = try call(try Setup(.grpc, [Setup.cluster2("web")]).start())
    #expect(answer.status == 200 && answer.body.isEmpty && answer.isWhole)
    #expect(answer.field("content-type") == "application/grpc")
    #expect(answer.field("grpc-status") == "14")
    #expect(answer.field("grpc-message") == answer.field("netloom-refused"))
    #expect(
      answer.field("netloom-refused") == "client-1/outbound; no-healthy-endpoint service=web cluster=web")
    #expect(answer.trailers.isEmpty)
  }

  @Test("limits and faults of the mesh have statuses of their own")
  func statuses() throws {
    let origin = Origin.http2 { _, _, _ in }
    var rule = RouteRule(backends: [WeightedBackend("web")])
    rule.timeouts.request = 100
    #expect(
      try call(try Setup(.grpc, [Setup.cluster2("web", origin.port)], route: rule).start()).field("grpc-status") == "4")
    rule.fault = FaultInjection()
    rule.fault?.abortPercent = 100
    rule.fault?.abortStatus = 403
    #expect(
      try call(try Setup(.grpc, [Setup.cluster2("web", origin.port)], route: rule).start()).field("grpc-status") == "7")
    var other = RouteRule(backends: [WeightedBackend("web")])
    other.matches = [RequestMatch(path: .exact("/test.Echo/Other"))]
    let running = try Setup(.grpc, [Setup.cluster2("web", origin.port)], route: other).start()
    #expect(try call(running).field("grpc-status") == "12")
    #expect(running.metric("netloom_requests_total", "code=\"4xx\"") == 1)
  }

  @Test("a call that fails at once is tried again where its status is one of the policy's")
  func retry() throws {
    let calls = Mutex(0)
    let origin = Origin.http2 { server, id, message in
      let number = calls.withLock { count in
        count += 1
        return count
      }
      if number < 3 {
        return server.reply(id, "", fields: [HeaderField("grpc-status", "14")])
      }
      try? server.session.submitResponse(id, [HeaderField(":status", "200")], endStream: false)
      _ = try? server.session.send(id, message.body, endStream: false)
      try? server.session.submitTrailers(id, [HeaderField("grpc-status", "0")])
    }
    var rule = RouteRule(backends: [WeightedBackend("web")])
    rule.retry = RetryPolicy(attempts: 2, codes: [503])
    rule.retry?.backoff = 1
    let running = try Setup(.grpc, [Setup.cluster2("web", origin.port)], route: rule).start()
    let answer = try call(running)
    #expect(answer.field("grpc-status") == "0" && answer.text == "\0\0\0\0\0")
    #expect(calls.withLock { $0 } == 3)
    #expect(running.metric("netloom_retries_total", "cluster=\"web\"") == 2)
    // Another status is nobody's wish to try again.
    calls.withLock { $0 = 0 }
    rule.retry?.codes = [429]
    let second = try Setup(.grpc, [Setup.cluster2("web", origin.port)], route: rule).start()
    #expect(try call(second).field("grpc-status") == "14")
    #expect(second.metric("netloom_requests_total", "cluster=\"web\"", "code=\"5xx\"") == 1)
  }

  @Test("between sidecars calls share one connection by TLS; a stranger gets PERMISSION_DENIED")
  func mutualTLS() throws {
    let mesh = try Mesh()
    let origin = Origin.echo2
    let allowed: Set = ["spiffe://lab/ns/default/sa/client"]
    let server = try mesh.server(.grpc, origin.port, allowed: allowed)
    let client = try mesh.client(.grpc, server.port)
    for number in 0..<20 {
      #expect(try client.connect2().send("/\(number)", method: "POST", body: "x").text == "/\(number) x")
    }
    #expect(server.metric("netloom_tls_handshakes_total", "direction=\"inbound\"", "cluster=\"\"") == 1)
    #expect(origin.accepted == 1)
    let refused = try call(try mesh.client(.grpc, server.port, account: "stranger"))
    #expect(refused.field("grpc-status") == "7")
    #expect(
      refused.field("netloom-refused")
        == "web-1/inbound; not-authorized identity=spiffe://lab/ns/default/sa/stranger service=web")
  }

  @Test("new certificates come into force without a lost call")
  func rotation() throws {
    let mesh = try Mesh()
    let origin = Origin.echo2
    let server = try mesh.server(.grpc, origin.port)
    let client = try mesh.client(.grpc, server.port)
    let peer = try client.connect2()
    for round in 0..<10 {
      #expect(try peer.send("/\(round)").text == "/\(round) ")
      let running = round % 2 == 0 ? client : server
      var configuration = running.sidecar.configuration
      configuration.certificates = try mesh.certificates(round % 2 == 0 ? "client" : "web")
      try running.sidecar.apply(configuration)
    }
  }
}
