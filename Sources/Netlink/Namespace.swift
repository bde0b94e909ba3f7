internal import CLinux
internal import Glibc

/// A network namespace, held by a descriptor (close on exec). The kernel takes the namespace away when the last
/// descriptor, process and socket in it are gone; nothing is bind-mounted.
///
/// No function here moves the calling thread: whatever must happen inside a namespace happens on a throw-away thread
/// that enters it and ends. A pool thread that called setns would take strangers' work with it.
public final class Namespace: Sendable {
  /// Owned: closed when the object goes.
  public let fileDescriptor: Int32

  /// Takes over an open descriptor of `/proc/PID/ns/net`.
  public init(adopting fileDescriptor: Int32) { self.fileDescriptor = fileDescriptor }

  deinit { close(fileDescriptor) }

  /// A new, empty namespace (its `lo` is down).
  public static func create() throws(KernelError) -> Namespace {
    try NamespaceThread.run { () throws(KernelError) in try unshareHere() }
  }

  /// Many new namespaces from one throw-away thread (about a millisecond each, all of it the kernel's).
  public static func create(count: Int) throws(KernelError) -> [Namespace] {
    try NamespaceThread.run { () throws(KernelError) in
      var made: [Namespace] = []
      made.reserveCapacity(count)
      for _ in 0..<count { made.append(try unshareHere()) }
      return made
    }
  }

  /// The namespace of a process.
  public static func open(pid: Int32) throws(KernelError) -> Namespace { try open(path: "/proc/\(pid)/ns/net") }

  /// A namespace by path, e.g. `/run/netns/NAME`.
  public static func open(path: String) throws(KernelError) -> Namespace {
    let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw KernelError(call: "open", subject: path) }
    return Namespace(adopting: descriptor)
  }

  /// The namespace of the calling thread.
  public static func current() throws(KernelError) -> Namespace { try open(path: "/proc/thread-self/ns/net") }

  /// Runs `body` on a throw-away thread inside this namespace and waits for it. Sockets opened there stay in the
  /// namespace and may be used from any thread afterwards.
  public func run<Result>(_ body: () throws(KernelError) -> Result) throws(KernelError) -> Result {
    try NamespaceThread.run { () throws(KernelError) in
      try enterHere()
      return try body()
    }
  }

  /// Runs `body` in each namespace in turn, all on one throw-away thread: the way to open hundreds of sockets.
  public static func runInEach<Result>(
    _ namespaces: [Namespace], _ body: (Int) throws(KernelError) -> Result
  ) throws(KernelError) -> [Result] {
    try NamespaceThread.run { () throws(KernelError) in
      var results: [Result] = []
      results.reserveCapacity(namespaces.count)
      for (index, namespace) in namespaces.enumerated() {
        try namespace.enterHere()
        results.append(try body(index))
      }
      return results
    }
  }

  /// Identity: the inode number of the namespace, as `ls -i /proc/PID/ns/net` shows it.
  public var inode: UInt64 {
    var status = stat()
    return fstat(fileDescriptor, &status) == 0 ? UInt64(status.st_ino) : 0
  }

  /// Only for threads of `NamespaceThread`.
  private func enterHere() throws(KernelError) {
    guard setns(fileDescriptor, CLONE_NEWNET) == 0 else { throw KernelError(call: "setns") }
  }

  /// Only for threads of `NamespaceThread`.
  private static func unshareHere() throws(KernelError) -> Namespace {
    guard unshare(CLONE_NEWNET) == 0 else { throw KernelError(call: "unshare(CLONE_NEWNET)") }
    return try current()
  }
}
