import ControlProtocol
import Controller
import Foundation
import NorthboundAPI
import Synchronization
import Testing

/// A probe whose load runs until it is told to stop.
private final class LoadingProbe: Sendable {
  private let process = Mutex<FakeProcess?>(nil)
  private let numbers = Mutex<[UInt64: UInt64]>([:])
  private let asked = Mutex<[NLTrafficRequest]>([])

  var requests: [NLTrafficRequest] { asked.withLock { $0 } }

  func connect(_ lab: FakeLab) async throws {
    var hello = NLHello()
    hello.role = .probe
    let process = try await FakeProcess.connect(to: lab.directory.controllerSocket, hello: hello) { message in
      switch message.body {
      case .trafficRequest(let request):
        self.asked.withLock { $0.append(request) }
        self.numbers.withLock { $0[request.id] = message.request }
        Task { try await self.push(Self.account(request.id, running: true)) }
        return []
      case .stopTraffic(let stop):
        self.end(stop.id)
        return []
      default: return []
      }
    }
    self.process.withLock { $0 = process }
  }

  /// An account so far answers nothing.
  private func push(_ reply: NLTrafficReply) async throws {
    while true {
      if let process = process.withLock({ $0 }) { return try await process.send(.trafficReply(reply)) }
      await Task.yield()
    }
  }

  static func account(_ id: UInt64, running: Bool) -> NLTrafficReply {
    var reply = NLTrafficReply()
    (reply.id, reply.running, reply.reachable) = (id, running, true)
    (reply.packetsSent, reply.packetsReceived, reply.bytes) = (1000, 990, 125_000)
    reply.seconds = 2
    (reply.delayMinMs, reply.delayMedianMs, reply.delayP99Ms) = (0.1, 0.2, 0.3)
    reply.startedNs = 1_700_000_000_000_000_000
    var outage = NLOutage()
    (outage.startNs, outage.endNs, outage.lost) = (reply.startedNs + 500_000_000, reply.startedNs + 750_000_000, 10)
    reply.outages = [outage]
    return reply
  }

  func end(_ id: UInt64, error: String = "") {
    guard let process = process.withLock({ $0 }), let number = numbers.withLock({ $0[id] }) else { return }
    var reply = error.isEmpty ? Self.account(id, running: false) : NLTrafficReply()
    (reply.id, reply.error) = (id, error)
    let message = reply
    Task { try await process.send(.trafficReply(message), request: number) }
  }

  func leave() async { await process.withLock({ $0 })?.close() }
}

@Suite("Background load", .timeLimit(.minutes(1)))
struct TrafficTests {
  private let lab: FakeLab
  private let probe = LoadingProbe()
  private let machine: FakeProcess

  init() async throws {
    lab = try await FakeLab(dualISP)
    let (lab, probe) = (lab, probe)
    machine = try await lab.machine { command in
      if case .startProbe = command.command { Task { try await probe.connect(lab) } }
      return NLMachineReply()
    }
    while await lab.controller.status().nodes[0].state != "running" { await Task.yield() }
  }

  private func state(_ id: UInt64, until fits: (TrafficState) -> Bool) async -> TrafficState? {
    while true {
      guard let state = await lab.controller.trafficStates().first(where: { $0.id == id }) else { return nil }
      if fits(state) { return state }
      await Task.yield()
    }
  }

