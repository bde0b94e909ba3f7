import CLinux
import Glibc
import Synchronization

/// Runs the body for every index on a few threads made for it, and waits. Threads that enter namespaces must end
/// afterwards, and libpcap's opening and closing spend their time waiting for the kernel's grace periods, which
/// pass for all threads at once: hence more threads than processors.
func onThrowawayThreads(count: Int, width: Int = 32, _ body: @escaping @Sendable (Int) -> Void) {
  guard count > 0 else { return }
  let work = IndexedWork(count: count, body: body)
  var threads: [pthread_t] = []
  for _ in 0..<min(count, width) {
    if let thread = startThread({ work.run() }) { threads.append(thread) }
  }
  for thread in threads { pthread_join(thread, nil) }
}

/// Starts a thread, which is to be joined; nil when there is none to be had.
func startThread(_ body: @escaping @Sendable () -> Void) -> pthread_t? {
  var thread = pthread_t()
  let context = Unmanaged.passRetained(ThreadBody(body))
  let result = pthread_create(
    &thread, nil,
    { argument in
      guard let argument else { return nil }
      Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().run()
      return nil
    }, context.toOpaque())
  guard result == 0 else {
    context.release()
    return nil
  }
  return thread
}

/// Carries a closure through pthread_create's pointer.
private final class ThreadBody: Sendable {
  let run: @Sendable () -> Void

  init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

private final class IndexedWork: Sendable {
  private let next = Atomic<Int>(0)
  private let count: Int
  private let body: @Sendable (Int) -> Void

  init(count: Int, body: @escaping @Sendable (Int) -> Void) {
    self.count = count
    self.body = body
  }

  func run() {
    while case let index = next.wrappingAdd(1, ordering: .relaxed).oldValue, index < count { body(index) }
  }
}
