import Foundation
import Lab
import Synchronization
import Testing
import Topology

@testable import Delivery

/// What becomes of runs that fail, are killed or are aborted at a bad moment, and of those that come after them.
@Suite struct RecoveryTests {
  private let scratch = Scratch()
  private let work = FakeWork()

  private var automatic: String { wholeFile.replacingOccurrences(of: "approve: manual", with: "approve: automatic") }
  private func pipelines() -> Pipelines { Pipelines(root: scratch.root, work: work) }
  private func store(_ name: String = "web") throws -> PipelineStore {
    try PipelineStore(scratch.root.folder(of: name))
  }

  /// Begins a run and returns when it is in that stage, where later ones are not held up.
  private func begin(_ text: String, blockedAt stage: Stage) async -> Task<RunRecord, any Error> {
    work.arrange { $0.blocking = stage }
    let before = work.performed.filter { $0 == stage }.count
    let task = Task { [pipelines = pipelines()] in try await pipelines.run(try request(text)) }
    while work.performed.filter({ $0 == stage }).count == before { await Task.yield() }
    work.arrange { $0.blocking = nil }
    return task
  }

  // MARK: the gate

  @Test(arguments: [Stage.source, .build, .push, .verify, .approve])
  func whatIsDoneOnceMoreIsApprovedOnceMore(_ stage: Stage) async throws {
    work.arrange { $0.failures[.deploy] = StageFailure(.stopped, "no") }
    work.arrange { $0.facts[.build] = { $0.approvalAsked = 7 } }
    let first = Task { [pipelines = pipelines()] in try await pipelines.run(try request()) }
    while try store().runs().first?.state != .waiting { await Task.yield() }
    _ = try await pipelines().decide(try scratch.root.find("web"), approved: true, by: "bob", reason: "")
    #expect(try await first.value.state == .stopped)
    work.arrange {
      $0.failures = [:]
      $0.facts = [:]
    }
    let again = Task { [pipelines = pipelines()] in try await pipelines.run(try request(from: stage)) }
    while try store().runs().first.map({ $0.state != .waiting && $0.state != .released }) ?? true { await Task.yield() }
    try #require(try store().runs().first?.state == .waiting)
    let facts = try #require(try store().runs().first?.facts)
    #expect(facts.approval == nil && facts.approvalAsked == nil && work.performed.filter { $0 == .deploy }.count == 1)
    _ = try await pipelines().decide(try scratch.root.find("web"), approved: false, by: "eve", reason: "")
    #expect(try await again.value.state == .stopped)
  }

  @Test func fromDeployTheApprovalStays() async throws {
    work.arrange { $0.failures[.deploy] = StageFailure(.stopped, "no") }
    let first = Task { [pipelines = pipelines()] in try await pipelines.run(try request()) }
    while try store().runs().first?.state != .waiting { await Task.yield() }
    _ = try await pipelines().decide(try scratch.root.find("web"), approved: true, by: "bob", reason: "")
    _ = try await first.value
    work.arrange { $0.failures = [:] }
    let again = try await pipelines().run(try request(from: .deploy))
    #expect(again.state == .released && again.facts.approval?.by == "bob")
  }

  // MARK: production that could not be put back

  @Test func aRollbackThatFailsCanBeResumedAndAborted() async throws {
    work.arrange {
      $0.facts[.deploy] = { $0.deployment = .sample(.ready) }
      $0.facts[.release] = { $0.deployment?.phase = .returning }
      $0.failures[.release] = StageFailure(.stopped, "no sidecar answers")
    }
    let run = try await pipelines().run(try request(automatic))
    #expect(run.state == .interrupted && run.exit == 3)
    #expect(run.reason?.hasPrefix("release: no sidecar answers; production is between two versions") == true)
    let refused = await #expect(throws: LabError.self) { try await pipelines().run(try request(automatic)) }
    #expect(refused?.message.contains("netloom pipeline resume web/1") == true)
    work.arrange { $0.failingReturn = true }
    let failed = try await pipelines().cancel(try scratch.root.find(nil), by: "bob", reason: "")
    #expect(failed.state == .interrupted && failed.reason?.contains("could not be returned") == true)
    // It is not taken for aborted when it goes on.
    work.arrange { $0.failures[.release] = StageFailure(.rolledBack, "p99") }
    work.arrange { $0.facts[.release] = { $0.deployment?.phase = .returned } }
    #expect(try await pipelines().resume(try scratch.root.find(nil)).state == .rolledBack)
  }

