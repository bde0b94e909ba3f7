// Background load: every stream of a machine, on one thread.
//
//   service ── start, stop ──► desk ◄── inbox, stops ── traffic thread ══ sends what is due, takes what has come ══► nodes
//      ▲                                                     │
//      └───────────── an account each second, the last ◄─────┘
//
// The thread lives while there are streams. Datagrams are stamped by the kernel as they arrive, so nobody has to wait for
// them: the thread wakes when something is due, and each few ms to empty the sockets. Only streams that fill their socket
// are waited for. A stream ends when its time is over, when it is stopped, or when it cannot go on; what is on its way then
// is waited for until nothing has come for a moment.
import CLinux
public import ControlProtocol
import EventLoop
import Glibc
import Synchronization

public final class TrafficEngine: Sendable {
  /// Called on the traffic thread, and where nothing could begin on the caller's.
  public typealias Report = @Sendable (NLTrafficReply) -> Void

  private struct Admission {
    var load: TrafficLoad
    var isStopped = false
  }

  private struct Desk {
    var admitted: [UInt64: Admission] = [:]
    var inbox: [TrafficRun] = []
    var isRunning = false
  }

  private let desk = Mutex(Desk())
  /// eventfd: something lies on the desk.
  private let bell: Int32

  public init() { bell = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK)) }

  deinit { _ = close(bell) }

  // MARK: The service's side

  /// Begins what the request asks for, or reports why not. May take a second; the reports come later.
  public func start(_ request: NLTrafficRequest, _ report: @escaping Report) {
    do {
      var plan = try TrafficPlan(request)
      try admit(plan)
      do {
        try turn(&plan, request)
        let stream = try TrafficOpening.open(plan)
        try begin(TrafficRun(plan, stream, report))
      } catch {
        release(plan.id)
        throw error
      }
    } catch {
      var failure = NLTrafficReply()
      failure.id = request.id
      failure.error = (error as? TraceRefusal)?.reason ?? "\(error)"
      report(failure)
    }
  }

  /// Ends it soon; its last account comes as it would have.
  public func stop(_ id: UInt64) {
    desk.withLock { $0.admitted[id]?.isStopped = true }
    ring()
  }

  public func stopAll() {
    desk.withLock { for id in $0.admitted.keys { $0.admitted[id]?.isStopped = true } }
    ring()
  }

  private func admit(_ plan: TrafficPlan) throws(TraceRefusal) {
    let refusal: String? = desk.withLock { desk in
      if desk.admitted[plan.id] != nil { return "traffic \(plan.id) runs already" }
      if desk.admitted.count >= TrafficLoad.streams {
        return "\(TrafficLoad.streams) streams are under way: no more at a time"
      }
      if let excess = desk.admitted.values.reduce(plan.load, { $0 + $1.load }).excess { return excess }
      desk.admitted[plan.id] = Admission(load: plan.load)
      return nil
    }
    if let refusal { throw TraceRefusal(reason: refusal) }
  }

  private func release(_ id: UInt64) { desk.withLock { $0.admitted[id] = nil } }

  /// A router may translate its address: then somebody behind it is to receive.
  private func turn(_ plan: inout TrafficPlan, _ request: NLTrafficRequest) throws {
    guard let far = plan.far, !request.flow.points.isEmpty,
      request.flow.nodes.contains(where: { $0.name == far.node && $0.forwards })
    else { return }
    var traced = request.flow
    traced.port = UInt32(plan.flow.port)
    if let reached = try Tracer.translatedEnd(traced) { try plan.turn(to: reached, request) }
  }

  private func begin(_ run: TrafficRun) throws(TraceRefusal) {
    let isFirst = desk.withLock { desk in
      desk.inbox.append(run)
      defer { desk.isRunning = true }
      return !desk.isRunning
    }
    ring()
    guard isFirst, !startDetached({ self.serve() }) else { return }
    desk.withLock { desk in
      desk.inbox.removeAll { $0.plan.id == run.plan.id }
      desk.isRunning = false
    }
    throw TraceRefusal(reason: "no thread for traffic")
  }

  private func ring() {
    var one: UInt64 = 1
    _ = write(bell, &one, MemoryLayout<UInt64>.size)
  }

  // MARK: The thread's side

  /// Between two turns, ns: what is due meanwhile leaves together.
  private static let shortest: UInt64 = 200_000
  /// The sockets hold what arrives in that time.
  private static let longest: UInt64 = 5_000_000

  private func serve() {
    var runs: [TrafficRun] = []
    while take(&runs) {
      let now = EventLoop.clock()
      for run in runs { run.step(now) }
      for run in runs where run.isOver {
        release(run.plan.id)
        run.finish()
      }
      runs.removeAll(where: \.isOver)
      if !runs.isEmpty { wait(runs) }
    }
  }

  /// What is new on the desk.
  /// - Returns: false when there is nothing to do any more.
  private func take(_ runs: inout [TrafficRun]) -> Bool {
    let (arrived, stopped) = desk.withLock { desk in
      let arrived = desk.inbox
      desk.inbox = []
      if runs.isEmpty, arrived.isEmpty { desk.isRunning = false }
      return (arrived, desk.admitted.filter(\.value.isStopped).map(\.key))
    }
    runs += arrived
    for run in runs where stopped.contains(run.plan.id) { run.stop() }
    return !runs.isEmpty
  }

  private func wait(_ runs: [TrafficRun]) {
    var entries = [pollfd(fd: bell, events: Int16(POLLIN), revents: 0)] + runs.flatMap(\.descriptors)
    let now = EventLoop.clock()
    let next = runs.map(\.next).min() ?? .max
    let pause = min(max(next > now ? next - now : 0, Self.shortest), Self.longest)
    var time = timespec(tv_sec: 0, tv_nsec: Int(pause))
    ppoll(&entries, nfds_t(entries.count), &time, nil)
    if entries[0].revents != 0 {
      var count: UInt64 = 0
      _ = read(bell, &count, MemoryLayout<UInt64>.size)
    }
  }
}
