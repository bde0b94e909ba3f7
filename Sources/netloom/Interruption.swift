import Dispatch
import Glibc
import Lab
import Synchronization

/// Runs the work, and cancels it when SIGINT, SIGTERM or SIGHUP arrives: it then cleans up and throws. Further signals
/// do not hurry the cleaning.
func cancelledBySignals<Value: Sendable>(_ work: @escaping @Sendable () async throws -> Value) async throws -> Value {
  let task = Task { try await work() }
  let first = FirstSignal()
  let sources = [SIGINT, SIGTERM, SIGHUP].map { number in
    signal(number, SIG_IGN)
    let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
    source.setEventHandler {
      first.number.withLock { $0 = $0 ?? number }
      task.cancel()
    }
    source.resume()
    return source
  }
  defer { for source in sources { source.cancel() } }
  do {
    return try await task.value
  } catch let error as LabError where error.kind == .interrupted {
    throw Interrupted(signal: first.number.withLock { $0 } ?? SIGINT, message: error.message)
  }
}

/// A signal ended the work, which has cleaned up.
struct Interrupted: Error {
  let signal: Int32
  let message: String
}

private final class FirstSignal: Sendable {
  let number = Mutex<Int32?>(nil)
}

/// Waits for asynchronous work on this thread, for commands that must stay on the main one.
func waitFor<Value: Sendable>(_ work: @escaping @Sendable () async throws -> Value) throws -> Value {
  let outcome = OutcomeBox<Value>()
  let done = DispatchSemaphore(value: 0)
  Task {
    do {
      let value = try await work()
      outcome.result.withLock { $0 = .success(value) }
    } catch {
      outcome.result.withLock { $0 = .failure(error) }
    }
    done.signal()
  }
  done.wait()
  guard let result = outcome.result.withLock({ $0 }) else { throw CancellationError() }
  return try result.get()
}

private final class OutcomeBox<Value: Sendable>: Sendable {
  let result = Mutex<Result<Value, any Error>?>(nil)
}
