import CLinux
import Glibc

/// The owner of one open descriptor: it is closed when its owner goes away. Everything that this module opens carries
/// O_CLOEXEC, so a child keeps only what it is given on purpose.
public struct FileDescriptor: ~Copyable {
  /// The number; valid for as long as this value lives.
  public let rawValue: Int32

  /// Takes ownership of an open descriptor.
  public init(owning rawValue: Int32) { self.rawValue = rawValue }

  deinit {
    let result = Glibc.close(rawValue)
    // Somebody else has closed it, and may have closed what another thread opened under its number.
    assert(result == 0 || errno != EBADF, "descriptor \(rawValue) was closed by somebody who did not own it")
  }

  /// Gives ownership up without closing: the caller closes the number that it gets.
  public consuming func release() -> Int32 {
    let raw = rawValue
    discard self
    return raw
  }

  /// A second descriptor of the same open file.
  public borrowing func duplicate() throws(SystemError) -> FileDescriptor {
    let raw = rawValue
    return FileDescriptor(owning: try systemCall("fcntl", "F_DUPFD_CLOEXEC") { nl_dup_cloexec(raw) })
  }

  /// Opens a path with O_CLOEXEC added to the flags.
  public static func open(_ path: String, _ flags: Int32, mode: UInt32 = 0o644) throws(SystemError) -> FileDescriptor {
    FileDescriptor(owning: try systemCall("open", path) { Glibc.open(path, flags | O_CLOEXEC, mode) })
  }
}

/// Whole small files, the way /proc and run directories need them.
public enum SmallFile {
  /// All bytes of a file.
  public static func read(_ path: String) throws(SystemError) -> [UInt8] {
    let file = try FileDescriptor.open(path, O_RDONLY)
    let raw = file.rawValue
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16384)
    while true {
      let count = try systemCall("read", path) { Glibc.read(raw, &chunk, chunk.count) }
      if count == 0 { return bytes }
      bytes.append(contentsOf: chunk[0..<count])
    }
  }

  /// The text of a file; bytes that are no UTF-8 are replaced.
  public static func text(_ path: String) throws(SystemError) -> String {
    String(decoding: try read(path), as: UTF8.self)
  }

  /// Creates or replaces a file's contents.
  public static func write(_ path: String, _ bytes: some Sequence<UInt8>, mode: UInt32 = 0o644) throws(SystemError) {
    let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
    try writeAll(file.rawValue, Array(bytes), path)
  }

  public static func write(_ path: String, _ text: String, mode: UInt32 = 0o644) throws(SystemError) {
    try write(path, text.utf8, mode: mode)
  }

  /// Writes every byte to a blocking descriptor.
  public static func writeAll(_ descriptor: Int32, _ bytes: [UInt8], _ detail: String = "") throws(SystemError) {
    var written = 0
    while written < bytes.count {
      let offset = written
      written += try systemCall("write", detail) {
        bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress.map { $0 + offset }, bytes.count - offset) }
      }
    }
  }
}
