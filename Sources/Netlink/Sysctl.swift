internal import Glibc

/// Kernel parameters under /proc/sys. Those of the network are per namespace: the kernel looks at the namespace of the
/// thread that opens the file.
public enum Sysctl {
  /// One parameter: the dotted name as sysctl(8) writes it (`net.ipv4.conf.eth0/1.rp_filter` for an interface `eth0.1`,
  /// or slashes throughout) and its value.
  public struct Setting: Hashable, Sendable {
    public var name: String
    public var value: String

    public init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  /// Writes all settings in the namespace (nil: the caller's) on one throw-away thread. Stops at the first that fails.
  public static func write(_ settings: [Setting], in namespace: Namespace) throws(KernelError) {
    try namespace.run { () throws(KernelError) in
      for setting in settings { try write(setting) }
    }
  }

  /// Writes one setting in the calling thread's namespace.
  public static func write(_ setting: Setting) throws(KernelError) {
    let path = path(of: setting.name)
    let descriptor = open(path, O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw KernelError(call: "open", subject: path) }
    defer { close(descriptor) }
    let bytes = Array(setting.value.utf8)
    guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count else {
      throw KernelError(call: "write \(setting.value) to", subject: path)
    }
  }

  /// The value as the calling thread's namespace has it, without the final newline.
  public static func read(_ name: String) throws(KernelError) -> String {
    let path = path(of: name)
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw KernelError(call: "open", subject: path) }
    defer { close(descriptor) }
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = Glibc.read(descriptor, &buffer, buffer.count)
    guard count >= 0 else { throw KernelError(call: "read", subject: path) }
    return String(decoding: buffer[..<count].prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
  }

  /// The value in a namespace (nil: the caller's).
  public static func read(_ name: String, in namespace: Namespace?) throws(KernelError) -> String {
    guard let namespace else { return try read(name) }
    return try namespace.run { () throws(KernelError) in try read(name) }
  }

  /// As sysctl(8): whichever of `.` and `/` comes first separates, the other one is part of a name.
  static func path(of name: String) -> String {
    guard let first = name.first(where: { $0 == "." || $0 == "/" }), first == "." else { return "/proc/sys/" + name }
    return "/proc/sys/" + String(name.map { $0 == "." ? "/" : $0 == "/" ? "." : $0 })
  }
}
