import Glibc
import Lab

/// Paths that users write, which other processes must understand too: made absolute.
enum Paths {
  static func absolute(_ path: String) -> String {
    path.hasPrefix("/") ? path : Output.currentDirectory + "/" + path
  }

  /// A directory to write into; it is made where it is missing.
  static func directory(_ path: String) throws(LabError) -> String {
    var made = path.hasPrefix("/") ? "/" : ""
    for part in path.split(separator: "/") {
      made += part + "/"
      if mkdir(made, 0o777) != 0, errno != EEXIST {
        throw LabError(.usage, "cannot make directory \(path): \(reason)")
      }
    }
    guard access(path + "/", W_OK) == 0 else { throw LabError(.usage, "cannot write into \(path): \(reason)") }
    return absolute(path)
  }

  /// Whether `write` will be able to, asked before long work; nothing is changed.
  static func checkWritable(_ path: String) throws(LabError) {
    var status = stat()
    let exists = stat(path, &status) == 0
    // Opening a pipe would wait for its reader.
    if exists, ![S_IFREG, S_IFDIR].contains(status.st_mode & S_IFMT) { return }
    let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw LabError(.environment, "cannot write \(path): \(reason)") }
    close(descriptor)
    if !exists { unlink(path) }
  }

  static func write(_ text: String, to path: String) throws(LabError) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw LabError(.environment, "cannot write \(path): \(reason)") }
    defer { close(descriptor) }
    let bytes = Array(text.utf8)
    var written = 0
    while written < bytes.count {
      let count = bytes[written...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno != EINTR { throw LabError(.environment, "cannot write \(path): \(reason)") }
      written += max(0, count)
    }
  }

  private static var reason: String { String(cString: strerror(errno)) }
}
