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
      try await Task { try await giveBack() }.value
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
      return (planned.serving, planned.slot)  // of a rollback
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

  /// All pods at once: none of them serves.
  private func fill(_ deployment: DeploymentFacts, _ service: MeshServiceStatus) async throws {
    let images = try await lab.images()
    let readiness = Readiness(path: deploy.ready.path, seconds: deploy.ready.seconds)
    try await withThrowingTaskGroup(of: String.self) { group in
      for pod in deployment.pods {
        group.addTask { [lab] in
          // A pod that was given it before the run was broken off has it.
          if images[pod.pod] != deployment.image {
            try await lab.setImage(deployment.image, of: pod.pod, within: readiness.seconds)
          }
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

  /// What the pods ran before.
  func giveBack() async throws {
    guard let deployment = run.facts.deployment else { return }
    let images = try await lab.images()
    var failed: [String] = []
    for pod in deployment.pods {
      guard let previous = pod.previous, images[pod.pod] != previous else { continue }
      do {
        try await lab.setImage(previous, of: pod.pod, within: deploy.ready.seconds)
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
