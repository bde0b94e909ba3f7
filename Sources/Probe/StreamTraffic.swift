import CLinux
import EventLoop
import Glibc
import NetTypes
import PathProof
import Synchronization

/// Listens in the receiving node, takes one connection that begins with the run's key and reads it for the run's time.
final class StreamReceiver: RateEnd {
  private let key: [UInt8]
  private let duration: UInt64
  private let listener: Int32
  private let state = Mutex(ReceiverAccount())

  init(_ plan: RatePlan) throws(SystemError) {
    key = plan.flow.key
    duration = plan.duration
    let file = try ProbeSocket.inside(plan.toNamespace) { () throws(SystemError) -> FileDescriptor in
      let file = try ProbeSocket.make(plan.receiver.address.family, SOCK_STREAM)
      try ProbeSocket.set(file.rawValue, SOL_SOCKET, SO_REUSEADDR, 1)
      try ProbeSocket.bind(file.rawValue, plan.receiver.address, plan.receiver.port ?? plan.flow.port)
      let raw = file.rawValue
      try systemCall("listen") { listen(raw, 16) }
      return file
    }
    listener = file.release()
  }

  deinit { _ = close(listener) }

  var account: ReceiverAccount { state.withLock { $0 } }

  var isFinished: Bool { state.withLock { $0.finished } }

  func run(_ stop: StopFlag) {
    while !stop.isRaised {
      guard isReady(listener, POLLIN), let file = try? UnixSocket.accept(listener) else { continue }
      guard isOurs(file.rawValue, stop) else { continue }
      read(file.rawValue, stop)
      let counters = StreamCounters(file.rawValue)
      state.withLock {
        $0.packets = counters?.segmentsIn ?? 0
        $0.finished = true
      }
      return
    }
  }

  /// Reads the key; whoever else came here by chance is left.
  private func isOurs(_ file: Int32, _ stop: StopFlag) -> Bool {
    var start: [UInt8] = []
    while start.count < key.count, !stop.isRaised {
      guard isReady(file, POLLIN) else { continue }
      do {
        guard let bytes = try ProbeSocket.receive(file, limit: key.count - start.count) else { continue }
        if bytes.isEmpty { return false }
        start += bytes
      } catch {
        return false
      }
    }
    guard start == key else { return false }
    let now = Tracer.realtime()
    state.withLock { $0.take(start.count, now) }
    return true
  }

  private static let most = 1 << 20

  private func read(_ file: Int32, _ stop: StopFlag) {
    let end = account.first + duration
    while !stop.isRaised, Tracer.realtime() < end {
      guard isReady(file, POLLIN) else { continue }
      // The bytes mean nothing: with MSG_TRUNC the kernel drops them uncopied (tcp(7)).
      let count = recv(file, nil, Self.most, Int32(MSG_TRUNC))
      if count == 0 || count < 0 && errno != EAGAIN && errno != EINTR { return }
      guard count > 0 else { continue }
      let now = Tracer.realtime()
      state.withLock { $0.take(count, now) }
    }
  }
}

/// Connects from the sending node and writes as fast as the connection takes it. Its end is a reset: what waits in queues
/// of seconds is nobody's any more.
final class StreamSender: RateEnd {
  private let plan: RatePlan
  private let socket: Int32
  private let state = Mutex(SenderAccount())

  init(_ plan: RatePlan) throws(SystemError) {
    self.plan = plan
    let file = try ProbeSocket.inside(plan.flow.fromNamespace) { () throws(SystemError) -> FileDescriptor in
      let file = try ConnectionExchange.open(plan.flow, 0)
      try ProbeSocket.setTrafficClass(file.rawValue, plan.flow.destination.family, plan.trafficClass)
      // Enough to be sent at once; more would only wait here.
      try ProbeSocket.set(file.rawValue, Int32(IPPROTO_TCP), TCP_NOTSENT_LOWAT, 1 << 18)
      // An offered rate is the program's limit: the stack spaces the segments (socket(7) knows no word of it; bytes/s).
      if let rate = plan.rate {
        try ProbeSocket.set(
          file.rawValue, SOL_SOCKET, Self.maximumPacingRate, Int32(clamping: max(1, rate / 8)))
      }
      return file
    }
    socket = file.release()
  }

  /// SO_MAX_PACING_RATE (asm-generic/socket.h).
  static let maximumPacingRate: Int32 = 47

  /// `run` closes it, where there was one.
  deinit { if !isFinished { _ = close(socket) } }

  var account: SenderAccount { state.withLock { $0 } }

  var isFinished: Bool { state.withLock { $0.finished } }

  func run(_ stop: StopFlag) {
    if connect(stop) {
      state.withLock { $0.started = true }
      write(stop)
      let counters = StreamCounters(socket)
      state.withLock {
        $0.counters = counters
        $0.packets = counters?.segmentsOut ?? 0
      }
    }
    nl_tcp_abort(socket)
    state.withLock { $0.finished = true }
  }

  private func connect(_ stop: StopFlag) -> Bool {
    do {
      try ProbeSocket.connect(socket, plan.flow.destination, plan.flow.port)
      return true
    } catch  where error.code == EINPROGRESS {
      return awaitHandshake(stop)
    } catch {
      refuse("\(plan.flow.from): \(error.text)")
      return false
    }
  }

  private func awaitHandshake(_ stop: StopFlag) -> Bool {
    let limit = EventLoop.clock() + plan.flow.timeoutMilliseconds * 1_000_000
    while !stop.isRaised, EventLoop.clock() < limit {
      guard isReady(socket, POLLOUT) else { continue }
      let failure = nl_tcp_error(socket)
      if failure == 0 { return true }
      refuse(
        failure == ECONNREFUSED ? "\(plan.to): connection refused" : "\(plan.to): \(String(cString: strerror(failure)))"
      )
      return false
    }
    refuse("\(plan.to): no answer")
    return false
  }

  private func refuse(_ reason: String) { state.withLock { $0.refusal = reason } }

  private func write(_ stop: StopFlag) {
    var rest = plan.flow.key
    let zeros = [UInt8](repeating: 0, count: 1 << 17)
    while !stop.isRaised {
      let count = rest.isEmpty ? send(zeros) : send(rest)
      if count < 0, errno == EAGAIN || errno == EINTR {
        _ = isReady(socket, POLLOUT)
      } else if count < 0 {
        return  // the receiver has had enough, or an error of the way, which the captures show
      } else {
        rest.removeFirst(min(rest.count, count))
      }
    }
  }

  private func send(_ bytes: [UInt8]) -> Int { Glibc.send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }
}
