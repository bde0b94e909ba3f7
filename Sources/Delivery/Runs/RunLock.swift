internal import CLinux
internal import EventLoop
internal import Glibc
internal import Lab

/// The right to run a pipeline: an flock(2) on its `lock`. The kernel gives it back when its holder dies, so a run that
/// is marked as under way while the lock is free was killed. A queued run has such a lock of its own, to show that
/// somebody waits for its turn.
struct RunLock: ~Copyable {
  private let file: FileDescriptor

  /// nil: another process has it.
  static func take(_ folder: PipelineFolder) throws(LabError) -> RunLock? {
    try folder.create()
    return try take(path: folder.lock)
  }

  static func take(path: String) throws(LabError) -> RunLock? {
    do {
      let file = try FileDescriptor.open(path, O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
      let raw = file.rawValue
      do {
        try systemCall("flock", path) { flock(raw, LOCK_EX | LOCK_NB) }
      } catch  where error.code == EWOULDBLOCK {
        return nil
      }
      return RunLock(file: file)
    } catch {
      throw LabError(.environment, "cannot lock the pipeline: \(error)")
    }
  }

  static func isHeld(_ folder: PipelineFolder) -> Bool { isHeld(path: folder.lock) }

  static func isHeld(path: String) -> Bool {
    guard let file = try? FileDescriptor.open(path, O_RDONLY | O_NOFOLLOW) else { return false }
    return flock(file.rawValue, LOCK_SH | LOCK_NB) != 0
  }

  /// The descriptor, whose closing gives the lock back.
  consuming func release() -> Int32 { file.release() }
}
