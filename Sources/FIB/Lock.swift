internal import CLinux
import Glibc

/// State behind a mutex, for the two threads of the writer. (The standard library's `Mutex` brings a second view of
/// libc's structures, which the compiler refuses beside CLinux.)
final class Lock<Value>: @unchecked Sendable {  // proof: the value is only reached under the mutex beside it
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private var value: Value

  init(_ value: Value) {
    self.value = value
    mutex = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
  }

  deinit {
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
  }

  func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return body(&value)
  }
}
