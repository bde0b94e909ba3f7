internal import CLinux
internal import ControlProtocol
internal import EventLoop
internal import Glibc

/// The CLI's end of a lab's `machine.sock` for orders that have no answer; commands with one are `ExecSession`'s.
struct MachineClient: ~Copyable {
  private let socket: FileDescriptor

  /// Fails at once when nobody listens.
  init(_ path: String) throws(SystemError) {
    socket = try UnixSocket.connect(path)
  }

  /// Sends one message.
  func send(_ message: NLToMachine) throws {
    let bytes = try frame(message)
    var sent = 0
    while sent < bytes.count {
      do {
        sent += try bytes[sent...].withUnsafeBytes { try UnixSocket.send(socket.rawValue, $0) }
      } catch let error as SystemError where error.code == EAGAIN {
        var entry = pollfd(fd: socket.rawValue, events: Int16(POLLOUT), revents: 0)
        try systemCall("poll") { poll(&entry, 1, -1) }
      }
    }
  }
}
