import ControlProtocol
import Foundation
import Intent
import NorthboundAPI
import Synchronization
import Testing
import Topology

@testable import Controller

/// Two ASes over a link that declares a delay and loses one packet in a hundred.
private let slowPair = """
  name: slow
  topology:
    nodes:
      a: {kind: router, asn: 64500}
      b: {kind: router, asn: 64496}
      c: {kind: host}
    links:
      - {endpoints: ["a:eth1", "b:eth1"], relation: peer-peer, delay: 5ms, loss: 1%}
      - {endpoints: ["b:eth2", "c:eth1"]}
  """

private final class Commands: Sendable {
  private let list = Mutex<[NLMachineCommand]>([])
  private let news = AsyncStream<Void>.makeStream()

  func append(_ command: NLMachineCommand) -> NLMachineReply {
    list.withLock { $0.append(command) }
    news.continuation.yield()
    return NLMachineReply()
  }

  /// Returns when links have been set this often; the suite's time limit is the only other end.
  func waitForLinks(_ count: Int) async {
    for await _ in news.stream where links.count >= count { return }
  }

  var links: [String] {
    list.withLock { commands in
      commands.compactMap { command in
        guard case .linkAdmin(let admin) = command.command else { return nil }
        return "\(admin.node):\(admin.interface) \(admin.up ? "up" : "down")"
      }
    }
  }
  var delays: [NLSetLinkDelay] {
    list.withLock { commands in
      commands.compactMap { if case .setLinkDelay(let delay) = $0.command { delay } else { nil } }
    }
  }
}

@Suite("Faults of links", .timeLimit(.minutes(1)))
struct LinkFaultWordTests {
  private func fault(
    _ kind: String, _ targets: [String] = ["a:eth1", "b:eth1"], _ fill: (inout FaultCommand) -> Void = { _ in }
  )
    -> FaultCommand
  {
    var command = FaultCommand(kind: kind, targets: targets)
    fill(&command)
    return command
  }

  private func impairments(_ agent: FakeAgent) -> [String] {
    guard case .dataPlane(let plane)? = agent.holds["data-plane"] else { return ["none"] }
    return plane.impairments.map { "\($0.interface) \($0.lossPpm) \($0.rate)" }
  }

  private func start(_ yaml: String = slowPair) async throws -> (FakeLab, FakeProcess, Commands, [FakeAgent]) {
    let commands = Commands()
    let lab = try await FakeLab(yaml)
    let machine = try await lab.machine { commands.append($0) }
    var agents: [FakeAgent] = []
    for name in lab.resolved.nodes.map(\.name) { agents.append(try await lab.agent(name)) }
    #expect(await lab.controller.converged(timeoutMilliseconds: 10_000).converged)
    return (lab, machine, commands, agents)
  }

  @Test func `loss is the receiver's, beside what the link declares, one way where it is said, and goes again`()
    async throws
  {
    let (lab, machine, _, agents) = try await start()
    // 1 % of what arrives, at both ends.
    #expect(agents.prefix(2).map(impairments) == [["eth1 10000 0"], ["eth1 10000 0"]])
    try await lab.controller.fault(fault("loss") { ($0.percent, $0.from) = (50, "a") })
    // 1 - 0.99 × 0.5
    #expect(agents.prefix(2).map(impairments) == [["eth1 10000 0"], ["eth1 505000 0"]])
    try await lab.controller.fault(fault("loss") { ($0.percent, $0.from) = (0, "a") })
    #expect(agents.prefix(2).map(impairments) == [["eth1 10000 0"], ["eth1 10000 0"]])
    try await lab.controller.fault(fault("loss") { $0.percent = 100 })
    #expect(agents.prefix(2).map(impairments) == [["eth1 1000000 0"], ["eth1 1000000 0"]])
    try await lab.controller.mend()
    #expect(agents.prefix(2).map(impairments) == [["eth1 10000 0"], ["eth1 10000 0"]])
    withExtendedLifetime(machine) {}
  }