  @Test func anAbortThatFailedIsTriedAgain() async throws {
    work.arrange {
      $0.facts[.deploy] = { $0.deployment = .sample(.moving) }
      $0.failingReturn = true
    }
    let task = await begin(automatic, blockedAt: .release)
    task.cancel()
    #expect(try await task.value.state == .interrupted)
    #expect(try await pipelines().cancel(try scratch.root.find(nil), by: "bob", reason: "").state == .interrupted)
    work.arrange { $0.failingReturn = false }
    #expect(try await pipelines().cancel(try scratch.root.find(nil), by: "bob", reason: "").state == .cancelled)
    #expect(work.returned == 1)
  }

  /// A rollback that was refused before it touched anything is over.
  @Test func whatIsOnlyPlannedLeavesNothingHalfWay() async throws {
    work.arrange { $0.facts[.deploy] = { if $0.deployment == nil { $0.deployment = .sample(.moving) } } }
    work.arrange { $0.facts[.release] = { $0.deployment?.phase = .released } }
    _ = try await pipelines().run(try request(automatic))
    work.arrange { $0.failures[.deploy] = StageFailure(.stopped, "no version is free") }
    #expect(try await pipelines().rollback("web", by: "bob", directory: "/tmp").state == .stopped)
    work.arrange { $0.failures = [:] }
    #expect(try await pipelines().run(try request(automatic)).state == .released)
  }

