internal import CLinux
public import ControlProtocol
internal import EventLoop
internal import Glibc

/// The directory that holds one run directory per lab of this user: `/run/netloom` as root, otherwise
/// `$XDG_RUNTIME_DIR/netloom`, or `$TMPDIR/netloom-UID` (`/tmp` where that is unset).
///
/// What stands in there is trusted: sockets that run commands. So the directory must belong to the user and be closed
/// to everybody else, and a link in its place is refused.
public struct RunRoot: Sendable {
  /// Absolute, without a trailing slash.
  public let path: String

  /// For tests; everybody else asks `ofThisUser`.
  public init(path: String) {
    self.path = path
  }

  /// The root of the user who runs this process. Nothing is made yet.
  public static func ofThisUser() -> RunRoot {
    let user = geteuid()
    if user == 0 { return RunRoot(path: "/run/netloom") }
    if let runtime = variable("XDG_RUNTIME_DIR"), isOwnDirectory(runtime, user) {
      return RunRoot(path: runtime + "/netloom")
    }
    return RunRoot(path: (variable("TMPDIR") ?? "/tmp") + "/netloom-\(user)")
  }

  /// The run directory of a lab, whether it exists or not.
  public func directory(of lab: String) -> RunDirectory {
    RunDirectory(path: path + "/" + lab)
  }

  /// Whether the directory exists; throws when what stands there is not ours.
  public func exists() throws(LabError) -> Bool {
    var status = stat()
    guard lstat(path, &status) == 0 else {
      if errno == ENOENT { return false }
      throw LabError(.environment, "cannot look at \(path): \(SystemError.last("lstat").text)")
    }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      throw LabError(.environment, "\(path) is not a directory (a link there is refused); remove it and try again")
    }
    guard status.st_uid == geteuid() else {
      throw LabError(
        .environment,
        "\(path) belongs to user \(status.st_uid), not to you; set XDG_RUNTIME_DIR or TMPDIR to a "
          + "directory of your own")
    }
    guard status.st_mode & 0o022 == 0 else {
      throw LabError(.environment, "\(path) can be written by others; run: chmod 700 \(path)")
    }
    return true
  }

  /// Makes the directory (0700) unless it is there already.
  public func create() throws(LabError) {
    if mkdir(path, 0o700) != 0, errno != EEXIST {
      throw LabError(.environment, "cannot make \(path): \(SystemError.last("mkdir").text)")
    }
    _ = try exists()
  }

  /// Socket names in the lab's run directory must fit into a `sun_path`.
  public func checkLength(of lab: String) throws(LabError) {
    let longest = directory(of: lab).controllerSocket
    if longest.utf8.count > RunDirectory.longestSocketPath {
      throw LabError(
        .environment,
        "\(longest) is too long for a socket (\(longest.utf8.count) bytes, at most \(RunDirectory.longestSocketPath)); "
          + "set XDG_RUNTIME_DIR or TMPDIR to a shorter path")
    }
  }

  /// Whether a lab may be called that.
  public static func isName(_ name: String) -> Bool { isLabName(name) }

  /// Names of everything that lies in the root, sorted.
  func names() throws(LabError) -> [String] {
    guard try exists() else { return [] }
    return Folder.entries(of: path).filter(isLabName).sorted()
  }

  private static func variable(_ name: String) -> String? {
    guard let value = getenv(name) else { return nil }
    var text = String(cString: value)
    while text.count > 1, text.hasSuffix("/") { text.removeLast() }
    return text.hasPrefix("/") ? text : nil
  }

  private static func isOwnDirectory(_ path: String, _ user: uid_t) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR && status.st_uid == user
  }
}

/// `[a-z0-9]([a-z0-9-]*[a-z0-9])?`, at most 32: the names of labs and nodes.
func isLabName(_ name: String) -> Bool {
  let bytes = Array(name.utf8)
  guard let first = bytes.first, let last = bytes.last, bytes.count <= 32 else { return false }
  func isPlain(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) }
  return isPlain(first) && isPlain(last) && bytes.allSatisfy { isPlain($0) || $0 == UInt8(ascii: "-") }
}
