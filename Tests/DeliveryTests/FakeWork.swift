import Foundation
import Lab
import Synchronization
import Topology

@testable import Delivery

/// Stages that do nothing but what a test tells them to.
final class FakeWork: StageWork {
  struct State {
    var performed: [Stage] = []
    var told: [RunOutcome] = []
    var returned = 0
    var failures: [Stage: StageFailure] = [:]
    /// Waits there until the run is told to stop.
    var blocking: Stage?
    /// Done in a stage of a run.
    var perRun: (@Sendable (Stage, RunContext) throws -> Void)?
    /// What it ends with then, instead of having been told to stop.
    var toldToStop: StageFailure?
    /// Production cannot be put back.
    var failingReturn = false
    var tidied: [Int] = []
    var forgotten: [String] = []
    /// What the store knew when somebody was told.
    var kept: [OutcomeFacts?] = []
    /// What each stage finds out.
    var facts: [Stage: @Sendable (inout RunFacts) -> Void] = [:]
  }

  private let state = Mutex(State())

  var performed: [Stage] { state.withLock { $0.performed } }
  var told: [RunOutcome] { state.withLock { $0.told } }
  var returned: Int { state.withLock { $0.returned } }
  var tidied: [Int] { state.withLock { $0.tidied } }
  var forgotten: [String] { state.withLock { $0.forgotten } }
  var kept: [OutcomeFacts?] { state.withLock { $0.kept } }

  func arrange(_ change: (inout sending State) -> Void) { state.withLock { change(&$0) } }

  func perform(_ stage: Stage, _ run: RunContext) async throws {
    let (failure, isBlocking, facts) = state.withLock { state in
      state.performed.append(stage)
      return (state.failures[stage], state.blocking == stage, state.facts[stage])
    }
    try state.withLock { $0.perRun }?(stage, run)
    if let facts { try run.update(facts) }
    if let failure { throw failure }
    if isBlocking {
      do {
        try await untilToldToStop()
      } catch {
        throw state.withLock { $0.toldToStop } ?? error
      }
    }
    if stage == .approve, case .manual(let expires) = run.pipeline.approval {
      let decision = try await run.awaitDecision(expires: expires)
      try run.update { $0.approval = decision }
      if !decision.approved { throw StageFailure(.stopped, "rejected by \(decision.by): \(decision.reason)") }
    }
  }

  func returnProduction(_ run: RunContext) async throws {
    if state.withLock({ $0.failingReturn }) { throw StageFailure(.environment, "no sidecar answers") }
    state.withLock { $0.returned += 1 }
    try run.update { $0.deployment?.phase = .returned }
  }

  func tidy(_ run: Int, of pipeline: String) async { state.withLock { $0.tidied.append(run) } }

  func forget(images: [String]) async { state.withLock { $0.forgotten += images } }

  func notify(_ event: RunOutcome, _ run: RunContext) async {
    let kept = try? run.store.run(run.number)?.facts.outcome
    state.withLock {
      $0.told.append(event)
      $0.kept.append(kept)
    }
  }
}

/// A folder for runs, gone with this object.
final class Scratch {
  let path: String
  var root: PipelineRoot { PipelineRoot(path: path + "/pipelines") }

  init() {
    path = "/tmp/nldt-\(getpid())-\(UInt32.random(in: 0..<1 << 24))"
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// Every stage is asked for.
let wholeFile = """
  name: web
  source: {repository: ., ref: main}
  build: {run: "true"}
  test: {run: "true"}
  merge: {into: main}
  package: {image: web, files: {bin/web: /web}, entrypoint: [/web]}
  push: {registry: "registry:5000"}
  verify: {topology: staging.yaml}
  approve: manual
  deploy: {lab: production, service: web}
  release: {hold: 1s}
  """

func pipeline(_ text: String = wholeFile) throws -> Pipeline {
  let parsed = PipelineFile.parse(text: text, file: "pipeline.yaml")
  guard let value = parsed.value else { throw StageFailure(.stopped, "\(parsed.diagnostics)") }
  return value
}

func request(_ text: String = wholeFile, ref: String? = nil, from: Stage? = nil) throws -> Pipelines.Request {
  Pipelines.Request(pipeline: try pipeline(text), text: text, ref: ref, from: from, directory: "/tmp", by: "ada")
}

extension DeploymentFacts {
  static func sample(_ phase: Phase) -> DeploymentFacts {
    DeploymentFacts(
      lab: "production", service: "web", serving: "blue", slot: "green", image: "registry:5000/web@sha256:new",
      servingImage: "registry:5000/web@sha256:old",
      pods: [PodDeployment(pod: "web-2", previous: "registry:5000/web@sha256:older", done: true)], phase: phase,
      step: 1,
      weight: 25)
  }
}

/// Returns never, and throws when the task is cancelled.
func untilToldToStop() async throws {
  let (nothing, source) = AsyncStream<Never>.makeStream()
  for await _ in nothing {}
  withExtendedLifetime(source) {}
  try Task.checkCancellation()
}
