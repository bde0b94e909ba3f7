// A byte stream on a connected, non-blocking socket: what arrives is handed up at once, what is sent goes out at once
// when the socket takes it and waits in a queue when it does not. Framing belongs to the caller
// (ControlProtocol.FrameReader over `onBytes`, its `frame` into `send`).
//
// Back-pressure both ways: `queued` says how much waits and `onDrained` when nothing does any more; `pauseReading`
// leaves input in the kernel, so that the other side's writes stop in turn.
import CLinux
import Glibc

public final class StreamConnection {
  private let loop: EventLoop
  private var socket: Int32  // -1: closed
  private var output: [UInt8] = []
  private var outputStart = 0
  private var reading = true

  /// Bytes that arrived; valid only during the call.
  public var onBytes: (UnsafeRawBufferPointer) -> Void = { _ in }
  /// Descriptors that arrived with the bytes of the following `onBytes`; the receiver closes them. When this is nil
  /// they are closed on arrival.
  public var onDescriptors: (([Int32]) -> Void)?
  /// The other side closed (nil) or the socket failed. Called once, never after `close`; the socket is closed already.
  public var onClose: (SystemError?) -> Void = { _ in }
  /// Everything that waited has been written.
  public var onDrained: () -> Void = {}

  /// Takes ownership of a connected socket. Nothing is read before the loop's next step, so handlers may be set first.
  public init(_ loop: EventLoop, _ socket: consuming FileDescriptor) throws(SystemError) {
    let raw = socket.release()
    self.loop = loop
    self.socket = raw
    do throws(SystemError) {
      let flags = try systemCall("fcntl") { nl_get_flags(raw) }
      try systemCall("fcntl") { nl_set_flags(raw, flags | O_NONBLOCK) }
      try loop.register(raw, .read) { [weak self] readiness in self?.handle(readiness) }
    } catch {
      self.socket = -1
      _ = Glibc.close(raw)
      throw error
    }
  }

  deinit { close() }

  public var isOpen: Bool { socket >= 0 }

  /// Bytes that wait for the socket to take them.
  public var queued: Int { output.count - outputStart }

  /// The socket's number, for options and credentials; -1 once closed.
  public var descriptor: Int32 { socket }

  public func close() {
    guard socket >= 0 else { return }
    loop.unregister(socket)
    _ = Glibc.close(socket)
    socket = -1
    output = []
    outputStart = 0
  }

  /// Writes or queues. After the connection has closed it does nothing.
  public func send(_ bytes: [UInt8]) {
    guard socket >= 0, !bytes.isEmpty else { return }
    if queued > 0 {
      output.append(contentsOf: bytes)
      return
    }
    let written = bytes.withUnsafeBytes { write($0) }
    guard let written, written < bytes.count else { return }
    output.append(contentsOf: bytes[written...])
    updateInterest()
  }

  /// Writes bytes together with descriptors, which stay the caller's. Only while nothing is queued (EAGAIN otherwise):
  /// descriptors cannot wait.
  public func send(_ bytes: [UInt8], descriptors: [Int32]) throws(SystemError) {
    guard socket >= 0 else { throw SystemError("sendmsg", EPIPE) }
    guard queued == 0, !bytes.isEmpty else { throw SystemError("sendmsg", EAGAIN) }
    let raw = socket
    let written = try systemCall("sendmsg") {
      bytes.withUnsafeBytes {
        nl_send_descriptors(raw, $0.baseAddress, $0.count, descriptors, Int32(descriptors.count))
      }
    }
    if written < bytes.count { send(Array(bytes[written...])) }
  }

  public func pauseReading() {
    reading = false
    updateInterest()
  }

  public func resumeReading() {
    reading = true
    updateInterest()
  }

  // MARK: Events

  private func handle(_ readiness: EventLoop.Readiness) {
    if readiness.contains(.writable) { flush() }
    if socket >= 0, reading, !readiness.isDisjoint(with: [.readable, .hangup, .error]) { readOnce() }
    if socket >= 0, !reading, !readiness.isDisjoint(with: [.hangup, .error]) { fail(nil) }
  }

  /// One buffer per event: a peer that writes without end cannot starve the others.
  private func readOnce() {
    var received: Int32 = 0
    let raw = socket
    let (count, descriptors): (Int, [Int32])
    do throws(SystemError) {
      (count, descriptors) = try withUnsafeTemporaryAllocation(of: Int32.self, capacity: Int(NL_MAX_DESCRIPTORS)) {
        (buffer) throws(SystemError) in
        let count = try systemCall("recvmsg") {
          nl_receive_descriptors(raw, loop.scratch.baseAddress, loop.scratch.count, buffer.baseAddress, &received)
        }
        return (count, Array(buffer[0..<Int(received)]))
      }
    } catch  where error.code == EAGAIN {
      return
    } catch {
      return fail(error)
    }
    if !descriptors.isEmpty { take(descriptors) }
    if count == 0 { return fail(nil) }
    onBytes(UnsafeRawBufferPointer(rebasing: loop.scratch[0..<count]))
  }

  private func take(_ descriptors: [Int32]) {
    if let onDescriptors { return onDescriptors(descriptors) }
    for descriptor in descriptors { _ = Glibc.close(descriptor) }
  }

  private func flush() {
    guard queued > 0 else { return }
    guard let written = output.withUnsafeBytes({ write(UnsafeRawBufferPointer(rebasing: $0[outputStart...])) }) else {
      return
    }
    outputStart += written
    if outputStart == output.count {
      output.removeAll(keepingCapacity: output.capacity <= 1 << 20)
      outputStart = 0
      updateInterest()
      onDrained()
    } else if outputStart > 1 << 20 {
      output.removeSubrange(0..<outputStart)
      outputStart = 0
    }
  }

  /// How many bytes the socket took (0: none now); nil after an error, which is reported by the loop's next step so
  /// that `send` never calls back into its caller.
  private func write(_ bytes: UnsafeRawBufferPointer) -> Int? {
    let raw = socket
    do throws(SystemError) {
      return try systemCall("send") { Glibc.send(raw, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL)) }
    } catch  where error.code == EAGAIN {
      return 0
    } catch {
      loop.enqueue { [weak self] in self?.fail(error) }
      return nil
    }
  }

  private func updateInterest() {
    guard socket >= 0 else { return }
    var interest: EventLoop.Interest = reading ? .read : []
    if queued > 0 { interest.insert(.write) }
    do throws(SystemError) {
      try loop.modify(socket, interest)
    } catch {
      loop.enqueue { [weak self] in self?.fail(error) }
    }
  }

  private func fail(_ error: SystemError?) {
    guard socket >= 0 else { return }
    close()
    onClose(error)
  }
}
