import ControlProtocol
import Controller
import Foundation
import NorthboundAPI
import Testing

@Suite("A restarted controller", .timeLimit(.minutes(1)))
struct AdoptionTests {
  /// Waits for the file in which the next controller reads versions and faults.
  private func state(of lab: FakeLab, holds text: String) async {
    while true {
      if let data = FileManager.default.contents(atPath: lab.directory.controllerState),
        String(decoding: data, as: UTF8.self).contains(text)
      {
        return
      }
      await Task.yield()  // poll
    }
  }

  @Test("adopts nodes that hold what it wants: nothing is sent, and it is converged again")
  func nothingSent() async throws {
    let first = try await FakeLab(pair)
    let machine = try await first.machine()
    let agents = [try await first.agent("customer"), try await first.agent("isp1")]
    #expect(await first.controller.converged(timeoutMilliseconds: 5000).converged)
    await state(of: first, holds: "\"isp1\"")
    for agent in agents { await agent.process?.close() }
    await machine.close()

    let second = try await FakeLab(pair, in: first.directory)
    let machineAgain = try await second.machine()
    var adopted: [FakeAgent] = []
    for old in agents {
      adopted.append(try await second.agent(old.name, applied: old.sample.applied, sample: old.sample))
    }
    let answer = await second.controller.converged(timeoutMilliseconds: 3000)
    #expect(answer.converged, "\(answer.reasons)")
    for agent in adopted {
      #expect(await agent.desired("speaker").isEmpty)
      #expect(await agent.desired("routes").isEmpty)
    }
    withExtendedLifetime((first, machineAgain)) {}
  }

  @Test("keeps the faults that stand and can mend them")
  func faultsStand() async throws {
    let first = try await FakeLab(pair)
    let machine = try await first.machine()
    let agents = [try await first.agent("customer"), try await first.agent("isp1")]
    #expect(await first.controller.converged(timeoutMilliseconds: 5000).converged)
    try await first.controller.fault(FaultCommand(kind: "link-down", targets: ["customer:eth1", "isp1:eth1"]))
    await state(of: first, holds: "\"downLinks\":[0]")
    for agent in agents { await agent.process?.close() }
    await machine.close()

    let second = try await FakeLab(pair, in: first.directory)
    let machineAgain = try await second.machine()
    var adopted: [FakeAgent] = []
    for old in agents {
      var sample = old.sample
      sample.links = [link("eth1", up: false)]
      sample.sessions[0].state = .idle
      adopted.append(try await second.agent(old.name, applied: old.sample.applied, sample: sample))
    }
    let down = await second.controller.converged(timeoutMilliseconds: 3000)
    #expect(down.converged, "\(down.reasons)")
    #expect(await second.controller.status().links.map(\.state) == ["down"])
    for agent in adopted {
      agent.change { sample in
        sample.links = [link("eth1", up: true)]
        sample.sessions[0].state = .established
        sample.activity += 1
      }
    }
    try await second.controller.mend()
    for agent in adopted { try await agent.push() }
    #expect(await second.controller.converged(timeoutMilliseconds: 3000).converged)
    #expect(await second.controller.status().links.map(\.state) == ["up"])
    withExtendedLifetime((first, machineAgain)) {}
  }

  @Test("a node process that is new gets everything again, at the same version")
  func newProcess() async throws {
    let lab = try await FakeLab(pair)
    let machine = try await lab.machine()
    let customer = try await lab.agent("customer")
    let isp = try await lab.agent("isp1")
    #expect(await lab.controller.converged(timeoutMilliseconds: 5000).converged)
    await isp.process?.close()
    let open = await lab.controller.converged(timeoutMilliseconds: 100)
    if !open.converged { #expect(open.reasons.contains("isp1: its agent is not connected")) }
    let again = try await lab.agent("isp1")
    await again.process?.wait { received in
      received.count { if case .desired = $0 { true } else { false } } == 3
    }
    #expect(await again.desired("speaker").map(\.version) == [1])
    #expect(await again.desired("routes").map(\.version) == [1])
    withExtendedLifetime((machine, customer)) {}
  }

  @Test("without its state file it believes the nodes' versions and goes on above them")
  func stateLost() async throws {
    let lab = try await FakeLab(pair)
    let machine = try await lab.machine()
    let customer = try await lab.agent("customer", applied: ["speaker": 4, "routes": 9])
    let isp = try await lab.agent("isp1")
    #expect(await lab.controller.converged(timeoutMilliseconds: 5000).converged)
    #expect(await customer.desired("speaker").map(\.version) == [5])
    #expect(await customer.desired("routes").map(\.version) == [10])
    withExtendedLifetime((machine, isp)) {}
  }
}
