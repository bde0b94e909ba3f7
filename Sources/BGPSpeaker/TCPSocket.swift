import CLinux
import EventLoop
import Glibc
public import NetTypes

/// Address and port of one end of a TCP connection.
public struct Endpoint: Sendable, Hashable {
  public var address: IPAddress
  public var port: UInt16

  public init(address: IPAddress, port: UInt16) {
    self.address = address
    self.port = port
  }
}

extension Endpoint: CustomStringConvertible {
  public var description: String {
    if case .v6 = address { return "[\(address)]:\(port)" }
    return "\(address):\(port)"
  }
}

/// The socket calls of a BGP speaker. Everything is non-blocking.
///
/// Buffer sizes are left to the kernel on purpose: it tunes both by the path's bandwidth and delay, and a size that is
/// set by hand switches that off (tcp(7), tcp_moderate_rcvbuf).
enum TCPSocket {
  /// How far packets travel, and from how far they may come.
  struct Reach: Hashable {
    /// TTL, or hop limit, of what is sent.
    var ttl: Int32
    /// The least that is taken; nil: any.
    var leastTTL: Int32?

    /// RFC 5082: only what was sent with 255 by a direct neighbor passes.
    static let secured = Reach(ttl: 255, leastTTL: 255)
    /// eBGP over one link.
    static let link = Reach(ttl: 1)
    static let far = Reach(ttl: 255)
  }

  // MARK: Listening

