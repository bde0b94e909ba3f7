internal import EventLoop
internal import Images
internal import Lab
internal import NorthboundAPI
internal import NorthboundClient
internal import Topology

/// Production where it does not run yet.
extension DeliveryStages {
  /// Brings the lab of `deploy` up from `deploy.topology`, with what was released last; before anything was, with `initial`.
  func bringUpProduction(_ run: RunContext) async throws {
    guard let name = run.pipeline.deploy?.lab ?? run.pipeline.registryLab else { return }
    if let lab = labs.lab(named: name), lab.state == .running { return await settle(lab, run) }
    guard let deploy = run.pipeline.deploy, let path = deploy.topology, let package = run.pipeline.package else {
      throw StageFailure(.environment, "lab \(name) does not run; bring it up: netloom up FILE --name \(name)")
    }
    run.say("lab \(name) does not run; bringing it up from \(path)")
    let digest = try await initialDigest(package, deploy, run)
    let file = try Self.fill(
      try run.path(path), image: package.image, digest: digest, name: nil, keeping: "production")
    let parsed = TopologyFile.load(path: file)
    guard var topology = parsed.value else {
      throw StageFailure(.stopped, parsed.errors.first?.description ?? "\(path) cannot be read")
    }
    topology.name = name
    let start = LabStart(topology: topology, replace: false, timeout: .seconds(60), environment: environment)
    do {
      _ = try await start.run(in: labs) { step in
        if case .building(let what) = step { run.note("building: \(what)") }
      }
    } catch let error as NotConverged {
      throw StageFailure(
        .stopped,
        "lab \(name) did not converge: \(error.reasons.prefix(3).joined(separator: "; ")); it stays to be looked at")
    } catch let error as LabError where error.kind == .interrupted {
      throw CancellationError()
    }
    Folder.remove(run.folder + "/initial")
    run.say("lab \(name) is up")
  }

  /// A lab that is still coming up, such as one whose pipeline was killed meanwhile, gets its time.
  private func settle(_ lab: Lab, _ run: RunContext) async {
    guard let convergence = try? await lab.client.converged(within: .seconds(30)), !convergence.converged else {
      return
    }
    run.say("lab \(lab.name) has not converged: \(convergence.reasons.prefix(2).joined(separator: "; "))")
  }

  private func initialDigest(
    _ package: PipelinePackage, _ deploy: PipelineDeploy, _ run: RunContext
  ) async throws -> String {
    if let released = try run.store.runs().first(where: { $0.state == .released && $0.number != run.number }),
      let image = released.facts.deployment?.image, let at = image.lastIndex(of: "@"),
      let reference = try? ImageReference("\(package.image)\(image[at...])"),
      (try? images.image(reference)) ?? nil != nil
    {
      return String(image[image.index(after: at)...])
    }
    guard let ref = deploy.initial, ref != run.ref else { return run.facts.image?.digest ?? "" }
    run.say("nothing is released yet: it begins with \(ref)")
    // As it was before this very run moved it.
    let point = ref == run.pipeline.mergeInto ? run.facts.mergedFrom ?? ref : ref
    let commit = try await SourceStage(run: run, ref: point, folder: run.folder + "/initial").checkOut()
    if let build = run.pipeline.build {
      let folder = run.pipeline.source.path == "." ? commit.folder : commit.folder + "/" + run.pipeline.source.path
      let ended = try await run.shell(in: folder).run(["/bin/sh", "-c", build.run], within: build.seconds)
      guard ended.exit == 0 else { throw StageFailure(.stopped, "the build of \(ref) failed with exit \(ended.exit)") }
    }
    return try await self.build(
      package, commit, tag: "initial-\(run.pipeline.name)", replacing: true, run)
  }
}
