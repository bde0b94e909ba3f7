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
  public func log(_ stage: Stage, of number: Int) -> String { "\(run(number))/\(stage.rawValue).log" }

  /// Whether a process carries out a run of it at this time.
  public var isRunning: Bool { RunLock.isHeld(self) }

  /// Makes it (0700): logs may hold what commands print.
  func create() throws(LabError) { try Folder.make(path, mode: 0o700) }
}

enum Folder {
  /// Makes a folder and those above it.
  static func make(_ path: String, mode: UInt32 = 0o755) throws(LabError) {
    var made = ""
    for part in path.split(separator: "/") {
      made += "/" + part
      if mkdir(made, mode) != 0, errno != EEXIST {
        throw LabError(.environment, "cannot make \(made): \(SystemError.last("mkdir").text)")
      }
    }
  }

  static func entries(of path: String) -> [String] {
    guard let stream = opendir(path) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  /// Takes a folder away with everything in it, without following links.
  static func remove(_ path: String) {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    if status.st_mode & S_IFMT == S_IFDIR {
      for name in entries(of: path) { remove(path + "/" + name) }
      rmdir(path)
    } else {
      unlink(path)
    }
  }

  static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
}
