// `netloom-machine --container DIR`: becomes the runtime of one container. It runs in the lab's mount namespace with the
// node's network and host name, and makes a mount namespace of its own first: the layers that it mounts there go with
// the last process of the container, however that ends, and nobody has to unmount anything.
//
//   join the control groups ─► unshare mounts ─► overlay (image below, the node's own layer above) ─► exec crun
import CLinux
import EventLoop
import FoundationEssentials
import Glibc

/// `launch.json` beside `config.json`.
struct ContainerLaunch: Codable {
  var id: String
  var lower: String
  var upper: String
  var work: String
  var root: String
  /// The runtime's program, and whether it is crun.
  var runtime: String
  var isCrun: Bool
  var pidFile: String
  /// The runtime's own notes.
  var state: String
  /// Files `cgroup.procs` of the groups to join.
  var groups: [String]
  /// In a user namespace overlayfs keeps its notes in attributes of `user.`.
  var userAttributes: Bool
}

enum ContainerProgram {
  /// What a runtime returns that could not start anything.
  static let cannotStart: Int32 = 125

  static func main(_ arguments: [String]) -> Int32 {
    do {
      guard let directory = arguments.first, arguments.count == 1 else {
        throw BuildError("usage: netloom-machine --container DIR")
      }
      let data = Data(try SmallFile.read(directory + "/launch.json"))
      try run(try JSONDecoder().decode(ContainerLaunch.self, from: data), directory)
    } catch {
      let line = Array("netloom: the container cannot be started: \(error)\n".utf8)
      _ = write(2, line, line.count)
    }
    return cannotStart
  }

  private static func run(_ launch: ContainerLaunch, _ directory: String) throws {
    for group in launch.groups { try SmallFile.overwrite(group, "0") }
    try systemCall("unshare", "a mount namespace") { unshare(CLONE_NEWNS) }
    try systemCall("mount", "/ private") { mount(nil, "/", nil, UInt(MS_REC | MS_PRIVATE), nil) }
    if launch.isCrun {
      // crun refuses the mixture of both versions of cgroups, which it need not even see: limits are set already.
      try systemCall("mount", "/sys/fs/cgroup") { mount("none", "/sys/fs/cgroup", "tmpfs", 0, "mode=755") }
    }
    try mountLayers(launch)
    var words = [launch.runtime, "--root", launch.state]
    if launch.isCrun { words.append("--cgroup-manager=disabled") }
    words += ["run", "--bundle", directory, "--pid-file", launch.pidFile, launch.id]
    var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
    argv.append(nil)
    execv(launch.runtime, argv)
    throw SystemError.last("exec", launch.runtime)
  }

  private static func mountLayers(_ launch: ContainerLaunch) throws(SystemError) {
    if try overlay(launch, upper: launch.upper, work: launch.work) { return }
    // The run directory lies on a file system that cannot be an upper layer, as in a container of others: memory can.
    let memory = launch.root
    try systemCall("mount", memory) { mount("none", memory, "tmpfs", 0, "mode=755") }
    let (upper, work) = (memory + "/upper", memory + "/work")
    for path in [upper, work] { try makeDirectory(path, mode: 0o755) }
    if try !overlay(launch, upper: upper, work: work) {
      throw SystemError("mount", EINVAL, "an overlay on \(launch.lower): this kernel allows none here")
    }
  }

  /// False: these directories cannot be its upper layer.
  private static func overlay(_ launch: ContainerLaunch, upper: String, work: String) throws(SystemError) -> Bool {
    // A colon divides lower layers, a comma options: neither stands in a digest or a lab's name, but TMPDIR may.
    let escape = { (path: String) in path.replacing("\\", with: "\\\\").replacing(",", with: "\\,") }
    let options =
      "lowerdir=\(escape(launch.lower).replacing(":", with: "\\:")),upperdir=\(escape(upper)),workdir=\(escape(work))"
      + (launch.userAttributes ? ",userxattr" : "")
    if mount("overlay", launch.root, "overlay", 0, options) == 0 { return true }
    let error = SystemError.last("mount", "overlay on \(launch.root)")
    if error.code == EINVAL || error.code == EOPNOTSUPP { return false }
    throw error
  }
}
