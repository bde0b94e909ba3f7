// Every process of the lab is a child of the init or becomes one when its parent ends. The table knows the ones that
// the init started on purpose and who wants to hear of their end; it reaps all.
import CLinux
import Glibc
import EventLoop

final class ProcessTable {
  private var watchers: [Int32: (ProcessExit) -> Void] = [:]
  /// The procfs of those who started the lab: pids as they see them. -1: unknown.
  private let outerProc: Int32

  init(outerProc: Int32) { self.outerProc = outerProc }

  /// Starts a program; the handler hears of its end, once, from `reap`.
  func start(_ request: SpawnRequest, onExit: @escaping (ProcessExit) -> Void) throws(SpawnError) -> Int32 {
    let pid = try request.start()
    watchers[pid] = onExit
    return pid
  }

  /// Watches a child that was started another way.
  func watch(_ pid: Int32, onExit: @escaping (ProcessExit) -> Void) { watchers[pid] = onExit }

  /// Nobody wants to hear of this child any more; it is still reaped.
  func forget(_ pid: Int32) { watchers[pid] = nil }

  /// Takes away every zombie. Called on SIGCHLD.
  func reap() {
    EventLoop.reapChildren { pid, status in
      watchers.removeValue(forKey: pid)?(status)
    }
  }

  /// A child's pid as seen outside the lab; 0 when that cannot be told.
  func outerPid(of pid: Int32) -> Int32 {
    guard outerProc >= 0 else { return 0 }
    let descriptor = nl_pidfd_open(pid)
    guard descriptor >= 0 else { return 0 }
    defer { close(descriptor) }
    return nl_pid_seen_from(outerProc, descriptor)
  }

  /// Signals a process and everything in its group. Every program that we start leads a group of its own.
  static func signal(group pid: Int32, _ number: Int32) {
    if pid > 1 { kill(-pid, number) }
  }
}
