// The image goes to pods that get no requests. Nothing that serves is touched: a pod that cannot run the new image runs the
// old one again, and the ones that have it already go back to theirs.

internal import Lab
internal import NorthboundAPI
internal import Topology

struct DeployStage {
  let run: RunContext
  let lab: any ProductionLab
  let deploy: PipelineDeploy

  func perform() async throws {
    let service = try await lab.service(deploy.service)
    try await choose(service)
    guard let deployment = run.facts.deployment else { return }
    run.say("\(deployment.slot) (\(deployment.pods.map(\.pod).joined(separator: ", "))) gets \(deployment.image)")
    do {
      try await fill(deployment, service)
    } catch {
      // Also when the run was told to stop: a half-deployed slot is nobody's version.
      let reason = PipelineEngine.failure(error)
      await Task {
        do {
          try await giveBack()
        } catch {
          run.say("not put back: \(PipelineEngine.failure(error).reason)")
          try? run.update { $0.deployment?.phase = .returned }
        }
      }.value
      if error is CancellationError { throw error }
      throw reason
    }
    try run.update { $0.deployment?.phase = .ready }
    run.leave(deployment.image)
  }

  /// Which version gets the image, and what its pods run now. What is known already stays: those pods may have changed.
  private func choose(_ service: MeshServiceStatus) async throws {
    if let known = run.facts.deployment, !known.pods.isEmpty, known.isHalfWay { return }
    let slots = try await slots(service)
    let images = try await lab.images()
    guard let image = run.facts.deployment?.image ?? run.facts.image?.pushed else {
      throw StageFailure(.stopped, "there is no pushed image to deploy; run from push")
    }
    let pods = service.pods.filter { $0.version == slots.idle }.map(\.name).sorted()
    let serving = service.pods.filter { $0.version == slots.serving }.map(\.name).sorted()
    try run.update {
      $0.deployment = DeploymentFacts(
        lab: deploy.lab, service: deploy.service, serving: slots.serving, slot: slots.idle, image: image,
        servingImage: serving.lazy.compactMap { images[$0] }.first,
        pods: pods.map { PodDeployment(pod: $0, previous: images[$0], done: false) }, phase: .deploying, step: 0,
        weight: 0)
    }
  }

  /// The version with the most requests, and one with none.
  private func slots(_ service: MeshServiceStatus) async throws -> (serving: String, idle: String) {
    let versions = Set(service.pods.compactMap(\.version)).sorted()
    guard versions.count > 1 else {
      throw StageFailure(
        .stopped,
        "service \(service.name) has \(versions.isEmpty ? "no versions" : "one version (\(versions[0]))"); "
          + "a release needs pods of two, one of which gets no requests")
    }
    let shares = try await lab.shares(of: service.name)
    if let planned = run.facts.deployment, planned.pods.isEmpty {
      return try slots(service, planned, shares)
    }
    let idle = versions.filter { (shares[$0] ?? 0) == 0 }
    guard let serving = versions.max(by: { (shares[$0] ?? 0) < (shares[$1] ?? 0) }), (shares[serving] ?? 0) > 0 else {
      throw StageFailure(
        .stopped, "no version of \(service.name) gets requests; give one all of them: netloom mesh split")
    }
    guard let slot = idle.first else {
      throw StageFailure(
        .stopped,
        "every version of \(service.name) gets requests; take one out first: netloom mesh split "
          + "\(service.name) \(serving)=100")
    }
    return (serving, slot)
  }

  /// Of a rollback. Somebody may have divided requests by hand since the release: the image goes where nobody is served.
  private func slots(
    _ service: MeshServiceStatus, _ planned: DeploymentFacts, _ shares: [String: Double]
  ) throws -> (serving: String, idle: String) {
    for (serving, idle) in [(planned.serving, planned.slot), (planned.slot, planned.serving)]
    where (shares[serving] ?? 0) > 0 && (shares[idle] ?? 0) == 0 {
      return (serving, idle)
    }
    throw StageFailure(
      .stopped,
      "neither \(planned.slot) nor \(planned.serving) of \(service.name) is free while the other gets requests; give "
        + "one all of them: netloom mesh split \(service.name) \(planned.serving)=100")
  }

  /// All pods at once: none of them serves.
  private func fill(_ deployment: DeploymentFacts, _ service: MeshServiceStatus) async throws {
    let images = try await settledImages(deployment)
    let readiness = Readiness(path: deploy.ready.path, seconds: deploy.ready.seconds)
    try await withThrowingTaskGroup(of: String.self) { group in
      for pod in deployment.pods {
        group.addTask { [self] in
          // A pod that was given it before the run was broken off has it.
          // A change that is asked for comes to an end, with somebody to see it: also when the run is told to stop.
          if images[pod.pod] != deployment.image {
            try await Task { try await give(deployment.image, to: pod.pod) }.value
          }
          try Task.checkCancellation()
          try await lab.awaitReady(pod.pod, of: service, readiness)
          return pod.pod
        }
      }
      for try await pod in group {
        try run.update { facts in
          if let index = facts.deployment?.pods.firstIndex(where: { $0.pod == pod }) {
            facts.deployment?.pods[index].done = true
          }
        }
        run.say("\(pod) is ready")
      }
    }
  }

  /// Beside the time for the new image: its end, and the old one's way back.
  private var patience: Double { deploy.ready.seconds + 60 }

  private func settledImages(_ deployment: DeploymentFacts) async throws -> [String: String] {
    try await lab.settledImages(deployment.pods.map(\.pod), within: patience)
  }

  /// A change that was under way when a run was killed comes to its end first; it may have been this one.
  private func give(_ image: String, to pod: String) async throws {
    let end = ContinuousClock.now + .seconds(patience)
    while true {
      do {
        return try await lab.setImage(image, of: pod, within: deploy.ready.seconds)
      } catch let change as PodIsChanging {
        guard ContinuousClock.now < end else { throw StageFailure(.stopped, change.message) }
        run.note("waits: \(change.message)")
        let images = try await lab.settledImages([pod], within: patience)
        if images[pod] == image { return }
        try await Task.sleep(for: .milliseconds(250))
      }
    }
  }

  /// What the pods ran before.
  func giveBack() async throws {
    guard let deployment = run.facts.deployment else { return }
    let images = try await settledImages(deployment)
    var failed: [String] = []
    for pod in deployment.pods {
      guard let previous = pod.previous, images[pod.pod] != previous else { continue }
      do {
        try await give(previous, to: pod.pod)
        run.say("\(pod.pod) runs \(previous) again")
      } catch {
        failed.append("\(pod.pod): \(PipelineEngine.failure(error).reason)")
      }
    }
    try run.update { $0.deployment?.phase = .returned }
    // It gets no requests, so nobody is served by it; the next run finds it as it is.
    if !failed.isEmpty { run.say("not put back: \(failed.joined(separator: "; "))") }
  }
}
