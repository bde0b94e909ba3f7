// Two TCP connections whose bytes the kernel moves by itself, through a pipe for each direction (splice(2)): for bulk it
// costs half of what copying costs, for small messages more, so `TCPRelay` hands over only what has become bulk.
import CLinux
import EventLoop
import Glibc

final class SplicedPair {
  private struct Direction {
    let source: Int32
    let destination: Int32
    let pipeRead: Int32
    let pipeWrite: Int32
    var waiting = 0  // bytes in the pipe
    var sourceEnded = false
    var endPassed = false
    var blockedBy: Blockage = .source
    var moved: UInt64 = 0
    /// The source has hung up while nothing may be read from it: it would be reported again and again.
    var isParked = false
  }

  private enum Blockage { case source, destination }

  private let loop: EventLoop
  private var forward: Direction
  private var backward: Direction
  private var isClosed = false
  private var idle: LoopTimer?
  private let idleLimit: UInt64
  private let onEnd: (_ forward: UInt64, _ backward: UInt64) -> Void

  private static let pipeBytes: Int32 = 1 << 18
  private static let roundsPerEvent = 4

  /// A pipe for each direction, to be given to a pair at once.
  struct Pipes {
    let forward: (Int32, Int32)
    let backward: (Int32, Int32)

    init() throws(SystemError) {
      forward = try SplicedPair.makePipe()
      do throws(SystemError) {
        backward = try SplicedPair.makePipe()
      } catch {
        _ = Glibc.close(forward.0)
        _ = Glibc.close(forward.1)
        throw error
      }
    }

    func close() { for end in [forward.0, forward.1, backward.0, backward.1] { _ = Glibc.close(end) } }
  }

  /// Takes all descriptors over.
  init(
    _ loop: EventLoop, client: consuming FileDescriptor, server: consuming FileDescriptor, _ pipes: Pipes,
    idleLimit: UInt64, onEnd: @escaping (_ forward: UInt64, _ backward: UInt64) -> Void
  ) {
    let clientRaw = client.release()
    let serverRaw = server.release()
    self.loop = loop
    self.idleLimit = idleLimit
    self.onEnd = onEnd
    forward = Direction(
      source: clientRaw, destination: serverRaw, pipeRead: pipes.forward.0, pipeWrite: pipes.forward.1)
    backward = Direction(
      source: serverRaw, destination: clientRaw, pipeRead: pipes.backward.0, pipeWrite: pipes.backward.1)
  }

  /// Begins; the loop holds the pair until it ends.
  func start() {
    if idleLimit > 0 {
      let timer = LoopTimer(loop) { [weak self] in self?.close(byReset: false) }
      timer.arm(at: loop.now + idleLimit)
      idle = timer
    }
    do {
      try loop.register(forward.source, .read) { [self] in step($0, \.forward) }
      try loop.register(backward.source, .read) { [self] in step($0, \.backward) }
    } catch {
      close(byReset: true)
    }
  }

  private static func makePipe() throws(SystemError) -> (Int32, Int32) {
    var ends: [Int32] = [-1, -1]
    try systemCall("pipe2") { pipe2(&ends, O_CLOEXEC | O_NONBLOCK) }
    _ = fcntl(ends[1], F_SETPIPE_SZ, pipeBytes)
    return (ends[0], ends[1])
  }

  private func step(_ readiness: EventLoop.Readiness, _ reported: ReferenceWritableKeyPath<SplicedPair, Direction>) {
    guard !isClosed else { return }
    if readiness.contains(.error) { return close(byReset: true) }
    guard pump(&forward), pump(&backward) else { return close(byReset: true) }
    if forward.endPassed, backward.endPassed { return close(byReset: false) }
    idle?.arm(at: loop.now + idleLimit)
    if readiness.contains(.hangup), self[keyPath: reported].blockedBy == .destination {
      self[keyPath: reported].isParked = true
      loop.unregister(self[keyPath: reported].source)
    }
    updateInterest()
  }

  /// False after an error.
  private func pump(_ direction: inout Direction) -> Bool {
    if direction.endPassed { return true }
    for _ in 0..<SplicedPair.roundsPerEvent {
      if !direction.sourceEnded, direction.waiting < Int(SplicedPair.pipeBytes) / 2 {
        let count = move(direction.source, direction.pipeWrite, Int(SplicedPair.pipeBytes) - direction.waiting)
        if count == 0 { direction.sourceEnded = true }
        if count < 0, errno != EAGAIN { return false }
        if count > 0 { direction.waiting += count }
      }
      if direction.waiting == 0 { break }
      let count = move(direction.pipeRead, direction.destination, direction.waiting)
      if count < 0 {
        guard errno == EAGAIN else { return false }
        direction.blockedBy = .destination
        return true
      }
      direction.waiting -= count
      direction.moved &+= UInt64(count)
      if direction.waiting > 0 {
        direction.blockedBy = .destination
        return true
      }
    }
    direction.blockedBy = direction.waiting > 0 ? .destination : .source
    if direction.sourceEnded, direction.waiting == 0 {
      direction.endPassed = true
      _ = shutdown(direction.destination, Int32(SHUT_WR))
    }
    return true
  }

  private func move(_ from: Int32, _ to: Int32, _ count: Int) -> Int {
    while true {
      let moved = splice(from, nil, to, nil, count, UInt32(SPLICE_F_MOVE | SPLICE_F_NONBLOCK))
      if moved >= 0 || errno != EINTR { return moved }
    }
  }

  private func updateInterest() {
    do {
      try watch(\.forward, interest(reads: forward, writes: backward))
      try watch(\.backward, interest(reads: backward, writes: forward))
    } catch {
      close(byReset: true)
    }
  }

  private func watch(
    _ direction: ReferenceWritableKeyPath<SplicedPair, Direction>, _ interest: EventLoop.Interest
  ) throws(SystemError) {
    let source = self[keyPath: direction].source
    guard self[keyPath: direction].isParked else { return try loop.modify(source, interest) }
    if self[keyPath: direction].blockedBy == .destination { return }
    self[keyPath: direction].isParked = false
    try loop.register(source, interest) { [self] in step($0, direction) }
  }

  private func interest(reads: Direction, writes: Direction) -> EventLoop.Interest {
    var interest: EventLoop.Interest = []
    if !reads.sourceEnded, reads.blockedBy == .source { interest.insert(.read) }
    if !writes.endPassed, writes.blockedBy == .destination { interest.insert(.write) }
    return interest
  }

  func closeNow() { close(byReset: true) }

  private func close(byReset: Bool) {
    guard !isClosed else { return }
    isClosed = true
    idle?.cancel()
    for direction in [forward, backward] {
      loop.unregister(direction.source)
      if byReset { TCPSocket.abort(direction.source) } else { _ = Glibc.close(direction.source) }
      _ = Glibc.close(direction.pipeRead)
      _ = Glibc.close(direction.pipeWrite)
    }
    onEnd(forward.moved, backward.moved)
  }
}
