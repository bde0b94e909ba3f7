// One thread that waits for everything: descriptors (epoll), timers, signals, children, other threads.
//
// A process makes one loop, registers what it has, and calls `run`. Every handler runs on the thread that runs the
// loop, one after the other, so the state that handlers share needs no lock; that is why the class is not Sendable.
// A handler may register, modify, unregister or close any descriptor, its own too: every registration has a
// generation, and an event of an older generation, still waiting in the batch that epoll returned, is dropped.
//
// Order within one step: descriptors, then due timers, then the work that was deferred before this step's end.
// Deliberately absent: edge triggering (level-triggered handlers may read a bounded amount and leave the rest), thread
// pools, priorities.
import CLinux
import Glibc

public final class EventLoop {
  /// What a descriptor is watched for. Errors and hang-ups are always reported.
  public struct Interest: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let read = Interest(rawValue: 1)
    public static let write = Interest(rawValue: 4)
    /// EPOLLPRI: out-of-band conditions, e.g. a changed /proc/self/mountinfo.
    public static let priority = Interest(rawValue: 2)
  }

  /// What happened to a descriptor (epoll_ctl(2) names).
  public struct Readiness: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let readable = Readiness(rawValue: 1)
    public static let priority = Readiness(rawValue: 2)
    public static let writable = Readiness(rawValue: 4)
    public static let error = Readiness(rawValue: 8)
    public static let hangup = Readiness(rawValue: 16)
  }

  public typealias Handler = (Readiness) -> Void

  private struct Slot {
    var generation: UInt32 = 0
    var interest: Interest = []
    var handler: Handler?
  }

  private let epoll: FileDescriptor
  private var slots: [Slot] = []  // by descriptor number
  private var events: [epoll_event]
  private var deferred: [() -> Void] = []
  private var stopping = false
  var timers = TimerHeap()

  /// CLOCK_MONOTONIC in nanoseconds when this step's events were collected.
  public private(set) var now: UInt64 = EventLoop.clock()

  /// Bytes that handlers of this loop may use while they run, never across two events: 64 KiB.
  public let scratch: UnsafeMutableRawBufferPointer

  public init() throws(SystemError) {
    epoll = FileDescriptor(owning: try systemCall("epoll_create1") { epoll_create1(Int32(EPOLL_CLOEXEC)) })
    events = Array(repeating: epoll_event(), count: 256)
    scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 16)
  }

  deinit { scratch.deallocate() }

  /// CLOCK_MONOTONIC in nanoseconds, now.
  public static func clock() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}

// MARK: - Descriptors

extension EventLoop {
  /// Watches a descriptor. One that was closed without `unregister` and whose number came back is replaced.
  public func register(
    _ descriptor: Int32, _ interest: Interest, _ handler: @escaping Handler
  ) throws(SystemError) {
    let index = Int(descriptor)
    guard index >= 0 else { throw SystemError("epoll_ctl", EBADF) }
    if index >= slots.count {
      slots.append(contentsOf: repeatElement(Slot(), count: index + 1 - slots.count))
    }
    let generation = slots[index].generation &+ 1
    var event = Self.event(descriptor, interest, generation)
    do throws(SystemError) {
      try systemCall("epoll_ctl") { epoll_ctl(epoll.rawValue, EPOLL_CTL_ADD, descriptor, &event) }
    } catch  where error.code == EEXIST {
      try systemCall("epoll_ctl") { epoll_ctl(epoll.rawValue, EPOLL_CTL_MOD, descriptor, &event) }
    }
    slots[index] = Slot(generation: generation, interest: interest, handler: handler)
  }

  /// Changes what a registered descriptor is watched for; the same interest again costs nothing.
  public func modify(_ descriptor: Int32, _ interest: Interest) throws(SystemError) {
    let index = Int(descriptor)
    guard slots.indices.contains(index), slots[index].handler != nil else { throw SystemError("epoll_ctl", ENOENT) }
    if slots[index].interest == interest { return }
    var event = Self.event(descriptor, interest, slots[index].generation)
    try systemCall("epoll_ctl") { epoll_ctl(epoll.rawValue, EPOLL_CTL_MOD, descriptor, &event) }
    slots[index].interest = interest
  }

