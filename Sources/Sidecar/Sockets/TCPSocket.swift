// The system calls of TCP sockets as a proxy needs them. Every descriptor is non-blocking and closed on exec.
import CLinux
import EventLoop
import Glibc
import NetTypes

enum TCPSocket {
  /// SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST (linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h).
  private static let originalDestination: Int32 = 80
  private static let levelIPv4: Int32 = 0
  private static let levelIPv6: Int32 = 41

  /// Listens; several sockets of one address share what comes (SO_REUSEPORT).
  static func listen(_ address: SocketAddress) throws(SystemError) -> FileDescriptor {
    let bytes = address.address.bytes
    let socket = FileDescriptor(
      owning: try systemCall("socket", "\(address)") { nl_tcp_socket(Int32(bytes.count)) })
    let raw = socket.rawValue
    try systemCall("setsockopt") { nl_tcp_reuse_address(raw) }
    try set(raw, SOL_SOCKET, SO_REUSEPORT, 1)
    var storage = sockaddr_storage()
    let length = nl_address(&storage, bytes, Int32(bytes.count), address.port, 0)
    try systemCall("bind", "\(address)") {
      withAddress(&storage) { CLinux.bind(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), length) }
    }
    try systemCall("listen", "\(address)") { CLinux.listen(raw, 4096) }
    return socket
  }

  /// The next waiting connection and where it comes from; nil when there is none.
  static func accept(_ listener: Int32) throws(SystemError) -> (Int32, SocketAddress?)? {
    var storage = sockaddr_storage()
    do throws(SystemError) {
      let raw = try systemCall("accept4") { nl_tcp_accept(listener, &storage) }
      _ = nl_tcp_nodelay(raw)
      return (raw, parse(&storage))
    } catch  where error.code == EAGAIN || error.code == ECONNABORTED || error.code == EPROTO {
      return nil
    }
  }

  /// Begins to connect; the descriptor becomes writable when that has ended, and `error` says how.
  static func connect(_ address: SocketAddress, mark: UInt32) throws(SystemError) -> FileDescriptor {
    let bytes = address.address.bytes
    let socket = FileDescriptor(
      owning: try systemCall("socket", "\(address)") { nl_tcp_socket(Int32(bytes.count)) })
    let raw = socket.rawValue
    _ = nl_tcp_nodelay(raw)
    if mark != 0 { try set(raw, SOL_SOCKET, SO_MARK, Int32(bitPattern: mark)) }
    var storage = sockaddr_storage()
    let length = nl_address(&storage, bytes, Int32(bytes.count), address.port, 0)
    do throws(SystemError) {
      try systemCall("connect", "\(address)") {
        withAddress(&storage) { CLinux.connect(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), length) }
      }
    } catch  where error.code == EINPROGRESS {}
    return socket
  }

  /// The error that a connection attempt ended with; 0: it stands.
  static func error(_ socket: Int32) -> Int32 { nl_tcp_error(socket) }

  static func local(_ socket: Int32) -> SocketAddress? {
    var storage = sockaddr_storage()
    return nl_tcp_local(socket, &storage) == 0 ? parse(&storage) : nil
  }

  /// Where a redirected connection was addressed to before it was redirected; the local address for one that was not.
  static func originalDestination(_ socket: Int32) -> SocketAddress? {
    var storage = sockaddr_storage()
    for level in nl_tcp_family(socket) == 4 ? [levelIPv4] : [levelIPv6, levelIPv4] {
      var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
      if getsockopt(socket, level, originalDestination, &storage, &length) == 0 { return parse(&storage) }
    }
    return local(socket)
  }

  /// The first byte that waits, left where it is; nil when there is none yet or the stream has ended.
  static func peek(_ socket: Int32) -> (byte: UInt8?, ended: Bool) {
    var byte: UInt8 = 0
    let count = recv(socket, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
    if count == 1 { return (byte, false) }
    return (nil, count == 0 || errno != EAGAIN)
  }

  /// Sends a reset in place of the usual end.
  static func abort(_ socket: Int32) { _ = nl_tcp_abort(socket) }

  private static func set(_ socket: Int32, _ level: Int32, _ option: Int32, _ value: Int32) throws(SystemError) {
    var value = value
    try systemCall("setsockopt", "option \(option)") {
      setsockopt(socket, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }
  }

  private static func parse(_ storage: inout sockaddr_storage) -> SocketAddress? {
    var bytes = [UInt8](repeating: 0, count: 16)
    var port: UInt16 = 0
    var scope: UInt32 = 0
    let count = nl_address_parts(&storage, &bytes, &port, &scope)
    return IPAddress(bytes: bytes.prefix(Int(count))).map { SocketAddress($0, port) }
  }

  private static func withAddress(
    _ storage: inout sockaddr_storage, _ body: (UnsafePointer<sockaddr>) -> Int32
  ) -> Int32 {
    withUnsafePointer(to: &storage) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1, body) }
  }
}
