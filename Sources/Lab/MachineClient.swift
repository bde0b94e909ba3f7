internal import CLinux
internal import ControlProtocol
internal import EventLoop
internal import Glibc
internal import SwiftProtobuf

/// The CLI's end of a lab's `machine.sock`, used in turns: write a message, wait for the next one.
struct MachineClient: ~Copyable {
  private let socket: FileDescriptor
  private var reader = FrameReader()
  /// Descriptors that arrived and nobody has taken yet.
  private(set) var descriptors: [Int32] = []

  /// Fails at once when nobody listens.
  init(_ path: String) throws(SystemError) {
    socket = try UnixSocket.connect(path)
  }

  /// For waiting on it together with other descriptors.
  var rawValue: Int32 { socket.rawValue }

  /// Sends one message; the descriptors stay the caller's.
  func send(_ message: NLToMachine, descriptors: [Int32] = []) throws {
    let bytes = try frame(message)
    var sent = 0
    while sent < bytes.count {
      do {
        sent += try bytes[sent...].withUnsafeBytes { rest in
          try UnixSocket.send(socket.rawValue, rest, descriptors: sent == 0 ? descriptors : [])
        }
      } catch let error as SystemError where error.code == EAGAIN {
        try wait(for: POLLOUT, milliseconds: -1)
      }
    }
  }

  /// The next message; nil when the machine has closed the connection or `milliseconds` (-1: no limit) have passed.
  mutating func receive(milliseconds: Int32 = -1) throws -> NLFromMachine? {
    while true {
      if let message = try reader.next(NLFromMachine.self) { return message }
      guard try wait(for: POLLIN, milliseconds: milliseconds), try fill() else { return nil }
    }
  }

  /// The message that has arrived whole, without waiting; `ended` when the machine has closed the connection.
  mutating func received() throws -> (message: NLFromMachine?, ended: Bool) {
    if let message = try reader.next(NLFromMachine.self) { return (message, false) }
    guard try wait(for: POLLIN, milliseconds: 0) else { return (nil, false) }
    let open = try fill()
    return (try reader.next(NLFromMachine.self), !open)
  }

  /// The first descriptor that came along, given to the caller.
  mutating func takeDescriptor() -> FileDescriptor? {
    descriptors.isEmpty ? nil : FileDescriptor(owning: descriptors.removeFirst())
  }

  /// Reads what is there; false at the end of the stream.
  private mutating func fill() throws -> Bool {
    var buffer = [UInt8](repeating: 0, count: 16384)
    do {
      let raw = socket.rawValue
      let (count, arrived) = try buffer.withUnsafeMutableBytes { try UnixSocket.receive(raw, $0) }
      descriptors += arrived
      reader.append(buffer[0..<count])
      return count > 0
    } catch let error as SystemError where error.code == EAGAIN {
      return true
    } catch let error as SystemError where error.code == ECONNRESET {
      return false
    }
  }

  /// Whether the event came within the time.
  @discardableResult
  private func wait(for event: Int32, milliseconds: Int32) throws -> Bool {
    var entry = pollfd(fd: socket.rawValue, events: Int16(event), revents: 0)
    return try systemCall("poll") { poll(&entry, 1, milliseconds) } > 0
  }

  deinit {
    for descriptor in descriptors { _ = Glibc.close(descriptor) }
  }
}
