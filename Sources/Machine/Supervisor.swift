// A process that is to run for as long as its node does: started again when it ends, at once the first time, then
// with growing pauses while it keeps failing. The pause is forgotten once it has run for ten seconds.
import CLinux
import Glibc
import EventLoop

final class Supervisor {
  let node: String
  let name: String
  private let lab: LabContext
  /// Makes the request of the next start; the argument says how many there were before.
  private let request: (_ starts: Int) throws -> LoggedRequest
  /// Runs after each start, e.g. to give the program its configuration.
  private let started: () -> Void
  /// Hears of each end, before it is decided whether to start again.
  private let onEnd: (_ reason: String) -> Void

  private(set) var pid: Int32 = 0  // 0: not running
  private(set) var outerPid: Int32 = 0
  private(set) var restarts = 0
  private(set) var lastExit = ""
  /// It has failed several times in a row, each time soon after its start.
  private(set) var isFailing = false
  private var wanted = false
  private var starts = 0
  private var startedAt: UInt64 = 0
  private var quickFailures = 0
  private var timer: LoopTimer?

  init(
    _ lab: LabContext, node: String, name: String, started: @escaping () -> Void = {},
    ended: @escaping (_ reason: String) -> Void = { _ in }, request: @escaping (_ starts: Int) throws -> LoggedRequest
  ) {
    self.node = node
    self.name = name
    self.lab = lab
    self.request = request
    self.started = started
    onEnd = ended
  }

  func start() {
    guard !wanted else { return }
    wanted = true
    quickFailures = 0
    isFailing = false
    launch()
  }

  /// Lets it end and does not start it again; the caller sends the signal.
  func release() {
    wanted = false
    timer?.cancel()
  }

  func signal(_ number: Int32) { ProcessTable.signal(group: pid, number) }

  private func launch() {
    do {
      pid = try lab.start(try request(starts)) { [weak self] status in self?.ended("\(status)") }
      outerPid = lab.table.outerPid(of: pid)
      startedAt = EventLoop.clock()
      starts += 1
      if quickFailures > 0 { forgetFailures(of: pid) }
      lab.changed()
      started()
    } catch {
      ended("\(error)")
    }
  }

  /// One that has run for ten seconds is no longer failing.
  private func forgetFailures(of started: Int32) {
    lab.loop.after(Self.proven) { [weak self] in
      guard let self, pid == started else { return }
      quickFailures = 0
      isFailing = false
      lab.changed()
    }
  }

  /// Nanoseconds after which a program counts as running.
  private static let proven: UInt64 = 10_000_000_000

  private func ended(_ reason: String) {
    pid = 0
    outerPid = 0
    lastExit = reason
    defer { lab.changed() }
    onEnd(reason)
    guard wanted else { return }
    let ran = startedAt == 0 ? 0 : EventLoop.clock() - startedAt
    startedAt = 0
    quickFailures = ran >= Self.proven ? 0 : quickFailures + 1
    isFailing = quickFailures > 3
    MachineLog.warning("\(node.isEmpty ? "lab" : node): \(name) ended: \(reason)")
    restarts += 1
    let pause = Self.pause(quickFailures)
    if pause == 0 {
      lab.loop.enqueue { [weak self] in self?.relaunch() }
    } else {
      let timer = timer ?? LoopTimer(lab.loop) { [weak self] in self?.relaunch() }
      self.timer = timer
      timer.arm(after: pause)
    }
  }

  private func relaunch() {
    if wanted, pid == 0 { launch() }
  }

  /// 0, 0.1 s, 0.2 s, … 3.2 s, 5 s after the first, second, … failure in a row.
  static func pause(_ failures: Int) -> UInt64 {
    failures <= 1 ? 0 : min(100_000_000 << UInt64(min(failures - 2, 10)), 5_000_000_000)
  }
}
