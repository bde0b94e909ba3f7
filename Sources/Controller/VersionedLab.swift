internal import ControlProtocol
internal import Foundation
internal import Topology

/// What a controller finds in its run directory: the versions, and the lab of the one that stands.
struct VersionedLab {
  let store: VersionStore
  let current: StoredVersion
  let lab: ResolvedLab
  /// A change that an earlier controller did not bring to its end.
  let interrupted: StoredVersion?

  /// Makes version 1 of the topology where there is none yet.
  init(run: RunDirectory, plan: NLMachinePlan) throws {
    store = try VersionStore(path: run.versions)
    if let standing = try store.current() {
      current = standing
    } else {
      guard let bytes = FileManager.default.contents(atPath: run.topology) else {
        throw ControllerProcess.Failure.unreadable(run.topology)
      }
      let layer = FileLayer(file: plan.file.nonEmpty ?? run.topology, text: String(decoding: bytes, as: UTF8.self))
      let first = TopologyFile.parse([layer], baseDirectory: plan.baseDirectory)
      current = try store.begin(
        first.value.map(layer.keepingManifests) ?? layer, author: plan.author.nonEmpty ?? userName(),
        change: "up \(plan.file.nonEmpty ?? plan.lab)", at: wallClockMilliseconds())
    }
    interrupted = try store.failInterrupted(standing: current.version)
    let parsed = TopologyFile.parse(try store.layers(current.layers), baseDirectory: plan.baseDirectory)
    guard var lab = parsed.value else {
      throw ControllerProcess.Failure.invalidTopology(parsed.errors.map(\.description))
    }
    // `up --name` gives the lab another name than the file.
    lab.name = plan.lab
    self.lab = lab
  }
}

extension RunDirectory {
  /// SQLite; beside it its write-ahead log.
  var versions: String { path + "/state.db" }
}

func wallClockMilliseconds() -> Int64 {
  var time = timespec()
  clock_gettime(CLOCK_REALTIME, &time)
  return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
}

/// Whose process this is: the author of a change that names none.
func userName() -> String {
  guard let entry = getpwuid(geteuid()), let name = entry.pointee.pw_name else { return "\(geteuid())" }
  return String(cString: name)
}
