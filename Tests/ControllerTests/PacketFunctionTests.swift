import ControlProtocol
import Controller
import Foundation
import NetTypes
import NorthboundAPI
import Testing

@Suite("What a node does with packets", .timeLimit(.minutes(1)))
struct PacketFunctionTests {
  private func bytes(_ address: String) -> Data { Data(IPAddress(address)?.bytes ?? []) }

  /// As conntrack(8) prints a masqueraded TCP connection:
  /// src=192.168.1.2 dst=198.51.100.2 sport=40000 dport=80 src=198.51.100.2 dst=203.0.113.10 sport=80 dport=40000
  private func masqueraded(timeout: UInt32 = 100, port: UInt32 = 80) -> NLConnection {
    var connection = NLConnection()
    connection.protocol = 6
    connection.state = "ESTABLISHED"
    connection.status = ["seen-reply", "assured", "snat"]
    connection.original.source = bytes("192.168.1.2")
    connection.original.destination = bytes("198.51.100.2")
    connection.original.portSource = 40_000
    connection.original.portDestination = port
    connection.reply.source = bytes("198.51.100.2")
    connection.reply.destination = bytes("203.0.113.10")
    connection.reply.portSource = port
    connection.reply.portDestination = 40_000
    connection.timeout = timeout
    return connection
  }

  @Test("is empty on a node without an agent, and a page of connections says how many there are")
  func connections() async throws {
    let lab = try await ChangeLab()
    #expect(try await lab.controller.nat(of: "h1").rules.isEmpty)
    #expect(try await lab.controller.qos(of: "h1").interfaces.isEmpty)
    var reply = NLQueryReply()
    reply.connections = [masqueraded()]
    reply.total = 7
    reply.connectionLimit = 262_144
    lab.edge.answer(.conntrack, reply)
    let page = try await lab.controller.connections(of: "edge", limit: 1, offset: 0)
    #expect((page.total, page.limit, page.connections.count) == (7, 262_144, 1))
    let entry = try #require(page.connections.first)
    #expect((entry.proto, entry.state) == ("tcp", "ESTABLISHED"))
    #expect(entry.nat?.source == Rewrite(from: "192.168.1.2", to: "203.0.113.10"))
    #expect(entry.nat?.destination == nil)
  }

  @Test("to a flow that was just sent is found in its connection table, the newest of several")
  func translation() async throws {
    let lab = try await ChangeLab()
    var trace = NLTraceReply()
    trace.reachable = true
    trace.complete = true
    trace.source = bytes("192.168.1.2")
    trace.destination = bytes("198.51.100.2")
    trace.port = 80
    let answer = trace
    var hello = NLHello()
    hello.role = .probe
    let probe = try await FakeProcess.connect(to: lab.lab.directory.controllerSocket, hello: hello) { message in
      if case .traceRequest = message.body { [.traceReply(answer)] } else { [] }
    }
    var reply = NLQueryReply()
    reply.connections = [masqueraded(timeout: 5), masqueraded(timeout: 117), masqueraded(timeout: 300, port: 443)]
    reply.total = 3
    lab.edge.answer(.conntrack, reply)
    let result = try await lab.controller.translation(
      NATQuery(node: "edge", from: "h1", to: "198.51.100.2", proto: "tcp", port: 80))
    #expect(result.reachable)
    #expect(result.source == Rewrite(from: "192.168.1.2", to: "203.0.113.10"))
    #expect(result.connection?.timeout == 117)
    withExtendedLifetime(probe) {}
  }

  @Test("to the rate of a flow is judged by the probe: payload over time in Mbit/s")
  func rate() async throws {
    let lab = try await ChangeLab()
    var reply = NLRateReply()
    reply.reachable = true
    reply.bytes = 12_500_000
    reply.seconds = 10
    reply.packetsReceived = 8929
    reply.limitedBy = .shaping
    reply.complete = true
    let answer = reply
    var hello = NLHello()
    hello.role = .probe
    let probe = try await FakeProcess.connect(to: lab.lab.directory.controllerSocket, hello: hello) { message in
      if case .rateRequest = message.body { [.rateReply(answer)] } else { [] }
    }
    let result = try await lab.controller.rate(
      RateQuery(from: "h1", to: "edge", proto: "tcp", durationMs: 10_000))
    #expect((result.mbit, result.limitedBy) == (10, .shaping))
    guard case .rateRequest(let request) = await probe.received.last else {
      Issue.record("the probe was asked something else")
      return
    }
    #expect((request.durationMs, request.flow.port, request.flow.from, request.flow.to) == (10_000, 5201, "h1", "edge"))
    #expect(request.flow.pcap.isEmpty)
    await #expect(throws: APIError(code: "invalid", message: "udp needs a rate to offer, in bit/s")) {
      _ = try await lab.controller.rate(RateQuery(from: "h1", to: "edge", proto: "udp", durationMs: 100))
    }
    // netloom-probe takes no more, and would be asked for nothing.
    let long = APIError(code: "invalid", message: "durationMs is 600001, expected 1 to 600000")
    await #expect(throws: long) {
      _ = try await lab.controller.rate(RateQuery(from: "h1", to: "edge", proto: "tcp", durationMs: 600_001))
    }
  }
}
