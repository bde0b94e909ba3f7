internal import EventLoop
internal import Images
internal import Lab
internal import NetTypes
internal import Topology

/// What was built → an OCI image in the machine's store, its tag, and the same in the lab's registry.
extension DeliveryStages {
  func package(_ run: RunContext) async throws {
    guard let package = run.pipeline.package, let commit = run.facts.commit else { return }
    let digest = try await build(
      package, commit, tag: Self.workingTag(run.pipeline.name, run.number), replacing: true, run)
    try run.update { $0.image = ImageFacts(name: package.image, digest: digest, tag: nil, pushed: nil) }
    run.leave("\(package.image)@\(digest)")
    run.say("\(package.image)@\(digest)")
  }

  /// What a run's image is called until it has its tag.
  static func workingTag(_ pipeline: String, _ run: Int) -> String { "run-\(pipeline)-\(run)" }

  /// The same again: the builder makes the same digest of the same files, so a file that somebody has changed since is found.
  /// Only then it gets its name, which may stand for nothing else.
  func tag(_ run: RunContext) async throws {
    guard let package = run.pipeline.package, let commit = run.facts.commit, let image = run.facts.image else {
      throw StageFailure(.stopped, "there is no image to tag; run from package")
    }
    let tag = try await name(of: commit, run)
    let working = Self.workingTag(run.pipeline.name, run.number)
    let digest = try await build(package, commit, tag: working, replacing: true, run)
    guard digest == image.digest else {
      throw StageFailure(.stopped, "what was built has changed since it was packaged (\(digest)); run from build")
    }
    do {
      guard let digest = ImageDigest(digest) else { throw StageFailure(.environment, "\(digest) is no digest") }
      try images.name(digest, "\(package.image):\(tag)", replacing: false)
    } catch let error as ImageError {
      throw Self.taken(error, "\(package.image):\(tag)")
    }
    try run.update { $0.image?.tag = tag }
    await forget(images: ["\(package.image):\(working)"])
    run.leave("\(package.image):\(tag)")
    run.say("\(package.image):\(tag)")
    if let archive = package.archive { try await write(archive, "\(package.image):\(tag)", run) }
  }

  private func write(_ archive: String, _ name: String, _ run: RunContext) async throws {
    let path = run.outside(archive)
    let images = self.images
    do {
      try await Thread.value { try images.export(name, to: path) }
    } catch let error as ImageError {
      throw StageFailure(error)
    }
    run.leave(path)
    run.say("archive \(path)")
  }

  private func name(of commit: CommitFacts, _ run: RunContext) async throws -> String {
    guard run.pipeline.tag == .version else { return commit.id }
    let git = Git(run: run, directory: commit.folder)
    guard let version = try await git.ask(["describe", "--tags", "--exact-match", commit.id]) else {
      throw StageFailure(
        .stopped, "`tag: version`, but no git tag stands at \(commit.id.prefix(12)); make one: git tag v1.2.3")
    }
    let fine = version.utf8.allSatisfy {
      (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || "._-".utf8.contains($0)
    }
    guard fine, version.utf8.count <= 128, !version.hasPrefix("."), !version.hasPrefix("-") else {
      throw StageFailure(
        .stopped, "git tag \(version) cannot be an image's: letters, digits, `.`, `_` and `-`, at most 128")
    }
    return version
  }

  func build(
    _ package: PipelinePackage, _ commit: CommitFacts, tag: String, replacing: Bool, _ run: RunContext
  ) async throws -> String {
    let folder = run.pipeline.source.path == "." ? commit.folder : commit.folder + "/" + run.pipeline.source.path
    for file in package.files where !Folder.exists(folder + "/" + file.from) {
      throw StageFailure(.stopped, "the build left no \(file.from), which `package.files` names")
    }
    let builder = ImageBuilder(images)
    do {
      return try await Thread.value {
        try builder.build(
          files: package.files.map { (source: folder + "/" + $0.from, destination: $0.to) },
          entrypoint: package.entrypoint,
          labels: [
            "org.opencontainers.image.revision": commit.id, "org.opencontainers.image.title": package.image,
          ],
          environment: Dictionary(package.environment.map(Self.variable), uniquingKeysWith: { $1 }),
          tag: "\(package.image):\(tag)", replacing: replacing
        ).description
      }
    } catch let error as ImageError {
      throw StageFailure(error)
    }
  }

  private static func taken(_ error: ImageError, _ name: String) -> StageFailure {
    error.kind == .conflict
      ? StageFailure(.stopped, "\(name) is taken, and tags are never moved: \(error.message)") : StageFailure(error)
  }

  public func forget(images names: [String]) async {
    for name in names {
      guard let reference = try? ImageReference(name) else { continue }
      // Not there, or in use by a lab: then it stays.
      try? images.remove(reference)
    }
  }

  private static func variable(_ entry: String) -> (String, String) {
    let parts = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    return (parts[0], parts.count > 1 ? parts[1] : "")
  }

  func push(_ run: RunContext) async throws {
    guard let address = run.pipeline.registry, let image = run.facts.image, let tag = image.tag,
      let lab = run.pipeline.registryLab
    else { throw StageFailure(.stopped, "there is no tagged image to push; run from package") }
    try await bringUpProduction(run)
    let node = String(address.prefix { $0 != ":" })
    // From the registry's own namespace: its name resolves there, and nothing of the lab is in the way.
    let registry = Registry(address, store: images, tools: .inNode(node, lab: lab))
    let pushed: ImageDigest
    do {
      pushed = try await reachable(run) { try registry.push(image.name, tag: tag) }
    } catch let error as ImageError {
      throw Self.taken(error, "\(address)/\(image.name):\(tag)")
    }
    guard pushed.description == image.digest else {
      throw StageFailure(.stopped, "the registry has \(pushed) under \(image.name):\(tag), not \(image.digest)")
    }
    let reference = "\(address)/\(image.name)@\(image.digest)"
    try run.update { $0.image?.pushed = reference }
    run.leave(reference)
    run.say("\(address)/\(image.name):\(tag), digest verified")
  }

  /// Again where the registry does not answer: it may just have been started.
  private func reachable(_ run: RunContext, _ work: @escaping @Sendable () throws -> ImageDigest) async throws
    -> ImageDigest
  {
    for pause in [0.5, 1, 2] {
      do {
        return try await Thread.value(work)
      } catch let error as ImageError where error.kind == .unreachable {
        run.note("again in \(pause) s: \(error.message)")
        try await Task.sleep(for: .seconds(pause))
      }
    }
    return try await Thread.value(work)
  }
}
