import ControlProtocol
import Controller
import Foundation
import NorthboundAPI
import Synchronization
import Testing

/// The first example of the contract: out by isp1, back by isp2.
///
///           ┌─ isp1 ─┐
///   h1 ─ customer     │
///           └─ isp2 ─┴─ web
let dualISP = """
  name: dual-isp
  topology:
    nodes:
      h1: {kind: host}
      web: {kind: host}
      customer: {kind: router, asn: 64500, networks: [203.0.113.0/24]}
      isp1: {kind: router, asn: 64496, networks: [192.0.2.0/24]}
      isp2: {kind: router, asn: 64497, networks: [198.51.100.0/24]}
    links:
      - {endpoints: ["h1:eth1", "customer:eth3"], addresses: [[203.0.113.2/24], [203.0.113.1/24]]}
      - {endpoints: ["customer:eth1", "isp1:eth1"], relation: customer-provider}
      - {endpoints: ["customer:eth2", "isp2:eth1"], relation: customer-provider}
      - {endpoints: ["isp1:eth2", "isp2:eth2"], relation: peer-peer}
      - {endpoints: ["isp2:eth3", "web:eth1"], addresses: [[198.51.100.1/24], [198.51.100.2/24]]}
  """

private func hop(_ node: String, _ entered: String, _ left: String) -> NLHop {
  var hop = NLHop()
  hop.node = node
  hop.in = entered
  hop.out = left
  hop.us = 1.2
  hop.joinedBy = "seq"
  return hop
}

private func route(_ prefix: [UInt8], _ length: UInt32, from neighbor: String, path: [UInt32]) -> NLBGPRoute {
  var route = NLBGPRoute()
  route.prefix.address = Data(prefix)
  route.prefix.length = length
  route.neighbor = neighbor
  route.usable = true
  var segment = NLASSegment()
  segment.type = 2
  segment.asns = path
  route.asPath = [segment]
  return route
}

/// A probe that keeps what it was asked and answers what the test says.
private final class FakeProbe: Sendable {
  private let asked = Mutex<[NLTraceRequest]>([])
  var requests: [NLTraceRequest] { asked.withLock { $0 } }
  private let keep = Mutex<FakeProcess?>(nil)

  func connect(_ lab: FakeLab, answer: @escaping @Sendable (NLTraceRequest) -> NLTraceReply) async throws {
    var hello = NLHello()
    hello.role = .probe
    let process = try await FakeProcess.connect(to: lab.directory.controllerSocket, hello: hello) { message in
      guard case .traceRequest(let request) = message.body else { return [] }
      self.asked.withLock { $0.append(request) }
      return [.traceReply(answer(request))]
    }
    keep.withLock { $0 = process }
  }
}

@Suite("Trace and no-transit", .timeLimit(.minutes(1)))
struct TraceTests {
  private static func asymmetric(_ request: NLTraceRequest) -> NLTraceReply {
    var reply = NLTraceReply()
    reply.reachable = true
    reply.complete = true
    reply.symmetric = .no
    reply.source = Data([203, 0, 113, 2])
    reply.destination = request.destination
    reply.capture = request.pcap
    reply.forward.path = ["h1", "customer", "isp1", "isp2", "web"]
    reply.forward.hops = [
      hop("h1", "", "eth1"), hop("customer", "eth3", "eth1"), hop("isp1", "eth1", "eth2"), hop("isp2", "eth2", "eth3"),
      hop("web", "eth1", ""),
    ]
    reply.forward.packets = 8
    reply.return.path = ["web", "isp2", "customer", "h1"]
    reply.return.hops = [
      hop("web", "", "eth1"), hop("isp2", "eth3", "eth1"), hop("customer", "eth2", "eth3"), hop("h1", "eth1", ""),
    ]
    reply.return.packets = 7
    var drop = NLDrop()
    drop.node = "isp2"
    drop.interface = "eth3"
    drop.packets = 2
    drop.reason = "filter"
    drop.detail = "rule `x` counted 2"
    reply.return.drops = [drop]
    return reply
  }

  /// isp2 hears the prefix from the customer and, longer, from isp1.
  private static func explanation() -> NLQueryReply {
    var reply = NLQueryReply()
    reply.explanation.prefix.address = Data([203, 0, 113, 0])
    reply.explanation.prefix.length = 24
    reply.explanation.candidates = [
      route([203, 0, 113, 0], 24, from: "customer", path: [64500]),
      route([203, 0, 113, 0], 24, from: "isp1", path: [64496, 64500]),
    ]
    var comparison = NLComparison()
    comparison.winner = 0
    comparison.loser = 1
    comparison.because = "as-path-length"
    comparison.detail = "64500 over 64496 64500"
    reply.explanation.comparisons = [comparison]
    return reply
  }

