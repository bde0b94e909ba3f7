/// A timer of one loop: made once, armed, re-armed and cancelled as often as wanted, on the loop's thread only.
///
/// Arming it later than it was (a hold timer at each KEEPALIVE) is one store: its place in the heap is corrected when
/// the old deadline passes. An armed timer is kept alive by its loop.
public final class LoopTimer {
  private unowned let loop: EventLoop
  fileprivate let handler: () -> Void
  fileprivate var index = -1  // in the heap; -1: not armed
  /// CLOCK_MONOTONIC nanoseconds at which it fires; meaningful while armed.
  public fileprivate(set) var deadline: UInt64 = 0

  public init(_ loop: EventLoop, _ handler: @escaping () -> Void) {
    self.loop = loop
    self.handler = handler
  }

  public var isArmed: Bool { index >= 0 }

  /// Fires once at this CLOCK_MONOTONIC time, in place of any earlier setting.
  public func arm(at deadline: UInt64) { loop.timers.arm(self, deadline) }

  /// Fires once after this many nanoseconds.
  public func arm(after nanoseconds: UInt64) {
    let (sum, overflow) = EventLoop.clock().addingReportingOverflow(nanoseconds)
    arm(at: overflow ? .max : sum)
  }

  public func cancel() { loop.timers.cancel(self) }
}

extension EventLoop {
  /// A new timer that runs the closure once after this many nanoseconds.
  @discardableResult
  public func after(_ nanoseconds: UInt64, _ handler: @escaping () -> Void) -> LoopTimer {
    let timer = LoopTimer(self, handler)
    timer.arm(after: nanoseconds)
    return timer
  }

  /// Nanoseconds of so many milliseconds.
  public static func milliseconds(_ count: UInt64) -> UInt64 { count * 1_000_000 }
}

/// A binary heap of armed timers; each knows its place, so cancelling and re-arming are logarithmic.
struct TimerHeap {
  private struct Entry {
    var key: UInt64  // never later than the timer's deadline
    let timer: LoopTimer
  }

  private var heap: [Entry] = []

  /// A time not later than the next deadline; nil when nothing is armed.
  var earliest: UInt64? { heap.first?.key }

  mutating func arm(_ timer: LoopTimer, _ deadline: UInt64) {
    timer.deadline = deadline
    if timer.index < 0 {
      timer.index = heap.count
      heap.append(Entry(key: deadline, timer: timer))
      rise(timer.index)
    } else if deadline < heap[timer.index].key {
      heap[timer.index].key = deadline
      rise(timer.index)
    }
  }

  mutating func cancel(_ timer: LoopTimer) {
    guard timer.index >= 0 else { return }
    remove(at: timer.index)
  }

  var count: Int { heap.count }

  /// Takes out the earliest timer that is due at `time`.
  mutating func popFirst(dueAt time: UInt64) -> LoopTimer? {
    while let first = heap.first, first.key <= time {
      if first.timer.deadline > time {
        heap[0].key = first.timer.deadline
        sink(0)
      } else {
        remove(at: 0)
        return first.timer
      }
    }
    return nil
  }

  private mutating func remove(at index: Int) {
    heap[index].timer.index = -1
    let last = heap.removeLast()
    guard index < heap.count else { return }
    heap[index] = last
    last.timer.index = index
    rise(index)
    sink(last.timer.index)
  }

  private mutating func rise(_ start: Int) {
    var index = start
    while index > 0 {
      let parent = (index - 1) / 2
      guard heap[index].key < heap[parent].key else { return }
      exchange(index, parent)
      index = parent
    }
  }

  private mutating func sink(_ start: Int) {
    var index = start
    while true {
      var least = index
      for child in [2 * index + 1, 2 * index + 2] where child < heap.count && heap[child].key < heap[least].key {
        least = child
      }
      if least == index { return }
      exchange(index, least)
      index = least
    }
  }

  private mutating func exchange(_ a: Int, _ b: Int) {
    heap.swapAt(a, b)
    heap[a].timer.index = a
    heap[b].timer.index = b
  }
}

extension EventLoop {
  /// Runs the handlers of due timers in order of time; one that an earlier handler cancelled or re-armed is left out.
  /// As many as were armed at the beginning, so that a handler which arms for the past cannot hold the loop.
  func fireTimers(dueAt time: UInt64) -> Bool {
    var left = timers.count
    var fired = false
    while left > 0, let timer = timers.popFirst(dueAt: time) {
      timer.handler()
      fired = true
      left -= 1
    }
    return fired
  }
}
