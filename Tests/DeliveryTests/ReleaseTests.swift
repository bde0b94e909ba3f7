import Foundation
import NorthboundAPI
import Synchronization
import Testing
import Topology

@testable import Delivery

private let judged = wholeFile.replacingOccurrences(
  of: "release: {hold: 1s}",
  with: """
    release:
      steps: [10, 50, 100]
      hold: 1ms
      analysis: {success-rate: ">= 99%", p99: "<= 200ms", network: {path: unchanged, loss: "<= 1%"}}
    """)

@Suite struct ReleaseTests {
  private let scratch = Scratch()
  private let lab = FakeProduction()

  private func deploy(_ run: RunContext) async throws {
    let deploy = try #require(run.pipeline.deploy)
    try await DeployStage(run: run, lab: lab, deploy: deploy).perform()
  }

  private func stage(_ run: RunContext) throws -> ReleaseStage {
    ReleaseStage(
      run: run, lab: lab, deploy: try #require(run.pipeline.deploy), release: try #require(run.pipeline.release))
  }

  private func release(_ run: RunContext) async throws { try await stage(run).perform() }

  @Test func aGoodVersionGetsMoreAndMoreRequests() async throws {
    lab.arrange { $0.views = [0: ["blue": .of(100)], 10: ["blue": .of(90), "green": .of(10)]] }
    lab.arrange { $0.views[50] = ["blue": .of(50), "green": .of(50)] }
    lab.arrange { $0.views[100] = ["green": .of(100)] }
    let run = try deployable(scratch, judged)
    try await deploy(run)
    try await release(run)
    #expect(
      lab.deeds == ["web-2 runs web@new", "split blue=90 green=10", "split blue=50 green=50", "split blue=0 green=100"])
    #expect(run.facts.deployment?.phase == .released && run.facts.deployment?.servingImage == "web@old")
    #expect(run.facts.judgements.map(\.weight) == [10, 50, 100])
    #expect(run.facts.judgements.allSatisfy { $0.verdict == .holds })
    // The running version gets nothing at the end; what it showed before is still beside the new one.
    #expect(run.facts.judgements.last?.measures.first?.running == "100%")
  }

