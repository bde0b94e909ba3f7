// A node's own view of the file system, made when the first process that is not netloom's needs it: hostname, hosts
// file, /run. It is a mount and a uts namespace, held by descriptors. The run directory of the lab stays reachable in
// it at its usual path, and so does everything else.
import ControlProtocol
import CLinux
import Glibc
import EventLoop

/// Descriptors of a node's mount and uts namespaces.
final class NodeMounts {
  let mount: Int32
  let names: Int32

  private init(mount: consuming FileDescriptor, names: consuming FileDescriptor) {
    self.mount = mount.release()
    self.names = names.release()
  }

  deinit {
    close(mount)
    close(names)
  }

  /// What a node sees.
  struct Contents {
    var hostname: String
    var network: Int32
    var hosts: String
    var directory: RunDirectory
    var files: Files
  }

  /// What the node's daemon wants to find.
  struct Files {
    /// Directories of the private /run and their owners (nil: root).
    var runDirectories: [(name: String, user: DaemonUser?)] = []
    /// The file to be seen as /etc/frr/frr.conf, in an /etc/frr that holds nothing else of the machine's.
    var frrConfig: String?
    /// A file that is to be copied so that only root may read it.
    var privateCopy: (from: String, to: String)?
  }

  /// Makes the files and the namespaces. Warnings say what the kernel or a missing permission did not allow.
  static func make(_ contents: Contents, warn: (String) -> Void) throws(SystemError) -> NodeMounts {
    let home = contents.directory.node(contents.hostname)
    try makeFiles(contents, home)
    var warnings: [String] = []
    let mounts = try onThrowawayThread { () throws(SystemError) -> NodeMounts in
      try systemCall("setns") { setns(contents.network, CLONE_NEWNET) }
      try systemCall("unshare", "mount and uts namespaces") { nl_unshare_node(contents.hostname) }
      if let config = contents.files.frrConfig { try coverFRR(config, with: home + "/frr") }
      try coverRun(contents.directory.path, with: home + "/run")
      if bind(home + "/hosts", "/etc/hosts") != 0 {
        warnings.append("/etc/hosts cannot be replaced (\(SystemError.last("mount").text)): node names do not resolve")
      }
      // /sys shows the interfaces of the namespace in which it was mounted. Best effort: few programs look there.
      _ = CLinux.mount("sysfs", "/sys", "sysfs", UInt(MS_NOSUID | MS_NODEV | MS_NOEXEC), nil)
      return NodeMounts(
        mount: try FileDescriptor.open("/proc/thread-self/ns/mnt", O_RDONLY),
        names: try FileDescriptor.open("/proc/thread-self/ns/uts", O_RDONLY))
    }
    for warning in warnings { warn(warning) }
    return mounts
  }

  private static func makeFiles(_ contents: Contents, _ home: String) throws(SystemError) {
    let run = home + "/run"
    try makeDirectory(contents.directory.path + "/nodes", mode: 0o755)
    try makeDirectory(home, mode: 0o755)
    try makeDirectory(run, mode: 0o755)
    try makeDirectory(run + "/lock", mode: 0o1777)
    try SmallFile.write(home + "/hosts", contents.hosts)
    for item in contents.files.runDirectories {
      let path = run + "/" + item.name
      try makeDirectory(path, mode: 0o755)
      if let user = item.user { try systemCall("chown", path) { chown(path, user.uid, user.gid) } }
    }
    if contents.files.frrConfig != nil {
      try makeDirectory(home + "/frr", mode: 0o755)
      try SmallFile.write(home + "/frr/vtysh.conf", "service integrated-vtysh-config\n")
      try SmallFile.write(home + "/frr/frr.conf", "")
    }
    if let copy = contents.files.privateCopy {
      try SmallFile.write(copy.to, try SmallFile.read(copy.from), mode: 0o600)
    }
  }

  private static func coverFRR(_ config: String, with directory: String) throws(SystemError) {
    try mounted(config, directory + "/frr.conf", bind(config, directory + "/frr.conf"))
    try mounted(directory, "/etc/frr", bind(directory, "/etc/frr"))
  }

  /// Mounts the private directory on /run and, when the lab's directory lies below /run, that one back in its place.
  private static func coverRun(_ lab: String, with run: String) throws(SystemError) {
    guard lab.hasPrefix("/run/") else {
      return try mounted(run, "/run", bind(run, "/run"))
    }
    let held = try FileDescriptor.open(lab, O_PATH | O_DIRECTORY)
    try mounted(run, "/run", bind(run, "/run"))
    var path = "/run"
    for part in lab.dropFirst("/run/".count).split(separator: "/") {
      path += "/" + part
      try makeDirectory(path, mode: 0o755)
    }
    try mounted(lab, lab, bind("/proc/thread-self/fd/\(held.rawValue)", lab))
  }

  private static func mounted(_ source: String, _ target: String, _ result: Int32) throws(SystemError) {
    if result != 0 { throw SystemError.last("mount", "\(source) on \(target)") }
  }

  private static func bind(_ source: String, _ target: String) -> Int32 {
    CLinux.mount(source, target, nil, UInt(MS_BIND | MS_REC), nil)
  }
}

/// Makes a directory with exactly this mode; one that is there keeps its own.
func makeDirectory(_ path: String, mode: UInt32) throws(SystemError) {
  if mkdir(path, mode) != 0 {
    let error = SystemError.last("mkdir", path)
    if error.code != EEXIST { throw error }
    return
  }
  try systemCall("chmod", path) { chmod(path, mode) }
}
