import Foundation
import Lab
import Testing
import Topology

@testable import Delivery

private let all: [Stage] = [
  .source, .build, .test, .merge, .package, .tag, .push, .verify, .approve, .deploy, .release,
]

@Suite struct EngineTests {
  private let scratch = Scratch()
  private let work = FakeWork()

  private var automatic: String { wholeFile.replacingOccurrences(of: "approve: manual", with: "approve: automatic") }
  private func pipelines() -> Pipelines { Pipelines(root: scratch.root, work: work) }
  private func store() throws -> PipelineStore { try PipelineStore(scratch.root.folder(of: "web")) }

  @Test func stagesRunInTheirOrderAndTheRunIsReleased() async throws {
    let run = try await pipelines().run(try request(automatic))
    #expect(run.state == .released && run.exit == 0 && run.reason == nil)
    #expect(work.performed == all.filter { $0 != .approve })
    #expect(work.told.map(\.state) == [.released])
    let stages = try store().stages(of: run.number)
    #expect(stages.map(\.stage) == all.filter { $0 != .approve } + [.notify])
    #expect(stages.allSatisfy { $0.state == .done && $0.attempt == 1 && $0.seconds != nil })
    #expect(stages.allSatisfy { FileManager.default.fileExists(atPath: $0.log) })
  }

  @Test(arguments: all.filter { $0 != .approve })
  func afterAFailureNothingFollowsButTheNotice(_ stage: Stage) async throws {
    work.arrange { $0.failures[stage] = StageFailure(.stopped, "no") }
    let run = try await pipelines().run(try request(automatic))
    #expect(run.state == .stopped && run.exit == 1 && run.reason == "\(stage.rawValue): no")
    #expect(work.performed.last == stage)
    #expect(work.told == [RunOutcome(state: .stopped, stage: stage, reason: "\(stage.rawValue): no")])
  }

  @Test(arguments: [
    (StageFailure.Ending.environment, RunRecord.State.stopped, Int32(3)), (.rolledBack, .rolledBack, 1),
  ])
  func theEndingSaysHowTheCommandEnds(_ ending: StageFailure.Ending, _ state: RunRecord.State, _ exit: Int32)
    async throws
  {
    work.arrange { $0.failures[.release] = StageFailure(ending, "no") }
    let run = try await pipelines().run(try request(automatic))
    #expect(run.state == state && run.exit == exit)
  }

  /// The store as a killed process leaves it: the run and its stage are marked as under way, and nobody has the lock.
  @Test(arguments: all)
  func aRunThatWasKilledGoesOnWithTheStageThatItWasIn(_ stage: Stage) async throws {
    let store = try store()
    var record = RunRecord(
      number: 0, kind: .delivery, text: automatic, file: "pipeline.yaml", directory: "/tmp", ref: "main",
      startedBy: "ada",
      state: .running, reason: nil, exit: nil, startedAt: 1, endedAt: nil, facts: RunFacts())
    if stage == .approve { record.text = wholeFile }
    record.facts.tests = TestFacts(total: 7, failed: [], attempts: 1)
    let number = try store.begin(record)
    let folder = scratch.root.folder(of: "web")
    for earlier in all.prefix(while: { $0 != stage }) {
      try store.begin(earlier, of: number, log: folder.log(earlier, of: number), at: 1)
      try store.end(earlier, of: number, .done, seconds: 1, reason: nil, artifacts: [])
    }
    try store.begin(stage, of: number, log: folder.log(stage, of: number), at: 1)
    if stage == .approve {
      try store.decide(ApprovalFacts(approved: true, by: "bob", reason: "fine", at: 2), of: number)
    }
    let run = try await pipelines().resume(try scratch.root.find("web/\(number)"))
    #expect(run.state == .released, "\(run.reason ?? "")")
    #expect(work.performed.first == stage)
    #expect(work.performed.count == all.drop { $0 != stage }.filter { $0 != .approve || stage == .approve }.count)
    #expect(try store.stages(of: number).first { $0.stage == stage }?.attempt == 2)
    #expect(run.facts.tests?.total == 7)
  }