  @Test("a start answers at once; the account is kept while it runs; a stop answers with the result, each time")
  func life() async throws {
    let query = TrafficQuery(from: "h1", to: "web", packetsPerSecond: 500, dscp: 46)
    let started = try await lab.controller.startTraffic(query)
    #expect(started == TrafficState(id: 1, query: query, running: true))
    let running = await state(1) { $0.result != nil }
    #expect(running?.running == true && running?.result?.lost == 10)
    let ended = try await lab.controller.stopTraffic(1)
    #expect(!ended.running && ended.error == nil)
    #expect(ended.result?.mbit == 0.5 && ended.result?.delay == DelaySummary(min: 0.1, median: 0.2, p99: 0.3))
    #expect(
      ended.result?.outages == [TrafficOutage(startedAt: 1_700_000_000_500, ms: 250, lost: 10)])
    #expect(try await lab.controller.stopTraffic(1) == ended)
    let request = try #require(probe.requests.first)
    #expect(request.flow.from == "h1" && request.flow.to == "web" && request.flow.protocol == .udp)
    #expect(request.packetsPerSecond == 500 && request.rate == 0 && request.dscp == 46)
    #expect(request.durationMs == 3_600_000 && !request.flow.nodes.isEmpty)
  }

  @Test("what the probe refuses, and a probe that goes away, stand in the state")
  func failures() async throws {
    _ = try await lab.controller.startTraffic(TrafficQuery(from: "h1", to: "web"))
    _ = await state(1) { $0.result != nil }
    probe.end(1, error: "something else listens on web port 5202")
    let refused = await state(1) { !$0.running }
    #expect(refused?.error == "something else listens on web port 5202")
    _ = try await lab.controller.startTraffic(TrafficQuery(from: "h1", to: "web"))
    _ = await state(2) { $0.result != nil }
    await probe.leave()
    let left = await state(2) { !$0.running }
    // What was told last stands.
    #expect(left?.error == "the process asked went away" && left?.result?.packetsSent == 1000)
  }

  @Test(
    "what makes no sense is refused before anything is sent",
    arguments: [
      (TrafficQuery(from: "h1", to: "web", rate: 0), "a rate of nothing"),
      (TrafficQuery(from: "h1", to: "web", rate: 1, packetsPerSecond: 1), "one says the other"),
      (TrafficQuery(from: "h1", to: "web", dscp: 64), "dscp is 64"),
      (TrafficQuery(from: "h1", to: "web", durationMs: 0), "durationMs is 0"),
      (TrafficQuery(from: "h1", to: "web", durationMs: 3_600_001), "durationMs is 3600001"),
      (TrafficQuery(from: "h1", to: "h1"), "between two nodes"),
      (TrafficQuery(from: "h1", to: "192.0.2.77"), "nobody receives there"),
      (TrafficQuery(from: "h1", to: "web", proto: "sctp"), "no protocol sctp"),
      (TrafficQuery(from: "h1", to: "web", proto: "icmp", port: 7), "icmp has no port"),
      (TrafficQuery(from: "h1", to: "nobody"), "no node nobody"),
    ])
  func refusals(_ query: TrafficQuery, _ reason: String) async {
    let error = await #expect(throws: APIError.self) { try await lab.controller.startTraffic(query) }
    #expect(error?.message.contains(reason) == true, "\(String(describing: error))")
    #expect(probe.requests.isEmpty)
  }

  @Test("sixty-four run at a time, a hundred that ended are remembered, an unknown number is not found")
  func bounds() async throws {
    let query = TrafficQuery(from: "h1", to: "web", proto: "icmp")
    for _ in 0..<64 { _ = try await lab.controller.startTraffic(query) }
    await #expect(throws: APIError.self) { try await lab.controller.startTraffic(query) }
    for id in UInt64(1)...64 { _ = try await lab.controller.stopTraffic(id) }
    for id in UInt64(65)...110 {
      #expect(try await lab.controller.startTraffic(query).id == id)
      _ = try await lab.controller.stopTraffic(id)
    }
    #expect(await lab.controller.trafficStates().map(\.id) == Array(11...110))
    let error = await #expect(throws: APIError.self) { try await lab.controller.stopTraffic(10) }
    #expect(error?.code == "not-found")
  }
}

/// A process that lives as long as its test.
private final class Kept: Sendable {
  let process = Mutex<FakeProcess?>(nil)
}

@Suite("Live flows as they are told", .timeLimit(.minutes(1)))
struct FlowsTests {
  private static func reply() -> NLFlowsReply {
    var flow = NLLiveFlow()
    (flow.client, flow.server, flow.protocol) = ("203.0.113.2", "198.51.100.2", 6)
    (flow.clientPort, flow.serverPort, flow.symmetric) = (40_000, 80, .no)
    (flow.forward.path, flow.return.path) = (["h1", "customer", "web"], ["web", "customer", "h1"])
    flow.forward.packets = 3
    flow.forwardBytes = 300
    var doubtful = NLLiveFlow()
    (doubtful.client, doubtful.server, doubtful.protocol) = ("10.7.7.7", "198.51.100.2", 47)
    (doubtful.symmetric, doubtful.undecidedBecause) = (.undecided, "a reason")
    var reply = NLFlowsReply()
    reply.flows = [flow, doubtful]
    (reply.captured, reply.dropped, reply.flowsOverLimit, reply.notOurs, reply.seconds) = (9, 1, 2, 3, 3)
    return reply
  }

  @Test("ends are named by the path, then by who owns the address; what is undecided is no verdict")
  func ends() async throws {
    let lab = try await FakeLab(dualISP)
    let keep = Kept()
    let machine = try await lab.machine { command in
      if case .startProbe = command.command {
        Task {
          var hello = NLHello()
          hello.role = .probe
          let process = try await FakeProcess.connect(to: lab.directory.controllerSocket, hello: hello) { message in
            guard case .flowsRequest(let request) = message.body else { return [] }
            var reply = Self.reply()
            if request.filter == "x" { reply.error = "filter \"x\": syntax error" }
            return [.flowsReply(reply)]
          }
          keep.process.withLock { $0 = process }
        }
      }
      return NLMachineReply()
    }
    while await lab.controller.status().nodes[0].state != "running" { await Task.yield() }
    let found = try await lab.controller.flows(FlowsQuery(durationMs: 1000))
    #expect(found.flows[0].client == FlowEnd(node: "h1", address: "203.0.113.2", port: 40_000))
    #expect(found.flows[0].server == FlowEnd(node: "web", address: "198.51.100.2", port: 80))
    #expect(found.flows[0].symmetric == false && found.flows[0].proto == "tcp" && found.flows[0].forwardBytes == 300)
    #expect(found.flows[1].client.node == nil && found.flows[1].server.node == "web" && found.flows[1].proto == "47")
    #expect(found.flows[1].symmetric == nil && found.flows[1].undecided == "a reason")
    #expect((found.captured, found.dropped, found.flowsOverLimit, found.notOurs) == (9, 1, 2, 3))
    let error = await #expect(throws: APIError.self) {
      try await lab.controller.flows(FlowsQuery(durationMs: 1000, filter: "x"))
    }
    #expect(error?.code == "invalid" && error?.message.contains("syntax error") == true)
    await #expect(throws: APIError.self) { try await lab.controller.flows(FlowsQuery(durationMs: 0)) }
    withExtendedLifetime(machine) {}
  }
}