  /// Does not watch a descriptor for a while: a listening socket whose connections cannot be taken (no descriptors left,
  /// accept(2): EMFILE, ENFILE) stays readable, and would keep the loop spinning. Then it is watched for reading again,
  /// unless it has been unregistered.
  public func rest(_ descriptor: Int32, nanoseconds: UInt64 = 1_000_000_000) {
    let index = Int(descriptor)
    guard slots.indices.contains(index), slots[index].handler != nil else { return }
    let generation = slots[index].generation
    try? modify(descriptor, [])
    after(nanoseconds) { [weak self] in
      guard let self, slots[index].generation == generation else { return }
      try? modify(descriptor, .read)
    }
  }

  /// Stops watching; nothing when it was not watched. Call it before closing the descriptor.
  public func unregister(_ descriptor: Int32) {
    let index = Int(descriptor)
    guard slots.indices.contains(index), slots[index].handler != nil else { return }
    slots[index].handler = nil
    slots[index].interest = []
    slots[index].generation &+= 1
    var unused = epoll_event()
    _ = epoll_ctl(epoll.rawValue, EPOLL_CTL_DEL, descriptor, &unused)  // EBADF, ENOENT: closed before, gone anyway
  }

  private static func event(_ descriptor: Int32, _ interest: Interest, _ generation: UInt32) -> epoll_event {
    var event = epoll_event()
    event.events = interest.rawValue
    event.data.u64 = UInt64(generation) << 32 | UInt64(UInt32(bitPattern: descriptor))
    return event
  }

  private func dispatch(_ event: epoll_event) {
    let index = Int(event.data.u64 & 0xFFFF_FFFF)
    let generation = UInt32(event.data.u64 >> 32)
    guard index < slots.count, slots[index].generation == generation, let handler = slots[index].handler else { return }
    handler(Readiness(rawValue: event.events & 0x1F))
  }
}

// MARK: - Running

extension EventLoop {
  /// Runs the closure before the loop waits again, after the events and timers of this step.
  public func enqueue(_ work: @escaping () -> Void) { deferred.append(work) }

  /// Handles events until `stop`.
  public func run() throws(SystemError) {
    stopping = false
    while !stopping { try step() }
  }

  /// Ends `run` after the present step.
  public func stop() { stopping = true }

  /// Waits for at most `timeout` nanoseconds (nil: for ever) and handles what there is.
  /// - Returns: whether anything was handled.
  @discardableResult
  public func step(timeout: UInt64? = nil) throws(SystemError) -> Bool {
    let count = try wait(timeout)
    now = Self.clock()
    for index in 0..<count { dispatch(events[index]) }
    let fired = fireTimers(dueAt: now)
    let work = deferred
    deferred.removeAll(keepingCapacity: true)
    for item in work { item() }
    if count == events.count, count < 8192 { events.append(contentsOf: repeatElement(epoll_event(), count: count)) }
    return count > 0 || fired || !work.isEmpty
  }

  private func wait(_ timeout: UInt64?) throws(SystemError) -> Int {
    var limit = timeout
    if !deferred.isEmpty {
      limit = 0
    } else if let next = timers.earliest {
      let time = Self.clock()
      let delay = next > time ? next - time : 0
      limit = min(limit ?? delay, delay)
    }
    let result: Int32
    if let limit {
      var time = timespec(tv_sec: Int(limit / 1_000_000_000), tv_nsec: Int(limit % 1_000_000_000))
      result = epoll_pwait2(epoll.rawValue, &events, Int32(events.count), &time, nil)
    } else {
      result = epoll_pwait2(epoll.rawValue, &events, Int32(events.count), nil, nil)
    }
    if result >= 0 { return Int(result) }
    let error = SystemError.last("epoll_pwait2")
    if error.code == EINTR { return 0 }
    throw error
  }
}
