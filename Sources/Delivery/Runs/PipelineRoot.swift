internal import CLinux
internal import EventLoop
internal import Glibc
public import Lab

/// Where pipelines keep their runs: `NETLOOM_PIPELINES`, else `/var/lib/netloom/pipelines` as root, else
/// `$XDG_STATE_HOME/netloom/pipelines` (`~/.local/state`).
///
///     ROOT/NAME/state.db            runs, stages, notices
///     ROOT/NAME/lock                held by the process that runs
///     ROOT/NAME/runs/N/source/      the checked-out commit
///     ROOT/NAME/runs/N/STAGE.log
///     ROOT/NAME/runs/N/process      the command under way: pid and start time, for whoever resumes
///     ROOT/NAME/runs/N/queued       held by the process that waits for the run's turn
///     ROOT/LAB.SERVICE.lock         held by the run that changes the service
public struct PipelineRoot: Sendable {
  public let path: String

  public init(path: String) { self.path = path }

  public static func ofThisUser() throws(LabError) -> PipelineRoot {
    if let path = variable("NETLOOM_PIPELINES") {
      guard path.hasPrefix("/") else {
        throw LabError(.usage, "NETLOOM_PIPELINES=\(path): expected an absolute path")
      }
      return PipelineRoot(path: path)
    }
    if geteuid() == 0 { return PipelineRoot(path: "/var/lib/netloom/pipelines") }
    if let state = variable("XDG_STATE_HOME"), state.hasPrefix("/") {
      return PipelineRoot(path: state + "/netloom/pipelines")
    }
    guard let home = variable("HOME"), home.hasPrefix("/") else {
      throw LabError(.environment, "neither XDG_STATE_HOME nor HOME is set; set NETLOOM_PIPELINES to a folder for runs")
    }
    return PipelineRoot(path: home + "/.local/state/netloom/pipelines")
  }

  public func folder(of pipeline: String) -> PipelineFolder { PipelineFolder(path: path + "/" + pipeline) }

  func serviceLock(_ lab: String, _ service: String) -> String { "\(path)/\(lab).\(service).lock" }

  /// Names of the pipelines that have run, sorted.
  public func names() -> [String] {
    Folder.entries(of: path).filter { access(folder(of: $0).database, F_OK) == 0 }.sorted()
  }

  private static func variable(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
  }
}

/// The folder of one pipeline.
public struct PipelineFolder: Sendable {
  public let path: String
  public var database: String { path + "/state.db" }
  public var lock: String { path + "/lock" }
  public func run(_ number: Int) -> String { "\(path)/runs/\(number)" }
  func waiter(_ number: Int) -> String { run(number) + "/queued" }
  var root: PipelineRoot { PipelineRoot(path: String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])) }
  public func log(_ stage: Stage, of number: Int) -> String { "\(run(number))/\(stage.rawValue).log" }

  /// Whether a process carries out a run of it at this time.
  public var isRunning: Bool { RunLock.isHeld(self) }

  /// Whether a process waits for the turn of a queued run.
  public func isAwaited(_ number: Int) -> Bool { RunLock.isHeld(path: waiter(number)) }

  /// Makes it (0700): logs may hold what commands print.
  func create() throws(LabError) { try Self.make(path) }

  static func make(_ path: String) throws(LabError) {
    do {
      try Folder.make(path, mode: 0o700)
    } catch {
      throw LabError(.environment, "cannot make \(path): \(error.text)")
    }
  }
}
