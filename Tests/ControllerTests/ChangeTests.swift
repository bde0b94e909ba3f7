import ControlProtocol
import Controller
import Foundation
import NorthboundAPI
import Synchronization
import Testing

@Suite("A change", .timeLimit(.minutes(1)))
struct ChangeTests {
  @Test("is planned rule by rule, and nothing is sent for it")
  func plan() async throws {
    let lab = try await ChangeLab()
    let plan = try await lab.controller.plan(ChangeRequest(file: "CHANGE.yaml", text: masqueradeAndFilter))
    #expect(plan.version == 1)
    #expect(plan.nodes.map(\.node) == ["edge", "isp1"])
    let nat = try #require(plan.nodes.first?.changes.first)
    #expect((nat.action, nat.section) == (.add, "nat"))
    #expect(nat.what.contains("masquerade"))
    #expect(nat.place?.hasPrefix("CHANGE.yaml:3:") == true, "\(nat.place ?? "")")
    #expect(await lab.edge.steps().isEmpty)
    #expect(try await lab.history().map(\.version) == [1])
  }

  @Test("is prepared, committed and settled on the nodes it touches, and on no other")
  func apply() async throws {
    let lab = try await ChangeLab()
    let result = try await lab.apply(masquerade)
    #expect((result.version, result.applied) == (2, true))
    await lab.edge.process?.wait { $0.count { if case .change = $0 { true } else { false } } == 3 }
    #expect(await lab.edge.steps() == [.prepare, .commit, .settle])
    #expect(await lab.isp.steps().isEmpty)
    #expect(lab.edge.dataPlane?.nat.count == 1)
    #expect(lab.edge.dataPlane?.nat.first?.match.out == ["eth1"])
    #expect(await lab.controller.status().version == 2)
    #expect(await lab.controller.converged(timeoutMilliseconds: 3000).converged)
    let history = try await lab.history()
    #expect(history.map(\.version) == [2, 1])
    #expect(history.map(\.current) == [true, false])
    #expect(history.map(\.change) == ["apply CHANGE.yaml", "up lab.yaml"])
    #expect(history.first?.author == "ada")
    #expect(history.first?.diff.count == 1)
    #expect(history.first?.diff.first?.hasPrefix("edge: + nat masquerade") == true, "\(history.first?.diff ?? [])")
    #expect(history.first?.at.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil)
    // Nothing goes out a second time.
    #expect(await lab.edge.desired("data-plane").map(\.version) == [1])
  }

