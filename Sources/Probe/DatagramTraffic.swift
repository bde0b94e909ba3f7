import CLinux
import EventLoop
import Glibc
import NetTypes
import PathProof
import Synchronization

/// Takes the datagrams of one run.
final class DatagramReceiver: RateEnd {
  private let key: ArraySlice<UInt8>
  private let sample: RateSample
  private let socket: Int32
  private let state = Mutex(ReceiverAccount())

  init(_ plan: RatePlan, _ sample: RateSample) throws(SystemError) {
    self.sample = sample
    key = plan.flow.key[0..<RateDatagram.keyLength]
    let file = try ProbeSocket.inside(plan.toNamespace) { () throws(SystemError) -> FileDescriptor in
      try Self.open(plan.receiver.address, plan.receiver.port ?? plan.flow.port)
    }
    socket = file.release()
  }

  deinit { _ = close(socket) }

  /// A socket for a great many datagrams, in the calling thread's namespace.
  static func open(_ address: IPAddress, _ port: UInt16) throws(SystemError) -> FileDescriptor {
    let file = try ProbeSocket.make(address.family, SOCK_DGRAM)
    try widen(file.rawValue)
    try ProbeSocket.bind(file.rawValue, address, port)
    return file
  }

  /// What waits until this thread has its turn is no loss of the way. Beyond the machine's limit only as root.
  static func widen(_ socket: Int32) throws(SystemError) {
    do {
      try ProbeSocket.set(socket, SOL_SOCKET, receiveBufferForce, buffer)
    } catch {
      try ProbeSocket.set(socket, SOL_SOCKET, SO_RCVBUF, buffer)
    }
  }

  private static let buffer: Int32 = 8 << 20
  /// SO_RCVBUFFORCE (asm-generic/socket.h).
  private static let receiveBufferForce: Int32 = 33

  var account: ReceiverAccount { state.withLock { $0 } }

  /// Datagrams so far.
  var progress: UInt64 { state.withLock { $0.packets } }

  func run(_ stop: StopFlag) {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while !stop.isRaised {
      guard isReady(socket, POLLIN) else { continue }
      while case let count = recv(socket, &buffer, buffer.count, 0), count >= 0 { take(buffer, count) }
    }
  }

  private func take(_ buffer: [UInt8], _ count: Int) {
    guard count >= RateDatagram.headerLength, buffer[0..<RateDatagram.keyLength].elementsEqual(key) else { return }
    let (number, die) = buffer.withUnsafeBytes { bytes in
      let word = { UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: $0, as: UInt32.self)) }
      return (word(RateDatagram.numberOffset), word(RateDatagram.dieOffset))
    }
    let now = Tracer.realtime()
    state.withLock {
      $0.take(count, now)
      $0.packets += 1
      if sample.follows(die), $0.received.count < RateLimits.records {
        $0.received.append(PassedUnits(time: now, first: number))
      }
    }
  }
}

/// Sends numbered datagrams at the offered rate. A full queue of the sending node makes it wait, as it would any program;
/// what it could not send meanwhile it does not send later.
final class DatagramSender: RateEnd {
  private let plan: RatePlan
  private let rate: UInt64
  private let sample: RateSample
  private let socket: Int32
  private let state: Mutex<SenderAccount>

  /// - Throws: also where the kernel knows no way.
  init(_ plan: RatePlan, rate: UInt64, _ sample: RateSample) throws(SystemError) {
    self.plan = plan
    self.rate = rate
    self.sample = sample
    let family = plan.flow.destination.family
    let file = try ProbeSocket.inside(plan.flow.fromNamespace) { () throws(SystemError) -> FileDescriptor in
      let file = try ProbeSocket.make(family, SOCK_DGRAM)
      try ProbeSocket.setTrafficClass(file.rawValue, family, plan.trafficClass)
      if let source = plan.flow.source { try ProbeSocket.bind(file.rawValue, source, 0) }
      try ProbeSocket.connect(file.rawValue, plan.flow.destination, plan.flow.port)
      return file
    }
    var account = SenderAccount()
    account.payload = plan.payload ?? Self.fitting(file.rawValue, family)
    state = Mutex(account)
    socket = file.release()
  }

