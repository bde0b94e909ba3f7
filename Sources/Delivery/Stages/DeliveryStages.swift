// What the stages of a run do, on this machine and in its labs. One file per stage or two; this one says who does what.

internal import Glibc
public import Images
public import Lab
internal import Topology

public struct DeliveryStages: StageWork {
  let images: ImageStore
  let labs: RunRoot
  /// KEY=VALUE, for the processes of labs.
  let environment: [String]

  public init(images: ImageStore, labs: RunRoot, environment: [String]) {
    self.images = images
    self.labs = labs
    self.environment = environment
  }

  public func perform(_ stage: Stage, _ run: RunContext) async throws {
    switch stage {
    case .source: try await SourceStage(run: run).perform()
    case .build: try await BuildStage(run: run).perform()
    case .test: try await TestStage(run: run).perform()
    case .merge: try await MergeStage(run: run).perform()
    case .package: try await package(run)
    case .tag: try await tag(run)
    case .push: try await push(run)
    case .verify: try await verify(run)
    case .approve: try await approve(run)
    case .deploy: try await deploy(run)
    case .release: try await release(run)
    case .notify: break
    }
  }

  private func approve(_ run: RunContext) async throws {
    guard case .manual(let expires) = run.pipeline.approval else { return }
    if run.facts.approvalAsked == nil {
      try run.update { $0.approvalAsked = millisecondsNow() }
      await notify(RunOutcome(state: .waiting, stage: .approve, reason: "waits for approval"), run)
    }
    run.say("waits: netloom pipeline approve \(run.pipeline.name)/\(run.number) --reason WHY, or reject")
    let decision = try await run.awaitDecision(expires: expires)
    try run.update { $0.approval = decision }
    let why = decision.reason.isEmpty ? "" : ": \(decision.reason)"
    guard decision.approved else { throw StageFailure(.stopped, "rejected by \(decision.by)\(why)") }
    run.say("approved by \(decision.by)\(why)")
  }
}

extension StageFailure {
  init(_ error: ImageError) {
    let isEnvironment = error.kind == .environment || error.kind == .unreachable
    self.init(isEnvironment ? .environment : .stopped, error.message)
  }
}
