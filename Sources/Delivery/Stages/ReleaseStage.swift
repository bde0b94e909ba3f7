// Requests move to the new version, step by step, each one judged. When one does not hold, requests go back first, then the
// pods get their old image: at no time does a request go to a version that is not ready.

internal import Lab
internal import NorthboundAPI
internal import Topology

struct ReleaseStage {
  let run: RunContext
  let lab: any ProductionLab
  let deploy: PipelineDeploy
  let release: PipelineRelease

  func perform() async throws {
    guard let deployment = run.facts.deployment, deployment.isHalfWay else {
      throw StageFailure(.stopped, "nothing is deployed that could be released; run from deploy")
    }
    if deployment.phase == .returning {
      try await goBack()
      throw StageFailure(.rolledBack, deployment.failure ?? "the rollback that was interrupted is done")
    }
    do {
      try await steps(from: deployment.phase == .moving ? deployment.step : 0)
    } catch {
      // Also when the run was told to stop: requests do not stay divided while nobody looks.
      let failure = PipelineEngine.failure(error)
      if error is CancellationError || Task.isCancelled {
        try await Task { try await pause() }.value
        throw CancellationError()
      }
      try await Task { try await goBack(because: failure.reason) }.value
      throw StageFailure(.rolledBack, failure.reason)
    }
  }

  private func steps(from first: Int) async throws {
    guard let deployment = run.facts.deployment else { return }
    let service = try await lab.service(deployment.service)
    try await check(deployment)
    let pods = Dictionary(grouping: service.pods) { $0.version ?? "" }.mapValues { $0.map(\.name).sorted() }
    var running = VersionView()
    if judges {
      let seen = try await observe(pods)
      running = seen[deployment.serving] ?? VersionView()
      let requests = running.traffic.requests
      run.say("running version \(deployment.serving): \(requests) requests in \(decimal(release.hold, 1)) s")
    }
    for index in release.steps.indices where index >= first {
      let weight = release.steps[index]
      try run.update {
        $0.deployment?.phase = .moving
        $0.deployment?.step = index
      }
      try await lab.split(
        deployment.service, [deployment.serving: 100 - weight, deployment.slot: weight])
      try run.update { $0.deployment?.weight = weight }
      try await judge(weight, pods, &running)
    }
    try run.update { $0.deployment?.phase = .released }
    run.leave(deployment.image)
    run.say("\(deployment.slot) serves all requests of \(deployment.service)")
  }

  /// No request goes to a pod that runs something else: somebody may have changed it while the run stood still.
  private func check(_ deployment: DeploymentFacts) async throws {
    let images = try await lab.images()
    for pod in deployment.pods where images[pod.pod] != deployment.image {
      // A name without a digest gets one in the lab.
      if images[pod.pod]?.hasPrefix(deployment.image + "@") == true { continue }
      throw StageFailure(
        .rolledBack,
        "\(pod.pod) runs \(images[pod.pod] ?? "nothing") and not the image that was deployed; run from deploy")
    }
  }

  private static let looks = 3

  private var judges: Bool { release.analysis.judges }

  private func observe(_ pods: [String: [String]]) async throws -> [String: VersionView] {
    try await lab.observe(
      ObservationWindow(
        service: deploy.service, moving: run.facts.deployment?.slot ?? "", seconds: release.hold, pods: pods,
        load: release.load.map { .init(rate: $0.rate, from: $0.from, path: $0.path) },
        network: release.analysis.network != nil))
  }