  deinit { _ = close(socket) }

  var account: SenderAccount { state.withLock { $0 } }

  var isFinished: Bool { state.withLock { $0.finished } }

  /// As much as the way's MTU, as far as it is known, takes in one piece.
  static func fitting(_ socket: Int32, _ family: AddressFamily) -> Int {
    var mtu: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    let isIPv4 = family == .ipv4
    let known =
      getsockopt(
        socket, isIPv4 ? Int32(IPPROTO_IP) : Int32(IPPROTO_IPV6), isIPv4 ? IP_MTU : IPV6_MTU, &mtu, &length) == 0
    let headers = (isIPv4 ? 20 : 40) + 8
    return known ? max(RatePlan.smallestPayload, min(RatePlan.usualPayload, Int(mtu) - headers)) : RatePlan.usualPayload
  }

  // MARK: Sending

  /// Of what is late, ns: more than a moment of the processor's is not made up for.
  private static let patience: UInt64 = 20_000_000

  func run(_ stop: StopFlag) {
    var size = account.payload
    var datagram = [UInt8](repeating: 0, count: max(size, RateDatagram.headerLength))
    datagram.replaceSubrange(0..<RateDatagram.keyLength, with: plan.flow.key[0..<RateDatagram.keyLength])
    let start = EventLoop.clock()
    let end = start + plan.duration
    var due = start
    var number: UInt32 = 0
    while !stop.isRaised, case let now = EventLoop.clock(), now < end {
      guard now >= due else {
        pause(min(due - now, 10_000_000))
        continue
      }
      switch attempt(&datagram, number, size) {
      case .sent:
        number += 1
        due = max(due + Self.interval(size, rate), now > Self.patience ? now - Self.patience : 0)
      case .later: _ = isReady(socket, POLLOUT)
      case .tooLong(let fits):
        guard plan.payload == nil, fits < size else {
          return finish("\(plan.flow.from): a datagram is too long for the way")
        }
        size = fits
        datagram.removeLast(datagram.count - size)
        state.withLock { $0.payload = size }
      case .refused(let reason): return finish(reason)
      }
    }
    finish(nil)
  }

  private static func interval(_ size: Int, _ rate: UInt64) -> UInt64 {
    UInt64(Double(size) * 8e9 / Double(rate))
  }

  private func pause(_ nanoseconds: UInt64) {
    var time = timespec(tv_sec: 0, tv_nsec: Int(nanoseconds))
    ppoll(nil, 0, &time, nil)
  }

  private enum Outcome {
    case sent
    case later
    case tooLong(fits: Int)
    case refused(String)
  }

  private func attempt(_ datagram: inout [UInt8], _ number: UInt32, _ size: Int) -> Outcome {
    let now = Tracer.realtime()
    let die = UInt32.random(in: 0...UInt32.max)
    RateDatagram.write(number, die, now, to: &datagram)
    if Glibc.send(socket, datagram, size, Int32(MSG_NOSIGNAL)) < 0 {
      switch errno {
      case EAGAIN, EINTR: return .later
      case EMSGSIZE: return .tooLong(fits: Self.fitting(socket, plan.flow.destination.family))
      // Dropped by a filter or a full queue of this node: sent, and lost. An ICMP error: told at the next datagram.
      case EPERM, ENOBUFS, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EACCES: break
      default: return .refused("\(plan.flow.from): \(String(cString: strerror(errno)))")
      }
    }
    state.withLock {
      $0.started = true
      $0.packets += 1
      if sample.follows(die), $0.sent.count < RateLimits.records {
        $0.sent.append(PassedUnits(time: now, first: number))
      }
    }
    return .sent
  }

  private func finish(_ refusal: String?) {
    state.withLock {
      $0.refusal = refusal
      $0.finished = true
    }
  }
}
