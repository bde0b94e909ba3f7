internal import Glibc

/// The file of a result: whole or not at all, and never over the file that it came from.
public enum OutputFile {
  public enum Problem: Error, Equatable {
    case isTheSource
    case system(String)
  }

  public static func write(_ text: String, to path: String, from source: String) throws(Problem) {
    var target = stat()
    var origin = stat()
    if stat(path, &target) == 0 {
      if stat(source, &origin) == 0, target.st_dev == origin.st_dev, target.st_ino == origin.st_ino {
        throw .isTheSource
      }
      // A pipe or a device is written to, not replaced.
      if target.st_mode & S_IFMT != S_IFREG { return try fill(path, text, flags: O_WRONLY) }
    }
    let temporary = "\(path).\(getpid()).new"
    do throws(Problem) {
      try fill(temporary, text, flags: O_WRONLY | O_CREAT | O_EXCL)
      guard rename(temporary, path) == 0 else { throw Problem.system(String(cString: strerror(errno))) }
    } catch {
      unlink(temporary)
      throw error
    }
  }

  private static func fill(_ path: String, _ text: String, flags: Int32) throws(Problem) {
    let descriptor = open(path, flags | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw .system(String(cString: strerror(errno))) }
    defer { close(descriptor) }
    let bytes = Array(text.utf8)
    var written = 0
    while written < bytes.count {
      let count = bytes[written...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw .system(String(cString: strerror(errno))) }
      written += count
    }
  }
}
