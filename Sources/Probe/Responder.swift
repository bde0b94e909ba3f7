// Answers traces' own traffic where nobody listens on the port: echoes each nonce with the direction byte turned.
//
// Traces to the same address and port share one, whichever protocol's: to the second, the first one's would look like a
// service of the user's that goes away in mid-flight. It has a thread of its own, so that it answers for all of them, and
// goes with the last.
import CLinux
import EventLoop
import Glibc
import NetTypes
import PathProof
import Synchronization

/// The responders of this process. `open` and `Lease` keep count of their users.
final class ResponderPool: Sendable {
  static let shared = ResponderPool()

  fileprivate struct Key: Hashable {
    var namespace: String
    var isStream: Bool
    var address: IPAddress
    var port: UInt16
  }

  private struct Entry {
    var responder: Responder
    var users: Int
  }

  private let entries = Mutex<[Key: Entry]>([:])

  /// A responder for the time of one trace: it is given back when this goes away.
  final class Lease: Sendable {
    private let pool: ResponderPool
    private let key: Key

    fileprivate init(_ pool: ResponderPool, _ key: Key) {
      self.pool = pool
      self.key = key
    }

    deinit { pool.giveBack(key) }
  }

  /// Nil when somebody else listens there.
  func open(
    _ kind: TracedFlow.Kind, _ namespace: String, _ address: IPAddress, _ port: UInt16
  ) throws(SystemError) -> Lease? {
    let key = Key(namespace: namespace, isStream: kind == .tcp, address: address, port: port)
    return try entries.withLock { entries throws(SystemError) -> Lease? in
      if entries[key] == nil {
        guard let responder = try Responder.open(key.isStream, namespace, address, port) else { return nil }
        entries[key] = Entry(responder: responder, users: 0)
      }
      entries[key]?.users += 1
      return Lease(self, key)
    }
  }

  private func giveBack(_ key: Key) {
    entries.withLock { entries in
      guard let entry = entries[key] else { return }
      entries[key]?.users -= 1
      guard entry.users == 1 else { return }
      entries[key] = nil
      entry.responder.stop()
    }
  }
}

/// One listener, or datagram socket, and its thread.
private final class Responder: Sendable {
  private let isStream: Bool
  private let listener: Int32
  /// eventfd: readable when it is to end.
  private let stopping: Int32
  private let thread = Mutex<pthread_t?>(nil)

  /// Nil when somebody listens there already.
  static func open(
    _ isStream: Bool, _ namespace: String, _ address: IPAddress, _ port: UInt16
  ) throws(SystemError) -> Responder? {
    do {
      let file = try ProbeSocket.inside(namespace) { () throws(SystemError) -> FileDescriptor in
        let file = try ProbeSocket.make(address.family, isStream ? SOCK_STREAM : SOCK_DGRAM)
        if isStream { try ProbeSocket.set(file.rawValue, SOL_SOCKET, SO_REUSEADDR, 1) }
        try ProbeSocket.bind(file.rawValue, address, port)
        let raw = file.rawValue
        if isStream { try systemCall("listen") { listen(raw, 1024) } }
        return file
      }
      return try Responder(isStream, file)
    } catch  where error.code == EADDRINUSE {
      return nil
    }
  }

  private init(_ isStream: Bool, _ listener: consuming FileDescriptor) throws(SystemError) {
    self.isStream = isStream
    stopping = try systemCall("eventfd") { eventfd(0, Int32(EFD_CLOEXEC)) }
    self.listener = listener.release()
    var made = pthread_t()
    let context = Unmanaged.passRetained(self)
    let result = pthread_create(
      &made, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Responder>.fromOpaque(argument).takeRetainedValue().serve()
        return nil
      }, context.toOpaque())
    guard result == 0 else {
      context.release()
      throw SystemError("pthread_create", result)
    }
    thread.withLock { $0 = made }
  }

  deinit {
    _ = close(listener)
    _ = close(stopping)
  }

  /// Returns when its thread has ended: nothing is bound any more once the last reference goes.
  func stop() {
    var one: UInt64 = 1
    _ = write(stopping, &one, MemoryLayout<UInt64>.size)
    if let made = thread.withLock({ $0 }) { pthread_join(made, nil) }
  }

  // MARK: Answering

  private struct Stream {
    var file: Int32
    var received: [UInt8] = []
  }

  private func serve() {
    var streams: [Stream] = []
    defer { for stream in streams { _ = close(stream.file) } }
    while true {
      let files = [stopping, listener] + streams.map(\.file)
      var entries = files.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      poll(&entries, nfds_t(entries.count), -1)
      if entries[0].revents != 0 { return }
      if isStream { answerStreams(&streams) } else { answerDatagrams() }
    }
  }

  private func answerStreams(_ streams: inout [Stream]) {
    while let file = try? UnixSocket.accept(listener) { streams.append(Stream(file: file.release())) }
    for index in streams.indices { answer(&streams[index]) }
    streams.removeAll { $0.file < 0 }
  }

  private func answerDatagrams() {
    while let (bytes, sender) = try? ProbeSocket.receiveFrom(listener) {
      guard let answer = Self.answer(bytes) else { continue }
      try? ProbeSocket.reply(listener, answer, to: sender)
    }
  }

  private func answer(_ stream: inout Stream) {
    while let bytes = try? ProbeSocket.receive(stream.file), !bytes.isEmpty {
      stream.received += bytes
      guard let answer = Self.answer(stream.received) else { continue }
      stream.received = []
      try? ProbeSocket.send(stream.file, answer)
    }
    // The loop ends for want of bytes, at the end of the stream, or by an error; only the first leaves it open.
    var probe: UInt8 = 0
    if recv(stream.file, &probe, 1, Int32(MSG_PEEK)) < 0, errno == EAGAIN || errno == EINTR { return }
    _ = close(stream.file)
    stream.file = -1
  }

  /// The nonce with the direction turned; nil unless it is one of a forward probe.
  private static func answer(_ bytes: [UInt8]) -> [UInt8]? {
    guard bytes.count == ProbeIdentity.nonceLength + 1, bytes.last == Way.forward.rawValue else { return nil }
    return bytes.dropLast() + [Way.back.rawValue]
  }
}
