import CLinux
import Glibc

/// How a process ended.
public enum ProcessExit: Hashable, Sendable {
  case exited(Int32)
  case signaled(Int32)

  /// From the status word of wait(2).
  public init(waitStatus: Int32) {
    let signal = waitStatus & 0x7F
    self = signal == 0 ? .exited((waitStatus >> 8) & 0xFF) : .signaled(signal)
  }
}

extension ProcessExit: CustomStringConvertible {
  public var description: String {
    switch self {
    case .exited(let code): "exit \(code)"
    case .signaled(let signal): "signal \(signal) (\(String(cString: strsignal(signal))))"
    }
  }
}

extension EventLoop {
  /// Blocks these signals in the calling thread and reports them as events. Call it before other threads start, so
  /// that they inherit the mask. Signals of one kind that arrive together are one event, as always.
  public func onSignals(_ signals: [Int32], _ handler: @escaping (Int32) -> Void) throws(SystemError) {
    var set = sigset_t()
    sigemptyset(&set)
    for signal in signals { sigaddset(&set, signal) }
    let blocked = pthread_sigmask(SIG_BLOCK, &set, nil)
    if blocked != 0 { throw SystemError("pthread_sigmask", blocked) }
    let descriptor = try systemCall("signalfd") { signalfd(-1, &set, Int32(SFD_CLOEXEC | SFD_NONBLOCK)) }
    // Owned by the loop for the rest of the process: signals stay blocked as long.
    try register(descriptor, .read) { _ in
      var info = signalfd_siginfo()
      while Glibc.read(descriptor, &info, MemoryLayout<signalfd_siginfo>.size) == MemoryLayout<signalfd_siginfo>.size {
        handler(Int32(info.ssi_signo))
      }
    }
  }

  /// Waits for one child of this process by pidfd, reaps it and reports how it ended. Not for a process that also
  /// reaps everything by `reapChildren`.
  public func onExit(ofChild pid: Int32, _ handler: @escaping (ProcessExit) -> Void) throws(SystemError) {
    let descriptor = try systemCall("pidfd_open", "\(pid)") { nl_pidfd_open(pid) }
    try register(descriptor, .read) { [unowned self] _ in
      var status: Int32 = 0
      guard waitpid(pid, &status, WNOHANG) != 0 else { return }
      unregister(descriptor)
      _ = close(descriptor)
      handler(ProcessExit(waitStatus: status))
    }
  }

  /// Reaps every child that has ended, adopted ones too (for an init, on SIGCHLD).
  public static func reapChildren(_ report: (_ pid: Int32, _ status: ProcessExit) -> Void) {
    var status: Int32 = 0
    while case let pid = waitpid(-1, &status, WNOHANG), pid > 0 { report(pid, ProcessExit(waitStatus: status)) }
  }

  /// A waker whose `wake`, called on any thread, makes the handler run on this loop.
  public func waker(_ handler: @escaping () -> Void) throws(SystemError) -> Waker {
    let counter = EventCounter(try systemCall("eventfd") { eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)) })
    try register(counter.descriptor, .read) { [unowned self] _ in
      if counter.take() >= EventCounter.end { return unregister(counter.descriptor) }
      handler()
    }
    return Waker(counter)
  }
}

/// Wakes a loop from any thread. Several calls before the loop gets there are one run of the handler; when the waker is
/// gone there are no more, and the loop lets go of the handler.
public final class Waker: Sendable {
  private let counter: EventCounter

  fileprivate init(_ counter: EventCounter) { self.counter = counter }

  deinit { counter.add(EventCounter.end) }

  public func wake() { counter.add(1) }
}

/// An eventfd. Its loop holds it as long as it watches it: a number that was closed meanwhile could be anything's.
private final class EventCounter: Sendable {
  let descriptor: Int32
  /// More than anybody wakes; of the waker's end.
  static let end: UInt64 = 1 << 48

  init(_ descriptor: Int32) { self.descriptor = descriptor }

  deinit { close(descriptor) }

  func add(_ number: UInt64) {
    var number = number
    _ = write(descriptor, &number, 8)  // EAGAIN: the counter is full, so the loop is woken already
  }

  func take() -> UInt64 {
    var count: UInt64 = 0
    _ = Glibc.read(descriptor, &count, 8)
    return count
  }
}
