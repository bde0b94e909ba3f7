import FoundationEssentials
import Glibc
import Lab

/// Paths that users write, which other processes must understand too: made absolute.
enum Paths {
  static func absolute(_ path: String) -> String {
    path.hasPrefix("/") ? path : Output.currentDirectory + "/" + path
  }

  /// A directory to write into; it is made where it is missing.
  static func directory(_ path: String) throws(LabError) -> String {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw LabError(.usage, "cannot make directory \(path): \(error)")
    }
    guard access(path, W_OK) == 0 else {
      throw LabError(.usage, "cannot write into \(path): \(String(cString: strerror(errno)))")
    }
    return absolute(path)
  }

  static func write(_ text: String, to path: String) throws(LabError) {
    do {
      try Data(text.utf8).write(to: URL(filePath: absolute(path)))
    } catch {
      throw LabError(.environment, "cannot write \(path): \(error)")
    }
  }
}
