import BGPCore
import BGPWire
import EventLoop

/// The restarting side of graceful restart (RFC 4724 section 4.1): an earlier process of this speaker left its routes
/// in the kernel, the neighbors kept what it had told them, and until they have said everything again (End-of-RIB) no
/// route is selected and none announced.
enum Restart {
  /// For the first configuration.
  case waiting
  /// `grace`: until then neighbors without a session are waited for; `until`: all others (Selection_Deferral_Timer).
  case deferring(grace: Instant, until: Instant)
  /// Selected; the kernel has not been told everything, or a neighbor that restarts as well has not: the routes that
  /// an earlier process left over it stay until it has, or `until`.
  case selected(until: Instant)
  case done

  /// `advanceRestart` has something to look at.
  var isPending: Bool {
    switch self {
    case .waiting, .done: false
    case .deferring, .selected: true
    }
  }
}

extension Speaker {
  /// A neighbor that has not come back by then does not hold the others up.
  private static let grace: UInt64 = 3_000_000_000
  private static let longestDeferral: UInt16 = 60

  var announcement: RestartAnnouncement {
    switch restart {
    case .waiting, .deferring: RestartAnnouncement(isRestarting: !preserved.isEmpty, preserved: preserved)
    case .selected, .done: .none
    }
  }

  /// With the first configuration, before its sessions start.
  func beginRestart(_ configuration: SpeakerConfiguration) {
    guard case .waiting = restart else { return }
    guard !preserved.isEmpty else {
      restart = .selected(until: Instant(nanoseconds: 0))
      return scheduleRound()
    }
    let now = Instant(nanoseconds: EventLoop.clock())
    let until = now.adding(seconds: min(configuration.restartTime, Self.longestDeferral))
    let grace = min(now.adding(nanoseconds: Self.grace), until)
    restart = .deferring(grace: grace, until: until)
    table.beginDeferral()
    let timer = LoopTimer(loop) { [weak self] in self?.scheduleRound() }
    timer.arm(at: grace.nanoseconds)
    restartTimer = timer
    scheduleRound()
  }

  /// At the end of every round.
  func advanceRestart() {
    if case .deferring(let grace, let until) = restart {
      let now = Instant(nanoseconds: EventLoop.clock())
      let isComplete = neighbors.values.allSatisfy { hasSpoken($0, isGraceOver: now >= grace) }
      guard isComplete || now >= until else {
        restartTimer?.arm(at: (now < grace ? grace : until).nanoseconds)
        return
      }
      restartTimer?.arm(at: until.nanoseconds)
      restart = .selected(until: until)
      for neighbor in neighbors.values { neighbor.announce(.none) }
      table.endDeferral()
      return scheduleRound()
    }
    if case .selected(let until) = restart, !table.hasWork, !table.hasFIBChanges {
      let now = Instant(nanoseconds: EventLoop.clock())
      guard now >= until || neighbors.values.allSatisfy(hasSaidEverything) else { return }
      restartTimer?.cancel()
      restartTimer = nil
      restart = .done
      onRestartComplete?()
    }
  }

  /// It has a session and has sent its End-of-RIBs, or none is to be expected of it.
  private func hasSaidEverything(_ neighbor: Neighbor) -> Bool {
    guard let agreement = neighbor.session.agreement, agreement.peerSendsEndOfRIB else { return true }
    return Family.allCases.allSatisfy {
      !agreement.families.contains($0) || table.counters(neighbor.index, $0).endOfRIBReceived
    }
  }

  private func hasSpoken(_ neighbor: Neighbor, isGraceOver: Bool) -> Bool {
    guard let agreement = neighbor.session.agreement else {
      return isGraceOver || !neighbor.session.isLinkUp
    }
    // One that sends no End-of-RIB cannot be waited for, and one that restarts as well waits for us.
    return agreement.gracefulRestart?.isRestarting == true || hasSaidEverything(neighbor)
  }
}