  @Test func aRunThatIsInterruptedSaysWhereAndResumesThere() async throws {
    work.arrange { $0.blocking = .verify }
    let text = automatic
    let task = Task { [pipelines = pipelines()] in try await pipelines.run(try request(text)) }
    while !work.performed.contains(.verify) { await Task.yield() }
    task.cancel()
    let run = try await task.value
    #expect(run.state == .interrupted && run.reason?.contains("verify") == true)
    #expect(work.told.isEmpty)
    work.arrange { $0.blocking = nil }
    let resumed = try await pipelines().resume(try scratch.root.find(nil))
    #expect(resumed.state == .released && resumed.number == run.number)
    #expect(work.performed.filter { $0 == .verify }.count == 2 && work.performed.filter { $0 == .build }.count == 1)
  }

  @Test func fromAStageGoesOnWithTheLastRun() async throws {
    work.arrange { $0.failures[.verify] = StageFailure(.stopped, "no") }
    let first = try await pipelines().run(try request(automatic))
    work.arrange { $0.failures = [:] }
    let again = try await pipelines().run(try request(automatic, from: .push))
    #expect(again.number == first.number && again.state == .released)
    #expect(work.performed.filter { $0 == .push }.count == 2 && work.performed.filter { $0 == .tag }.count == 1)
  }

