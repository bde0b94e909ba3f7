// One connection's bytes, in the clear or by TLS: connecting, handshake, reading as long as its owner wants, an output
// queue with back-pressure, half-close. HTTP and TCP proxying stand on it and know nothing of descriptors.
//
//   connecting ─► handshaking ─► open ─► closed          (accepted in the clear: open at once)
//
// Output that is appended goes out at the end of the loop's step, so that what several callbacks write is one segment;
// `write` is for those who have it all. An owner is called from events only, never from within its own calls.
import CLinux
import EventLoop
import Glibc
import TLS

/// Why a connection ended other than by its end.
enum ChannelFailure: Error {
  case connect(Int32)
  case tls(TLSFailure)
  case system(Int32)
  /// TCP ended without TLS's close_notify: what came may be cut off.
  case truncated

  var text: String {
    switch self {
    case .connect(let code): "connect: \(String(cString: strerror(code)))"
    case .tls(let failure): "tls: \(failure.detail)"
    case .system(let code): String(cString: strerror(code))
    case .truncated: "cut off"
    }
  }
}

protocol ChannelOwner: AnyObject {
  /// Connected and, where there is TLS, the handshake is done.
  func channelReady(_ channel: Channel)
  /// Bytes that are valid during the call only.
  func channelReceived(_ channel: Channel, _ bytes: UnsafeRawBufferPointer)
  /// The other side sends nothing more.
  func channelEnded(_ channel: Channel)
  /// The queue has become empty after `awaitsDrain`.
  func channelDrained(_ channel: Channel)
  /// It is closed already.
  func channelFailed(_ channel: Channel, _ failure: ChannelFailure)
}

/// Flushes what was appended during a step at its end.
final class FlushQueue {
  private let loop: EventLoop
  private var dirty: [Channel] = []

  init(_ loop: EventLoop) { self.loop = loop }

  func add(_ channel: Channel) {
    if dirty.isEmpty { loop.enqueue { [unowned self] in flush() } }
    dirty.append(channel)
  }

  private func flush() {
    // A flush may call owners, which append again: those are the next round's.
    let channels = dirty
    dirty = []
    for channel in channels { channel.flushQueued() }
  }
}

final class Channel {
  private enum Phase { case connecting, handshaking, open, closed }

  private let loop: EventLoop
  private let queue: FlushQueue
  private(set) var descriptor: Int32
  private var phase: Phase
  private(set) var tls: TLSConnection?
  private var output: [UInt8] = []
  private var outputStart = 0
  private var isQueued = false
  private var isReading = true
  private var inputEnded = false
  private var endRequested = false
  private var endSent = false
  private var writeBlocked = false
  private var isParked = false
  private var failure: ChannelFailure?
  /// Broken when the channel closes: owners hold their channel and the channel its owner.
  var owner: (any ChannelOwner)?
  /// Ask for `channelDrained`.
  var awaitsDrain = false
  private(set) var received: UInt64 = 0
  private(set) var sent: UInt64 = 0
  private var standstill = Standstill()

  /// Records of TLS that are read in one event; more wait for the next step.
  private static let recordsPerEvent = 8

  /// Takes ownership of the descriptor.
  /// - Parameter isConnecting: the descriptor comes from `TCPSocket.connect`.
  init(
    _ loop: EventLoop, _ queue: FlushQueue, _ descriptor: consuming FileDescriptor, isConnecting: Bool,
    tls makeTLS: ((Int32) throws -> TLSConnection)? = nil
  ) throws {
    let raw = descriptor.release()
    self.loop = loop
    self.queue = queue
    self.descriptor = raw
    phase = isConnecting ? .connecting : makeTLS == nil ? .open : .handshaking
    do {
      tls = try makeTLS?(raw)
      try loop.register(raw, isConnecting ? .write : .read) { [self] in handle($0) }
    } catch {
      _ = Glibc.close(raw)
      self.descriptor = -1
      phase = .closed
      throw error
    }
    if phase == .open { isReading = true }
  }

  var isClosed: Bool { phase == .closed }
  var isOpen: Bool { phase == .open }

  /// Bytes that wait to be sent.
  var queued: Int { output.count - outputStart }

  /// Nothing waits to be sent, the end of the stream, where it was asked for, neither.
  var isFlushed: Bool { queued == 0 && (endSent || !endRequested) }

  /// Whether what waits stands still, see `Standstill`.
  func isStuck() -> Bool { standstill.look(waiting: queued, gone: sent) }

