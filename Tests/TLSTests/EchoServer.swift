import CLinux
import EventLoop
import Foundation
import TLS

/// A TCP listener on a free port of 127.0.0.1.
struct Listener {
  let descriptor: Int32
  let port: UInt16

  /// - Parameter bufferBytes: what the kernel may hold per connection and direction; nil for its default.
  init(bufferBytes: Int32? = nil) throws {
    let descriptor = try systemCall("socket") { nl_tcp_socket(4) }
    setBuffers(descriptor, bufferBytes)
    var address = sockaddr_storage()
    let length = nl_address(&address, [127, 0, 0, 1], 4, 0, 0)
    try withUnsafeBytes(of: &address) { bytes in
      let pointer = __CONST_SOCKADDR_ARG(__sockaddr__: bytes.bindMemory(to: sockaddr.self).baseAddress)
      try systemCall("bind") { bind(descriptor, pointer, length) }
    }
    try systemCall("listen") { listen(descriptor, 100) }
    try systemCall("getsockname") { nl_tcp_local(descriptor, &address) }
    var bytes = [UInt8](repeating: 0, count: 16)
    var (port, scope): (UInt16, UInt32) = (0, 0)
    _ = nl_address_parts(&address, &bytes, &port, &scope)
    self.descriptor = descriptor
    self.port = port
  }
}

/// Sets both buffers of a socket; a listener's are inherited.
func setBuffers(_ descriptor: Int32, _ bytes: Int32?) {
  guard var bytes else { return }
  for option in [SO_SNDBUF, SO_RCVBUF] {
    setsockopt(descriptor, SOL_SOCKET, option, &bytes, socklen_t(MemoryLayout<Int32>.size))
  }
}

/// A TLS server of this module's that sends back what it gets, and ends after `bye` and a newline. One thread.
final class EchoServer: Sendable {
  let port: UInt16
  private let stopper: Int32
  private let ended = DispatchSemaphore(value: 0)

  init(_ context: TLSContext, bufferBytes: Int32? = nil) throws {
    let listener = try Listener(bufferBytes: bufferBytes)
    port = listener.port
    var ends: [Int32] = [0, 0]
    try systemCall("pipe2") { pipe2(&ends, O_CLOEXEC) }
    stopper = ends[1]
    let ended = ended
    Thread.detachNewThread { [ends] in
      try? Self.serve(context, listener.descriptor, until: ends[0])
      close(listener.descriptor)
      close(ends[0])
      ended.signal()
    }
  }

  deinit {
    close(stopper)
    ended.wait()
  }

  private static func serve(_ context: TLSContext, _ listener: Int32, until stopping: Int32) throws {
    let loop = try EventLoop()
    var connections: [Int32: EchoConnection] = [:]
    try loop.register(stopping, .read) { _ in loop.stop() }
    try loop.register(listener, .read) { _ in
      var from = sockaddr_storage()
      let descriptor = nl_tcp_accept(listener, &from)
      guard descriptor >= 0, let tls = try? TLSConnection(context, descriptor: descriptor) else { return }
      let connection = EchoConnection(loop, descriptor, tls) { connections[descriptor] = nil }
      connections[descriptor] = connection
      try? loop.register(descriptor, .read) { [unowned connection] _ in connection.step() }
    }
    try loop.run()
    for descriptor in connections.keys { close(descriptor) }
  }
}

private final class EchoConnection {
  private let loop: EventLoop
  private let descriptor: Int32
  private let tls: TLSConnection
  private let ended: () -> Void
  private var output: [UInt8] = []
  private var peerIsDone = false

  init(_ loop: EventLoop, _ descriptor: Int32, _ tls: TLSConnection, ended: @escaping () -> Void) {
    self.loop = loop
    self.descriptor = descriptor
    self.tls = tls
    self.ended = ended
  }

  /// Does what can be done without waiting.
  func step() {
    switch tls.handshake() {
    case .done: break
    case .wantsRead: return watch(.read)
    case .wantsWrite: return watch(.write)
    case .failed: return end()
    }
    while true {
      if !output.isEmpty {
        switch output.withUnsafeBytes({ tls.write($0) }) {
        case .bytes(let count):
          output.removeFirst(count)
          continue
        case .wantsWrite: return watch(.write)
        case .wantsRead: return watch(.read)
        default: return end()
        }
      }
      if peerIsDone {
        _ = tls.shutdown()
        return end()
      }
      switch tls.read(into: loop.scratch) {
      case .bytes(let count):
        output += loop.scratch[..<count]
        peerIsDone = output.suffix(4).elementsEqual("bye\n".utf8)
      case .wantsRead: return watch(.read)
      case .wantsWrite: return watch(.write)
      case .closed: peerIsDone = true
      default: return end()
      }
    }
  }

  private func watch(_ interest: EventLoop.Interest) { try? loop.modify(descriptor, interest) }

  private func end() {
    loop.unregister(descriptor)
    close(descriptor)
    ended()
  }
}
