import CLinux
import ControlProtocol
import EventLoop
import Glibc

/// One stream and its time.
final class TrafficRun: @unchecked Sendable {  // proof: handed to the traffic thread by the desk's lock, then its alone
  private enum Phase {
    case waiting
    case sending(until: UInt64)
    /// Nothing leaves any more; what is on its way is taken until nothing came since `last` for a moment.
    case settling(until: UInt64, last: UInt64, received: UInt64)
    case over
  }

  let plan: TrafficPlan
  private let stream: any TrafficStream
  private let report: TrafficEngine.Report
  private var phase = Phase.waiting
  private var reported: UInt64 = 0

  private static let reportInterval: UInt64 = 1_000_000_000
  /// What is on its way is waited for this long, and this long after the last of it, ns.
  private static let patience: UInt64 = 1_500_000_000
  private static let quiet: UInt64 = 200_000_000

  init(_ plan: TrafficPlan, _ stream: any TrafficStream, _ report: @escaping TrafficEngine.Report) {
    self.plan = plan
    self.stream = stream
    self.report = report
  }

  var isOver: Bool { if case .over = phase { true } else { false } }

  var next: UInt64 { if case .sending = phase { stream.next } else { .max } }

  var descriptors: [pollfd] {
    if case .sending = phase { stream.descriptors(sending: true) } else { stream.descriptors(sending: false) }
  }

  func stop() {
    switch phase {
    case .waiting, .sending: settle(EventLoop.clock())
    case .settling, .over: break
    }
  }

  private func settle(_ now: UInt64) {
    phase = .settling(until: now + Self.patience, last: now, received: stream.ledger.received)
  }

  func step(_ now: UInt64) {
    switch phase {
    case .waiting:
      reported = now
      phase = .sending(until: now + plan.duration)
      stream.send(now)
    case .sending(let end):
      stream.receive()
      guard now < end, stream.failure == nil else { return settle(now) }
      stream.send(now)
      tell(now)
    case .settling(let end, let last, let received):
      stream.receive()
      let ledger = stream.ledger
      let news = ledger.received != received
      if ledger.received >= UInt64(ledger.sent) || now >= end || !news && now >= last + quiet(ledger) {
        phase = .over
      } else if news {
        phase = .settling(until: end, last: now, received: ledger.received)
      }
    case .over: break
    }
  }

  /// A slow way is given the time it needs.
  private func quiet(_ ledger: TrafficLedger) -> UInt64 { max(Self.quiet, 2 * (ledger.delays.quantile(0.99) ?? 0)) }

  private func tell(_ now: UInt64) {
    guard now >= reported + Self.reportInterval else { return }
    reported = now
    report(NLTrafficReply(plan, stream.ledger, ended: false))
  }

  func finish() {
    var reply = NLTrafficReply(plan, stream.ledger, ended: true)
    reply.error = stream.failure ?? ""
    report(reply)
  }
}
