internal import EventLoop
internal import Glibc
internal import CLinux

/// Where the programs are: netloom's own stand beside the one that runs, those of others on the PATH.
public enum Programs {
  /// The directory of the running executable, links followed.
  public static func directory() throws(LabError) -> String {
    guard let path = linkTarget("/proc/self/exe"), let slash = path.lastIndex(of: "/") else {
      throw LabError(.environment, "cannot read /proc/self/exe; is /proc mounted?")
    }
    return String(path[..<slash])
  }

  /// One of netloom's programs; an error when the installation is not whole.
  public static func own(_ name: String) throws(LabError) -> String {
    let path = try directory() + "/" + name
    guard access(path, X_OK) == 0 else {
      throw LabError(.environment, "\(path) is missing; netloom's programs must stay in one directory")
    }
    return path
  }

  /// A program as a shell would find it, with the directories added where Debian keeps servers.
  public static func find(_ name: String) -> String? {
    let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
    let directories = path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin", "/usr/lib/frr"]
    return directories.lazy.map { $0 + "/" + name }.first { access($0, X_OK) == 0 }
  }
}

extension Programs {
  /// Replaces this process by the program, with this environment. Returns only by throwing.
  public static func become(_ arguments: [String]) throws(LabError) {
    withCStrings(arguments) { argv in
      if let program = argv[0] { _ = execv(program, argv) }
    }
    throw LabError(.environment, "cannot run \(arguments.first ?? ""): \(SystemError.last("exec").text)")
  }
}
