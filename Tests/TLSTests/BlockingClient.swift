import CLinux
import EventLoop
import TLS
import Testing

/// A client of this module's that waits with poll(2), for tests that have nothing else to do.
final class BlockingClient {
  let tls: TLSConnection
  private let descriptor: Int32

  init(
    port: UInt16, _ context: TLSContext, serverName: String? = nil, resuming: TLSSession? = nil,
    bufferBytes: Int32? = nil
  ) throws {
    let descriptor = try systemCall("socket") { nl_tcp_socket(4) }
    setBuffers(descriptor, bufferBytes)
    self.descriptor = descriptor
    var address = sockaddr_storage()
    let length = nl_address(&address, [127, 0, 0, 1], 4, port, 0)
    withUnsafeBytes(of: &address) { bytes in
      let pointer = __CONST_SOCKADDR_ARG(__sockaddr__: bytes.bindMemory(to: sockaddr.self).baseAddress)
      _ = connect(descriptor, pointer, length)
    }
    tls = try TLSConnection(context, descriptor: descriptor, serverName: serverName, resuming: resuming)
    wait(POLLOUT)
  }

  deinit { close(descriptor) }

  private func wait(_ events: Int32) {
    var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
    _ = poll(&entry, 1, 20_000)
  }

  func handshake() -> TLSProgress {
    while true {
      let progress = tls.handshake()
      switch progress {
      case .wantsRead: wait(POLLIN)
      case .wantsWrite: wait(POLLOUT)
      default: return progress
      }
    }
  }

  func write(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      switch rest.withUnsafeBytes({ tls.write($0) }) {
      case .bytes(let count): rest = rest.dropFirst(count)
      case .wantsWrite: wait(POLLOUT)
      case .wantsRead: wait(POLLIN)
      case .failed(let failure): throw failure
      case let other:
        Issue.record("\(other)")
        return
      }
    }
  }

  /// The next bytes, or how reading ended.
  func read() -> (TLSResult, [UInt8]) {
    while true {
      let (result, bytes) = tls.read()
      switch result {
      case .wantsRead: wait(POLLIN)
      case .wantsWrite: wait(POLLOUT)
      default: return (result, bytes)
      }
    }
  }

  /// Sends bytes and reads as many, both at once.
  func exchange(_ bytes: [UInt8]) throws -> [UInt8] {
    var sent = 0
    var received: [UInt8] = []
    while received.count < bytes.count {
      var events = POLLIN
      if sent < bytes.count {
        switch bytes[sent...].withUnsafeBytes({ tls.write($0) }) {
        case .bytes(let count): sent += count
        case .wantsWrite: events |= POLLOUT
        case .failed(let failure): throw failure
        default: break
        }
      }
      let (result, piece) = tls.read()
      received += piece
      switch result {
      case .bytes: continue
      case .wantsRead: if sent == bytes.count || events & POLLOUT != 0 { wait(events) }
      default: return received
      }
    }
    return received
  }
}
