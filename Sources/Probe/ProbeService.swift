// netloom-probe as the controller uses it: a connection to controller.sock, a thread per trace, rate run and look at
// flows, and one for all background load.
//
//   main thread: EventLoop ── TraceRequest ──► queue ──► trace thread (at most `width` at a time)
//                    │  ▲                                     │
//                    │  └────── waker ◄── reply bytes ────────┤
//                    ├─────── RateRequest ─────────────► run thread (`rateWidth`, more are refused)
//                    ├─────── FlowsRequest ────────────► run thread (`flowsWidth`, more are refused)
//                    └─────── TrafficRequest, Stop ────► TrafficEngine
//
// The controller may crash and come back: the probe keeps trying, with the lab's end as its own (its pid namespace
// goes). When a connection breaks, nobody waits for what is under way: traces are finished and their replies dropped, rate
// runs, looks at flows and background load end at once, since they load the lab.
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
  /// Rate runs and looks at flows under way, by numbers of their own.
  private var rates: [UInt64: StopFlag] = [:]
  private var looks: [UInt64: StopFlag] = [:]
  private var runNumber: UInt64 = 0
  private let engine = TrafficEngine()
  private let outbox = Outbox()
  private var waker: Waker?

  /// Traces at once: they wait more than they work, but each takes a ring per interface.
  private static let width = 8
  /// Rate runs at once: each is two busy threads and every packet on its way, on processors that the lab needs too.
  private static let rateWidth = 2
  /// Looks at flows at once: each has a ring on every interface.
  private static let flowsWidth = 2
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
    for run in rates.values { run.raise() }
    for look in looks.values { look.raise() }
    engine.stopAll()
    outbox.discard()
    loop.after(Self.retryInterval) { [weak self] in self?.connect() }
  }

  private func receive(_ bytes: UnsafeRawBufferPointer) {
    reader.append(bytes)
    do {
      while let message = try reader.next(NLFromController.self) {
        switch message.body {
        case .traceRequest: waiting.append(message)
        case .rateRequest(let rate): startRate(message.request, rate)
        case .flowsRequest(let flows): startLook(message.request, flows)
        case .trafficRequest(let traffic): startTraffic(message.request, traffic)
        case .stopTraffic(let stop): engine.stop(stop.id)
        default: break
        }
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
      let (number, request, generation) = (message.request, message.traceRequest, outbox.generation)
      let started = startDetached { [outbox, waker] in
        Tracer.run(request) { reply in
          outbox.put(generation, number) { $0.traceReply = reply }
          waker?.wake()
        }
        // When everything is closed.
        outbox.finish(nil)
        waker?.wake()
      }
      guard started else {
        waiting.insert(message, at: 0)
        log("no thread for a trace; trying again")
        loop.after(Self.retryInterval) { [weak self] in self?.startWaiting() }
        return
      }
      running += 1
    }
  }

  // MARK: Rate runs

  private func startRate(_ number: UInt64, _ request: NLRateRequest) {
    guard rates.count < Self.rateWidth else {
      return refuse(
        number, "\(Self.rateWidth) rate runs are under way: no more at a time, they would disturb each other")
    }
    let (stop, generation) = (StopFlag(), outbox.generation)
    runNumber += 1
    let run = runNumber
    let started = startDetached { [outbox, waker] in
      RateRun.run(request, stop: stop) { reply in outbox.put(generation, number) { $0.rateReply = reply } }
      outbox.finish(run)
      waker?.wake()
    }
    guard started else { return refuse(number, "no thread for a rate run") }
    rates[run] = stop
  }

  private func refuse(_ number: UInt64, _ reason: String) {
    outbox.put(outbox.generation, number) { $0.rateReply.error = reason }
    waker?.wake()
  }

  // MARK: Looks at flows

  private func startLook(_ number: UInt64, _ request: NLFlowsRequest) {
    guard looks.count < Self.flowsWidth else {
      return refuseLook(number, "\(Self.flowsWidth) looks at flows are under way: no more at a time")
    }
    let (stop, generation) = (StopFlag(), outbox.generation)
    runNumber += 1
    let run = runNumber
    let started = startDetached { [outbox, waker] in
      FlowsRun.run(request, stop: stop) { reply in
        outbox.put(generation, number) { $0.flowsReply = reply }
        waker?.wake()
      }
      outbox.finish(run)
      waker?.wake()
    }
    guard started else { return refuseLook(number, "no thread for it") }
    looks[run] = stop
  }

  private func refuseLook(_ number: UInt64, _ reason: String) {
    outbox.put(outbox.generation, number) { $0.flowsReply.error = reason }
    waker?.wake()
  }

  // MARK: Background load

  /// Its sockets are opened by a thread of its own: that may take a second.
  private func startTraffic(_ number: UInt64, _ request: NLTrafficRequest) {
    let generation = outbox.generation
    let report: TrafficEngine.Report = { [outbox, waker] reply in
      outbox.put(generation, reply.running ? 0 : number) { $0.trafficReply = reply }
      waker?.wake()
    }
    guard !startDetached({ [engine] in engine.start(request, report) }) else { return }
    var refusal = NLTrafficReply()
    (refusal.id, refusal.error) = (request.id, "no thread for traffic")
    report(refusal)
  }

  private func deliver() {
    let (replies, finished) = outbox.take()
    for run in finished {
      guard let run else {
        running -= 1
        continue
      }
      rates[run] = nil
      looks[run] = nil
    }
    for bytes in replies { connection?.send(bytes) }
    startWaiting()
  }

  private func log(_ text: String) { writeError("netloom-probe: \(text)\n") }
}

/// Replies on their way from the threads to the loop.
private final class Outbox: Sendable {
  private struct State {
    var replies: [[UInt8]] = []
    /// What has ended: the number of a run, nil for a trace.
    var finished: [UInt64?] = []
    /// Of the connection: replies to a former one are dropped.
    var generation: UInt64 = 0
  }
  private let state = Mutex(State())

  var generation: UInt64 { state.withLock { $0.generation } }

  func put(_ generation: UInt64, _ number: UInt64, _ fill: (inout NLToController) -> Void) {
    var envelope = NLToController()
    envelope.request = number
    fill(&envelope)
    guard let bytes = try? frame(envelope) else { return }
    state.withLock { if $0.generation == generation { $0.replies.append(bytes) } }
  }

  func finish(_ run: UInt64?) { state.withLock { $0.finished.append(run) } }

  func discard() {
    state.withLock {
      $0.generation += 1
      $0.replies.removeAll()
    }
  }

  func take() -> (replies: [[UInt8]], finished: [UInt64?]) {
    state.withLock {
      let taken = ($0.replies, $0.finished)
      $0.replies.removeAll()
      $0.finished = []
      return taken
    }
  }
}

/// To stderr, as far as it goes.
func writeError(_ text: String) {
  _ = Array(text.utf8).withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
}
