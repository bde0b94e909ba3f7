import ControlProtocol
import Controller
import Foundation
import NorthboundAPI
import Testing

@Suite("Going back", .timeLimit(.minutes(1)))
struct RollbackTests {
  private func rollback(_ lab: ChangeLab, to version: Int? = nil) async throws -> ChangeResult {
    try await lab.controller.rollback(RollbackRequest(version: version, author: "ada"))
  }

  private func error(_ body: () async throws -> Void) async -> APIError? {
    do {
      try await body()
      return nil
    } catch {
      return error as? APIError
    }
  }

  /// Waits for the next version; the test's time limit is the only limit.
  private func version(_ number: Int, of lab: ChangeLab) async throws -> VersionEntry {
    var seen: UInt64 = 0
    while true {
      if let entry = try await lab.history().first, entry.version == number { return entry }
      seen = await lab.controller.events(since: seen, waitMilliseconds: 200).last?.number ?? seen
    }
  }

  @Test("makes every node what it was, as a new version")
  func back() async throws {
    let lab = try await ChangeLab()
    let before = (lab.edge.holds, lab.isp.holds)
    _ = try await lab.apply(masqueradeAndFilter)
    #expect(lab.edge.holds != before.0)
    let result = try await rollback(lab)
    #expect((result.version, result.applied) == (3, true))
    #expect((lab.edge.holds, lab.isp.holds) == before)
    let history = try await lab.history()
    #expect(history.map(\.change) == ["rollback to 1", "apply CHANGE.yaml", "up lab.yaml"])
    #expect(history.map(\.current) == [true, false, false])
    #expect(history[0].diff.allSatisfy { $0.contains(": - ") })
  }

  @Test("goes to the version before the current, or to the one that is named")
  func target() async throws {
    let lab = try await ChangeLab()
    _ = try await lab.apply(masquerade)
    _ = try await lab.apply("topology: {nodes: {edge: {nat: null}}}", file: "NONE.yaml")
    #expect(lab.edge.dataPlane?.nat.isEmpty == true)
    #expect(try await rollback(lab).version == 4)
    #expect(lab.edge.dataPlane?.nat.count == 1, "version 2 had it")
    #expect(try await rollback(lab, to: 1).version == 5)
    #expect(lab.edge.dataPlane?.nat.isEmpty == true)
    let unknown = await error { _ = try await self.rollback(lab, to: 9) }
    #expect(unknown == APIError(code: "not-found", message: "no version 9 to go back to: there are 1, 2, 3, 4"))
    let present = await error { _ = try await self.rollback(lab, to: 5) }
    #expect(present?.code == "conflict")
  }

  @Test("from the first version there is nothing to go back to")
  func first() async throws {
    let lab = try await ChangeLab()
    let refused = await error { _ = try await self.rollback(lab) }
    #expect(refused == APIError(code: "not-found", message: "version 1 is the first: there is none before it"))
  }

  @Test("happens by itself when a version is not confirmed in time")
  func expiry() async throws {
    let lab = try await ChangeLab()
    let before = lab.edge.holds
    let result = try await lab.apply(masquerade, confirmWithin: 100)
    #expect(result.confirmBy != nil)
    let entry = try await version(3, of: lab)
    #expect(entry.change == "rollback to 1 (not confirmed within 100 ms)")
    #expect(lab.edge.holds == before)
  }

  @Test("does not happen once it is confirmed; until then other changes wait")
  func confirmed() async throws {
    let lab = try await ChangeLab()
    _ = try await lab.apply(masquerade, confirmWithin: 60_000)
    #expect(try await lab.history().first?.confirmBy != nil)
    let refused = await lab.refusal(masqueradeAndFilter, file: "NEXT.yaml")
    #expect(refused?.code == "conflict")
    #expect(refused?.message.hasPrefix("version 2 (apply CHANGE.yaml by ada) waits to be confirmed until ") == true)
    let entry = try await lab.controller.confirm()
    #expect((entry.version, entry.current, entry.confirmBy) == (2, true, nil))
    let again = await error { _ = try await lab.controller.confirm() }
    #expect(again?.code == "conflict")
    #expect(try await lab.apply(masqueradeAndFilter, file: "NEXT.yaml").version == 3)
  }

  @Test("by hand is taken while a version waits to be confirmed, and ends the waiting")
  func byHand() async throws {
    let lab = try await ChangeLab()
    _ = try await lab.apply(masquerade, confirmWithin: 60_000)
    #expect(try await rollback(lab).version == 3)
    #expect(try await lab.history().allSatisfy { $0.confirmBy == nil })
  }

  @Test("that a node refuses is tried again until it holds, for the promise was made")
  func retried() async throws {
    let lab = try await ChangeLab()
    _ = try await lab.apply(masquerade, confirmWithin: 50)
    lab.edge.behave(.refuse("EBUSY", offender: "", place: ""), in: .prepare)
    var seen: UInt64 = 0
    var told = false
    while !told {
      let events = await lab.controller.events(since: seen, waitMilliseconds: 200)
      told = events.contains { $0.text.hasPrefix("not confirmed, but not rolled back yet: edge refuses: EBUSY") }
      seen = events.last?.number ?? seen
    }
    lab.edge.behave(.obey, in: .prepare)
    #expect(try await version(3, of: lab).current)
  }
}