  @Test func `a link says what is asked of what leaves, and what the relay and the far end counted`() async throws {
    let lab = try await FakeLab(slowPair)
    let machine = try await lab.machine { command in
      var reply = NLMachineReply()
      guard case .countLinks(let order) = command.command else { return reply }
      reply.links = order.links.map { number in
        var link = NLLinkCounters()
        link.link = number
        (link.aToB.packets, link.aToB.dropped) = (1000, 3)
        (link.aToB.lateMedianNs, link.aToB.lateP99Ns, link.aToB.lateMaxNs) = (10_000, 250_000, 1_500_000)
        return link
      }
      return reply
    }
    for name in ["a", "b"] {
      let agent = try await lab.agent(name)
      var reply = NLQueryReply()
      var state = NLLinkState()
      state.interface = "eth1"
      // b loses 9 of 900 that a sends, a 1 of 50.
      (state.loss.offered, state.loss.lost) = name == "b" ? (900, 9) : (50, 1)
      state.rateDropped = name == "a" ? 7 : 0
      reply.links = [state]
      agent.answer(.links, reply)
    }
    _ = try await lab.agent("c")
    #expect(await lab.controller.converged(timeoutMilliseconds: 10_000).converged)
    try await lab.controller.fault(fault("delay") { ($0.microseconds, $0.from) = (40_000, "a") })
    try await lab.controller.fault(fault("rate") { ($0.bitsPerSecond, $0.from) = (5_000_000, "a") })
    let a = try #require(try await lab.controller.links(of: "a").first?.impairment)
    #expect(a.delayMs == 45 && a.jitterMs == 0 && a.lossPercent == 1 && a.rate == 5_000_000)
    #expect(
      a.achieved
        == AchievedImpairment(
          packets: 1000, dropped: 3, lateMedianMs: 0.01, lateP99Ms: 0.25, lateMaxMs: 1.5, offered: 900, lost: 9,
          rateDropped: 7))
    let b = try #require(try await lab.controller.links(of: "b").first { $0.interface == "eth1" }?.impairment)
    #expect(b.delayMs == 5 && b.lossPercent == 1 && b.rate == nil)
    // The relay has passed nothing on: there is nothing to be late.
    #expect(b.achieved == AchievedImpairment(packets: 0, dropped: 0, offered: 50, lost: 1))
    withExtendedLifetime(machine) {}
  }

  @Test func `a rate is the sender's`() async throws {
    let (lab, machine, _, agents) = try await start()
    try await lab.controller.fault(
      fault("rate", ["b:eth2", "c:eth1"]) { ($0.bitsPerSecond, $0.from) = (5_000_000, "b") })
    #expect(agents.map(impairments) == [["eth1 10000 0"], ["eth1 10000 0", "eth2 0 5000000"], []])
    withExtendedLifetime(machine) {}
  }

  @Test func `what a node refuses does not stand`() async throws {
    let (lab, machine, _, agents) = try await start()
    agents[1].refuse("no netdev hook in this kernel")
    let refusal = await #expect(throws: APIError.self) {
      try await lab.controller.fault(fault("loss") { $0.percent = 3 })
    }
    #expect(refusal?.message.contains("b: ") == true && refusal?.message.contains("no netdev hook") == true)
    #expect(await lab.controller.state.faults.directions.isEmpty)
    withExtendedLifetime(machine) {}
  }

  @Test func `delay and jitter go to the relay, each way, beside the link's own; a link without one refuses`()
    async throws
  {
    let (lab, machine, commands, agents) = try await start()
    try await lab.controller.fault(fault("delay") { ($0.microseconds, $0.from) = (40_000, "b") })
    let set = try #require(commands.delays.last)
    #expect(set.link == 0 && set.aToB.delayUs == 5000 && set.bToA.delayUs == 45_000)
    try await lab.controller.fault(fault("jitter") { $0.microseconds = 60_000 })
    // More than the 5 ms of the link: the relay cuts what would be early.
    #expect(commands.delays.last?.aToB.jitterUs == 60_000 && commands.delays.last?.bToA.jitterUs == 60_000)
    let refusal = await #expect(throws: APIError.self) {
      try await lab.controller.fault(fault("delay", ["b:eth2", "c:eth1"]) { $0.microseconds = 1000 })
    }
    #expect(refusal?.code == "conflict" && refusal?.message.contains("delay: 0ms") == true)
    try await lab.controller.mend()
    #expect(commands.delays.last?.bToA.delayUs == 5000 && commands.delays.last?.bToA.jitterUs == 0)
    withExtendedLifetime((machine, agents)) {}
  }

  @Test func `a flapping link goes down and up as often as it is told, and mend leaves it up`() async throws {
    let (lab, machine, commands, agents) = try await start()
    try await lab.controller.fault(
      fault("flap", ["b:eth2", "c:eth1"]) { ($0.times, $0.downMs, $0.upMs) = (2, 10, 10) })
    let round = ["b:eth2 down", "c:eth1 down", "b:eth2 up", "c:eth1 up"]
    await commands.waitForLinks(8)
    #expect(commands.links == round + round)
    try await lab.controller.fault(fault("flap", ["b:eth2", "c:eth1"]) { ($0.downMs, $0.upMs) = (10, 10) })
    try await lab.controller.mend()
    let after = commands.links
    #expect(after.suffix(2) == ["b:eth2 up", "c:eth1 up"])
    #expect(await lab.controller.state.faults.downLinks.isEmpty)
    #expect(await lab.controller.flaps.isEmpty)
    withExtendedLifetime((machine, agents)) {}
  }

  @Test func `what cannot be mended stays in the ledger, is named, and is mended the next time`() async throws {
    let refuses = Mutex(false)
    let lab = try await FakeLab(slowPair)
    let machine = try await lab.machine { command in
      var reply = NLMachineReply()
      if case .setLinkDelay = command.command, refuses.withLock({ $0 }) { reply.error = "the relay is away" }
      return reply
    }
    var agents: [FakeAgent] = []
    for name in lab.resolved.nodes.map(\.name) { agents.append(try await lab.agent(name)) }
    #expect(await lab.controller.converged(timeoutMilliseconds: 10_000).converged)
    try await lab.controller.fault(fault("delay") { $0.microseconds = 40_000 })
    try await lab.controller.fault(fault("loss") { $0.percent = 50 })
    refuses.withLock { $0 = true }
    let refusal = await #expect(throws: APIError.self) { try await lab.controller.mend() }
    #expect(refusal?.message.contains("the relay is away") == true)
    // The rest is mended all the same.
    #expect(agents.prefix(2).map(impairments) == [["eth1 10000 0"], ["eth1 10000 0"]])
    let left = await lab.controller.state.faults.directions
    #expect(left.keys.sorted() == ["a:eth1", "b:eth1"] && left.values.allSatisfy { $0.delayMicroseconds == 40_000 })
    refuses.withLock { $0 = false }
    try await lab.controller.mend()
    #expect(await lab.controller.state.faults == FaultLedger())
    withExtendedLifetime(machine) {}
  }

  @Test func `a link that flaps stays down in a partition`() async throws {
    let (lab, machine, commands, agents) = try await start()
    try await lab.controller.fault(fault("flap") { ($0.downMs, $0.upMs) = (10, 10) })
    try await lab.controller.fault(fault("partition", []) { $0.groups = [["a"], ["b", "c"]] })
    let flapping = await lab.controller.flaps
    #expect(flapping.isEmpty)
    #expect(commands.links.suffix(2) == ["a:eth1 down", "b:eth1 down"])
    #expect(await lab.controller.state.faults.downLinks == [0])
    withExtendedLifetime((machine, agents)) {}
  }

  @Test func `a partition cuts the links between its groups and no other`() async throws {
    let (lab, machine, commands, agents) = try await start()
    try await lab.controller.fault(fault("partition", []) { $0.groups = [["a"], ["b", "c"]] })
    #expect(commands.links == ["a:eth1 down", "b:eth1 down"])
    try await lab.controller.mend()
    #expect(commands.links.suffix(2) == ["a:eth1 up", "b:eth1 up"])
    for groups in [[["a"]], [["a"], []], [["a"], ["a"]], [["a"], ["nobody"]]] {
      await #expect(throws: APIError.self) {
        try await lab.controller.fault(fault("partition", []) { $0.groups = groups })
      }
    }
    #expect(commands.links.count == 4)
    withExtendedLifetime((machine, agents)) {}
  }

  @Test func `faults that make no sense are refused in words, and nothing stands`() async throws {
    let (lab, machine, commands, agents) = try await start()
    let wrong: [FaultCommand] = [
      fault("loss"), fault("loss") { $0.percent = 101 }, fault("loss") { $0.percent = -1 },
      fault("loss") { ($0.percent, $0.from) = (1, "c") }, fault("rate") { $0.bitsPerSecond = 1 },
      fault("delay") { $0.microseconds = 11_000_000 }, fault("flap") { $0.times = 0 }, fault("flap") { $0.downMs = 1 },
      fault("loss", ["a:eth9", "b:eth1"]) { $0.percent = 1 },
    ]
    for command in wrong {
      await #expect(throws: APIError.self, "\(command)") { try await lab.controller.fault(command) }
    }
    #expect(await lab.controller.state.faults == FaultLedger())
    #expect(commands.links.isEmpty && commands.delays.isEmpty)
    withExtendedLifetime((machine, agents)) {}
  }
}