  // MARK: Reading

  func pauseReading() {
    guard isReading else { return }
    isReading = false
    updateInterest()
  }

  func resumeReading() {
    guard !isReading else { return }
    isReading = true
    if isParked { unpark() } else { updateInterest() }
    if tls?.hasPending == true { scheduleRead() }
  }

  private func readSome() {
    guard tls != nil else { return readPlain() }
    for _ in 0..<Channel.recordsPerEvent {
      guard phase == .open, isReading, !inputEnded, let tls else { return }
      switch tls.read(into: loop.scratch) {
      case .bytes(let count):
        received &+= UInt64(count)
        owner?.channelReceived(self, UnsafeRawBufferPointer(rebasing: loop.scratch[0..<count]))
        if phase == .open, !tls.hasPending { return }
      case .wantsRead: return
      case .wantsWrite:
        writeBlocked = true
        return updateInterest()
      case .closed: return end()
      case .truncated: return fail(.truncated)
      case .failed(let failure): return fail(.tls(failure))
      }
    }
    scheduleRead()
  }

  private func scheduleRead() {
    loop.enqueue { [weak self] in
      guard let self, phase == .open, isReading else { return }
      readSome()
    }
  }

  private func readPlain() {
    guard !inputEnded else { return }
    let count = recv(descriptor, loop.scratch.baseAddress, loop.scratch.count, 0)
    if count > 0 {
      received &+= UInt64(count)
      owner?.channelReceived(self, UnsafeRawBufferPointer(rebasing: loop.scratch[0..<count]))
    } else if count == 0 {
      end()
    } else if errno != EAGAIN, errno != EINTR {
      fail(.system(errno))
    }
  }

  private func end() {
    inputEnded = true
    updateInterest()
    owner?.channelEnded(self)
  }

  // MARK: Writing

  /// Appends to the queue by a closure that writes into it.
  @inline(__always)
  func append(_ body: (inout [UInt8]) -> Void) {
    guard phase != .closed, !endRequested else { return }
    body(&output)
    markQueued()
  }

  func append(_ bytes: UnsafeRawBufferPointer) {
    guard phase != .closed, !endRequested else { return }
    output.append(contentsOf: bytes)
    markQueued()
  }

  /// Sends at once what the socket takes, and queues the rest.
  func write(_ bytes: UnsafeRawBufferPointer) {
    guard phase == .open, queued == 0, !endRequested else { return append(bytes) }
    let count = send(bytes)
    guard count < bytes.count, failure == nil else {
      if failure != nil { markQueued() }
      return
    }
    output.append(contentsOf: bytes[count...])
    if tls == nil { updateInterest() } else { markQueued() }
  }

  /// Ends this side's stream when everything has been sent.
  func endOutput() {
    guard phase != .closed, !endRequested else { return }
    endRequested = true
    markQueued()
  }

  private func markQueued() {
    guard !isQueued else { return }
    isQueued = true
    queue.add(self)
  }

  func flushQueued() {
    isQueued = false
    flush()
  }

  private func flush() {
    guard phase == .open else { return }
    if queued > 0, failure == nil {
      let count = output.withUnsafeBytes { send(UnsafeRawBufferPointer(rebasing: $0[outputStart...])) }
      outputStart += count
    }
    if let failure { return fail(failure) }
    if queued > 0 {
      if outputStart > 1 << 18 {
        output.removeSubrange(0..<outputStart)
        outputStart = 0
      }
      return updateInterest()
    }
    output.removeAll(keepingCapacity: output.capacity <= 16384)
    outputStart = 0
    writeBlocked = false
    if endRequested, !endSent { sendEnd() }
    updateInterest()
    if awaitsDrain, isFlushed {
      awaitsDrain = false
      owner?.channelDrained(self)
    }
  }

