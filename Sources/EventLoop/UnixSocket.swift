import CLinux
import Glibc

/// Unix stream sockets with path names, and descriptors that travel over them (unix(7)). All non-blocking unless said.
public enum UnixSocket {
  /// Who is at the other end, as the kernel recorded it at connect time (SO_PEERCRED).
  public struct Credentials: Sendable {
    public let pid: Int32
    public let user: UInt32
    public let group: UInt32
  }

  /// Makes the socket file and listens. A file that a dead process left there is replaced.
  public static func listen(_ path: String, mode: UInt32 = 0o600, backlog: Int32 = 1024) throws(SystemError)
    -> FileDescriptor
  {
    let socket = try make()
    let raw = socket.rawValue
    _ = unlink(path)
    try systemCall("bind", path) {
      withAddress(path) { CLinux.bind(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), $1) } ?? nameTooLong()
    }
    try systemCall("chmod", path) { chmod(path, mode) }
    try systemCall("listen", path) { CLinux.listen(raw, backlog) }
    return socket
  }

  /// Connects at once or fails: ENOENT and ECONNREFUSED mean that nobody listens there (yet).
  /// - Parameter name: what the other end is told of us as our address (getpeername); the file is gone when this returns.
  public static func connect(_ path: String, as name: String? = nil) throws(SystemError) -> FileDescriptor {
    let socket = try make()
    let raw = socket.rawValue
    if let name {
      _ = unlink(name)
      try systemCall("bind", name) {
        withAddress(name) { CLinux.bind(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), $1) } ?? nameTooLong()
      }
    }
    defer { if let name { _ = unlink(name) } }
    try systemCall("connect", path) {
      withAddress(path) { CLinux.connect(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), $1) } ?? nameTooLong()
    }
    return socket
  }

  /// The next waiting connection; nil when there is none.
  public static func accept(_ listener: Int32) throws(SystemError) -> FileDescriptor? {
    do throws(SystemError) {
      return FileDescriptor(
        owning: try systemCall("accept") {
          accept4(listener, __SOCKADDR_ARG(), nil, Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue))
        })
    } catch  where error.code == EAGAIN || error.code == ECONNABORTED {
      return nil
    }
  }

  /// A connected pair as raw numbers; the caller owns both.
  /// - Parameter packets: messages keep their boundaries (SOCK_SEQPACKET).
  public static func pair(nonBlocking: Bool = true, packets: Bool = false) throws(SystemError) -> (Int32, Int32) {
    var ends: [Int32] = [-1, -1]
    let kind = packets ? SOCK_SEQPACKET : SOCK_STREAM
    let type = Int32(kind.rawValue | SOCK_CLOEXEC.rawValue | (nonBlocking ? SOCK_NONBLOCK.rawValue : 0))
    try systemCall("socketpair") { socketpair(AF_UNIX, type, 0, &ends) }
    return (ends[0], ends[1])
  }

  public static func peerCredentials(_ socket: Int32) throws(SystemError) -> Credentials {
    var value = ucred()
    var length = socklen_t(MemoryLayout<ucred>.size)
    try systemCall("getsockopt", "SO_PEERCRED") { getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &value, &length) }
    return Credentials(pid: value.pid, user: value.uid, group: value.gid)
  }

  /// Sends bytes (at least one) together with descriptors; the receiver gets copies.
  /// - Returns: how many bytes went; the descriptors went with the first of them. EAGAIN is thrown like any error.
  public static func send(_ socket: Int32, _ bytes: UnsafeRawBufferPointer, descriptors: [Int32] = [])
    throws(SystemError) -> Int
  {
    try systemCall("sendmsg") {
      nl_send_descriptors(socket, bytes.baseAddress, bytes.count, descriptors, Int32(descriptors.count))
    }
  }

  /// Receives bytes into the buffer, and descriptors, which the caller owns from then on (O_CLOEXEC).
  /// - Returns: the number of bytes; 0 at the end of the stream.
  public static func receive(_ socket: Int32, _ buffer: UnsafeMutableRawBufferPointer)
    throws(SystemError) -> (count: Int, descriptors: [Int32])
  {
    var descriptors = [Int32](repeating: -1, count: Int(NL_MAX_DESCRIPTORS))
    var received: Int32 = 0
    let count = try systemCall("recvmsg") {
      nl_receive_descriptors(socket, buffer.baseAddress, buffer.count, &descriptors, &received)
    }
    return (count, Array(descriptors[0..<Int(received)]))
  }

  private static func make() throws(SystemError) -> FileDescriptor {
    let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    return FileDescriptor(owning: try systemCall("socket") { socket(AF_UNIX, type, 0) })
  }

  private static func nameTooLong() -> Int32 {
    errno = ENAMETOOLONG
    return -1
  }

  /// Nil when the path does not fit into `sun_path` with its terminating zero.
  private static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32? {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard !bytes.isEmpty, bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    return withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
  }
}
