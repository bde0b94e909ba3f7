internal import Glibc
internal import Lab
internal import Synchronization
internal import Topology

/// The right to change a service of a lab, from its deployment to the end of its release: pipelines have locks of their own,
/// and two of them may deliver to one service. Given back with this object, or by the kernel.
final class ServiceLock: Sendable {
  private let folder: PipelineFolder
  private let held = Mutex<Int32>(-1)

  init(_ folder: PipelineFolder) { self.folder = folder }

  deinit { held.withLock { if $0 >= 0 { close($0) } } }

  /// Waits where the file queues its runs. Refuses while another pipeline has left the service between two versions.
  func take(for run: RunContext) async throws {
    guard let (lab, service) = target(run.facts.deployment, run.pipeline), held.withLock({ $0 < 0 }) else { return }
    let path = folder.root.serviceLock(lab, service)
    while true {
      if let lock = try RunLock.take(path: path) {
        try checkOthers(lab, service)
        let descriptor = lock.release()
        return held.withLock { $0 = descriptor }
      }
      guard run.pipeline.concurrency == .queue else {
        throw StageFailure(
          .stopped,
          "another pipeline changes service \(service) of lab \(lab); go on with --from deploy when it has ended")
      }
      try await Task.sleep(for: .milliseconds(200))
    }
  }

  private func target(_ deployment: DeploymentFacts?, _ pipeline: Pipeline) -> (lab: String, service: String)? {
    if let deployment { return (deployment.lab, deployment.service) }
    return pipeline.deploy.map { ($0.lab, $0.service) }
  }

  /// Whoever holds the lock is alone: what another one has half done was left behind.
  private func checkOthers(_ lab: String, _ service: String) throws {
    for name in folder.root.names() where folder.root.folder(of: name).path != folder.path {
      let left = try PipelineStore(folder.root.folder(of: name)).runs().first { run in
        guard !run.state.isOver, let deployment = run.facts.deployment, deployment.isHalfWay else { return false }
        return deployment.lab == lab && deployment.service == service
      }
      if let left {
        throw StageFailure(
          .stopped,
          "\(name)/\(left.number) has left service \(service) of lab \(lab) between two versions: netloom pipeline resume "
            + "\(name)/\(left.number), or netloom pipeline abort \(name)/\(left.number)")
      }
    }
  }
}
