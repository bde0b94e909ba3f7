// A pod's way to the controller's xDS. The controller has no network; a pod's programs see their own namespaces only:
//
//   sidecar, Envoy, gRPC ──► unix:/run/netloom/xds.sock, 127.0.0.1:15010 of the pod ══ this relay ══► LAB/xds.sock
//
// The relay binds its end to a path below the node's own directory, so the controller knows which pod asks, whatever name
// the program gives itself.

internal import CLinux
internal import ControlProtocol
internal import EventLoop
import Glibc

final class XDSRelay {
  static let port: UInt16 = 15010
  private static let mostConnections = 64

  private let loop: EventLoop
  private let log: Log
  private let directory: RunDirectory
  private let node: String
  private let listeners: [FileDescriptorBox]
  private var connections: [ObjectIdentifier: RelayedConnection] = [:]
  private var number = 0

  /// A noncopyable descriptor in a list.
  private final class FileDescriptorBox {
    let descriptor: FileDescriptor
    init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }
  }

  init(_ loop: EventLoop, _ log: Log, _ directory: RunDirectory, node: String) throws(SystemError) {
    self.loop = loop
    self.log = log
    self.directory = directory
    self.node = node
    for path in ["", "/run", "/run/netloom"] { try Self.makeDirectory(directory.node(node) + path) }
    listeners = [
      FileDescriptorBox(try UnixSocket.listen(directory.nodeXDSSocket(node), mode: 0o666)),
      FileDescriptorBox(try Self.listen()),
    ]
    for listener in listeners {
      let raw = listener.descriptor.rawValue
      try loop.register(raw, .read) { [weak self] _ in self?.accept(raw) }
    }
  }

  private static func makeDirectory(_ path: String) throws(SystemError) {
    guard mkdir(path, 0o755) != 0, errno != EEXIST else { return }
    throw SystemError.last("mkdir", path)
  }

  /// On 127.0.0.1 of the pod.
  private static func listen() throws(SystemError) -> FileDescriptor {
    let socket = FileDescriptor(owning: try systemCall("socket") { nl_tcp_socket(4) })
    let raw = socket.rawValue
    try systemCall("setsockopt") { nl_tcp_reuse_address(raw) }
    var address = sockaddr_storage()
    let length = nl_address(&address, [127, 0, 0, 1], 4, port, 0)
    try systemCall("bind", "127.0.0.1:\(port)") {
      withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          Glibc.bind(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), length)
        }
      }
    }
    try systemCall("listen") { Glibc.listen(raw, 64) }
    return socket
  }

  private func accept(_ listener: Int32) {
    let accepted: FileDescriptor?
    do throws(SystemError) {
      accepted = try UnixSocket.accept(listener)
    } catch {
      log.error("xDS: \(error)")
      return loop.rest(listener)
    }
    guard let accepted else { return }
    // Closed at once: a program that opens very many has no use for more.
    guard connections.count < Self.mostConnections else { return }
    number += 1
    let connection = RelayedConnection(
      loop, outer: accepted,
      to: .socket(path: directory.xdsSocket, name: "\(directory.node(node))/xds-\(number)")
    ) { [weak self] connection, failure in
      if let failure { self?.log.error("xDS: \(failure)") }
      self?.connections[ObjectIdentifier(connection)] = nil
    }
    connections[ObjectIdentifier(connection)] = connection
    connection.start()
  }
}
