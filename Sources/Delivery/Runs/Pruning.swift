internal import EventLoop
internal import Glibc

/// Takes away what runs have left and nobody can need. Rows of the store stay.
///
/// A run is kept whole while it is not over, while `--from` may go on with it (the last delivery), and while `rollback`
/// and a production that must be brought up read from it (the last release, and the run whose checkout that used).
struct Pruning {
  /// Runs whose logs stay, counted from the newest; docs/delivery.md says so.
  static let runsWithLogs = 20

  let folder: PipelineFolder
  let store: PipelineStore
  let work: any StageWork
  let pipeline: String

  func perform() async throws {
    let runs = try store.runs()
    let kept = Self.kept(runs, folder)
    let keptNumbers = Set(kept.map(\.number))
    for (index, run) in runs.enumerated() where !keptNumbers.contains(run.number) {
      let path = folder.run(run.number)
      Shell.endLeftover(path + "/process")
      if index >= Self.runsWithLogs {
        Folder.remove(path)
      } else {
        for name in ["source", "initial", "process", "notice.json", "queued"] { Folder.remove(path + "/" + name) }
      }
    }
    await work.forget(images: images(of: runs, kept))
  }

  static func kept(_ runs: [RunRecord], _ folder: PipelineFolder) -> [RunRecord] {
    var kept = runs.filter { !$0.state.isOver }
    kept += [
      runs.first { $0.kind == .delivery && $0.state != .queued },
      runs.first { $0.state == .released && $0.facts.deployment != nil },
    ].compactMap(\.self)
    let folders = Set(kept.compactMap(\.facts.commit?.folder))
    return kept + runs.filter { folders.contains(folder.run($0.number) + "/source") }
  }

  /// Their working tags, and those that name a commit. One that stands for a git tag is somebody's version.
  private func images(of runs: [RunRecord], _ kept: [RunRecord]) -> [String] {
    let deployed = kept.compactMap(\.facts.deployment).flatMap(\.images)
    let needed = Set(deployed.compactMap { $0.split(separator: "@").last.map(String.init) })
    let keptNumbers = Set(kept.map(\.number))
    let keptDigests = Set(kept.compactMap(\.facts.image?.digest))
    var names: [String] = []
    for run in runs where !keptNumbers.contains(run.number) {
      guard let image = run.facts.image, !needed.contains(image.digest) else { continue }
      names.append("\(image.name):\(DeliveryStages.workingTag(pipeline, run.number))")
      if let tag = image.tag, tag == run.facts.commit?.id, !keptDigests.contains(image.digest) {
        names.append("\(image.name):\(tag)")
      }
    }
    return names
  }
}
