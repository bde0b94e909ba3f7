import ControlProtocol
import Controller
import NorthboundAPI
import Testing

/// Two ASes and one link.
let pair = """
  name: pair
  topology:
    nodes:
      customer: {kind: router, asn: 64500, networks: [203.0.113.0/24]}
      isp1: {kind: router, asn: 64496, networks: [192.0.2.0/24]}
    links:
      - {endpoints: ["customer:eth1", "isp1:eth1"], relation: customer-provider}
  """

@Suite("Converged", .timeLimit(.minutes(1)))
struct ConvergenceTests {
  @Test("a quiet lab is converged by counters, after two waves and no timer")
  func quiet() async throws {
    var waves: [Int] = []
    // On a machine that is busy otherwise the timer may come first: one lab without it is enough.
    for _ in 0..<10 where waves != [2, 2] {
      let lab = try await FakeLab(pair)
      let machine = try await lab.machine()
      let agents = [try await lab.agent("customer"), try await lab.agent("isp1")]
      let answer = await lab.controller.converged(timeoutMilliseconds: 5000)
      #expect(answer.converged, "\(answer.reasons)")
      #expect(answer.convergedBy == .counters)
      #expect(answer.afterMs != nil)
      waves = []
      for agent in agents {
        waves.append(await agent.process?.received.count { if case .sampleRequest = $0 { true } else { false } } ?? 0)
      }
      withExtendedLifetime((machine, agents)) {}
    }
    #expect(waves == [2, 2])
  }

  @Test("without the machine's word that the lab stands nothing is converged")
  func notBuilt() async throws {
    let lab = try await FakeLab(pair)
    let agents = [try await lab.agent("customer"), try await lab.agent("isp1")]
    let answer = await lab.controller.converged(timeoutMilliseconds: 150)
    #expect(!answer.converged)
    #expect(answer.reasons == ["the machine is still building the lab"])
    withExtendedLifetime(agents) {}
  }

  @Test("an UPDATE that was sent but not processed is under way")
  func underWay() async throws {
    let lab = try await FakeLab(pair)
    let machine = try await lab.machine()
    var behind = lab.quietSample(of: "isp1")
    behind.sessions[0].updatesProcessed = 4
    let isp = try await lab.agent("isp1", sample: behind)
    let customer = try await lab.agent("customer")
    let expected = ["customer → isp1: 5 UPDATEs sent, 4 processed"]
    let answer = await lab.notConverged(because: expected)
    #expect(!answer.converged)
    #expect(answer.reasons == expected)
    // The last one is processed; the node pushes because it became idle.
    isp.change { sample in
      sample.sessions[0].updatesProcessed = 5
      sample.activity += 1
    }
    try await isp.push()
    #expect(await lab.controller.converged(timeoutMilliseconds: 5000).converged)
    withExtendedLifetime((machine, customer)) {}
  }

  @Test("equal totals do not hide one session that lags")
  func totals() async throws {
    let lab = try await FakeLab(pair)
    let machine = try await lab.machine()
    var ahead = lab.quietSample(of: "customer")
    ahead.sessions[0].updatesSent = 6
    ahead.sessions[0].updatesProcessed = 6
    let agents = [try await lab.agent("customer", sample: ahead), try await lab.agent("isp1")]
    let expected = ["customer → isp1: 6 UPDATEs sent, 5 processed", "isp1 → customer: 5 UPDATEs sent, 6 processed"]
    let answer = await lab.notConverged(because: expected)
    #expect(!answer.converged)
    #expect(answer.reasons == expected)
    withExtendedLifetime((machine, agents)) {}
  }

  @Test("two ends that hold different TCP connections are no session")
  func fourTuple() async throws {
    let lab = try await FakeLab(pair)
    let machine = try await lab.machine()
    var stale = lab.quietSample(of: "isp1")
    stale.sessions[0].localPort = 40_001
    let agents = [try await lab.agent("customer"), try await lab.agent("isp1", sample: stale)]
    let answer = await lab.controller.converged(timeoutMilliseconds: 300)
    #expect(!answer.converged)
    #expect(answer.reasons.contains("customer ↔ isp1: the two ends hold different TCP connections"))
    withExtendedLifetime((machine, agents)) {}
  }

  @Test("activity that moves between the two waves is no proof")
  func moved() async throws {
    let lab = try await FakeLab(pair)
    let machine = try await lab.machine()
    let customer = try await lab.agent("customer")
    let isp = FakeAgent(name: "isp1", applied: [:], sample: lab.quietSample(of: "isp1"))
    // Every sample of the first 40 shows another number: whatever happens between two waves is seen.
    isp.next(
      (0..<40).map { index in
        var sample = lab.quietSample(of: "isp1")
        sample.activity = UInt64(100 + index)
        return sample
      })
    isp.change { $0.activity = 500 }
    try await isp.connect(to: lab.directory)
    #expect(await lab.controller.converged(timeoutMilliseconds: 5000).converged)
    let waves = await isp.process?.received.filter { if case .sampleRequest = $0 { true } else { false } }.count ?? 0
    #expect(waves >= 42, "40 moving samples and two that agree")
    withExtendedLifetime((machine, customer)) {}
  }