  @Test func fromAStageWaitsForARollbackThatIsHalfWay() async throws {
    work.arrange { $0.facts[.deploy] = { if $0.deployment == nil { $0.deployment = .sample(.moving) } } }
    work.arrange { $0.facts[.release] = { $0.deployment?.phase = .released } }
    _ = try await pipelines().run(try request(automatic))
    work.arrange {
      $0.facts[.deploy] = { $0.deployment = .sample(.ready) }
      $0.facts[.release] = nil
      $0.blocking = .release
    }
    let task = Task { [pipelines = pipelines()] in
      try await pipelines.rollback("web", by: "bob", directory: "/tmp")
    }
    while work.performed.filter({ $0 == .release }).count < 2 { await Task.yield() }
    work.arrange { $0.blocking = nil }
    task.cancel()
    #expect(try await task.value.state == .interrupted)
    let refused = await #expect(throws: LabError.self) {
      try await pipelines().run(try request(automatic, from: .deploy))
    }
    #expect(refused?.message.contains("run 2 stopped while production was between two versions") == true)
  }

  @Test func fromAStageIsKeptWithTheFileThatItRanWith() async throws {
    work.arrange { $0.failures[.verify] = StageFailure(.stopped, "no") }
    _ = try await pipelines().run(try request(automatic))
    let changed = automatic + "\nnotify: [{console: true}]\n"
    let again = try await pipelines().run(try request(changed, from: .verify))
    #expect(again.text == changed)
  }

  // MARK: two pipelines, one service

  @Test func aServiceIsChangedByOnePipelineAtATime() async throws {
    work.arrange { $0.facts[.deploy] = { $0.deployment = .sample(.moving) } }
    let task = await begin(automatic, blockedAt: .release)
    let shop = automatic.replacingOccurrences(of: "name: web", with: "name: shop")
    let other = try await pipelines().run(try request(shop))
    #expect(other.state == .stopped)
    #expect(other.reason?.contains("another pipeline changes service web of lab production") == true)
    #expect(work.performed.filter { $0 == .deploy }.count == 1)
    task.cancel()
    _ = try await task.value
    // Nobody holds it now, but it stands between two versions.
    let later = try await pipelines().run(try request(shop))
    #expect(later.reason?.contains("web/1 has left service web of lab production between two versions") == true)
    _ = try await pipelines().cancel(try scratch.root.find("web/1"), by: "bob", reason: "")
    work.arrange { $0.facts = [:] }
    #expect(try await pipelines().run(try request(shop)).state == .released)
  }

  // MARK: aborting

  @Test func anAbortedRunCanGoOnFromAStage() async throws {
    let task = await begin(automatic, blockedAt: .verify)
    _ = try await pipelines().cancel(try scratch.root.find(nil), by: "bob", reason: "")
    #expect(try await task.value.state == .cancelled)
    // Also where the word came when it was over already.
    try store().cancel(1, because: "too late")
    #expect(try await pipelines().run(try request(automatic, from: .verify)).state == .released)
  }

  @Test func aRollbackThatIsDoneIsNoAbort() async throws {
    work.arrange {
      $0.facts[.deploy] = { $0.deployment = .sample(.returned) }
      $0.toldToStop = StageFailure(.rolledBack, "p99")
    }
    let task = await begin(automatic, blockedAt: .release)
    let run = try await pipelines().cancel(try scratch.root.find(nil), by: "bob", reason: "")
    #expect(run.state == .rolledBack && run.reason == "release: p99")
    #expect(try await task.value.state == .rolledBack)
  }

  // MARK: kills

  /// As a killed process leaves it.
  private func killed(_ change: (inout RunRecord) -> Void = { _ in }) throws -> Int {
    var record = RunRecord(
      number: 0, kind: .delivery, text: automatic, file: "pipeline.yaml", directory: "/tmp", ref: "main",
      startedBy: "ada", state: .running, reason: nil, exit: nil, startedAt: 1, endedAt: nil, facts: RunFacts())
    change(&record)
    return try store().begin(record)
  }

  @Test func aRunThatWasKilledWhileItToldHasItsOutcomeAndTells() async throws {
    let outcome = OutcomeFacts(state: .rolledBack, stage: .release, reason: "release: p99", exit: 1)
    let number = try killed { $0.facts.outcome = outcome }
    let run = try await pipelines().resume(try scratch.root.find("web/\(number)"))
    #expect(run.state == .rolledBack && run.reason == "release: p99" && run.exit == 1)
    #expect(work.performed.isEmpty && work.told.map(\.reason) == ["release: p99"])
    // Once more from a stage it has none yet.
    work.arrange { $0.failures[.source] = StageFailure(.stopped, "no") }
    #expect(try await pipelines().run(try request(automatic, from: .source)).state == .stopped)
  }

  @Test func theOutcomeIsKeptBeforeAnybodyIsTold() async throws {
    work.arrange { $0.failures[.test] = StageFailure(.stopped, "no") }
    _ = try await pipelines().run(try request(automatic))
    #expect(work.kept == [OutcomeFacts(state: .stopped, stage: .test, reason: "test: no", exit: 1)])
  }

  @Test func whatAKilledRunLeftGoesWithTheNextRunOrItsAbort() async throws {
    let (first, second) = (try killed(), try killed())
    #expect(
      try await pipelines().cancel(try scratch.root.find("web/\(second)"), by: "bob", reason: "").state == .cancelled)
    #expect(work.tidied == [second])
    _ = try await pipelines().run(try request(automatic))
    #expect(work.tidied == [second, first])
    #expect(try store().run(first)?.state == .interrupted)
  }

  // MARK: the queue

  @Test func queuedRunsAreSeenAndHaveTheirTurnInOrder() async throws {
    let text = automatic + "\nconcurrency: queue\n"
    let first = await begin(text, blockedAt: .build)
    var tasks: [Task<RunRecord, any Error>] = []
    for count in 2...6 {
      tasks.append(Task { [pipelines = pipelines()] in try await pipelines.run(try request(text)) })
      while try store().runs().count < count { await Task.yield() }
    }
    #expect(try store().runs().map(\.state) == Array(repeating: .queued, count: 5) + [.running])
    // One that nobody waits for any more holds nobody up.
    let dead = try killed { $0.state = .queued }
    let aborted = try await pipelines().cancel(try scratch.root.find("web/2"), by: "bob", reason: "")
    #expect(aborted.state == .cancelled)
    #expect(try await tasks[0].value.state == .cancelled)
    work.arrange { $0.blocking = nil }
    first.cancel()
    _ = try await first.value
    for task in tasks.dropFirst() { #expect(try await task.value.state == .released) }
    let ends = try (3...6).map { try store().run($0)?.endedAt ?? 0 }
    #expect(ends == ends.sorted())
    #expect(try store().run(dead)?.state == .interrupted)
  }

  /// Also at a moment when nobody has the lock: the older one has not looked again yet.
  @Test func aRunLetsThoseBeforeItGoFirst() async throws {
    let folder = scratch.root.folder(of: "web")
    let older = try killed { $0.state = .queued }
    try PipelineFolder.make(folder.run(older))
    guard let waiter = try RunLock.take(path: folder.waiter(older)) else {
      Issue.record("somebody has the lock of a run that nobody waits for")
      return
    }
    let said = Mutex("")
    let pipelines = Pipelines(root: scratch.root, work: work) { event in
      if case .said(_, let text) = event { said.withLock { $0 += text } }
    }
    let task = Task { [automatic] in try await pipelines.run(try request(automatic + "\nconcurrency: queue\n")) }
    while !said.withLock({ $0.contains("run \(older + 1) is queued") }) {
      try #require(try store().run(older + 1)?.state.isOver != true, "it went first")
      await Task.yield()
    }
    #expect(try store().run(older + 1)?.state == .queued && work.performed.isEmpty)
    Self.end(waiter)
    #expect(try await task.value.state == .released)
  }

  private static func end(_ lock: consuming RunLock) {}
}
