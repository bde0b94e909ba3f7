internal import EventLoop
internal import Glibc

/// An advisory lock on a file (flock(2)): the kernel gives it back when its holder ends, however that ends.
public struct StoreLock: ~Copyable {
  private let file: FileDescriptor

  enum Mode: Sendable { case shared, exclusive }

  private init(_ file: consuming FileDescriptor) { self.file = file }

  /// Waits until `deadline` (of `EventLoop.clock`); `unreachable` when it is over, as whoever holds it still works.
  static func take(_ path: String, _ mode: Mode, until deadline: UInt64) throws(ImageError) -> StoreLock {
    while true {
      if let lock = try attempt(path, mode) { return lock }
      guard EventLoop.clock() < deadline else {
        throw ImageError(.unreachable, "another process has held \(path) all the time")
      }
      usleep(5_000)
    }
  }

  /// nil: another holds it.
  static func attempt(_ path: String, _ mode: Mode) throws(ImageError) -> StoreLock? {
    do throws(SystemError) {
      let file = try FileDescriptor.open(path, O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o644)
      let raw = file.rawValue
      try systemCall("flock", path) { flock(raw, (mode == .shared ? LOCK_SH : LOCK_EX) | LOCK_NB) }
      return StoreLock(file)
    } catch  where error.code == EWOULDBLOCK {
      return nil
    } catch {
      throw ImageError(.environment, "the image store: \(error)")
    }
  }
}
