// Without root the lab lives in a user namespace of its own, in which its user is root. Which other users exist there
// depends on the machine: with ranges in /etc/subuid and /etc/subgid and the setuid programs newuidmap and newgidmap
// all of them, so that daemons may change theirs; otherwise only the one.
import CLinux
import EventLoop
import Glibc

enum UserNamespace {
  /// This process is in the machine's first user namespace: whoever is root there is root (user_namespaces(7)).
  static var isInitial: Bool {
    let fields = (try? SmallFile.text("/proc/self/uid_map"))?.split(whereSeparator: \.isWhitespace) ?? []
    return fields == ["0", "0", "4294967295"]
  }

  /// Moves this process, which must have one thread, into a new user namespace and maps its users.
  /// - Returns: whether a range of users was mapped.
  static func enter() throws(BuildError) -> Bool {
    let (user, group) = (geteuid(), getegid())
    let ranges = Ranges(user: user)
    do throws(SystemError) {
      if let ranges, try enter(mapping: ranges, user: user, group: group) { return true }
      if ranges == nil { try unshareUser() }
      try SmallFile.overwrite("/proc/self/setgroups", "deny")
      try SmallFile.overwrite("/proc/self/uid_map", "0 \(user) 1")
      try SmallFile.overwrite("/proc/self/gid_map", "0 \(group) 1")
    } catch {
      throw BuildError("cannot make a user namespace: \(error)")
    }
    return false
  }

  private static func unshareUser() throws(SystemError) {
    try systemCall("unshare", "a user namespace") { unshare(CLONE_NEWUSER) }
  }

  /// The set-uid programs must run outside the new namespace: a child that was forked before runs them.
  /// False when they failed; the namespace has been entered all the same and has no mapping yet.
  private static func enter(mapping ranges: Ranges, user: UInt32, group: UInt32) throws(SystemError) -> Bool {
    let (mine, theirs) = try UnixSocket.pair(nonBlocking: false)
    let target = getpid()
    let child = try systemCall("fork") { nl_fork() }
    if child == 0 {
      _ = close(mine)
      var byte: UInt8 = 0
      let told = read(theirs, &byte, 1)
      let done = told == 1 && ranges.map(target, user: user, group: group)
      _exit(done ? 0 : 1)
    }
    _ = close(theirs)
    defer { _ = close(mine) }
    try unshareUser()
    var byte: UInt8 = 1
    _ = write(mine, &byte, 1)
    var status: Int32 = 0
    try systemCall("waitpid") { waitpid(child, &status, 0) }
    return ProcessExit(waitStatus: status) == .exited(0)
  }

  /// Subordinate ids of the user and the programs that may map them.
  struct Ranges {
    let users: (first: UInt32, count: UInt32)
    let groups: (first: UInt32, count: UInt32)

    /// Nil when a range or a program is missing.
    init?(user: UInt32) {
      guard access("/usr/bin/newuidmap", X_OK) == 0, access("/usr/bin/newgidmap", X_OK) == 0,
        let users = Self.range("/etc/subuid", user), let groups = Self.range("/etc/subgid", user)
      else { return nil }
      (self.users, self.groups) = (users, groups)
    }

    /// The first line of the user: NAME-OR-NUMBER:FIRST:COUNT (subuid(5)).
    private static func range(_ path: String, _ user: UInt32) -> (first: UInt32, count: UInt32)? {
      guard let text = try? SmallFile.text(path) else { return nil }
      let name = getpwuid(user).map { String(cString: $0.pointee.pw_name) }
      for line in text.split(separator: "\n") {
        let fields = line.split(separator: ":", omittingEmptySubsequences: false)
        guard fields.count == 3, fields[0] == "\(user)" || name.map({ fields[0] == $0 }) == true,
          let first = UInt32(fields[1]), let count = UInt32(fields[2]), count > 0
        else { continue }
        return (first, count)
      }
      return nil
    }

    /// Id 0 is the user, 1 and up are the range.
    fileprivate func map(_ process: Int32, user: UInt32, group: UInt32) -> Bool {
      run("/usr/bin/newuidmap", process, user, users) && run("/usr/bin/newgidmap", process, group, groups)
    }

    private func run(_ program: String, _ process: Int32, _ own: UInt32, _ range: (first: UInt32, count: UInt32))
      -> Bool
    {
      let words = [program, "\(process)", "0", "\(own)", "1", "1", "\(range.first)", "\(range.count)"]
      guard let pid = try? SpawnRequest(argv: words).start() else { return false }
      var status: Int32 = 0
      while waitpid(pid, &status, 0) < 0 {
        if SystemError.last("waitpid").code != EINTR { return false }
      }
      return ProcessExit(waitStatus: status) == .exited(0)
    }
  }
}

extension SmallFile {
  /// One write to a file that exists, as /proc wants it.
  static func overwrite(_ path: String, _ text: String) throws(SystemError) {
    let file = try FileDescriptor.open(path, O_WRONLY)
    try writeAll(file.rawValue, Array(text.utf8), path)
  }
}
