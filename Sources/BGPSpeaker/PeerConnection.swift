// One TCP connection to a neighbor, from the moment it stands: reads in large pieces, writes what the socket takes, and
// ends in a way that lets a last NOTIFICATION arrive.
//
//   socket ─► readOnce ─► neighbor.received (frames and takes messages in place)
//   neighbor ─► output ─► flush ─► socket
//
// The read buffer is the speaker's, shared by all connections: a connection keeps only the tail of a message that has
// not come whole. Nothing here knows the protocol beyond that.

import BGPCore
import BGPWire
import CLinux
import EventLoop
import Glibc

/// Where every connection of a speaker reads to, one at a time.
final class ReadBuffer {
  let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 * 1024, alignment: 16)
  deinit { bytes.deallocate() }
}

final class PeerConnection {
  let id: Connection
  let local: Endpoint
  let remote: Endpoint
  private let loop: EventLoop
  private var socket: Int32
  /// Messages on their way out. Bounded: the driver adds to it only while it is short.
  var output = OutputBuffer(capacity: 4096)
  private var tail: [UInt8] = []
  /// The socket takes no more for now.
  private(set) var isBlocked = false
  /// When it stopped taking any, for the send hold timer (RFC 9687).
  private(set) var blockedSince: Instant?
  private(set) var bytesIn: UInt64 = 0
  private(set) var bytesOut: UInt64 = 0
  /// Not reading any more: closed, or about to be when `output` is empty.
  private(set) var isFinishing = false
  private var farewell: LoopTimer?

  /// How long a closing connection waits for its output to be taken and for the peer to close.
  private static let farewellTime: UInt64 = 1_000_000_000

  /// Consumes whole messages from the front; the rest comes again with more behind it.
  var onBytes: (UnsafeRawBufferPointer) -> Int = { $0.count }
  /// The connection ended by itself; nil: the peer closed it.
  var onEnd: (SystemError?) -> Void = { _ in }
  /// It was blocked and is not any more.
  var onWritable: () -> Void = {}
  /// The descriptor is closed, however it came to that.
  var onClosed: () -> Void = {}

  /// Takes ownership of the socket.
  init(_ loop: EventLoop, _ id: Connection, _ socket: consuming FileDescriptor) throws(SystemError) {
    let raw = socket.release()
    guard let local = TCPSocket.local(raw), let remote = TCPSocket.remote(raw) else {
      let error = SystemError.last("getpeername")
      _ = Glibc.close(raw)
      throw error
    }
    self.loop = loop
    self.id = id
    self.local = local
    self.remote = remote
    self.socket = raw
  }

  deinit { if socket >= 0 { _ = Glibc.close(socket) } }

  /// Begins to read into this buffer.
  func start(_ buffer: ReadBuffer) throws(SystemError) {
    try loop.register(socket, .read) { [weak self] in self?.handle($0, buffer) }
  }

  var isOpen: Bool { socket >= 0 && !isFinishing }

  // MARK: In

  private func handle(_ readiness: EventLoop.Readiness, _ buffer: ReadBuffer) {
    if readiness.contains(.writable) {
      flush()
      if !isBlocked, isOpen { onWritable() }
    }
    if !readiness.isDisjoint(with: [.readable, .hangup, .error]) { readOnce(buffer) }
  }

  /// One piece, as large as the buffer: a peer that writes without end cannot starve the others.
  func readOnce(_ shared: ReadBuffer) {
    guard socket >= 0 else { return }
    let buffer = shared.bytes
    tail.withUnsafeBytes { buffer.copyMemory(from: $0) }
    let start = tail.count
    let raw = socket
    let count: Int
    do {
      count = try systemCall("recv") { recv(raw, buffer.baseAddress.map { $0 + start }, buffer.count - start, 0) }
    } catch  where error.code == EAGAIN {
      return
    } catch {
      return end(error)
    }
    if count == 0 { return end(nil) }
    if isFinishing { return }
    bytesIn += UInt64(count)
    let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<(start + count)])
    let used = onBytes(bytes)
    guard isOpen else { return }
    if used < bytes.count {
      tail = Array(bytes[used...])
    } else if !tail.isEmpty {
      tail = []
    }
  }

  /// Part of a message has come.
  var hasTail: Bool { !tail.isEmpty }

  private func end(_ error: SystemError?) {
    let wasFinishing = isFinishing
    close()
    if !wasFinishing { onEnd(error) }
  }

  // MARK: Out

  /// Writes what the socket takes.
  func flush() {
    while socket >= 0, !output.isEmpty {
      let raw = socket
      do throws(SystemError) {
        let count = try output.withUnsafeBytes { (bytes) throws(SystemError) in
          try systemCall("send") { send(raw, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL)) }
        }
        bytesOut += UInt64(count)
        output.removeFirst(count)
        blockedSince = nil
      } catch  where error.code == EAGAIN {
        return block()
      } catch {
        // Told in the loop's next step, so that nobody who writes is called back.
        loop.enqueue { [weak self] in self?.end(error) }
        output.removeAll()
        return
      }
    }
    if socket >= 0, isBlocked {
      isBlocked = false
      try? loop.modify(socket, .read)
    }
    output.shrink(to: 4096)
    if isFinishing, socket >= 0 { _ = shutdown(socket, Int32(SHUT_WR)) }
  }

  private func block() {
    if blockedSince == nil { blockedSince = Instant(nanoseconds: EventLoop.clock()) }
    guard !isBlocked else { return }
    isBlocked = true
    try? loop.modify(socket, [.read, .write])
  }

  // MARK: End

  /// Writes what waits, tells the peer that no more comes, and closes when it has closed too, or soon: closing at once
  /// with input unread would be a reset, which takes a NOTIFICATION away from the peer.
  func finish() {
    guard isOpen else { return }
    isFinishing = true
    tail = []
    flush()
    guard socket >= 0 else { return }
    let timer = LoopTimer(loop) { [self] in close() }
    timer.arm(after: Self.farewellTime)
    farewell = timer
  }

  /// Closes at once; nothing that waits is sent.
  func abort() {
    guard socket >= 0 else { return }
    isFinishing = true
    close(byReset: true)
  }

  private func close(byReset: Bool = false) {
    guard socket >= 0 else { return }
    loop.unregister(socket)
    if byReset { _ = nl_tcp_abort(socket) } else { _ = Glibc.close(socket) }
    socket = -1
    isFinishing = true
    farewell?.cancel()
    farewell = nil
    onClosed()
  }
}