  @Test("an asymmetric flow names the router where the ways part, and its reason")
  func divergence() async throws {
    let lab = try await FakeLab(dualISP)
    let probe = FakeProbe()
    let machine = try await lab.machine { command in
      if case .startProbe = command.command {
        Task { try await probe.connect(lab, answer: Self.asymmetric) }
      }
      return NLMachineReply()
    }
    let isp2 = try await lab.agent("isp2")
    isp2.answer(.explain, Self.explanation())
    while await lab.controller.status().nodes[0].state != "running" { await Task.yield() }
    let folder = lab.directory.path + "/evidence"
    let trace = try await lab.controller.trace(
      TraceQuery(from: "h1", to: "web", proto: "tcp", port: 80, directory: folder))

    #expect(trace.reachable)
    #expect(trace.symmetric == false)
    #expect(
      trace.divergence
        == Divergence(
          node: "isp2", prefix: "203.0.113.0/24", because: "as-path-length", detail: "64500 over 64496 64500"))
    #expect(trace.undecided == nil)
    #expect(trace.capture == folder + "/trace-h1-web-tcp-1.pcapng")
    #expect(
      trace.forward.hops[1] == TracedHop(node: "customer", in: "eth3", out: "eth1", us: 1.2, nat: nil, joinedBy: "seq"))
    #expect(trace.forward.hops[0].us == nil, "an end has no time of its own")
    #expect(
      trace.return.drops == [
        TracedDrop(
          node: "isp2", interface: "eth3", sent: false, packets: 2, reason: "filter", detail: "rule `x` counted 2")
      ])
    #expect(trace.forward.drops.isEmpty)

    let request = try #require(probe.requests.first)
    #expect(Array(request.destination) == [198, 51, 100, 2])
    #expect(request.source.isEmpty, "a host's kernel chooses")
    #expect((request.protocol, request.port) == (.tcp, 80))
    #expect(request.points.count == 10, "every interface of every node")
    #expect(request.points.first.map { "\($0.description_p) \($0.ifindex) \($0.pid)" } == "h1:eth1 2 100")
    #expect(request.adjacencies.count == 5)
    withExtendedLifetime(machine) {}
  }

  @Test("what could not be captured whole is undecided, not symmetric and not a pass")
  func incomplete() async throws {
    let lab = try await FakeLab(dualISP)
    let machine = try await lab.machine()
    let probe = FakeProbe()
    try await probe.connect(lab) { request in
      var reply = Self.asymmetric(request)
      reply.complete = false
      reply.incompleteBecause = "isp1:eth1 dropped 3 packets"
      return reply
    }
    while await lab.controller.status().nodes[0].state != "running" { await Task.yield() }
    let trace = try await lab.controller.trace(TraceQuery(from: "h1", to: "web:eth1"))
    #expect(trace.undecided == "isp1:eth1 dropped 3 packets")
    #expect(trace.symmetric == nil)
    #expect(trace.divergence == nil)
    withExtendedLifetime(machine) {}
  }

  @Test("a router sends from an address that others have a route to")
  func source() async throws {
    let lab = try await FakeLab(dualISP)
    let machine = try await lab.machine()
    let probe = FakeProbe()
    try await probe.connect(lab) { _ in NLTraceReply() }
    while await lab.controller.status().nodes[0].state != "running" { await Task.yield() }
    _ = try await lab.controller.trace(TraceQuery(from: "customer", to: "web"))
    #expect(probe.requests.first.map { Array($0.source) } == [203, 0, 113, 1])
    withExtendedLifetime(machine) {}
  }

  private static func leak() -> NLQueryReply {
    var reply = NLQueryReply()
    var leaked = route([198, 51, 100, 0], 24, from: "customer", path: [64500, 64497])
    leaked.best = true
    reply.bgp = [leaked, route([198, 51, 100, 0], 24, from: "isp2", path: [64497])]
    reply.total = 2
    return reply
  }

  @Test("no-transit names the leaked path and brings the flow that took it")
  func leaked() async throws {
    let lab = try await FakeLab(dualISP)
    let machine = try await lab.machine()
    let agents = [try await lab.agent("customer"), try await lab.agent("isp1"), try await lab.agent("isp2")]
    agents[1].answer(.bgp, Self.leak())
    let probe = FakeProbe()
    try await probe.connect(lab) { request in
      var reply = NLTraceReply()
      reply.reachable = true
      reply.complete = true
      reply.symmetric = .no
      reply.capture = request.pcap
      reply.forward.path = [request.from, "customer", "isp2", "web"]
      reply.return.path = ["web", "isp2", request.from]
      return reply
    }
    _ = await lab.controller.converged(timeoutMilliseconds: 10_000)
    let result = try await lab.controller.noTransit(NoTransitQuery(node: "customer"))
    #expect(!result.holds)
    #expect(result.undecided == nil)
    #expect(
      result.leaks == [LeakedRoute(node: "isp1", prefix: "198.51.100.0/24", asPath: [64500, 64497], best: true)])
    #expect(result.transits.first?.forward.path == ["isp1", "customer", "isp2", "web"])
    #expect(result.transits.first?.capture?.hasSuffix(".pcapng") == true)
    #expect(result.traced == probe.requests.count)
    withExtendedLifetime((machine, agents)) {}
  }

  @Test("a RIB that cannot be read and a flow that cannot be judged leave no-transit undecided")
  func undecided() async throws {
    let lab = try await FakeLab(dualISP)
    let machine = try await lab.machine()
    let isp2 = try await lab.agent("isp2")
    let probe = FakeProbe()
    try await probe.connect(lab) { _ in
      var reply = NLTraceReply()
      reply.undecidedBecause = "two matches left"
      return reply
    }
    while await lab.controller.status().nodes[0].state != "running" { await Task.yield() }
    let result = try await lab.controller.noTransit(NoTransitQuery(node: "customer"))
    #expect(!result.holds)
    #expect(result.undecided?.contains("the RIB of isp1 cannot be read") == true)
    #expect(result.undecided?.contains("two matches left") == true)
    withExtendedLifetime((machine, isp2)) {}
  }
}
