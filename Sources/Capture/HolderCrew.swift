import CLinux
import CPcap
import Glibc
import NetTypes

/// The holder threads of a FlowCapture and what they share with its caller.
final class HolderCrew: @unchecked Sendable {  // proof: `state` under `lock`, the rest is the caller's alone
  struct Plan: Sendable {
    var targets: [CaptureTarget]
    var filter: [FilterInstruction]
    var snapLength: Int
    var receiveBuffer: Int
    var prepare: @Sendable (CaptureTarget) -> Void
  }

  struct Frame: Sendable {
    var target: Int
    var time: UInt64
    var wireLength: Int
    var bytes: [UInt8]
  }

  struct State: Sendable {
    var inbox: [Frame] = []
    var outcomes: [CaptureState]
    var statistics: [CaptureStatistics?]
    /// The next target to be opened.
    var next = 0
    /// Holders that have read theirs in this round; the first begins when they are open.
    var reported = 0
    var round = 0
    var stopping = false
  }

  let plan: Plan
  private let lock: UnsafeMutablePointer<pthread_mutex_t>
  /// To holders: a new round, or the end. To the caller: a report.
  private let command: UnsafeMutablePointer<pthread_cond_t>
  private let report: UnsafeMutablePointer<pthread_cond_t>
  private var state: State
  private var threads: [pthread_t] = []

  /// More than processors: they wait, for the kernel.
  private static let mostThreads = 128

  init(_ plan: Plan) {
    self.plan = plan
    let count = plan.targets.count
    state = State(outcomes: Array(repeating: .absent, count: count), statistics: Array(repeating: nil, count: count))
    lock = .allocate(capacity: 1)
    command = .allocate(capacity: 1)
    report = .allocate(capacity: 1)
    pthread_mutex_init(lock, nil)
    pthread_cond_init(command, nil)
    pthread_cond_init(report, nil)
  }

  deinit {
    pthread_cond_destroy(report)
    pthread_cond_destroy(command)
    pthread_mutex_destroy(lock)
    report.deallocate()
    command.deallocate()
    lock.deallocate()
  }

  private func locked<Result>(_ body: () -> Result) -> Result {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    return body()
  }

  // MARK: Of the caller

  /// - Returns: what became of each target, when all are open.
  func start() -> [CaptureState] {
    for _ in 0..<min(plan.targets.count, Self.mostThreads) {
      guard let thread = startThread({ [self] in CaptureHolder(self).run() }) else { break }
      threads.append(thread)
    }
    return locked {
      waitForReports()
      if threads.isEmpty { for index in state.outcomes.indices { state.outcomes[index] = .failed("no thread for it") } }
      return state.outcomes
    }
  }

  /// Ends the holders, and their sockets with them.
  func stop() {
    locked { state.stopping = true }
    pthread_cond_broadcast(command)
    for thread in threads { pthread_join(thread, nil) }
    threads = []
  }

  /// What every socket held by now.
  func readAll() -> [Frame] {
    locked {
      state.round += 1
      state.reported = 0
      pthread_cond_broadcast(command)
      waitForReports()
      defer { state.inbox = [] }
      return state.inbox
    }
  }

  var statistics: [CaptureStatistics?] { locked { state.statistics } }

  private func waitForReports() {
    while state.reported < threads.count { pthread_cond_wait(report, lock) }
  }

  // MARK: Of holders

  /// The next target that nobody has opened.
  func nextTarget() -> Int? {
    locked {
      guard state.next < plan.targets.count else { return nil }
      state.next += 1
      return state.next - 1
    }
  }

  func opened(_ target: Int, _ outcome: CaptureState) { locked { state.outcomes[target] = outcome } }

  func hand(over frames: [Frame], _ counters: [(target: Int, statistics: CaptureStatistics)]) {
    locked {
      state.inbox += frames
      for (target, statistics) in counters { state.statistics[target] = statistics }
      state.reported += 1
    }
    pthread_cond_signal(report)
  }

  /// The round after this one, when it comes; nil at the end.
  func round(after known: Int) -> Int? {
    locked {
      while state.round == known, !state.stopping { pthread_cond_wait(command, lock) }
      return state.stopping ? nil : state.round
    }
  }
}

/// One holder: opens targets as long as there are any, then reads them when it is told to, until the end.
///
/// It is not woken by packets: a wake-up for each would slow them down on their way, and the times with them.
private struct CaptureHolder: ~Copyable {
  private let crew: HolderCrew
  private var places: [Int] = []
  private let sockets: UnsafeMutablePointer<PacketSocket?>
  private let buffer: UnsafeMutableRawBufferPointer

  init(_ crew: HolderCrew) {
    self.crew = crew
    // From here on this thread's descriptors are its own: stdio, and what it opens. Where that is refused it shares all
    // of them as before, and only the end is slower.
    _ = close_range(3, UInt32.max, Self.unshareTable)
    sockets = .allocate(capacity: max(1, crew.plan.targets.count))
    buffer = .allocate(byteCount: crew.plan.snapLength, alignment: 8)
  }

  /// CLOSE_RANGE_UNSHARE (linux/close_range.h): copies no descriptor of the range, so nothing of others is kept alive.
  private static let unshareTable: Int32 = 2

  deinit {
    sockets.deinitialize(count: places.count)
    sockets.deallocate()
    buffer.deallocate()
  }

  consuming func run() {
    while let target = crew.nextTarget() { crew.opened(target, open(target)) }
    var round = 0
    repeat { read() } while advance(&round)
  }

  private borrowing func advance(_ round: inout Int) -> Bool {
    guard let next = crew.round(after: round) else { return false }
    round = next
    return true
  }

  private mutating func open(_ index: Int) -> CaptureState {
    let target = crew.plan.targets[index]
    let code = netloom_enter_network_namespace(target.namespace)
    guard code == 0 else {
      return code == ENOENT ? .absent : .failed("\(target.namespace): \(String(cString: strerror(code)))")
    }
    crew.plan.prepare(target)
    do throws(CaptureHandle.OpenFailure) {
      let socket = try PacketSocket(
        interface: target.interface, crew.plan.filter, receiveBuffer: crew.plan.receiveBuffer)
      let mac = socket.mac
      (sockets + places.count).initialize(to: socket)
      places.append(index)
      return .open(mac: mac)
    } catch {
      switch error {
      case .down: return .down
      case .failed(let reason): return .failed(reason)
      }
    }
  }

  /// Everything that the sockets hold now, and their counters; a busy one is not read for ever.
  private mutating func read() {
    var frames: [HolderCrew.Frame] = []
    var counters: [(target: Int, statistics: CaptureStatistics)] = []
    for slot in places.indices {
      let target = places[slot]
      sockets[slot]?.read(into: buffer, limit: 65536) { time, length, bytes in
        frames.append(HolderCrew.Frame(target: target, time: time, wireLength: length, bytes: Array(bytes)))
      }
      if let statistics = sockets[slot]?.statistics() { counters.append((target, statistics)) }
    }
    crew.hand(over: frames, counters)
  }
}