  /// A socket that listens on this address (unspecified: any of the family).
  static func listen(_ address: IPAddress, port: UInt16) throws(SystemError) -> FileDescriptor {
    let detail = "\(Endpoint(address: address, port: port))"
    let socket = try make(address, detail)
    let raw = socket.rawValue
    try systemCall("setsockopt", "SO_REUSEADDR") { nl_tcp_reuse_address(raw) }
    try systemCall("bind", detail) {
      withSocketAddress(address, port, 0) { Glibc.bind(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), $1) }
    }
    try systemCall("listen", detail) { Glibc.listen(raw, 1024) }
    return socket
  }

  /// What a listener sends during the handshake has to pass a peer that checks for 255 (RFC 5082).
  static func prepareListener(_ listener: Int32) {
    _ = nl_tcp_ttl(listener, nl_tcp_family(listener), 255)
  }

  /// A connection that was taken, and who it is from.
  struct Accepted: ~Copyable {
    var socket: FileDescriptor
    var remote: Endpoint
    /// Interface index of a link-local address.
    var scope: UInt32
  }

  /// The next connection; nil: none waits.
  static func accept(_ listener: Int32) throws(SystemError) -> Accepted? {
    var from = sockaddr_storage()
    do throws(SystemError) {
      let socket = FileDescriptor(owning: try systemCall("accept") { nl_tcp_accept(listener, &from) })
      guard let (remote, scope) = endpoint(&from) else { throw SystemError("accept", EAFNOSUPPORT) }
      return Accepted(socket: socket, remote: remote, scope: scope)
    } catch  where error.code == EAGAIN || error.code == ECONNABORTED {
      return nil
    }
  }

  /// The key for segments to and from the address (RFC 2385); nil takes it away.
  static func setKey(_ key: String?, for peer: IPAddress, scope: UInt32, on socket: Int32) throws(SystemError) {
    let bytes = Array((key ?? "").utf8)
    var storage = sockaddr_storage()
    let address = peer.bytes
    _ = nl_address(&storage, address, Int32(address.count), 0, scope)
    do {
      try systemCall("setsockopt", "TCP_MD5SIG") { nl_tcp_md5(socket, &storage, bytes, Int32(bytes.count)) }
    } catch  where key == nil && error.code == ENOENT {
      return
    }
  }

  // MARK: Connecting

  /// What a connection to a neighbor needs.
  struct Route {
    var remote: Endpoint
    var local: IPAddress?
    var scope: UInt32
    var reach: Reach
    var key: String?
  }

  /// Begins to connect: the socket becomes writable when it is decided, and `pendingError` says how.
  static func connect(_ route: Route) throws(SystemError) -> FileDescriptor {
    let detail = "\(route.remote)"
    let socket = try make(route.remote.address, detail)
    let raw = socket.rawValue
    try prepare(raw, route.reach, route.remote.address)
    if let key = route.key { try setKey(key, for: route.remote.address, scope: route.scope, on: raw) }
    if let local = route.local {
      try systemCall("setsockopt", "IP_BIND_ADDRESS_NO_PORT") { nl_tcp_bind_without_port(raw) }
      try systemCall("bind", "\(local)") {
        withSocketAddress(local, 0, route.scope) { Glibc.bind(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), $1) }
      }
    }
    do throws(SystemError) {
      try systemCall("connect", detail) {
        withSocketAddress(route.remote.address, route.remote.port, route.scope) {
          Glibc.connect(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), $1)
        }
      }
    } catch  where error.code == EINPROGRESS {
      return socket
    }
    return socket
  }

  /// Options of a socket that carries a session.
  static func prepare(_ socket: Int32, _ reach: Reach, _ remote: IPAddress) throws(SystemError) {
    let size = Int32(remote.bytes.count)
    try systemCall("setsockopt", "TCP_NODELAY") { nl_tcp_nodelay(socket) }
    try systemCall("setsockopt", "IP_TTL") { nl_tcp_ttl(socket, size, reach.ttl) }
    if let least = reach.leastTTL {
      try systemCall("setsockopt", "IP_MINTTL") { nl_tcp_min_ttl(socket, size, least) }
    }
  }

  /// What came of a connection attempt; nil: connected.
  static func pendingError(_ socket: Int32, _ detail: String) -> SystemError? {
    let code = nl_tcp_error(socket)
    return code == 0 ? nil : SystemError("connect", code, detail)
  }

  static func local(_ socket: Int32) -> Endpoint? {
    var storage = sockaddr_storage()
    return nl_tcp_local(socket, &storage) == 0 ? endpoint(&storage)?.0 : nil
  }

  static func remote(_ socket: Int32) -> Endpoint? {
    var storage = sockaddr_storage()
    return nl_tcp_remote(socket, &storage) == 0 ? endpoint(&storage)?.0 : nil
  }

  // MARK: Addresses

  /// The interface that has the address.
  static func interface(of local: IPAddress) -> String? {
    let bytes = local.bytes
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(IFNAMSIZ)) { name in
      guard let start = name.baseAddress, nl_interface_of(bytes, Int32(bytes.count), start) == 0 else { return nil }
      return String(cString: start)
    }
  }

  /// The first global address of the other family on the interface that has this one: what a neighbor on the link
  /// reaches us by.
  static func companion(of local: IPAddress) -> IPAddress? {
    let bytes = local.bytes
    var found = [UInt8](repeating: 0, count: 16)
    let count = nl_neighbor_address(bytes, Int32(bytes.count), Int32(20 - bytes.count), &found)
    return count == 0 ? nil : IPAddress(bytes: found[..<Int(count)])
  }

  private static func make(_ address: IPAddress, _ detail: String) throws(SystemError) -> FileDescriptor {
    FileDescriptor(owning: try systemCall("socket", detail) { nl_tcp_socket(Int32(address.bytes.count)) })
  }

  private static func withSocketAddress(
    _ address: IPAddress, _ port: UInt16, _ scope: UInt32, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) -> Int32 {
    var storage = sockaddr_storage()
    let bytes = address.bytes
    let length = nl_address(&storage, bytes, Int32(bytes.count), port, scope)
    return withUnsafePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
    }
  }

  private static func endpoint(_ storage: inout sockaddr_storage) -> (Endpoint, scope: UInt32)? {
    var bytes = [UInt8](repeating: 0, count: 16)
    var port: UInt16 = 0
    var scope: UInt32 = 0
    let count = Int(nl_address_parts(&storage, &bytes, &port, &scope))
    guard let address = IPAddress(bytes: bytes[..<count]) else { return nil }
    return (Endpoint(address: address, port: port), scope)
  }
}
