// `publish:` of a node: connections to a port of the machine's loopback, handed on to a port of the node.
//
//   browser ──► 127.0.0.1:8080 of the machine ══ listening socket, opened before the lab had a network of its own
//                                                   │ accepted here, in the node's namespace
//                                                   ▼
//                                            127.0.0.1:80, ::1, or an own address of the node
//
// A listening socket keeps the namespace it was opened in, a new one gets that of its process: so one process joins the
// two networks, without a route, an address or a privilege. It is a process of its own, beside the agent.

internal import CLinux
internal import EventLoop
import Glibc

final class PublishRelay {
  struct Port: Equatable {
    var listener: Int32
    var inner: UInt16
  }

  private let loop: EventLoop
  private let log: Log
  private let most: Int
  private var connections: [ObjectIdentifier: RelayedConnection] = [:]
  /// Listeners that are not asked at present.
  private var paused: [Port] = []
  private lazy var retry = LoopTimer(loop) { [weak self] in self?.resume() }

  /// Connections handed on at one time: each has two descriptors, of the 1024 that a process usually may have.
  static let mostConnections = 480
  private static let patience = EventLoop.milliseconds(1000)

  /// Accepts on every listener from the loop's next step on.
  init(_ loop: EventLoop, _ log: Log, _ ports: [Port], most: Int = mostConnections) throws(SystemError) {
    self.loop = loop
    self.log = log
    self.most = most
    for port in ports {
      let flags = try systemCall("fcntl") { nl_get_flags(port.listener) }
      try systemCall("fcntl") { nl_set_flags(port.listener, flags | O_NONBLOCK) }
      try listen(port)
    }
  }

  private func listen(_ port: Port) throws(SystemError) {
    try loop.register(port.listener, .read) { [weak self] _ in self?.accept(port) }
  }

  private func accept(_ port: Port) {
    guard connections.count < most else {
      return pause(port, "\(most) connections are open; more wait until one ends")
    }
    var from = sockaddr_storage()
    let raw = nl_tcp_accept(port.listener, &from)
    guard raw >= 0 else {
      let error = SystemError.last("accept")
      // Taken back by the client, or never there.
      if [EAGAIN, EINTR, ECONNABORTED, EPROTO].contains(error.code) { return }
      return pause(port, "\(error)")
    }
    let connection = RelayedConnection(loop, outer: FileDescriptor(owning: raw), to: .port(port.inner)) {
      [weak self] connection, failure in
      if let failure { self?.log.error("port \(port.inner): \(failure)") }
      self?.connections[ObjectIdentifier(connection)] = nil
      self?.resume()
    }
    connections[ObjectIdentifier(connection)] = connection
    connection.start()
  }

  /// A listener whose connections cannot be taken stays readable, and would keep the loop spinning: it is left alone
  /// until a connection ends, or for a second where others have what is missing here.
  private func pause(_ port: Port, _ reason: String) {
    log.error("port \(port.inner): \(reason)")
    loop.unregister(port.listener)
    paused.append(port)
    if connections.count < most { retry.arm(after: Self.patience) }
  }

  private func resume() {
    let waiting = paused
    paused = []
    for port in waiting {
      do throws(SystemError) {
        try listen(port)
      } catch {
        log.error("port \(port.inner): \(error)")
        paused.append(port)
        retry.arm(after: Self.patience)
      }
    }
  }
}

/// Where a service of this node may listen: 127.0.0.1 and ::1, then its own addresses, each as 4 or 16 bytes.
enum OwnAddresses {
  static func all() -> [[UInt8]] {
    var found: [[UInt8]] = [[127, 0, 0, 1], [UInt8](repeating: 0, count: 15) + [1]]
    var list: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&list) == 0 else { return found }
    defer { freeifaddrs(list) }
    var entry = list
    while let current = entry {
      entry = current.pointee.ifa_next
      guard let address = current.pointee.ifa_addr,
        [AF_INET, AF_INET6].contains(Int32(address.pointee.sa_family))
      else { continue }
      var storage = sockaddr_storage()
      let size =
        Int32(address.pointee.sa_family) == AF_INET ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
      memcpy(&storage, address, size)
      var bytes = [UInt8](repeating: 0, count: 16)
      var (port, scope) = (UInt16(0), UInt32(0))
      let count = nl_address_parts(&storage, &bytes, &port, &scope)
      let own = Array(bytes.prefix(Int(count)))
      // fe80::/10 needs a scope and is nobody's service address.
      guard count > 0, !(count == 16 && own[0] == 0xfe && own[1] & 0xc0 == 0x80), !found.contains(own) else { continue }
      found.append(own)
    }
    return found
  }
}