  @Test func fromAStageThatIsTooFarIsRefused() async throws {
    work.arrange { $0.failures[.test] = StageFailure(.stopped, "no") }
    _ = try await pipelines().run(try request(automatic))
    let error = await #expect(throws: LabError.self) { try await pipelines().run(try request(automatic, from: .push)) }
    #expect(error?.message.contains("has not done test") == true)
    let other = await #expect(throws: LabError.self) {
      try await pipelines().run(try request(automatic, ref: "v2", from: .test))
    }
    #expect(other?.message.contains("run 1 was of main") == true)
  }

  // MARK: the gate

  @Test(arguments: [true, false])
  func aGateWaitsForSomebody(_ approved: Bool) async throws {
    let task = Task { [pipelines = pipelines()] in try await pipelines.run(try request()) }
    while try store().runs().first?.state != .waiting { await Task.yield() }
    let reference = try scratch.root.find("web")
    let answer = try await pipelines().decide(reference, approved: approved, by: "bob", reason: "because")
    #expect(answer == nil)
    let run = try await task.value
    #expect(run.facts.approval?.by == "bob" && run.facts.approval?.reason == "because")
    #expect(run.state == (approved ? .released : .stopped))
    #expect(work.performed.contains(.deploy) == approved)
  }

  @Test func aGateExpires() async throws {
    let text = wholeFile.replacingOccurrences(of: "approve: manual", with: "approve: {manual: {expires: 10ms}}")
    let run = try await pipelines().run(try request(text))
    #expect(run.state == .stopped && run.reason == "approve: nobody approved it in time")
  }

  @Test func approvingARunThatNobodyRunsGoesOnWithIt() async throws {
    let task = Task { [pipelines = pipelines()] in try await pipelines.run(try request()) }
    while try store().runs().first?.state != .waiting { await Task.yield() }
    task.cancel()
    _ = try await task.value
    let run = try await pipelines().decide(try scratch.root.find(nil), approved: true, by: "bob", reason: "")
    #expect(run?.state == .released)
  }

  // MARK: several at once

  @Test func aSecondRunIsRefused() async throws {
    work.arrange { $0.blocking = .build }
    let text = automatic
    let task = Task { [pipelines = pipelines()] in try await pipelines.run(try request(text)) }
    while !work.performed.contains(.build) { await Task.yield() }
    let error = await #expect(throws: LabError.self) { try await pipelines().run(try request(automatic)) }
    #expect(error?.kind == .didNotHold && error?.message.contains("run 1 of main is under way") == true)
    task.cancel()
    _ = try await task.value
  }

  @Test func aSecondRunIsQueuedWhereTheFileSaysSo() async throws {
    work.arrange { $0.blocking = .build }
    let text = automatic + "\nconcurrency: queue\n"
    let first = Task { [pipelines = pipelines()] in try await pipelines.run(try request(text)) }
    while !work.performed.contains(.build) { await Task.yield() }
    let second = Task { [pipelines = pipelines()] in try await pipelines.run(try request(text)) }
    work.arrange { $0.blocking = nil }
    first.cancel()
    _ = try await first.value
    #expect(try await second.value.state == .released)
  }

  // MARK: production

  @Test func aRunThatLeftProductionHalfWayComesFirst() async throws {
    work.arrange {
      $0.facts[.deploy] = { $0.deployment = .sample(.ready) }
      $0.blocking = .release
    }
    let text = automatic
    let task = Task { [pipelines = pipelines()] in try await pipelines.run(try request(text)) }
    while !work.performed.contains(.release) { await Task.yield() }
    task.cancel()
    _ = try await task.value
    let error = await #expect(throws: LabError.self) { try await pipelines().run(try request(automatic)) }
    #expect(error?.message.contains("netloom pipeline abort web/1") == true)
    let cancelled = try await pipelines().cancel(try scratch.root.find(nil), by: "bob", reason: "enough")
    #expect(cancelled.state == .cancelled && cancelled.reason == "release: cancelled by bob: enough")
    #expect(work.returned == 1)
    work.arrange { $0.blocking = nil }
    #expect(try await pipelines().run(try request(automatic)).state == .released)
  }

  @Test func cancellingARunThatRunsPutsProductionBack() async throws {
    work.arrange {
      $0.facts[.deploy] = { $0.deployment = .sample(.moving) }
      $0.blocking = .release
    }
    let text = automatic
    let task = Task { [pipelines = pipelines()] in try await pipelines.run(try request(text)) }
    while !work.performed.contains(.release) { await Task.yield() }
    let record = try await pipelines().cancel(try scratch.root.find(nil), by: "bob", reason: "")
    #expect(record.state == .cancelled && work.returned == 1)
    #expect(try await task.value.state == .cancelled)
    #expect(work.told.map(\.state) == [.cancelled])
  }

  @Test func aRollbackGoesToWhatServedBeforeAndBackAgain() async throws {
    work.arrange { $0.facts[.deploy] = { if $0.deployment == nil { $0.deployment = .sample(.moving) } } }
    work.arrange { $0.facts[.release] = { $0.deployment?.phase = .released } }
    _ = try await pipelines().run(try request(automatic))
    let back = try await pipelines().rollback("web", by: "bob", directory: "/tmp")
    #expect(back.state == .released && back.kind == .rollback)
    #expect(back.facts.deployment?.slot == "blue" && back.facts.deployment?.serving == "green")
    #expect(back.facts.deployment?.image == "registry:5000/web@sha256:old")
    let forth = try await pipelines().rollback("web", by: "bob", directory: "/tmp")
    #expect(forth.facts.deployment?.slot == "green" && forth.facts.deployment?.image == "registry:5000/web@sha256:new")
    #expect(work.performed.suffix(4) == [.deploy, .release, .deploy, .release])
  }

  @Test func withoutAReleaseThereIsNothingToRollBack() async throws {
    work.arrange { $0.failures[.build] = StageFailure(.stopped, "no") }
    _ = try await pipelines().run(try request(automatic))
    let error = await #expect(throws: LabError.self) {
      try await pipelines().rollback("web", by: "bob", directory: "/tmp")
    }
    #expect(error?.message.contains("nothing of pipeline web is released") == true)
  }
}
