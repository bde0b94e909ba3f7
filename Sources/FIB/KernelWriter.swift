// Carries rounds to the kernel, in order.
//
// The kernel does the work of a route inside sendmsg: half a million take more than a second, during which decisions
// must go on. So a large round, or a fast run of small ones, goes to a thread that starts then and ends when it has
// had nothing to do for a while; a few routes, as in a small lab, are written at once by the caller, without a thread.
//
//   FIB (loop thread) ── submit(round) ──► queue ──► thread ── sendmsg ──► kernel
//         ▲                                            │
//         └── collect() ◄── results ◄── eventfd ◄──────┘
//
// One socket serves both ways. It is subscribed to nothing, so no event can fill its buffer.

internal import CLinux
import Glibc
internal import Netlink

final class KernelWriter: @unchecked Sendable {  // proof: fields of the one who writes change hands by `threadRuns`
  // `socket` and `compatMode` belong to whoever writes: the thread while `threadRuns`, which changes under the lock,
  // otherwise the loop thread. `credit` belongs to the loop thread.
  private struct State: Sendable {
    var queue: [Round] = []
    var results: [RoundResult] = []
    /// Rounds queued or being written by the thread.
    var unfinished = 0
    /// Requests of those.
    var backlog = 0
    var threadRuns = false
  }

  private let socket: NetlinkSocket
  private let namespace: Namespace?
  private let routeProtocol: RouteProtocol
  private let state = Lock(State())
  /// Wakes the thread.
  private let work: Int32
  /// Readable when results wait.
  let done: Int32
  private var compatMode = true
  /// Requests the loop thread may still write itself before the load counts as bulk; refilled with time.
  private var credit = KernelWriter.burst
  private var creditAt: UInt64 = 0

  /// Requests written without a thread in one burst, and regained in 100 ms.
  private static let burst = 1024
  /// Milliseconds without work after which the thread ends.
  private static let patience: Int32 = 500

  init(namespace: Namespace?, protocol: RouteProtocol) throws(KernelError) {
    let pieceLimit = 256 << 10
    if let namespace {
      socket = try NetlinkSocket(in: namespace, receiveBuffer: 4 << 20, pieceLimit: pieceLimit)
    } else {
      socket = try NetlinkSocket(receiveBuffer: 4 << 20, pieceLimit: pieceLimit)
    }
    self.namespace = namespace
    routeProtocol = `protocol`
    work = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
    done = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
    guard work >= 0, done >= 0 else {
      let error = KernelError(call: "eventfd")
      if work >= 0 { close(work) }
      throw error
    }
  }

  deinit {
    close(work)
    close(done)
  }

  var portID: UInt32 { socket.portID }
  var isIdle: Bool { state.withLock { $0.unfinished == 0 && $0.results.isEmpty } }
  /// Requests that wait.
  var backlog: Int { state.withLock { $0.backlog } }

  /// Writes the round at once or hands it to the thread. nil: the result comes by `collect`.
  func submit(_ round: Round) -> RoundResult? {
    let mustQueue = state.withLock { $0.unfinished > 0 || $0.threadRuns }
    if !mustQueue, takeCredit(round.count), !round.movesManyRoutes { return write(round) }
    let start = state.withLock { state in
      state.queue.append(round)
      state.unfinished += 1
      state.backlog += round.count
      defer { state.threadRuns = true }
      return !state.threadRuns
    }
    signal(work)
    if start && !startThread() { drain() }
    return nil
  }

  /// The results of rounds that the thread has finished, in order.
  func collect() -> [RoundResult] {
    var count: UInt64 = 0
    _ = read(done, &count, 8)
    return state.withLock { state in
      defer { state.results = [] }
      return state.results
    }
  }

  private func takeCredit(_ requests: Int) -> Bool {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    let now = UInt64(time.tv_sec) * 1000 + UInt64(time.tv_nsec) / 1_000_000
    credit = min(Self.burst, credit + Int(clamping: (now &- creditAt)) * Self.burst / 100)
    creditAt = now
    guard requests <= credit else { return false }
    credit -= requests
    return true
  }

  // MARK: The thread

  private func startThread() -> Bool {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, 512 << 10)
    var thread = pthread_t()
    let context = Unmanaged.passRetained(self)
    let failure = pthread_create(
      &thread, &attributes,
      { context in
        guard let context else { return nil }
        Unmanaged<KernelWriter>.fromOpaque(context).takeRetainedValue().runThread()
        return nil
      }, context.toOpaque())
    if failure != 0 { context.release() }
    return failure == 0
  }

  private func runThread() {
    var signals = sigset_t()
    sigfillset(&signals)
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    while true {
      drain()
      var poll = pollfd(fd: work, events: Int16(POLLIN), revents: 0)
      let woken = CLinux.poll(&poll, 1, Self.patience) > 0
      var count: UInt64 = 0
      _ = read(work, &count, 8)
      let ends = state.withLock { state in
        guard !woken, state.queue.isEmpty else { return false }
        state.threadRuns = false
        return true
      }
      if ends { return }
    }
  }

  /// Writes what is queued. The loop thread does it itself when no thread could be started.
  private func drain() {
    while let round = state.withLock({ $0.queue.isEmpty ? nil : $0.queue.removeFirst() }) {
      let result = write(round)
      state.withLock { state in
        state.results.append(result)
        state.unfinished -= 1
        state.backlog -= round.count
      }
      signal(done)
    }
    setCompatMode(true)
  }

  private func write(_ round: Round) -> RoundResult {
    if round.movesManyRoutes { setCompatMode(false) }
    let result = round.write(to: socket, as: routeProtocol)
    return result
  }

  /// With 1 (the kernel's default) `ip route` shows the hops of a nexthop object, and replacing one announces each
  /// route that names it: 340 ms for half a million, against 4 ms.
  private func setCompatMode(_ on: Bool) {
    guard on != compatMode else { return }
    compatMode = on
    let setting = Sysctl.Setting("net.ipv4.nexthop_compat_mode", on ? "1" : "0")
    // Refused (no such parameter, a read-only /proc/sys): slower, nothing else.
    if let namespace {
      try? Sysctl.write([setting], in: namespace)
    } else {
      try? Sysctl.write(setting)
    }
  }

  private func signal(_ descriptor: Int32) {
    var one: UInt64 = 1
    _ = CLinux.write(descriptor, &one, 8)
  }
}