  @Test("a session that is down is named with its error")
  func down() async throws {
    let lab = try await FakeLab(pair)
    let machine = try await lab.machine()
    var active = lab.quietSample(of: "customer")
    active.sessions[0].state = .active
    active.sessions[0].lastError = "connection refused"
    let agents = [try await lab.agent("customer", sample: active), try await lab.agent("isp1")]
    let answer = await lab.controller.converged(timeoutMilliseconds: 200)
    #expect(!answer.converged)
    #expect(answer.reasons.contains("customer ↔ isp1: active, connection refused"))
    withExtendedLifetime((machine, agents)) {}
  }

  @Test("a busy node, a kernel that lags and an End-of-RIB that was promised each keep it open")
  func unfinished() async throws {
    let lab = try await FakeLab(pair)
    let machine = try await lab.machine()
    let customer = try await lab.agent("customer")
    var sample = lab.quietSample(of: "isp1")
    sample.idle = false
    sample.busyBecause = "fib"
    let isp = try await lab.agent("isp1", sample: sample)
    let busy = ["isp1: busy (fib)"]
    #expect(await lab.notConverged(because: busy).reasons == busy)
    isp.change { sample in
      sample.idle = true
      sample.fibVersion = 2
    }
    try await isp.push()
    let lagging = ["isp1: the kernel has acknowledged RIB version 2 of 3"]
    #expect(await lab.notConverged(because: lagging).reasons == lagging)
    isp.change { sample in
      sample.fibVersion = 3
      sample.sessions[0].peerSendsEor = true
      sample.sessions[0].families = [NLFamilyState()]
    }
    try await isp.push()
    let promised = ["isp1 ↔ customer: End-of-RIB not received yet"]
    #expect(await lab.notConverged(because: promised).reasons == promised)
    isp.change { $0.sessions[0].families[0].eorReceived = true }
    try await isp.push()
    #expect(await lab.controller.converged(timeoutMilliseconds: 5000).converged)
    withExtendedLifetime((machine, customer)) {}
  }

  @Test("a refused version is a visible reason")
  func refused() async throws {
    let lab = try await FakeLab(pair)
    let machine = try await lab.machine()
    let customer = FakeAgent(name: "customer", applied: [:], sample: lab.quietSample(of: "customer"))
    customer.refuse("no such policy")
    try await customer.connect(to: lab.directory)
    let isp = try await lab.agent("isp1")
    let expected = ["customer: data-plane version 1 refused, neighbor isp1: no such policy"]
    let answer = await lab.notConverged(because: expected)
    #expect(!answer.converged)
    #expect(answer.reasons == expected)
    withExtendedLifetime((machine, isp)) {}
  }

  @Test("a real daemon is judged by our end, and only after a second of quiet")
  func daemon() async throws {
    let lab = try await FakeLab(
      """
      name: daemon
      topology:
        nodes:
          r1: {kind: router, asn: 64500}
          edge: {kind: bird, asn: 64498, config: bird.conf}
        links:
          - {endpoints: ["r1:eth1", "edge:eth1"], relation: open, addresses: [[10.9.0.1/30], [10.9.0.2/30]]}
      """)
    let machine = try await lab.machine()
    let agents = [try await lab.agent("r1"), try await lab.agent("edge")]
    let start = ContinuousClock.now
    let quiet = ["waiting until it was quiet for 1 s"]
    #expect(await lab.notConverged(because: quiet).reasons == quiet)
    // Something happens: the second starts again.
    agents[0].change { $0.activity += 1 }
    try await agents[0].push()
    let moved = ContinuousClock.now
    let answer = await lab.controller.converged(timeoutMilliseconds: 5000)
    #expect(answer.converged, "\(answer.reasons)")
    #expect(answer.convergedBy == .quiet)
    #expect(ContinuousClock.now - moved >= .seconds(1))
    #expect(ContinuousClock.now - start < .seconds(3))
    withExtendedLifetime(machine) {}
  }

  @Test("a new UPDATE ends a converged state until it is proven again")
  func disturbed() async throws {
    let lab = try await FakeLab(pair)
    let machine = try await lab.machine()
    let customer = try await lab.agent("customer")
    let isp = try await lab.agent("isp1")
    #expect(await lab.controller.converged(timeoutMilliseconds: 5000).converged)
    isp.change { sample in
      sample.activity += 1
      sample.idle = false
      sample.busyBecause = "output"
    }
    try await isp.push()
    while await lab.controller.status().converged { await Task.yield() }
    #expect(await lab.controller.status().notConverged == ["isp1: busy (output)"])
    isp.change { $0.idle = true }
    try await isp.push()
    #expect(await lab.controller.converged(timeoutMilliseconds: 5000).converged)
    withExtendedLifetime((machine, customer)) {}
  }

  @Test("a prefix that keeps changing is reported as oscillating, with its node")
  func oscillating() async throws {
    let lab = try await FakeLab(pair)
    let machine = try await lab.machine()
    let customer = try await lab.agent("customer")
    var busy = lab.quietSample(of: "isp1")
    busy.idle = false
    busy.busyBecause = "output"
    let isp = try await lab.agent("isp1", sample: busy)
    var event = NLEvent()
    event.kind = "route"
    event.subject = "203.0.113.0/24"
    for _ in 0..<9 { try await isp.process?.send(.event(event)) }
    let answer = await lab.controller.converged(timeoutMilliseconds: 200)
    #expect(!answer.converged)
    #expect(answer.reasons.last == "isp1: 203.0.113.0/24 is oscillating (changed 9 times)")
    withExtendedLifetime((machine, customer)) {}
  }
}
