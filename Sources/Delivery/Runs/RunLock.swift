internal import CLinux
internal import EventLoop
internal import Glibc
internal import Lab

/// The right to run a pipeline: an flock(2) on its `lock`. The kernel gives it back when its holder dies, so a run that
/// is marked as under way while the lock is free was killed.
struct RunLock: ~Copyable {
  private let file: FileDescriptor

  /// nil: another process has it.
  static func take(_ folder: PipelineFolder) throws(LabError) -> RunLock? {
    try folder.create()
    do {
      let file = try FileDescriptor.open(folder.lock, O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
      let raw = file.rawValue
      do {
        try systemCall("flock", folder.lock) { flock(raw, LOCK_EX | LOCK_NB) }
      } catch  where error.code == EWOULDBLOCK {
        return nil
      }
      return RunLock(file: file)
    } catch {
      throw LabError(.environment, "cannot lock the pipeline: \(error)")
    }
  }

  static func isHeld(_ folder: PipelineFolder) -> Bool {
    guard let file = try? FileDescriptor.open(folder.lock, O_RDONLY | O_NOFOLLOW) else { return false }
    return flock(file.rawValue, LOCK_SH | LOCK_NB) != 0
  }
}
