// The labs of this user, as the run directories tell: which run, which crashed, and the names that a crash left behind.
//
// A lab runs while the lock in its run directory is held. A run directory whose lock is free belongs to a crashed lab:
// its processes, namespaces and links are gone (the kernel took them), its logs are worth reading, and `down` or the
// next `up` of the name removes it.

internal import CLinux
public import ControlProtocol
internal import EventLoop
internal import Glibc
public import NorthboundClient

/// One lab as its run directory shows it.
public struct Lab: Sendable, Equatable {
  public enum State: String, Sendable { case running, crashed }

  public let name: String
  public let directory: RunDirectory
  public let state: State
  /// The lab's init as this process sees it; nil while it is being made.
  public let pid: Int32?
  /// Seconds since 1970 when the run directory was made.
  public let startedAt: Int

  /// Asks the lab's controller.
  public var client: NorthboundClient { NorthboundClient(socket: directory.apiSocket) }
}

extension RunRoot {
  /// Every lab, running or crashed, by name.
  public func labs() throws(LabError) -> [Lab] {
    var labs: [Lab] = []
    for name in try names() {
      if let lab = lab(named: name) { labs.append(lab) }
    }
    return labs
  }

  /// The lab of that name; nil when there is none.
  public func lab(named name: String) -> Lab? {
    guard isLabName(name) else { return nil }
    let directory = directory(of: name)
    var status = stat()
    guard lstat(directory.lock, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    let held = LabLock.isHeld(directory)
    let text = (try? SmallFile.text(directory.pid)) ?? ""
    return Lab(
      name: name, directory: directory, state: held ? .running : .crashed, pid: Int32(text.prefix { $0.isNumber }),
      startedAt: status.st_ctim.tv_sec)
  }

  /// The lab that a command is about: the named one, or the only one that runs.
  ///
  /// Errors: none runs or not that one (`didNotHold`), several run and none was named (`usage`, all listed).
  public func running(named name: String?) throws(LabError) -> Lab {
    let running = try labs().filter { $0.state == .running }
    let listed = running.map(\.name).joined(separator: ", ")
    guard let name else {
      if running.count > 1 {
        throw LabError(.usage, "\(running.count) labs run (\(listed)); say which one with --lab")
      }
      guard let only = running.first else {
        throw LabError(.didNotHold, "no lab is running; start one with: netloom up FILE")
      }
      return only
    }
    if let lab = running.first(where: { $0.name == name }) { return lab }
    if let lab = lab(named: name), lab.state == .crashed {
      throw LabError(
        .didNotHold, "lab \(name) crashed; its logs are in \(lab.directory.logs), netloom down \(name) removes them")
    }
    throw LabError(
      .didNotHold,
      running.isEmpty
        ? "no lab is running; start one with: netloom up FILE" : "no lab \(name); running: \(listed)")
  }
}

// MARK: - Sweeping

extension RunRoot {
  /// Removes the names that crashed labs left: sockets, nodes' private directories, links in /run/netns.
  /// Costs one directory listing when there is nothing to do.
  public func sweep() {
    guard let names = try? names() else { return }
    var running: Set<String> = []
    for name in names {
      let directory = directory(of: name)
      if LabLock.isHeld(directory) {
        running.insert(name)
      } else if let lock = LabLock.takeExisting(directory) {
        sweep(directory)
        _ = consume lock
      } else {
        running.insert(name)  // someone is just making or removing it
      }
    }
    if geteuid() == 0 { sweepNamespaceLinks(except: running) }
  }

  /// Leaves the logs and what the lab was made from; a directory that never got that far goes altogether.
  private func sweep(_ directory: RunDirectory) {
    guard access(directory.plan, F_OK) == 0 else { return Folder.remove(directory.path) }
    for socket in [directory.machineSocket, directory.controllerSocket, directory.apiSocket] { unlink(socket) }
    Folder.remove(directory.path + "/nodes")
    if geteuid() == 0, let lab = directory.path.split(separator: "/").last { removeControlGroups(of: String(lab)) }
  }

  /// Groups are names too: `netloom/LAB/NODE` below each hierarchy, empty now.
  private func removeControlGroups(of lab: String) {
    let root = "/sys/fs/cgroup"
    for hierarchy in [root] + Folder.entries(of: root).map({ "\(root)/\($0)" }) {
      let own = "\(hierarchy)/netloom/\(lab)"
      guard access(own, F_OK) == 0 else { continue }
      for node in Folder.entries(of: own) { rmdir("\(own)/\(node)") }
      rmdir(own)
      rmdir(hierarchy + "/netloom")
    }
  }

  /// Only what netloom itself makes: a link named LAB.NODE into /proc whose namespace is gone.
  private func sweepNamespaceLinks(except running: Set<String>) {
    let netns = "/run/netns"
    for name in Folder.entries(of: netns) {
      let parts = name.split(separator: ".", omittingEmptySubsequences: false)
      guard parts.count == 2, parts.allSatisfy({ isLabName(String($0)) }), !running.contains(String(parts[0])) else {
        continue
      }
      let path = netns + "/" + name
      guard let target = linkTarget(path), target.hasPrefix("/proc/"), access(path, F_OK) != 0 else { continue }
      unlink(path)
    }
  }
}

/// Where a symbolic link points; nil when it is none.
func linkTarget(_ path: String) -> String? {
  var buffer = [UInt8](repeating: 0, count: 4096)
  let count = buffer.withUnsafeMutableBytes { bytes in
    bytes.baseAddress.map { readlink(path, $0, bytes.count) } ?? -1
  }
  return count < 0 ? nil : String(decoding: buffer[0..<count], as: UTF8.self)
}
