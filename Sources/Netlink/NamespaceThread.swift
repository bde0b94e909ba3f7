internal import CLinux
import Glibc

/// A throw-away thread: may change its namespace, because nobody else ever runs on it.
enum NamespaceThread {
  /// What the thread is to do. Lives on the caller's stack frame for as long as the caller waits.
  private final class Work {
    let body: () -> Void
    init(_ body: @escaping () -> Void) { self.body = body }
  }

  /// Runs `body` on a new thread and waits for its end.
  static func run<Result>(_ body: () throws(KernelError) -> Result) throws(KernelError) -> Result {
    var outcome: Swift.Result<Result, KernelError>?
    var failure: Int32 = 0
    withoutActuallyEscaping(body) { body in
      let work = Work {
        do throws(KernelError) {
          outcome = .success(try body())
        } catch {
          outcome = .failure(error)
        }
      }
      failure = start(work)
    }
    guard let outcome else { throw KernelError(number: failure, call: "pthread_create") }
    return try outcome.get()
  }

  private static func start(_ work: Work) -> Int32 {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setstacksize(&attributes, 512 << 10)
    var thread = pthread_t()
    let context = Unmanaged.passRetained(work)
    let failure = pthread_create(
      &thread, &attributes,
      { context in
        guard let context else { return nil }
        Unmanaged<Work>.fromOpaque(context).takeRetainedValue().body()
        return nil
      }, context.toOpaque())
    guard failure == 0 else {
      context.release()
      return failure
    }
    return pthread_join(thread, nil)
  }
}
