public import BGPCore
import BGPWire
import EventLoop

// A round decides what changed, writes what has to be told, and hands the FIB its part. It is run by the loop after the
// sockets and timers of a step, is bounded, and schedules the next one while anything is left.
//
// While UPDATEs keep coming, rounds are put off for a few milliseconds: a prefix that several neighbors announce at
// once is then decided and announced once. When a step brings no more of them, the round comes at once.

extension Speaker {
  /// Prefixes decided in one round: a few milliseconds.
  private static let budget = 4096
  /// The longest that input puts decisions and output off.
  private static let hold: UInt64 = 4_000_000

  /// The routes, for queries, next-hop costs and the FIB. Work that it leaves behind is done in the next round.
  public func update<R>(_ body: (inout RoutingTable) throws -> R) rethrows -> R {
    defer { if table.hasWork || restart.isPending { scheduleRound() } }
    return try body(&table)
  }

  func scheduleRound() {
    guard !isRoundScheduled else { return }
    isRoundScheduled = true
    loop.enqueue { [weak self] in self?.round() }
  }

  /// UPDATEs have come.
  func noteInput() {
    hasNewInput = true
    scheduleRound()
  }

  private func round() {
    isRoundScheduled = false
    guard !mustHold() else { return scheduleRound() }
    var isMore = table.process(budget: Self.budget)
    for neighbor in neighbors.values {
      if !isMore { neighbor.noteProcessed() }
      if neighbor.pump() { isMore = true }
    }
    if table.hasFIBChanges { onFIB?() }
    if table.flowVersion != flowVersionTold {
      flowVersionTold = table.flowVersion
      onFlowSpecs?()
    }
    advanceRestart()
    if isMore { scheduleRound() }
  }

  private func mustHold() -> Bool {
    defer { hasNewInput = false }
    let now = Instant(nanoseconds: EventLoop.clock())
    guard hasNewInput, now < (heldSince ?? now).adding(nanoseconds: Self.hold) else {
      heldSince = nil
      return false
    }
    if heldSince == nil { heldSince = now }
    return true
  }
}
