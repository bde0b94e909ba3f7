import CLinux
import EventLoop
import Glibc
import NetTypes

/// Sockets of test traffic: non-blocking, made inside a node's network namespace.
enum ProbeSocket {
  /// Runs the closure inside a namespace, on a thread made for it.
  static func inside<Value: ~Copyable>(
    _ namespace: String, _ body: () throws(SystemError) -> Value
  ) throws(SystemError) -> Value {
    let file = try FileDescriptor.open(namespace, O_RDONLY)
    return try inNamespace(file.rawValue, body)
  }

  static func make(_ family: AddressFamily, _ type: __socket_type, _ proto: Int = 0) throws(SystemError)
    -> FileDescriptor
  {
    let domain = family == .ipv4 ? AF_INET : AF_INET6
    let flags = Int32(type.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    let file = FileDescriptor(owning: try systemCall("socket") { socket(domain, flags, Int32(proto)) })
    if family == .ipv6, type != SOCK_RAW { try set(file.rawValue, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
    return file
  }

  static func set(_ socket: Int32, _ level: Int32, _ option: Int32, _ value: Int32) throws(SystemError) {
    var value = value
    try systemCall("setsockopt") {
      setsockopt(socket, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }
  }

  /// The octet with the DSCP, of what is sent.
  static func setTrafficClass(_ socket: Int32, _ family: AddressFamily, _ value: Int32) throws(SystemError) {
    guard value != 0 else { return }
    switch family {
    case .ipv4: try set(socket, Int32(IPPROTO_IP), IP_TOS, value)
    case .ipv6: try set(socket, Int32(IPPROTO_IPV6), IPV6_TCLASS, value)
    }
  }

  static func bind(_ socket: Int32, _ address: IPAddress, _ port: UInt16) throws(SystemError) {
    try systemCall("bind", "\(address) port \(port)") {
      withSocketAddress(address, port) { CLinux.bind(socket, $0, $1) }
    }
  }

  static func connect(_ socket: Int32, _ address: IPAddress, _ port: UInt16) throws(SystemError) {
    try systemCall("connect", "\(address)") { withSocketAddress(address, port) { CLinux.connect(socket, $0, $1) } }
  }

  static func send(_ socket: Int32, _ bytes: [UInt8], to address: IPAddress, _ port: UInt16) throws(SystemError) {
    try systemCall("sendto", "\(address)") {
      withSocketAddress(address, port) {
        CLinux.sendto(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL), $0, $1)
      }
    }
  }

  static func send(_ socket: Int32, _ bytes: [UInt8]) throws(SystemError) {
    try systemCall("send") { Glibc.send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }
  }

  /// What arrived, at most `limit` bytes; nil when nothing waits. An empty array is the end of a stream.
  static func receive(_ socket: Int32, limit: Int = 2048) throws(SystemError) -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: limit)
    do throws(SystemError) {
      let count = try systemCall("recv") { recv(socket, &buffer, buffer.count, 0) }
      return Array(buffer[0..<count])
    } catch  where error.code == EAGAIN {
      return nil
    }
  }

  /// A datagram and its sender's address, ready for `reply`; nil when nothing waits.
  static func receiveFrom(_ socket: Int32) throws(SystemError) -> (bytes: [UInt8], sender: Sender)? {
    var buffer = [UInt8](repeating: 0, count: 2048)
    var sender = Sender()
    do throws(SystemError) {
      let count = try systemCall("recvfrom") {
        withUnsafeMutablePointer(to: &sender.storage) { storage in
          storage.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            CLinux.recvfrom(
              socket, &buffer, buffer.count, 0, __SOCKADDR_ARG(__sockaddr__: $0), &sender.length)
          }
        }
      }
      return (Array(buffer[0..<count]), sender)
    } catch  where error.code == EAGAIN {
      return nil
    }
  }

  static func reply(_ socket: Int32, _ bytes: [UInt8], to sender: Sender) throws(SystemError) {
    var storage = sender.storage
    try systemCall("sendto") {
      withGeneric(&storage) { CLinux.sendto(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL), $0, sender.length) }
    }
  }

  /// Whom a datagram came from, as the kernel says it.
  struct Sender {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
  }

  /// The local address and port.
  static func name(_ socket: Int32) throws(SystemError) -> (address: IPAddress, port: UInt16) {
    var storage = sockaddr_storage()
    try systemCall("getsockname") { nl_tcp_local(socket, &storage) }
    var bytes = [UInt8](repeating: 0, count: 16)
    var port: UInt16 = 0
    var scope: UInt32 = 0
    let count = nl_address_parts(&storage, &bytes, &port, &scope)
    guard let address = IPAddress(bytes: bytes.prefix(Int(count))) else {
      throw SystemError("getsockname", EAFNOSUPPORT)
    }
    return (address, port)
  }

  private static func withSocketAddress<Result>(
    _ address: IPAddress, _ port: UInt16, _ body: (__CONST_SOCKADDR_ARG, socklen_t) -> Result
  ) -> Result {
    var storage = sockaddr_storage()
    let bytes = address.bytes
    let length = nl_address(&storage, bytes, Int32(bytes.count), port, 0)
    return withGeneric(&storage) { body($0, length) }
  }

  private static func withGeneric<Result>(
    _ storage: inout sockaddr_storage, _ body: (__CONST_SOCKADDR_ARG) -> Result
  ) -> Result {
    withUnsafePointer(to: &storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body(__CONST_SOCKADDR_ARG(__sockaddr__: $0)) }
    }
  }
}
