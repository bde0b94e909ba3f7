// netloom-probe as the controller uses it: a connection to controller.sock, a thread per trace.
//
//   main thread: EventLoop ── TraceRequest ──► queue ──► trace thread (at most `width` at a time)
//                    ▲                                        │
//                    └───────── waker ◄── reply bytes ────────┘
//
// The controller may crash and come back: the probe keeps trying, with the lab's end as its own (its pid namespace
// goes). Traces that run when a connection breaks are finished and their replies dropped: nobody waits for them.
import CLinux
import ControlProtocol
public import EventLoop
import Glibc
import Synchronization

public final class ProbeService {
  private let loop: EventLoop
  private let directory: RunDirectory
  private let machine: String
  private let incarnation = UInt64.random(in: 1...UInt64.max)
  private var connection: StreamConnection?
  private var reader = FrameReader()
  private var waiting: [NLFromController] = []
  private var running = 0
  private let outbox = Outbox()
  private var waker: Waker?

  /// Traces at once: they wait more than they work, but each takes a ring per interface.
  private static let width = 8
  private static let retryInterval = EventLoop.milliseconds(100)

  /// Connects to the lab whose run directory this is, again and again until it succeeds, once the loop runs.
  public init(_ loop: EventLoop, runDirectory: String, machine: String) throws(SystemError) {
    self.loop = loop
    directory = RunDirectory(path: runDirectory)
    self.machine = machine
    waker = try loop.waker { [weak self] in self?.deliver() }
    loop.enqueue { [weak self] in self?.connect() }
  }

  // MARK: Connection

  private func connect() {
    do {
      let stream = try StreamConnection(loop, UnixSocket.connect(directory.controllerSocket))
      reader = FrameReader()
      stream.onBytes = { [weak self] in self?.receive($0) }
      stream.onClose = { [weak self] _ in self?.disconnected() }
      connection = stream
      var hello = NLToController()
      hello.hello.role = .probe
      hello.hello.name = machine
      hello.hello.pid = getpid()
      hello.hello.incarnation = incarnation
      hello.hello.software = "netloom-probe"
      stream.send(try frame(hello))
    } catch {
      disconnected()
    }
  }

  private func disconnected() {
    connection = nil
    waiting.removeAll()
    outbox.discard()
    loop.after(Self.retryInterval) { [weak self] in self?.connect() }
  }

  private func receive(_ bytes: UnsafeRawBufferPointer) {
    reader.append(bytes)
    do {
      while let message = try reader.next(NLFromController.self) {
        if case .traceRequest = message.body { waiting.append(message) }
      }
    } catch {
      log("controller: \(error)")
      connection?.close()
      return disconnected()
    }
    startWaiting()
  }

  // MARK: Traces

  private func startWaiting() {
    while running < Self.width, !waiting.isEmpty {
      let message = waiting.removeFirst()
      running += 1
      let generation = outbox.generation
      let started = TraceThread(message.traceRequest) { [outbox, waker] reply in
        guard let reply else {
          outbox.finish()
          waker?.wake()
          return
        }
        var envelope = NLToController()
        envelope.request = message.request
        envelope.traceReply = reply
        if let bytes = try? frame(envelope) { outbox.put(bytes, generation) }
        waker?.wake()
      }.start()
      if !started {
        running -= 1
        waiting.insert(message, at: 0)
        log("no thread for a trace; trying again")
        loop.after(Self.retryInterval) { [weak self] in self?.startWaiting() }
        return
      }
    }
  }

  private func deliver() {
    let (replies, finished) = outbox.take()
    running -= finished
    for bytes in replies { connection?.send(bytes) }
    startWaiting()
  }

  private func log(_ text: String) { writeError("netloom-probe: \(text)\n") }
}

/// Replies on their way from trace threads to the loop.
private final class Outbox: Sendable {
  private struct State {
    var replies: [[UInt8]] = []
    var finished = 0
    /// Of the connection: replies to a former one are dropped.
    var generation: UInt64 = 0
  }
  private let state = Mutex(State())

  var generation: UInt64 { state.withLock { $0.generation } }

  func put(_ bytes: [UInt8], _ generation: UInt64) {
    state.withLock { if $0.generation == generation { $0.replies.append(bytes) } }
  }

  func finish() { state.withLock { $0.finished += 1 } }

  func discard() {
    state.withLock {
      $0.generation += 1
      $0.replies.removeAll()
    }
  }

  func take() -> (replies: [[UInt8]], finished: Int) {
    state.withLock {
      let taken = ($0.replies, $0.finished)
      $0.replies.removeAll()
      $0.finished = 0
      return taken
    }
  }
}

/// Runs one trace on a detached thread: `report` gets the reply, then nil when everything is closed.
private final class TraceThread: Sendable {
  private let request: NLTraceRequest
  private let report: @Sendable (NLTraceReply?) -> Void

  init(_ request: NLTraceRequest, _ report: @escaping @Sendable (NLTraceReply?) -> Void) {
    self.request = request
    self.report = report
  }

  func start() -> Bool {
    let context = Unmanaged.passRetained(self)
    var thread = pthread_t()
    let result = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        let job = Unmanaged<TraceThread>.fromOpaque(argument).takeRetainedValue()
        Tracer.run(job.request) { job.report($0) }
        job.report(nil)
        return nil
      }, context.toOpaque())
    guard result == 0 else {
      context.release()
      return false
    }
    pthread_detach(thread)
    return true
  }
}

/// To stderr, as far as it goes.
func writeError(_ text: String) {
  _ = Array(text.utf8).withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
}
