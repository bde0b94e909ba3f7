// The only place where a thread enters another namespace. It is made for the purpose and ends afterwards: a thread of
// a pool that has changed its namespace carries everything that later runs on it into the wrong one.
import CLinux
import Glibc

/// Runs the closure on a throw-away thread that has entered the network namespace first, and waits for it. Sockets
/// and descriptors that it opens stay in that namespace and may be used from any thread afterwards.
public func inNamespace<Value: ~Copyable>(
  _ namespace: Int32, _ body: () throws(SystemError) -> Value
) throws(SystemError) -> Value {
  try onThrowawayThread { () throws(SystemError) -> Value in
    try systemCall("setns") { setns(namespace, CLONE_NEWNET) }
    return try body()
  }
}

/// Runs the closure on a new thread, which ends with it, and waits for it: for work that leaves its thread unusable,
/// such as `unshare` and `setns`.
public func onThrowawayThread<Value: ~Copyable>(
  _ body: () throws(SystemError) -> Value
) throws(SystemError) -> Value {
  var value: Value?
  var failure: SystemError?
  let created = withoutActuallyEscaping({ () -> Void in
    do throws(SystemError) {
      value = try body()
    } catch {
      failure = error
    }
  }) { work in
    runAndJoin(ThreadWork(work))
  }
  if created != 0 { throw SystemError("pthread_create", created) }
  if let failure { throw failure }
  guard let value = value.take() else { throw SystemError("pthread_create", EAGAIN) }
  return value
}

/// Hands a closure through pthread_create's pointer.
private final class ThreadWork {
  let run: () -> Void
  init(_ run: @escaping () -> Void) { self.run = run }
}

private func runAndJoin(_ work: ThreadWork) -> Int32 {
  var thread = pthread_t()
  let result = pthread_create(
    &thread, nil,
    { argument in
      guard let argument else { return nil }
      Unmanaged<ThreadWork>.fromOpaque(argument).takeUnretainedValue().run()
      return nil
    }, Unmanaged.passUnretained(work).toOpaque())
  if result == 0 { pthread_join(thread, nil) }
  return result
}
