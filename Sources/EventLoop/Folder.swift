import CLinux
import Glibc

/// Folders by path.
public enum Folder {
  /// What a folder holds, in no order; nothing when it cannot be read.
  public static func entries(of path: String) -> [String] {
    guard let stream = opendir(path) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  /// Takes away what is there, a folder with everything in it; links are removed, not followed. Folders that were made
  /// unwritable (images have such) are made writable first.
  public static func remove(_ path: String) {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      _ = unlink(path)
      return
    }
    if status.st_mode & 0o700 != 0o700 { _ = chmod(path, 0o700) }
    empty(path)
    _ = rmdir(path)
  }

  /// Takes away everything in a folder but what has one of these names.
  public static func empty(_ path: String, keeping kept: Set<String> = []) {
    for name in entries(of: path) where !kept.contains(name) { remove(path + "/" + name) }
  }

  /// Makes a folder and those above it; another process may make the same ones meanwhile.
  public static func make(_ path: String, mode: UInt32 = 0o755) throws(SystemError) {
    if mkdir(path, mode) == 0 || errno == EEXIST { return }
    let error = SystemError.last("mkdir", path)
    guard error.code == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else { throw error }
    try make(String(path[..<slash]), mode: mode)
    guard mkdir(path, mode) == 0 || errno == EEXIST else { throw SystemError.last("mkdir", path) }
  }

  /// Whether there is anything of this path; a link counts by what it leads to.
  public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
}
