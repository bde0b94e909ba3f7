// The sidecar: workers, each a thread with an event loop, under one configuration; and the admin port.
//
//   thread of main: signals, admin ──mailbox──► worker 0 … worker N-1
//
// With one worker everything is on one thread: a pod's sidecar idles in a few MiB.
import EventLoop
import Synchronization
import TLS

public final class Sidecar: Sendable {
  private struct State {
    var runtime: RuntimeConfiguration
    var isDraining = false
  }

  private let mailboxes: [WorkerMailbox]
  private let state: Mutex<State>
  /// Nanoseconds since 1970: tells counts of this process from those of one before it.
  private let started: UInt64
  let report: @Sendable (String) -> Void
  let observation: Observation

  /// Starts the workers and opens the listeners.
  /// - Parameters:
  ///   - tracing: where spans go; nil: nowhere.
  ///   - report: gets what cannot be answered to a client, a line each, on any thread.
  /// - Throws: `ConfigurationError` for a bad configuration, `SystemError` where a listener cannot be opened.
  public init(
    _ configuration: SidecarConfiguration, workers: Int = 1, tracing: Tracing? = nil,
    report: @escaping @Sendable (String) -> Void = { _ in }
  ) throws {
    let observation = Observation(tracing)
    self.observation = observation
    started = WallClock.nanoseconds
    self.report = report
    let runtime = try RuntimeConfiguration(configuration, observation, keeping: nil)
    state = Mutex(State(runtime: runtime))
    mailboxes = (0..<max(1, workers)).map { _ in WorkerMailbox() }
    for (index, mailbox) in mailboxes.enumerated() {
      try WorkerThread.start(index, mailboxes.count, runtime, observation, mailbox, report)
    }
    try adoptEverywhere(runtime)
  }

  public var configuration: SidecarConfiguration { state.withLock { $0.runtime.source } }

  /// Where a listener of the configuration really listens: the port that the kernel chose for port 0 (with one worker).
  public func localAddress(of listener: Listener) -> SocketAddress? {
    onEveryWorker { $0.localAddress(listener) }.first ?? nil
  }

  /// Puts another configuration in force, as a whole. Requests under way end under the one that they began with.
  /// Returns when every worker has it.
  /// - Throws: `ConfigurationError`, and nothing has changed; `SystemError` where a new listener cannot be opened: the rest
  ///   is in force.
  public func apply(_ configuration: SidecarConfiguration) throws {
    let old = state.withLock { $0.runtime }
    let runtime = try RuntimeConfiguration(configuration, observation, keeping: old)
    state.withLock { $0.runtime = runtime }
    try adoptEverywhere(runtime)
  }

  private func adoptEverywhere(_ runtime: RuntimeConfiguration) throws {
    let failures = onEveryWorker { (worker: Worker) -> SystemError? in
      do throws(SystemError) {
        try worker.adopt(runtime)
        return nil
      } catch {
        return error
      }
    }
    if let failure = failures.compactMap({ $0 }).first { throw failure }
  }

  /// Takes no more connections, lets what is under way end, and returns when nothing is left or the time is up.
  public func drain() {
    let finished = Gate(1)
    drain { finished.pass() }
    finished.wait()
  }

  /// The same without waiting: the closure is called on a worker's thread.
  public func drain(then done: @escaping @Sendable () -> Void) {
    let countdown = Countdown(mailboxes.count, done)
    for mailbox in mailboxes { mailbox.send { worker in worker.drain { countdown.one() } } }
  }

  /// Ends the workers at once; connections are closed.
  public func stop() {
    _ = onEveryWorker { worker in
      worker.stop()
      return true
    }
  }

  /// Of all workers together.
  private var edges: [EdgeName: EdgeCounts] {
    var edges: [EdgeName: EdgeCounts] = [:]
    for snapshot in onEveryWorker({ $0.edgeSnapshot }) {
      edges.merge(snapshot) { one, other in
        var sum = one
        sum.merge(other)
        return sum
      }
    }
    return edges
  }

  /// Prometheus text.
  public var metrics: String {
    let configuration = self.configuration
    return PrometheusText.render(
      pod: configuration.pod, identity: identity, version: configuration.version, workers: mailboxes.count,
      edges: edges, spans: observation.tracing?.counts)
  }

  /// The SPIFFE ID of the own certificate, the pod's name where there is none.
  private var identity: String {
    let runtime = state.withLock { $0.runtime }
    let identity = runtime.contexts?.identity ?? ""
    return identity.isEmpty ? runtime.source.pod : identity
  }

  /// The last part of it: the service that the pod belongs to.
  var account: String { String(identity.split(separator: "/").last ?? "") }

  /// The same numbers for the control plane, see `EdgeReport`.
  public var edgeReport: String { EdgeReport.json(started: started, edges) }

  /// Returns when they are closed.
  func closeIdleConnections() {
    _ = onEveryWorker { worker in
      worker.closeIdleConnections()
      return true
    }
  }

  /// Runs the closure on each worker's thread and waits for all of them.
  func onEveryWorker<Value: Sendable>(_ body: @escaping @Sendable (Worker) -> Value) -> [Value] {
    let box = ResultBox<Value>()
    let finished = Gate(mailboxes.count)
    for mailbox in mailboxes {
      mailbox.send { worker in
        box.add(body(worker))
        finished.pass()
      }
    }
    finished.wait()
    return box.values
  }
}

/// Calls a closure when it has been called so many times.
private final class Countdown: Sendable {
  private let left: Mutex<Int>
  private let done: @Sendable () -> Void

  init(_ count: Int, _ done: @escaping @Sendable () -> Void) {
    left = Mutex(count)
    self.done = done
  }

  func one() {
    let isLast = left.withLock { count in
      count -= 1
      return count == 0
    }
    if isLast { done() }
  }
}