  @Test("that one node refuses to prepare is committed on none, and names node, reason and the user's line")
  func refusedToPrepare() async throws {
    let lab = try await ChangeLab()
    lab.isp.behave(
      .refuse("no such interface", offender: "filter drop in eth1", place: "CHANGE.yaml:5:22"), in: .prepare)
    let before = (lab.edge.holds, lab.isp.holds)
    let error = await lab.refusal(masqueradeAndFilter)
    #expect(error?.code == "refused")
    #expect(
      error?.message
        == "CHANGE.yaml:5:22: isp1 refuses filter drop in eth1: no such interface; nothing was changed on any node")
    #expect(await lab.edge.steps() == [.prepare, .undo])
    #expect(await lab.isp.steps() == [.prepare, .undo])
    #expect((lab.edge.holds, lab.isp.holds) == before)
    #expect(try await lab.history().map(\.version) == [1])
    // The next one is served.
    #expect(try await lab.apply(masquerade).version == 2)
  }

  @Test("that a node does not answer is refused when the time is up", arguments: [NLChange.Step.prepare, .commit])
  func silence(step: NLChange.Step) async throws {
    let lab = try await ChangeLab(limits: StepLimits(step: .seconds(2), undo: .milliseconds(500)))
    let before = lab.edge.holds
    lab.isp.behave(.silence, in: step)
    let error = await lab.refusal(masqueradeAndFilter)
    #expect(error?.message == "isp1 did not answer within 2 s; nothing was changed on any node")
    #expect(lab.edge.holds == before)
    #expect(try await lab.history().map(\.version) == [1])
    #expect(await lab.controller.status().version == 1)
    #expect(await lab.controller.converged(timeoutMilliseconds: 3000).converged)
  }

  @Test("that one node fails to commit is undone on those that have", arguments: [false, true])
  func failedCommit(leaves: Bool) async throws {
    let lab = try await ChangeLab()
    let before = lab.edge.holds
    lab.isp.behave(leaves ? .leave : .refuse("EBUSY", offender: "", place: ""), in: .commit)
    let error = await lab.refusal(masqueradeAndFilter)
    #expect(error?.code == "refused")
    #expect(error?.message.hasPrefix(leaves ? "isp1: its agent went away" : "isp1 refuses: EBUSY") == true)
    #expect(await lab.edge.steps() == [.prepare, .commit, .undo])
    #expect(lab.edge.holds == before)
    #expect(try await lab.history().map(\.version) == [1])
  }

  @Test("whose node committed and died before it could say so is taken back from it when it returns")
  func diedAfterCommit() async throws {
    let lab = try await ChangeLab()
    let before = try #require(lab.isp.dataPlane)
    lab.isp.behave(.obeyAndLeave, in: .commit)
    #expect(await lab.refusal(masqueradeAndFilter)?.code == "refused")
    #expect(lab.isp.dataPlane != before, "it holds the version that nobody else has")
    let applied = try #require(lab.isp.sample.applied["data-plane"])
    try await lab.isp.connect(to: lab.lab.directory)
    await lab.isp.process?.wait { received in
      received.contains { if case .desired(let desired) = $0 { desired.version > applied } else { false } }
    }
    #expect(await lab.controller.converged(timeoutMilliseconds: 3000).converged)
    #expect(lab.isp.dataPlane == before)
  }

  @Test("whose undoing a node does not confirm is taken back from it by a higher version")
  func undoNotConfirmed() async throws {
    let lab = try await ChangeLab(limits: StepLimits(step: .seconds(2), undo: .milliseconds(500)))
    let before = try #require(lab.edge.dataPlane)
    lab.isp.behave(.refuse("EBUSY", offender: "", place: ""), in: .commit)
    lab.edge.behave(.silence, in: .undo)
    #expect(await lab.refusal(masqueradeAndFilter)?.code == "refused")
    #expect(await lab.controller.converged(timeoutMilliseconds: 3000).converged)
    #expect(lab.edge.dataPlane == before)
    #expect(lab.edge.sample.applied["data-plane"] == 3)
  }

  @Test("that would have to reach a node without agent, or a stopped one, is refused by name")
  func unreachable() async throws {
    let lab = try await ChangeLab()
    await lab.isp.process?.close()
    while await lab.controller.events(since: 0, waitMilliseconds: 100).last?.text != "its agent went away" {}
    let gone = await lab.refusal(masqueradeAndFilter)
    #expect(gone?.message == "isp1: its agent is not connected; nothing was changed on any node")
    #expect(await lab.edge.steps().isEmpty)
    try await lab.controller.fault(FaultCommand(kind: "kill", targets: ["isp1"]))
    #expect(await lab.refusal(masqueradeAndFilter)?.message == "isp1 is stopped; nothing was changed on any node")
    // What does not touch it goes on.
    #expect(try await lab.apply(masquerade).applied)
  }

  @Test("that changes nothing makes no version")
  func nothing() async throws {
    let lab = try await ChangeLab()
    #expect(try await lab.apply(masquerade).version == 2)
    let again = try await lab.apply(masquerade, file: "SAME.yaml")
    #expect((again.version, again.applied, again.plan.isEmpty) == (2, false, true))
    #expect(try await lab.history().count == 2)
  }

  @Test("with mistakes touches nothing and tells every one at its place in the CHANGE")
  func invalid() async throws {
    let lab = try await ChangeLab()
    let error = await lab.refusal(
      "topology: {nodes: {edge: {nat: [{masquerade: {out: eth9}}]}, isp9: {filter: []}}}", file: "BAD.yaml")
    #expect(error?.code == "invalid-file")
    #expect((error?.diagnostics?.count ?? 0) >= 2, "\(error?.diagnostics ?? [])")
    #expect(error?.diagnostics?.allSatisfy { $0.hasPrefix("BAD.yaml:1:") } == true)
    #expect(await lab.edge.steps().isEmpty)
    #expect(try await lab.history().count == 1)
  }

  @Test("by dry run is prepared everywhere and forgotten")
  func dryRun() async throws {
    let lab = try await ChangeLab()
    let result = try await lab.apply(masqueradeAndFilter, dryRun: true)
    #expect((result.version, result.applied) == (1, false))
    #expect(result.plan.nodes.count == 2)
    #expect(await lab.edge.steps() == [.prepare, .undo])
    #expect(try await lab.history().count == 1)
  }

  @Test("is told to wait for the one under way, by name")
  func concurrent() async throws {
    let lab = try await ChangeLab(limits: StepLimits(step: .seconds(2), undo: .milliseconds(500)))
    lab.isp.behave(.silence, in: .prepare)
    async let first = lab.refusal(masqueradeAndFilter)
    await lab.isp.process?.wait { $0.contains { if case .change = $0 { true } else { false } } }
    let second = await lab.refusal(masquerade, file: "OTHER.yaml")
    #expect(second?.code == "conflict")
    #expect(second?.message == "apply CHANGE.yaml by ada is under way; try again when it has ended")
    #expect(await first?.code == "refused")
  }

  @Test("gives a host an agent before it gives it rules; the host's routes go first")
  func host() async throws {
    let lab = try await FakeLab(edgeLab)
    let host = FakeAgent(name: "h1", applied: [:], sample: lab.quietSample(of: "h1"))
    let machine = try await lab.machine { command in
      if command.startAgent.node == "h1" { Task { try await host.connect(to: lab.directory) } }
      return NLMachineReply()
    }
    let routers = [try await lab.agent("edge"), try await lab.agent("isp1")]
    #expect(await lab.controller.converged(timeoutMilliseconds: 10_000).converged)
    let text = "topology: {nodes: {h1: {filter: [{match: {proto: tcp, port: 22}, then: drop}]}}}"
    let result = try await lab.controller.apply(ChangeRequest(file: "C.yaml", text: text))
    #expect(result.applied)
    #expect(host.dataPlane?.filter.count == 1)
    guard case .routes(let routes) = host.holds["routes"] else {
      Issue.record("the host has no routes")
      return
    }
    #expect(routes.routes.contains { $0.prefix.length == 0 }, "its default route")
    #expect(await lab.controller.converged(timeoutMilliseconds: 3000).converged)
    // Its agent stays when the rules go, and so do its routes.
    #expect(try await lab.controller.rollback(RollbackRequest()).applied)
    #expect(host.dataPlane?.filter.isEmpty == true)
    #expect(host.holds["routes"] == .routes(routes))
    withExtendedLifetime((machine, routers)) {}
  }

  @Test("by dry run asks a host's kernel too, which needs an agent for it; where that does not come it is refused")
  func dryRunOfAHost() async throws {
    let lab = try await FakeLab(edgeLab, limits: StepLimits(step: .seconds(2), undo: .milliseconds(500)))
    let host = FakeAgent(name: "h1", applied: [:], sample: lab.quietSample(of: "h1"))
    let comes = Mutex(false)
    let machine = try await lab.machine { command in
      if command.startAgent.node == "h1", comes.withLock({ $0 }) { Task { try await host.connect(to: lab.directory) } }
      return NLMachineReply()
    }
    let routers = [try await lab.agent("edge"), try await lab.agent("isp1")]
    #expect(await lab.controller.converged(timeoutMilliseconds: 10_000).converged)
    let request = ChangeRequest(
      file: "C.yaml", text: "topology: {nodes: {h1: {congestion: nosuch}}}", author: "ada", dryRun: true)
    let unasked = await #expect(throws: APIError.self) { _ = try await lab.controller.apply(request) }
    #expect(unasked?.message.hasPrefix("h1: its agent ") == true, "\(unasked?.message ?? "")")
    comes.withLock { $0 = true }
    host.behave(
      .refuse("no such algorithm", offender: "congestion nosuch", place: "C.yaml:1:26"), in: .prepare)
    let refused = await #expect(throws: APIError.self) { _ = try await lab.controller.apply(request) }
    #expect(
      refused?.message
        == "C.yaml:1:26: h1 refuses congestion nosuch: no such algorithm; nothing was changed on any node")
    #expect(await host.steps() == [.prepare, .undo])
    #expect(try await lab.controller.history(limit: 10, offset: 0).count == 1)
    withExtendedLifetime((machine, routers)) {}
  }

  @Test("keeps of earlier ones only what still says something, and every version can be gone back to")
  func layers() async throws {
    let lab = try await ChangeLab()
    func filter(_ port: Int) -> String { "edge: {filter: [{match: {proto: tcp, port: \(port)}, then: drop}]}" }
    for port in 1...5 { _ = try await lab.apply("topology: {nodes: {\(filter(port))}}") }
    _ = try await lab.apply("topology: {nodes: {isp1: {networks: [192.0.2.0/24]}}}")
    _ = try await lab.apply("topology: {nodes: {edge: {filter: null}}}")
    // By version: the topology file and what lies over it.
    #expect(try await lab.layers() == [[1], [1, 2], [1, 3], [1, 4], [1, 5], [1, 6], [1, 6, 7], [1, 7]])
    #expect(lab.edge.dataPlane?.filter.isEmpty == true)
    #expect(try await lab.controller.rollback(RollbackRequest(version: 4)).version == 9)
    #expect(lab.edge.dataPlane?.filter.first?.match.ports.map(\.first) == [3])
    #expect(try await lab.layers().last == [1, 4])
  }

  @Test("is not mixed with a link that goes down meanwhile: its routes follow when it has ended")
  func linkEvent() async throws {
    let lab = try await ChangeLab(limits: StepLimits(step: .seconds(2), undo: .milliseconds(500)))
    lab.isp.behave(.silence, in: .commit)
    async let refused = lab.refusal(masqueradeAndFilter)
    await lab.isp.process?.wait {
      $0.contains { if case .change(let change) = $0 { change.step == .commit } else { false } }
    }
    lab.edge.change { $0.links = [link("eth1", up: true), link("eth2", up: false)] }
    try await lab.edge.push()
    #expect(await lab.controller.status().links.map(\.state) == ["up", "up"])
    #expect(await refused?.code == "refused")
    #expect(await lab.controller.status().links.map(\.state) == ["down", "up"])
  }
}
