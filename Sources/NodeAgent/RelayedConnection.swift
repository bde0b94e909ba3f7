internal import CLinux
internal import EventLoop
import Glibc

/// One connection that is handed on: bytes both ways, each end's FIN passed to the other, a reset too. What one side does
/// not take stays in the other's socket, beyond one buffer.
final class RelayedConnection {
  /// One direction: what was read and not yet written.
  private struct Flow {
    var bytes: [UInt8] = []
    var start = 0
    /// The reader has said all it will.
    var ended = false
    /// …and the writer has been told.
    var passedEnd = false

    var waiting: Int { bytes.count - start }
    /// Room is one buffer: a slow reader stops its writer.
    var takesMore: Bool { waiting == 0 && !ended }
    var isDone: Bool { ended && waiting == 0 && passedEnd }
  }

  enum Target {
    /// A port of this namespace, wherever it is listened on.
    case port(UInt16)
    /// A unix socket, which is told `name` as our address.
    case socket(path: String, name: String)
  }

  private let loop: EventLoop
  private let outer: Int32
  private let target: Target
  private var inner: Int32 = -1  // -1: between two attempts
  private var candidates: [[UInt8]]
  private var isConnected = false
  private var outward = Flow()  // inner to outer
  private var inward = Flow()  // outer to inner
  private var isOver = false
  /// Called once; a text when the node could not be reached.
  private let onEnd: (RelayedConnection, String?) -> Void

  init(
    _ loop: EventLoop, outer: consuming FileDescriptor, to target: Target,
    onEnd: @escaping (RelayedConnection, String?) -> Void
  ) {
    self.loop = loop
    self.outer = outer.release()
    self.target = target
    self.onEnd = onEnd
    candidates = if case .port = target { OwnAddresses.all() } else { [] }
  }

  func start() {
    do throws(SystemError) {
      try loop.register(outer, []) { [weak self] readiness in self?.handle(readiness, isOuter: true) }
    } catch {
      return end("\(error)")
    }
    switch target {
    case .port: connectNext()
    case .socket(let path, let name): connect(path, name)
    }
  }

  // MARK: To the node

  private func connect(_ path: String, _ name: String) {
    do throws(SystemError) {
      inner = try UnixSocket.connect(path, as: name).release()
      try loop.register(inner, .write) { [weak self] readiness in self?.handle(readiness, isOuter: false) }
    } catch {
      end("\(error)")
    }
  }

  private func connectNext() {
    dropInner()
    guard case .port(let port) = target, let address = candidates.first else {
      return end("nothing listens on it in the node")
    }
    candidates.removeFirst()
    let raw = nl_tcp_socket(Int32(address.count))
    guard raw >= 0 else { return connectNext() }
    var storage = sockaddr_storage()
    let length = nl_address(&storage, address, Int32(address.count), port, 0)
    let result = withUnsafePointer(to: &storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), length)
      }
    }
    inner = raw
    guard result == 0 || errno == EINPROGRESS else { return connectNext() }
    do throws(SystemError) {
      try loop.register(raw, .write) { [weak self] readiness in self?.handle(readiness, isOuter: false) }
    } catch {
      end("\(error)")
    }
  }

  private func dropInner() {
    guard inner >= 0 else { return }
    loop.unregister(inner)
    _ = close(inner)
    inner = -1
  }

  // MARK: Bytes

  private func handle(_ readiness: EventLoop.Readiness, isOuter: Bool) {
    guard inner >= 0, !isOver else { return }
    if !isOuter, !isConnected {
      // A unix socket is connected at once.
      if case .port = target, nl_tcp_error(inner) != 0 { return connectNext() }
      isConnected = true
    }
    if readiness.contains(.error) { return reset() }
    let fine =
      isOuter
      ? pump(from: outer, to: inner, &inward, &outward, readiness)
      : pump(from: inner, to: outer, &outward, &inward, readiness)
    guard fine else { return reset() }
    if inward.isDone, outward.isDone { return end(nil) }
    updateInterest()
  }

  /// `near` is ready: writes what waits for it, reads what it has. False: a side has failed.
  private func pump(
    from near: Int32, to far: Int32, _ outgoing: inout Flow, _ incoming: inout Flow, _ readiness: EventLoop.Readiness
  ) -> Bool {
    if readiness.contains(.writable), !Self.write(&incoming, to: near) { return false }
    guard !readiness.isDisjoint(with: [.readable, .hangup]), outgoing.takesMore else { return true }
    let scratch = loop.scratch
    let count = recv(near, scratch.baseAddress, scratch.count, 0)
    if count < 0 { return errno == EAGAIN || errno == EINTR }
    if count == 0 {
      outgoing.ended = true
    } else {
      outgoing.bytes = Array(scratch[0..<count])
      outgoing.start = 0
    }
    return Self.write(&outgoing, to: far)
  }

  private static func write(_ flow: inout Flow, to socket: Int32) -> Bool {
    while flow.waiting > 0 {
      let count = flow.bytes.withUnsafeBytes {
        send(socket, $0.baseAddress?.advanced(by: flow.start), flow.waiting, Int32(MSG_NOSIGNAL))
      }
      if count < 0 { return errno == EAGAIN || errno == EINTR }
      flow.start += count
    }
    if flow.ended, !flow.passedEnd {
      flow.passedEnd = true
      _ = shutdown(socket, Int32(SHUT_WR))
    }
    return true
  }

  private func updateInterest() {
    guard inner >= 0, !isOver else { return }
    do throws(SystemError) {
      try watch(outer, inward, outward, reads: isConnected && inward.takesMore)
      try watch(inner, outward, inward, reads: outward.takesMore)
    } catch {
      end("\(error)")
    }
  }

  /// - Parameters: what comes from the socket, and what goes to it.
  private func watch(_ socket: Int32, _ from: Flow, _ to: Flow, reads: Bool) throws(SystemError) {
    // One that has said all and was told all is ready (EPOLLHUP) for ever: nothing is to be heard of it any more.
    guard !(from.ended && to.passedEnd) else { return loop.unregister(socket) }
    try loop.modify(socket, interest(reads: reads, writes: to.waiting > 0))
  }

  private func interest(reads: Bool, writes: Bool) -> EventLoop.Interest {
    var interest: EventLoop.Interest = []
    if reads { interest.insert(.read) }
    if writes { interest.insert(.write) }
    return interest
  }

  // MARK: Ending

  /// One side failed: the other is told the same way.
  private func reset() {
    _ = nl_tcp_reset_on_close(outer)
    if inner >= 0 { _ = nl_tcp_reset_on_close(inner) }
    end(nil)
  }

  private func end(_ failure: String?) {
    guard !isOver else { return }
    isOver = true
    if failure != nil { _ = nl_tcp_reset_on_close(outer) }
    loop.unregister(outer)
    _ = close(outer)
    dropInner()
    loop.enqueue { [self] in onEnd(self, failure) }
  }
}