  /// How much went out; a failure is kept for `flush`, so that nobody is called back from within his own call.
  private func send(_ bytes: UnsafeRawBufferPointer) -> Int {
    writeBlocked = false
    var done = 0
    while done < bytes.count {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
      if let tls {
        switch tls.write(rest) {
        case .bytes(let count): done += count
        case .wantsWrite, .wantsRead: return done
        case .closed, .truncated:
          failure = .system(EPIPE)
          return done
        case .failed(let reason):
          failure = .tls(reason)
          return done
        }
      } else {
        let count = Glibc.send(descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
        if count < 0 {
          if errno == EINTR { continue }
          if errno != EAGAIN { failure = .system(errno) }
          return done
        }
        done += count
        sent &+= UInt64(count)
        if count < rest.count { return done }
      }
    }
    if tls != nil { sent &+= UInt64(done) }
    return done
  }

  private func sendEnd() {
    // Without close_notify the other side would have to take what came for cut off.
    if let tls, tls.shutdown() == .wantsWrite {
      writeBlocked = true
      return
    }
    endSent = true
    _ = shutdown(descriptor, Int32(SHUT_WR))
  }

  // MARK: Events

  private func handle(_ readiness: EventLoop.Readiness) {
    switch phase {
    case .connecting: connected()
    case .handshaking: handshake()
    case .open:
      let wasBlocked = writeBlocked
      if readiness.contains(.writable) { flush() }
      guard phase == .open else { return }
      if isReading, !inputEnded {
        // A read that had to write first goes on as well.
        if wasBlocked || !readiness.isDisjoint(with: [.readable, .hangup, .error]) { readSome() }
      } else if !readiness.isDisjoint(with: [.hangup, .error]) {
        hungUp(readiness)
      }
    case .closed: break
    }
  }

  /// Nothing can be sent any more; what has arrived waits until the owner reads on, without being reported again and
  /// again meanwhile.
  private func hungUp(_ readiness: EventLoop.Readiness) {
    if inputEnded || queued > 0 {
      let code = TCPSocket.error(descriptor)
      // Both streams have ended as they should: the owner closes when the other connection is done, too.
      let isDone = inputEnded && endSent && queued == 0 && code == 0
      if !isDone { return fail(.system(code == 0 ? ECONNRESET : code)) }
    }
    isParked = true
    loop.unregister(descriptor)
  }

  private func unpark() {
    isParked = false
    do {
      try loop.register(descriptor, .read) { [self] in handle($0) }
    } catch {
      loop.enqueue { [weak self] in self?.fail(.system(error.code)) }
    }
  }

  private func connected() {
    let code = TCPSocket.error(descriptor)
    guard code == 0 else { return fail(.connect(code)) }
    guard tls != nil else { return ready() }
    phase = .handshaking
    handshake()
  }

  private func handshake() {
    guard let tls else { return }
    switch tls.handshake() {
    case .done: ready()
    case .wantsRead: setInterest(.read)
    case .wantsWrite: setInterest([.read, .write])
    case .failed(let failure): fail(.tls(failure))
    }
  }

  private func ready() {
    phase = .open
    updateInterest()
    owner?.channelReady(self)
    guard phase == .open else { return }
    if queued > 0 || endRequested { markQueued() }
    if tls?.hasPending == true { scheduleRead() }
  }

  private func updateInterest() {
    guard phase == .open, !isParked else { return }
    var interest: EventLoop.Interest = isReading && !inputEnded ? .read : []
    if queued > 0 || writeBlocked { interest.insert(.write) }
    setInterest(interest)
  }

  private func setInterest(_ interest: EventLoop.Interest) {
    do {
      try loop.modify(descriptor, interest)
    } catch {
      loop.enqueue { [weak self] in self?.fail(.system(error.code)) }
    }
  }

  // MARK: End

  private func fail(_ failure: ChannelFailure) {
    guard phase != .closed else { return }
    let owner = self.owner
    close()
    owner?.channelFailed(self, failure)
  }

  /// Ends it at once; what is queued is lost.
  func close() {
    guard phase != .closed else { return }
    if tls != nil, phase == .open, !endSent { _ = tls?.shutdown() }
    release { _ = Glibc.close($0) }
  }

  /// Ends it by a reset, so that the other side does not take what came for everything.
  func abort() {
    guard phase != .closed else { return }
    release { TCPSocket.abort($0) }
  }

  /// Gives the descriptor to another owner; only for a channel in the clear with an empty queue.
  func detach() -> FileDescriptor? {
    guard phase == .open, tls == nil, queued == 0, !endRequested, !inputEnded else { return nil }
    var result: FileDescriptor?
    release { result = FileDescriptor(owning: $0) }
    return result
  }

  private func release(_ body: (Int32) -> Void) {
    phase = .closed
    if !isParked { loop.unregister(descriptor) }
    tls = nil
    body(descriptor)
    descriptor = -1
    output = []
    outputStart = 0
    owner = nil
  }
}