  /// Looks at a step. What the running version showed last stands for it once it gets no requests any more.
  private func judge(_ weight: Int, _ pods: [String: [String]], _ running: inout VersionView) async throws {
    guard let deployment = run.facts.deployment else { return }
    guard judges else {
      run.say("\(weight)% to \(deployment.slot)")
      return try await Task.sleep(for: .seconds(release.hold))
    }
    var measures: [StepJudgement.Measure] = []
    // Where there is no data the step is looked at again: it may have been a capture or the controller that was at fault.
    for look in 1...Self.looks {
      let seen = try await observe(pods)
      let new = seen[deployment.slot] ?? VersionView()
      if let now = seen[deployment.serving] {
        running.network.take(now.network)
        if now.traffic.requests >= UInt64(release.analysis.minimumRequests) { running.traffic = now.traffic }
      }
      measures = StepJudge(analysis: release.analysis).judge(new: new, running: running)
      let judgement = StepJudgement(weight: weight, seconds: release.hold, measures: measures)
      let summary = measures.map { "\($0.name) \($0.measured) (\($0.threshold))" }.joined(separator: ", ")
      run.say("\(weight)% to \(deployment.slot), \(new.traffic.requests) requests: \(summary)")
      for measure in measures { run.note(StepJudgement.line(measure)) }
      if judgement.verdict != .noData || look == Self.looks {
        try run.update { $0.judgements.append(judgement) }
        break
      }
    }
    let worst = measures.filter { $0.verdict != .holds }.max { $0.verdict < $1.verdict }
    if let worst {
      throw StageFailure(.rolledBack, "at \(weight)%: \(StepJudgement.line(worst))")
    }
  }

  // MARK: going back

  /// Requests first, then images. It is `returning` until both are where they were: whoever resumes must not take a slot
  /// with two images for one that is ready.
  func goBack(because reason: String? = nil) async throws {
    guard let deployment = run.facts.deployment else { return }
    if deployment.phase != .deploying {
      try run.update {
        $0.deployment?.phase = .returning
        if let reason { $0.deployment?.failure = reason }
      }
      if deployment.phase != .ready { try await returnRequests(deployment) }
    }
    try await DeployStage(run: run, lab: lab, deploy: deploy).giveBack()
  }

  /// Requests only: the run was told to stop, and can go on from its first step.
  private func pause() async throws {
    guard let deployment = run.facts.deployment else { return }
    if deployment.phase == .moving { try await returnRequests(deployment) }
    try run.update { $0.deployment?.phase = .ready }
  }

  private func returnRequests(_ deployment: DeploymentFacts) async throws {
    try await persistently {
      try await lab.split(deployment.service, [deployment.serving: 100, deployment.slot: 0])
    }
    run.say("all requests go to \(deployment.serving) again")
    try run.update {
      $0.deployment?.weight = 0
      $0.deployment?.step = 0
    }
  }

  /// A controller that is being restarted is no reason to leave requests where they are.
  private func persistently(_ work: () async throws -> Void) async throws {
    for pause in [0.2, 0.5, 1, 2, 4] {
      do {
        return try await work()
      } catch {
        run.note("again in \(pause) s: \(PipelineEngine.failure(error).reason)")
        try await Task.sleep(for: .seconds(pause))
      }
    }
    try await work()
  }
}

extension DeliveryStages {
  func deploy(_ run: RunContext) async throws {
    guard let deploy = run.pipeline.deploy else { return }
    try await bringUpProduction(run)
    try await DeployStage(run: run, lab: production(run), deploy: deploy).perform()
  }

  func release(_ run: RunContext) async throws {
    guard let deploy = run.pipeline.deploy else { return }
    try await ReleaseStage(run: run, lab: production(run), deploy: deploy, release: Self.release(run)).perform()
  }

  public func returnProduction(_ run: RunContext) async throws {
    guard let deploy = run.pipeline.deploy, let deployment = run.facts.deployment else { return }
    guard labs.lab(named: deployment.lab)?.state == .running else {
      run.say("lab \(deployment.lab) does not run any more; there is nothing to put back")
      return try run.update { $0.deployment?.phase = .returned }
    }
    try await ReleaseStage(run: run, lab: production(run), deploy: deploy, release: Self.release(run)).goBack()
  }

  /// A file without `release`, and a rollback, move everything at once; of a rollback nothing is judged.
  private static func release(_ run: RunContext) -> PipelineRelease {
    run.isRollback ? .atOnce : run.pipeline.release ?? .atOnce
  }

  private func production(_ run: RunContext) throws -> any ProductionLab {
    let name = run.facts.deployment?.lab ?? run.pipeline.deploy?.lab ?? ""
    let lab = try labs.running(named: name)
    return LiveLab(api: lab.client, run: run, program: try Programs.own("netloom"))
  }
}
