internal import CLinux
internal import ControlProtocol
internal import EventLoop
internal import Glibc

/// The exclusive lock on a lab's name: an flock(2) on `lock` in its run directory. `up` takes it, netloom-machine's
/// outer parent inherits the open file and so holds it for the life of the lab; whoever gets it knows that no such lab
/// runs and that nobody else is about to make one.
struct LabLock: ~Copyable {
  let file: FileDescriptor

  /// Makes the run directory where it is missing and takes the lock; nil when it is held.
  static func take(_ directory: RunDirectory) throws(LabError) -> LabLock? {
    do {
      while true {
        if mkdir(directory.path, 0o700) != 0, errno != EEXIST { throw SystemError.last("mkdir", directory.path) }
        guard let file = try open(directory.lock, O_RDWR | O_CREAT | O_NOFOLLOW) else { continue }
        guard try lock(file) else { return nil }
        // Someone may have removed the directory between open and lock; then this lock guards nothing.
        if isStill(file, at: directory.lock) { return LabLock(file: file) }
      }
    } catch {
      throw LabError(.environment, "cannot take the lab's name: \(error)")
    }
  }

  /// The lock of a run directory that exists; nil when it is held or there is none.
  static func takeExisting(_ directory: RunDirectory) -> LabLock? {
    guard let file = try? open(directory.lock, O_RDWR | O_NOFOLLOW), (try? lock(file)) == true,
      isStill(file, at: directory.lock)
    else { return nil }
    return LabLock(file: file)
  }

  /// Whether some process holds it.
  static func isHeld(_ directory: RunDirectory) -> Bool {
    guard let file = try? open(directory.lock, O_RDONLY | O_NOFOLLOW) else { return false }
    return flock(file.rawValue, LOCK_SH | LOCK_NB) != 0
  }

  /// Nil when the directory was removed in between.
  private static func open(_ path: String, _ flags: Int32) throws(SystemError) -> FileDescriptor? {
    do {
      return try FileDescriptor.open(path, flags, mode: 0o600)
    } catch  where error.code == ENOENT {
      return nil
    }
  }

  /// Tries for some milliseconds: `isHeld` of another command takes the lock for an instant.
  private static func lock(_ file: borrowing FileDescriptor) throws(SystemError) -> Bool {
    let raw = file.rawValue
    for attempt in 0..<10 {
      do {
        try systemCall("flock") { flock(raw, LOCK_EX | LOCK_NB) }
        return true
      } catch  where error.code == EWOULDBLOCK {
        if attempt > 0 { usleep(1000) }
      }
    }
    return false
  }

  private static func isStill(_ file: borrowing FileDescriptor, at path: String) -> Bool {
    var opened = stat()
    var named = stat()
    return fstat(file.rawValue, &opened) == 0 && lstat(path, &named) == 0 && opened.st_ino == named.st_ino
      && opened.st_dev == named.st_dev
  }
}
