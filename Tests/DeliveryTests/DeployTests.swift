import Foundation
import NorthboundAPI
import Synchronization
import Testing
import Topology

@testable import Delivery

@Suite struct DeployTests {
  private let scratch = Scratch()
  private let lab = FakeProduction()

  private func deploy(_ run: RunContext) async throws { try await stage(run).perform() }

  private func stage(_ run: RunContext) throws -> DeployStage {
    DeployStage(run: run, lab: lab, deploy: try #require(run.pipeline.deploy))
  }

  @Test func aPodThatCannotRunTheImageLeavesNothingHalfDeployed() async throws {
    lab.arrange {
      $0.versions["green"] = ["web-2", "web-3"]
      $0.images["web-3"] = "web@older"
      $0.unready = ["web-3"]
    }
    let run = try deployable(scratch)
    let failure = await #expect(throws: StageFailure.self) { try await deploy(run) }
    #expect(failure?.reason == "web-3 was not ready within 1 s" && failure?.ending == .stopped)
    #expect(lab.images == ["web-1": "web@old", "web-2": "web@older", "web-3": "web@older"])
    #expect(lab.weights == ["blue": 100, "green": 0] && run.facts.deployment?.isHalfWay == false)
  }

  @Test func anImageThatEndsAtOnceIsSaid() async throws {
    lab.arrange { $0.refusedImages = ["web@new"] }
    let failure = await #expect(throws: StageFailure.self) { try await deploy(try deployable(scratch)) }
    #expect(failure?.reason == "web-2: it ended at once (exit 1)")
  }

  @Test func withoutAFreeVersionNothingIsTouched() async throws {
    lab.arrange { $0.weights = ["blue": 50, "green": 50] }
    let failure = await #expect(throws: StageFailure.self) { try await deploy(try deployable(scratch)) }
    #expect(failure?.reason.contains("netloom mesh split web") == true)
    lab.arrange { $0.versions = ["blue": ["web-1"]] }
    let other = await #expect(throws: StageFailure.self) { try await deploy(try deployable(scratch)) }
    #expect(other?.reason.contains("has one version (blue)") == true)
    #expect(lab.deeds.isEmpty)
  }

  @Test func aPodThatHasTheImageAlreadyIsNotGivenItAgain() async throws {
    lab.arrange { $0.images["web-2"] = "web@new" }
    let run = try deployable(scratch)
    try await deploy(run)
    #expect(lab.deeds.isEmpty && run.facts.deployment?.phase == .ready)
  }

  // MARK: changes that are under way

  @Test func aChangeThatAKilledRunAskedForIsWaitedFor() async throws {
    lab.arrange { $0.changing = ["web-2": "web@new"] }
    let run = try deployable(scratch)
    try await deploy(run)
    #expect(lab.deeds.isEmpty && lab.images["web-2"] == "web@new" && run.facts.deployment?.phase == .ready)
  }

  @Test func aChangeThatBeginsMeanwhileIsWaitedForToo() async throws {
    lab.arrange { [lab] in
      $0.beforeImage = { pod in
        lab.arrange {
          if $0.beforeImage != nil { $0.changing[pod] = "web@other" }
          $0.beforeImage = nil
        }
      }
    }
    let run = try deployable(scratch)
    try await deploy(run)
    #expect(lab.deeds == ["web-2 runs web@new"] && run.facts.deployment?.phase == .ready)
  }

  /// The run was killed while the lab changed the pod, and is aborted.
  @Test func whatIsStillBeingChangedGoesBackToo() async throws {
    lab.arrange { $0.changing = ["web-2": "web@new"] }
    var facts = RunFacts()
    facts.deployment = DeploymentFacts(
      lab: "production", service: "web", serving: "blue", slot: "green", image: "web@new", servingImage: "web@old",
      pods: [PodDeployment(pod: "web-2", previous: "web@older", done: false)], phase: .deploying, step: 0, weight: 0)
    let run = try deployable(scratch, wholeFile, facts)
    try await stage(run).giveBack()
    #expect(lab.deeds == ["web-2 runs web@older"] && run.facts.deployment?.phase == .returned)
  }

  @Test func beingToldToStopLetsAChangeEndAndTakesItBack() async throws {
    let (begun, begin) = AsyncStream<Void>.makeStream()
    let (goOn, open) = AsyncStream<Void>.makeStream()
    let wasCancelled = Mutex(false)
    lab.arrange {
      $0.beforeImage = { _ in
        begin.yield()
        for await _ in goOn { break }
        if Task.isCancelled { wasCancelled.withLock { $0 = true } }
      }
    }
    let run = try deployable(scratch)
    let stage = try stage(run)
    let task = Task { try await stage.perform() }
    for await _ in begun { break }
    task.cancel()
    lab.arrange { $0.beforeImage = nil }
    open.yield()
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(!wasCancelled.withLock { $0 })
    #expect(lab.deeds == ["web-2 runs web@new", "web-2 runs web@older"] && run.facts.deployment?.phase == .returned)
  }

  // MARK: rollbacks

  private func rollback() throws -> RunContext {
    var facts = RunFacts()
    facts.deployment = DeploymentFacts(
      lab: "production", service: "web", serving: "green", slot: "blue", image: "web@before", servingImage: "web@now",
      pods: [], phase: .deploying, step: 0, weight: 0)
    return try deployable(scratch, wholeFile, facts)
  }

  @Test func aRollbackGoesWhereNobodyIsServed() async throws {
    lab.arrange { $0.weights = ["blue": 0, "green": 100] }
    let run = try rollback()
    try await deploy(run)
    #expect(lab.deeds == ["web-1 runs web@before"] && run.facts.deployment?.slot == "blue")
  }

  /// Somebody has given blue all requests by hand since.
  @Test func aRollbackNeverTouchesThePodsThatServe() async throws {
    let run = try rollback()
    try await deploy(run)
    #expect(lab.deeds == ["web-2 runs web@before"] && lab.images["web-1"] == "web@old")
    #expect(run.facts.deployment?.slot == "green" && run.facts.deployment?.serving == "blue")
  }

  @Test func aRollbackWithoutAFreeVersionIsRefused() async throws {
    lab.arrange { $0.weights = ["blue": 50, "green": 50] }
    let run = try rollback()
    let failure = await #expect(throws: StageFailure.self) { try await deploy(run) }
    #expect(failure?.reason.contains("netloom mesh split web green=100") == true)
    #expect(lab.deeds.isEmpty && run.facts.deployment?.isHalfWay == false)
  }
}
