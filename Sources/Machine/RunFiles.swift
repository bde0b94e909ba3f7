// What a lab leaves in the file system and who takes it away: the run directory, and as root the links in /run/netns.
import CLinux
import ControlProtocol
import EventLoop
import Glibc

struct RunFiles {
  let directory: RunDirectory

  /// Links `/run/netns/LAB.NODE`, so that `ip netns exec LAB.NODE` works. They point to the init's descriptors: when
  /// the init is gone they dangle, and whoever finds them knows that.
  static func linkNamespaces(lab: String, init pid: Int32, _ nodes: [(name: String, descriptor: Int32)])
    throws(SystemError)
  {
    if mkdir(netns, 0o755) != 0, SystemError.last("mkdir").code != EEXIST { throw SystemError.last("mkdir", netns) }
    for node in nodes {
      let path = "\(netns)/\(lab).\(node.name)"
      _ = unlink(path)
      try systemCall("symlink", path) { symlink("/proc/\(pid)/fd/\(node.descriptor)", path) }
    }
  }

  private static let netns = "/run/netns"

  /// Removes the links that point into that process.
  static func unlinkNamespaces(init pid: Int32) {
    let prefix = "/proc/\(pid)/fd/"
    for name in Folder.entries(of: netns) where linkTarget("\(netns)/\(name)")?.hasPrefix(prefix) == true {
      _ = unlink("\(netns)/\(name)")
    }
  }

  /// After the lab has ended. A clean end leaves nothing; a crash leaves what tells of it: the logs, the plan and the
  /// topology, under the lab's name, until `down` or the next `up` of that name.
  func remove(initPid: Int32, cleanly: Bool) {
    if initPid > 0 { Self.unlinkNamespaces(init: initPid) }
    if let lab = directory.path.split(separator: "/").last { ControlGroup.remove(lab: String(lab)) }
    if cleanly { return removeAll() }
    for path in [directory.pid, directory.machineSocket, directory.controllerSocket, directory.apiSocket] {
      _ = unlink(path)
    }
    Folder.remove(directory.path + "/nodes")
  }

  /// The lock last: while it stands nobody else can take the name and put new files here.
  private func removeAll() {
    Folder.empty(directory.path, keeping: ["lock"])
    _ = unlink(directory.lock)
    _ = rmdir(directory.path)
  }

  static func linkTarget(_ path: String) -> String? {
    var buffer = [CChar](repeating: 0, count: 256)
    let count = readlink(path, &buffer, buffer.count)
    return count > 0 ? String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self) : nil
  }
}
