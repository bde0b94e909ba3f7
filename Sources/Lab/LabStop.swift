internal import CLinux
internal import ControlProtocol
internal import EventLoop
internal import Glibc
internal import SwiftProtobuf

extension Lab {
  /// How the end of a lab came about, for the one line that `down` prints.
  public enum Ending: String, Sendable { case stopped, killed, removed }

  /// Takes the lab away and returns when nothing of it is left: processes, namespaces, links, names, run directory.
  ///
  /// A running lab is asked to stop; an init that does not answer is killed, which has the same effect. Of a crashed
  /// one the run directory is removed. Throws when the lab is still there after half a minute.
  @discardableResult
  public func stop() throws(LabError) -> Ending {
    if takeAway() { return .removed }
    let asked = (try? askToStop()) != nil
    if asked, waitUntilGone(seconds: 5) { return .stopped }
    let killed = killInit()
    // An init that is gone may leave the kernel seconds of work: hundreds of captures close one after the other.
    if waitUntilGone(seconds: killed ? 10 : 30) { return killed ? .killed : .stopped }
    guard killed else {
      throw LabError(
        .environment, "lab \(name) does not stop and its init cannot be found; see \(directory.log("machine"))")
    }
    throw LabError(.environment, "lab \(name) was killed but its name is still held; see \(directory.log("machine"))")
  }

  private func askToStop() throws {
    let machine = try MachineClient(directory.machineSocket)
    try machine.send(.with { $0.stop = NLStopLab() })
  }

  private func waitUntilGone(seconds: Int) -> Bool {
    let limit = EventLoop.clock() + UInt64(seconds) * 1_000_000_000
    while EventLoop.clock() < limit {
      if takeAway() { return true }
      usleep(2000)
    }
    return false
  }

  /// Removes the run directory if nobody holds its lock; true when there is none any more.
  private func takeAway() -> Bool {
    if access(directory.path, F_OK) != 0 { return true }
    guard let lock = LabLock.takeExisting(directory) else { return access(directory.lock, F_OK) != 0 }
    Folder.remove(directory.path)
    _ = consume lock
    return true
  }

  /// Kills the init after making sure that the pid is still its own: it carries the run directory in its arguments.
  private func killInit() -> Bool {
    guard let text = try? SmallFile.text(directory.pid), let pid = Int32(text.prefix { $0.isNumber }), pid > 1,
      let arguments = try? SmallFile.read("/proc/\(pid)/cmdline").split(separator: 0),
      arguments.contains(where: { String(decoding: $0, as: UTF8.self) == directory.path })
    else { return false }
    return kill(pid, SIGKILL) == 0
  }
}
