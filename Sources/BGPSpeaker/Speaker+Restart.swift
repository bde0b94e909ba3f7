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
  /// Selected; the kernel has not been told everything.
  case selected
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
      restart = .selected
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
      restartTimer?.cancel()
      restartTimer = nil
      restart = .selected
      for neighbor in neighbors.values { neighbor.announce(.none) }
      table.endDeferral()
      return scheduleRound()
    }
    if case .selected = restart, !table.hasWork, !table.hasFIBChanges {
      restart = .done
      onRestartComplete?()
    }
  }

  private func hasSpoken(_ neighbor: Neighbor, isGraceOver: Bool) -> Bool {
    guard let agreement = neighbor.session.agreement else {
      return isGraceOver || !neighbor.session.isLinkUp
    }
    // One that sends no End-of-RIB cannot be waited for, and one that restarts as well waits for us.
    guard agreement.peerSendsEndOfRIB, agreement.gracefulRestart?.isRestarting != true else { return true }
    return Family.allCases.allSatisfy {
      !agreement.families.contains($0) || table.counters(neighbor.index, $0).endOfRIBReceived
    }
  }
}
