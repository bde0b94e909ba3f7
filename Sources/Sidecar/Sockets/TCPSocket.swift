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
  /// - Parameter isTransparent: takes what TPROXY hands over, whatever address it is for.
  static func listen(_ address: SocketAddress, isTransparent: Bool = false) throws(SystemError) -> FileDescriptor {
    let bytes = address.address.bytes
    let socket = FileDescriptor(
      owning: try systemCall("socket", "\(address)") { nl_tcp_socket(Int32(bytes.count)) })
    let raw = socket.rawValue
    try systemCall("setsockopt") { nl_tcp_reuse_address(raw) }
    try set(raw, SOL_SOCKET, SO_REUSEPORT, 1)
    if isTransparent { try setTransparent(raw, address.address.family) }
    try bind(raw, address)
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
    let socket = try make(address, mark: mark)
    try connect(socket.rawValue, address)
    return socket
  }

  /// The same from an address of somebody else, of the family of `address`.
  ///
  /// A client may have connections of its own to `address`. They are told apart by their ports: on loopback there are
  /// none; elsewhere ports below those that kernels give to clients are taken.
  static func connect(_ address: SocketAddress, from source: IPAddress, mark: UInt32) throws(SystemError)
    -> FileDescriptor
  {
    let socket = try make(address, mark: mark)
    let raw = socket.rawValue
    try setTransparent(raw, source.family)
    if address.address.isLoopback {
      try set(raw, levelIPv4, bindAddressNoPort, 1)
      try bind(raw, SocketAddress(source, 0))
    } else {
      var attempts = 0
      while true {
        do throws(SystemError) {
          try bind(raw, SocketAddress(source, UInt16.random(in: unusualPorts)))
          break
        } catch {
          attempts += 1
          guard error.code == EADDRINUSE, attempts < 16 else { throw error }
        }
      }
    }
    try connect(raw, address)
    return socket
  }

  /// The kernel's `ip_local_port_range` begins at 32768.
  private static let unusualPorts: Range<UInt16> = 2048..<32_768
  /// linux/in.h, linux/in6.h
  private static let bindAddressNoPort: Int32 = 24
  private static let transparentIPv4: Int32 = 19
  private static let transparentIPv6: Int32 = 75

  private static func setTransparent(_ raw: Int32, _ family: AddressFamily) throws(SystemError) {
    switch family {
    case .ipv4: try set(raw, levelIPv4, transparentIPv4, 1)
    case .ipv6: try set(raw, levelIPv6, transparentIPv6, 1)
    }
  }

  private static func bind(_ raw: Int32, _ address: SocketAddress) throws(SystemError) {
    let bytes = address.address.bytes
    var storage = sockaddr_storage()
    let length = nl_address(&storage, bytes, Int32(bytes.count), address.port, 0)
    try systemCall("bind", "\(address)") {
      withAddress(&storage) { CLinux.bind(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), length) }
    }
  }

  private static func make(_ address: SocketAddress, mark: UInt32) throws(SystemError) -> FileDescriptor {
    let bytes = address.address.bytes
    let socket = FileDescriptor(
      owning: try systemCall("socket", "\(address)") { nl_tcp_socket(Int32(bytes.count)) })
    let raw = socket.rawValue
    _ = nl_tcp_nodelay(raw)
    if mark != 0 { try set(raw, SOL_SOCKET, SO_MARK, Int32(bitPattern: mark)) }
    return socket
  }

  private static func connect(_ raw: Int32, _ address: SocketAddress) throws(SystemError) {
    let bytes = address.address.bytes
    var storage = sockaddr_storage()
    let length = nl_address(&storage, bytes, Int32(bytes.count), address.port, 0)
    do throws(SystemError) {
      try systemCall("connect", "\(address)") {
        withAddress(&storage) { CLinux.connect(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), length) }
      }
    } catch  where error.code == EINPROGRESS {}
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
