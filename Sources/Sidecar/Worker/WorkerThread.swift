import CLinux
import EventLoop
import Glibc
import Synchronization

/// Starts a worker's thread, which runs until `Worker.stop`.
enum WorkerThread {
  /// Returns when the worker takes work.
  static func start(
    _ index: Int, _ workers: Int, _ runtime: RuntimeConfiguration, _ observation: Observation,
    _ mailbox: WorkerMailbox, _ report: @escaping @Sendable (String) -> Void
  ) throws(SystemError) {
    let outcome = ResultBox<SystemError?>()
    let started = Gate(1)
    let body: @Sendable () -> Void = {
      do throws(SystemError) {
        let loop = try EventLoop()
        let worker = Worker(loop, index: index, workers: workers, runtime, observation, report: report)
        try mailbox.open(worker)
        outcome.add(nil)
        started.pass()
        try loop.run()
        worker.closeEverything()
      } catch {
        if outcome.values.isEmpty {
          outcome.add(error)
          started.pass()
        } else {
          report("worker \(index): \(error)")
        }
      }
    }
    var thread = pthread_t()
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setstacksize(&attributes, 1 << 20)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    let code = pthread_create(
      &thread, &attributes,
      { argument in
        guard let argument else { return nil }
        Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, Unmanaged.passRetained(ThreadBody(body)).toOpaque())
    pthread_attr_destroy(&attributes)
    if code != 0 { throw SystemError("pthread_create", code) }
    started.wait()
    if let failure = outcome.values.first ?? nil { throw failure }
  }
}

private final class ThreadBody: Sendable {
  let run: @Sendable () -> Void
  init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Values that several threads add.
final class ResultBox<Value: Sendable>: Sendable {
  private let items = Mutex<[Value]>([])
  var values: [Value] { items.withLock { $0 } }
  func add(_ value: Value) { items.withLock { $0.append(value) } }
}

/// Lets whoever waits go on when it has been passed so many times. An eventfd: a thread that waits sleeps in the kernel.
final class Gate: Sendable {
  private let descriptor: Int32
  private let wanted: Int

  init(_ count: Int) {
    wanted = count
    descriptor = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_SEMAPHORE))
  }

  deinit { close(descriptor) }

  func pass() {
    var one: UInt64 = 1
    _ = Glibc.write(descriptor, &one, 8)
  }

  func wait() {
    var passed = 0
    var value: UInt64 = 0
    while passed < wanted {
      let count = Glibc.read(descriptor, &value, 8)
      if count == 8 { passed += 1 } else if errno != EINTR { return }
    }
  }
}

extension Worker {
  func stop() { loop.stop() }
}