  @Test func aSlowVersionGoesBackAtItsFirstStepRequestsFirst() async throws {
    lab.arrange { $0.views = [0: ["blue": .of(100)], 10: ["blue": .of(90), "green": .of(10, milliseconds: 400)]] }
    let run = try deployable(scratch, judged)
    try await deploy(run)
    let failure = await #expect(throws: StageFailure.self) { try await release(run) }
    #expect(failure?.ending == .rolledBack)
    #expect(
      failure?.reason.hasPrefix("at 10%: p99 396ms (<= 200ms, running 9.9ms)") == true, "\(failure?.reason ?? "")")
    #expect(
      lab.deeds == ["web-2 runs web@new", "split blue=90 green=10", "split blue=100 green=0", "web-2 runs web@older"])
    #expect(run.facts.deployment?.phase == .returned && run.facts.deployment?.weight == 0)
  }

  @Test func anotherWayThroughTheNetworkGoesBack() async throws {
    lab.arrange { $0.views = [0: ["blue": .of(100)], 10: ["blue": .of(90), "green": .of(10, way: [1, 3])]] }
    let run = try deployable(scratch, judged)
    try await deploy(run)
    let failure = await #expect(throws: StageFailure.self) { try await release(run) }
    #expect(
      failure?.reason.contains("to it: AS1 AS3, the running version's: AS1 AS2") == true, "\(failure?.reason ?? "")")
    #expect(lab.weights == ["blue": 100, "green": 0])
  }

  @Test func noDataIsItsOwnVerdict() async throws {
    lab.arrange { $0.views = [0: ["blue": .of(100), "green": .of(3)]] }
    let run = try deployable(scratch, judged)
    try await deploy(run)
    let failure = await #expect(throws: StageFailure.self) { try await release(run) }
    #expect(failure?.reason.contains("no data (>= 99%, running 100%): 3 requests, 10 are needed") == true)
    #expect(run.facts.judgements.first?.measures.first?.verdict == .noData)
  }

  @Test func goingBackIsTriedUntilTheSidecarsAnswer() async throws {
    lab.arrange { $0.views = [0: ["blue": .of(100)], 10: ["blue": .of(90), "green": .of(10, failures: 5)]] }
    let run = try deployable(scratch, judged)
    try await deploy(run)
    try await lab.split("web", ["blue": 90, "green": 10])
    try run.update { $0.deployment?.phase = .returning }
    lab.arrange { $0.failingSplits = 2 }
    let failure = await #expect(throws: StageFailure.self) { try await release(run) }
    #expect(failure?.reason == "the rollback that was interrupted is done")
    #expect(lab.deeds.suffix(2) == ["split blue=100 green=0", "web-2 runs web@older"])
  }

  @Test func aRunThatIsToldToStopGivesRequestsBackAndCanGoOn() async throws {
    lab.arrange {
      $0.views = [0: ["blue": .of(100)]]
      $0.blockingObservation = true
    }
    let run = try deployable(scratch, judged)
    try await deploy(run)
    try run.update { $0.deployment?.phase = .moving }
    try await lab.split("web", ["blue": 90, "green": 10])
    let stage = try stage(run)
    let task = Task { try await stage.perform() }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(lab.weights == ["blue": 100, "green": 0] && lab.images["web-2"] == "web@new")
    #expect(run.facts.deployment?.phase == .ready && run.facts.deployment?.isHalfWay == true)
  }

  @Test func aRunThatWasKilledAtAStepGoesOnWithThatStep() async throws {
    lab.arrange {
      $0.views = [0: ["blue": .of(100), "green": .of(100)]]
      $0.images["web-2"] = DeploymentFacts.sample(.moving).image
    }
    var facts = RunFacts()
    facts.deployment = .sample(.moving)
    let run = try deployable(scratch, judged, facts)
    try await release(run)
    #expect(lab.deeds == ["split blue=50 green=50", "split blue=0 green=100"])
  }

  /// A kill while images go back must not leave a slot that looks ready.
  @Test func itIsReturningUntilTheImagesAreBackToo() async throws {
    lab.arrange { $0.views = [0: ["blue": .of(100)], 10: ["blue": .of(90), "green": .of(10, failures: 5)]] }
    let run = try deployable(scratch, judged)
    try await deploy(run)
    let phases = Mutex<[DeploymentFacts.Phase?]>([])
    lab.arrange { $0.beforeImage = { _ in phases.withLock { $0.append(run.facts.deployment?.phase) } } }
    let failure = await #expect(throws: StageFailure.self) { try await release(run) }
    #expect(phases.withLock { $0 } == [.returning])
    #expect(run.facts.deployment?.failure == failure?.reason)
  }

  @Test func aRollbackThatWasKilledKeepsItsReason() async throws {
    var facts = RunFacts()
    facts.deployment = .sample(.returning)
    facts.deployment?.failure = "at 25%: p99 is slow"
    let failure = await #expect(throws: StageFailure.self) { try await release(try deployable(scratch, judged, facts)) }
    #expect(failure == StageFailure(.rolledBack, "at 25%: p99 is slow"))
    #expect(lab.deeds == ["split blue=100 green=0", "web-2 runs registry:5000/web@sha256:older"])
  }

  @Test func noRequestGoesToAPodWithAnotherImage() async throws {
    lab.arrange { $0.views = [0: ["blue": .of(100), "green": .of(100)]] }
    var facts = RunFacts()
    facts.deployment = .sample(.ready)
    let run = try deployable(scratch, judged, facts)
    let failure = await #expect(throws: StageFailure.self) { try await release(run) }
    #expect(failure?.ending == .rolledBack && failure?.reason.contains("web-2 runs web@older and not") == true)
    #expect(!lab.deeds.contains { $0.hasPrefix("split") } && run.facts.deployment?.phase == .returned)
  }
}
