import Glibc
import Synchronization

/// A thread that is joined: the two ends of a rate run block and are blocked each by itself.
final class Worker: Sendable {
  private let body: @Sendable () -> Void
  private let thread = Mutex<pthread_t?>(nil)

  /// Nil when there is no thread to be had.
  static func start(_ body: @escaping @Sendable () -> Void) -> Worker? {
    let worker = Worker(body)
    let context = Unmanaged.passRetained(worker)
    var made = pthread_t()
    let result = pthread_create(
      &made, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Worker>.fromOpaque(argument).takeRetainedValue().body()
        return nil
      }, context.toOpaque())
    guard result == 0 else {
      context.release()
      return nil
    }
    let handle = made
    worker.thread.withLock { $0 = handle }
    return worker
  }

  private init(_ body: @escaping @Sendable () -> Void) { self.body = body }

  /// Returns when it has ended.
  func join() {
    let made = thread.withLock { $0.take() }
    if let made { pthread_join(made, nil) }
  }

  /// Nobody will wait for it.
  fileprivate func detach() {
    let made = thread.withLock { $0.take() }
    if let made { pthread_detach(made) }
  }
}

/// Runs the closure on a thread that nobody joins; false when there is none to be had.
func startDetached(_ body: @escaping @Sendable () -> Void) -> Bool {
  guard let worker = Worker.start(body) else { return false }
  worker.detach()
  return true
}

/// Says to threads that they are to end.
public final class StopFlag: Sendable {
  private let raised = Atomic<Bool>(false)

  public init() {}

  public var isRaised: Bool { raised.load(ordering: .relaxed) }

  public func raise() { raised.store(true, ordering: .relaxed) }
}
