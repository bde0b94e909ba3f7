import ControlProtocol
import Controller
import Foundation
import NorthboundAPI
import Synchronization
import Testing

/// One AS of three routers in a triangle.
private let triangle = """
  name: triangle
  topology:
    nodes:
      r1: {kind: router, asn: 65000, loopback: [10.255.0.1/32]}
      r2: {kind: router, asn: 65000, loopback: [10.255.0.2/32]}
      r3: {kind: router, asn: 65000, loopback: [10.255.0.3/32]}
    links:
      - {endpoints: ["r1:eth1", "r2:eth1"]}
      - {endpoints: ["r2:eth2", "r3:eth2"]}
      - {endpoints: ["r1:eth3", "r3:eth3"]}
  """

/// The machine commands of a test, in order.
private final class Orders: Sendable {
  private let list = Mutex<[NLMachineCommand]>([])
  func append(_ command: NLMachineCommand) -> NLMachineReply {
    list.withLock { $0.append(command) }
    return NLMachineReply()
  }
  var texts: [String] {
    list.withLock { commands in
      commands.map { command in
        switch command.command {
        case .linkAdmin(let admin): "\(admin.node):\(admin.interface) \(admin.up ? "up" : "down")"
        case .power(let power): "\(power.node) \(power.on ? "on" : "off")"
        case .kill(let kill): "kill \(kill.node) \(kill.process) \(kill.signal)"
        default: "?"
        }
      }
    }
  }
}

@Suite("Links and faults", .timeLimit(.minutes(1)))
struct LinkFaultTests {
  private let loopback3 = Data([10, 255, 0, 3])

  private func hops(_ desired: NLDesired?, to loopback: Data) -> [String] {
    desired?.routes.routes.first { $0.prefix.address == loopback }?.nextHops.map(\.interface) ?? []
  }

  @Test("a link that an agent sees go down repairs the routes of those it concerns, and of nobody else, at once")
  func observed() async throws {
    let lab = try await FakeLab(triangle)
    let machine = try await lab.machine()
    let r1 = try await lab.agent("r1")
    let r2 = try await lab.agent("r2")
    let r3 = try await lab.agent("r3")
    #expect(await lab.controller.converged(timeoutMilliseconds: 5000).converged)
    #expect(hops(await r1.desired("routes").last, to: loopback3) == ["eth3"])
    r1.change { sample in
      sample.links = [link("eth1", up: true), link("eth3", up: false)]
      sample.activity += 1
    }
    try await r1.push()
    await r1.process?.wait { received in
      received.contains { if case .desired(let desired) = $0 { desired.version == 2 } else { false } }
    }
    #expect(hops(await r1.desired("routes").last, to: loopback3) == ["eth1"])
    #expect(await r1.desired("speaker").map(\.version) == [1], "the speaker hears nothing of it")
    await r3.process?.wait { received in
      received.contains { if case .desired(let desired) = $0 { desired.version == 2 } else { false } }
    }
    // r2 loses a way of equal cost to the subnet between the others: its routes change too, by that one.
    let status = await lab.controller.status()
    #expect(status.links.map(\.state) == ["up", "up", "down"])
    withExtendedLifetime((machine, r2)) {}
  }

  @Test("link-down is done at both ends, is no proof before both agents saw it, and mend undoes it")
  func linkDown() async throws {
    let orders = Orders()
    let lab = try await FakeLab(pair)
    let machine = try await lab.machine { orders.append($0) }
    let customer = try await lab.agent("customer")
    let isp = try await lab.agent("isp1")
    #expect(await lab.controller.converged(timeoutMilliseconds: 5000).converged)

    try await lab.controller.fault(FaultCommand(kind: "link-down", targets: ["isp1:eth1", "customer:eth1"]))
    #expect(orders.texts == ["customer:eth1 down", "isp1:eth1 down"])
    let open = await lab.controller.converged(timeoutMilliseconds: 100)
    #expect(
      open.reasons == [
        "customer:eth1: not yet seen down", "isp1:eth1: not yet seen down",
        "customer ↔ isp1: still established, though nothing carries it",
        "isp1 ↔ customer: still established, though nothing carries it",
      ])
    for agent in [customer, isp] {
      agent.change { sample in
        sample.links = [link("eth1", up: false)]
        sample.sessions[0].state = .idle
        sample.activity += 1
      }
      try await agent.push()
    }
    // The session cannot stand, so it is not expected.
    let down = await lab.controller.converged(timeoutMilliseconds: 5000)
    #expect(down.converged, "\(down.reasons)")
    #expect(await lab.controller.status().links.map(\.state) == ["down"])

