import ControlProtocol
import Controller
import Foundation
import NorthboundAPI
import Testing

/// A controller that dies in the middle of a change: the next one is made on the same run directory while the first
/// still waits for its answer, which it never gets.
@Suite("A controller that dies in a change", .timeLimit(.minutes(1)))
struct InterruptionTests {
  private let patient = StepLimits(step: .seconds(50), undo: .milliseconds(50))

  /// The old processes again, at a controller that takes over.
  private struct Successor {
    let lab: FakeLab
    let machine: FakeProcess

    init(of old: ChangeLab) async throws {
      // What the dead leave open closes.
      await old.machine.close()
      await old.edge.process?.close()
      await old.isp.process?.close()
      lab = try await FakeLab(edgeLab, in: old.lab.directory)
      machine = try await lab.machine()
      old.edge.behave(.obey, in: .commit)
      old.isp.behave(.obey, in: .commit)
      try await old.edge.connect(to: lab.directory)
      try await old.isp.connect(to: lab.directory)
    }
  }

  private func rows(_ lab: ChangeLab) async throws -> String {
    try await lab.python(
      """
      import sqlite3, sys
      rows = sqlite3.connect(sys.argv[1]).execute("SELECT version, state FROM versions ORDER BY version")
      print(" ".join(f"{version}:{state}" for version, state in rows))
      """)
  }

  @Test("before all have prepared leaves the version that stood")
  func whilePreparing() async throws {
    let old = try await ChangeLab(limits: patient)
    let before = (old.edge.holds, old.isp.holds)
    old.isp.behave(.silence, in: .prepare)
    let asked = Task { await old.refusal(masqueradeAndFilter) }
    await old.isp.process?.wait { $0.contains { if case .change = $0 { true } else { false } } }
    #expect(try await rows(old) == "1:current")
    let new = try await Successor(of: old)
    #expect(await new.lab.controller.converged(timeoutMilliseconds: 5000).converged)
    #expect((old.edge.holds, old.isp.holds) == before)
    #expect(try await new.lab.controller.history(limit: 10, offset: 0).map(\.version) == [1])
    _ = await asked.value
  }

  @Test("while nodes commit brings every node back to the version that stood, and the history says so")
  func whileCommitting() async throws {
    let old = try await ChangeLab(limits: patient)
    let before = (old.edge.holds, old.isp.holds)
    old.isp.behave(.silence, in: .commit)
    let asked = Task { await old.refusal(masqueradeAndFilter) }
    await old.isp.process?.wait {
      $0.contains { if case .change(let change) = $0 { change.step == .commit } else { false } }
    }
    await old.edge.process?.wait {
      $0.contains { if case .change(let change) = $0 { change.step == .commit } else { false } }
    }
    #expect(try await rows(old) == "1:current 2:prepared")
    #expect(old.edge.holds != before.0, "one node has it already")
    // The first controller's own undoing must not do the work of the second.
    old.edge.behave(.leave, in: .undo)
    let new = try await FakeLab(edgeLab, in: old.lab.directory)
    #expect(try await rows(old) == "1:current 2:failed")
    await old.edge.process?.close()
    await old.isp.process?.close()
    let machine = try await new.machine()
    try await old.edge.connect(to: new.directory)
    try await old.isp.connect(to: new.directory)
    let convergence = await new.controller.converged(timeoutMilliseconds: 5000)
    #expect(convergence.converged, "\(convergence.reasons)")
    #expect((old.edge.holds, old.isp.holds) == before)
    let history = try await new.controller.history(limit: 10, offset: 0)
    #expect(history.first { $0.current }?.version == 1)
    #expect(history.first?.change == "apply CHANGE.yaml interrupted; version 1 stands")
    let told = await new.controller.events(since: 0, waitMilliseconds: 0)
    #expect(told.contains { $0.text == "apply CHANGE.yaml interrupted; version 1 stands" })
    // Nobody can go to a version that never stood.
    #expect(await new.controller.status().version == 1)
    _ = await asked.value
    withExtendedLifetime(machine) {}
  }

  @Test("after the change is done finds the new version, and has nothing to send")
  func afterwards() async throws {
    let old = try await ChangeLab()
    _ = try await old.apply(masqueradeAndFilter)
    let after = (old.edge.holds, old.isp.holds)
    #expect(try await rows(old) == "1:past 2:current")
    let new = try await Successor(of: old)
    #expect(await new.lab.controller.converged(timeoutMilliseconds: 5000).converged)
    #expect((old.edge.holds, old.isp.holds) == after)
    #expect(await new.lab.controller.status().version == 2)
    #expect(await old.edge.desired("data-plane").isEmpty)
    #expect(try await new.lab.controller.rollback(RollbackRequest()).version == 3)
    #expect(old.edge.dataPlane?.nat.isEmpty == true)
  }

  @Test("while a version waits to be confirmed: its successor keeps the time, and rolls back")
  func unconfirmed() async throws {
    let old = try await ChangeLab()
    let before = old.edge.holds
    _ = try await old.apply(masquerade, confirmWithin: 60_000)
    #expect(old.edge.holds != before)
    // The time passes while no controller runs.
    try await old.python(
      """
      import sqlite3, sys
      base = sqlite3.connect(sys.argv[1])
      base.execute("UPDATE versions SET confirm_by = at + 1 WHERE state = 'current'")
      base.commit()
      """)
    let new = try await Successor(of: old)
    var seen: UInt64 = 0
    while await new.lab.controller.status().version != 3 {
      seen = await new.lab.controller.events(since: seen, waitMilliseconds: 200).last?.number ?? seen
    }
    #expect(old.edge.holds == before)
  }
}