    try await lab.controller.mend()
    #expect(orders.texts.suffix(2) == ["customer:eth1 up", "isp1:eth1 up"])
    #expect(await lab.controller.status().converged == false)
    for agent in [customer, isp] {
      agent.change { sample in
        sample.links = [link("eth1", up: true)]
        sample.sessions[0].state = .established
        sample.activity += 1
      }
      try await agent.push()
    }
    #expect(await lab.controller.converged(timeoutMilliseconds: 5000).converged)
    try await lab.controller.mend()
    #expect(orders.texts.count == 4, "nothing was left to mend")
    withExtendedLifetime(machine) {}
  }

  @Test("a killed node is expected nowhere, and start brings it back")
  func kill() async throws {
    let orders = Orders()
    let lab = try await FakeLab(pair)
    let machine = try await lab.machine { orders.append($0) }
    let customer = try await lab.agent("customer")
    let isp = try await lab.agent("isp1")
    #expect(await lab.controller.converged(timeoutMilliseconds: 5000).converged)
    try await lab.controller.fault(FaultCommand(kind: "kill", targets: ["isp1"]))
    await isp.process?.close()
    let unaware = await lab.controller.converged(timeoutMilliseconds: 100)
    #expect(
      unaware.reasons == [
        "customer:eth1: not yet seen down", "customer ↔ isp1: still established, though nothing carries it",
      ])
    customer.change { sample in
      sample.links = [link("eth1", up: false)]
      sample.sessions[0].state = .active
      sample.activity += 1
    }
    try await customer.push()
    let without = await lab.controller.converged(timeoutMilliseconds: 5000)
    #expect(without.converged, "\(without.reasons)")
    let status = await lab.controller.status()
    #expect(status.nodes.map(\.state) == ["running", "stopped"])

    try await lab.controller.fault(FaultCommand(kind: "start", targets: ["isp1"]))
    #expect(orders.texts == ["isp1 off", "isp1 on"])
    let open = await lab.controller.converged(timeoutMilliseconds: 100)
    #expect(open.reasons.contains("isp1: its agent is not connected"))
    let again = try await lab.agent("isp1")
    customer.change { sample in
      sample.links = [link("eth1", up: true)]
      sample.sessions[0].state = .established
      sample.activity += 1
    }
    try await customer.push()
    #expect(await lab.controller.converged(timeoutMilliseconds: 5000).converged)
    withExtendedLifetime((machine, again)) {}
  }

  @Test("kill-speaker kills the agent's process")
  func killSpeaker() async throws {
    let orders = Orders()
    let lab = try await FakeLab(pair)
    let machine = try await lab.machine { orders.append($0) }
    _ = try await lab.agent("isp1")
    await #expect(throws: Never.self) {
      while await lab.controller.status().nodes[0].state != "running" { await Task.yield() }
      try await lab.controller.fault(FaultCommand(kind: "kill-speaker", targets: ["isp1"]))
    }
    #expect(orders.texts == ["kill isp1 agent 9"])
    withExtendedLifetime(machine) {}
  }

  @Test("words and names that do not fit are refused with the nearest right one")
  func refused() async throws {
    let lab = try await FakeLab(pair)
    func message(_ kind: String, _ targets: [String]) async -> String {
      do {
        try await lab.controller.fault(FaultCommand(kind: kind, targets: targets))
        return "accepted"
      } catch {
        return (error as? APIError).map { "\($0.code): \($0.message)" } ?? "\(error)"
      }
    }
    #expect(await message("link-dwn", []).hasPrefix("invalid: no fault link-dwn; did you mean link-down?"))
    #expect(await message("kill", ["isp"]) == "not-found: lab pair has no node isp; did you mean isp1?")
    #expect(
      await message("link-down", ["customer:eth2"])
        == "not-found: no link ends at customer:eth2; did you mean customer:eth1?")
    #expect(
      await message("link-down", ["customer:eth1", "isp1:eth7"])
        == "invalid: the other end of customer:eth1 is isp1:eth1")
    #expect(await message("kill", ["isp1"]) == "unavailable: netloom-machine is not connected")
  }
}
