// One session with one neighbor: the state machine of RFC 4271 section 8, without sockets, clocks or routes.
//
// The driver (BGPSpeaker, or a test) calls `handle(event, now)` for everything that happens and does what comes back,
// in order. The same events at the same times give the same actions, so a recorded session replays byte for byte.
//
//                 ┌────────── Opening ───────────────────────┐
//   Idle ──start─►│ outgoing: Connect, Active or a Handshake │── KEEPALIVE ──► Established
//    ▲            │ incoming: none or a Handshake            │                  │  (+ a rival Handshake)
//    │            └──────────────────────────────────────────┘◄─────────────────┘
//    └── stop, link down, too many prefixes ────────────────────────────────────┘
//
// RFC 4271 has a machine per connection; a neighbor has at most two connections for a moment, so here one value holds
// both, and the RFC's state of the neighbor is that of the connection which is further (`state`).
//
// Timers are deadlines inside the state that they belong to. The earliest of them is given out as `.wake(at:)`; a wake
// that comes before a deadline that has moved meanwhile does nothing but ask again, so a hold timer that is restarted
// by every message costs no action.
//
// Where we depart from RFC 4271, on purpose:
// - No IdleHoldTimer and no DampPeerOscillations: after an error incoming connections are taken at once, and our own
//   attempts are spaced by 0, 50, 100, 200 ms... up to the connect-retry time (`Backoff`).
// - The hold timer before an OPEN came is one minute, not four.
// - DelayOpen and its timer are left out: they are optional.
//
// Also here: helper side of graceful restart (RFC 4724 section 4.2). The routes are the table's; the machine says which
// are kept and for how long. The restarting side (4.1) is `Restart`.

public import BGPWire

/// See the top of the file.
public struct Session: Sendable {
  public let parameters: SessionParameters
  /// What the next OPEN says about our own restart.
  public var restart: RestartAnnouncement
  /// Why the last connection or session ended.
  public internal(set) var lastLoss: SessionLoss?
  /// How often the session left Established.
  public internal(set) var flaps: UInt64 = 0

  var phase: Phase = .idle(.stopped)
  var stale: Stale?
  var backoff = Backoff()
  /// Also while Idle for another reason.
  public internal(set) var isLinkUp = true
  private var wakeAt: Instant?

  enum Phase: Sendable, Hashable {
    case idle(Idle)
    case opening(Opening)
    case established(Established)
  }

  /// Why nothing is tried and nothing accepted.
  enum Idle: Sendable, Hashable {
    case stopped
    case linkDown
    /// Until `start` or `reset`: a new session would only end the same way (RFC 4271 section 6.7).
    case tooManyPrefixes
  }

  struct Opening: Sendable, Hashable {
    var outgoing: Outgoing
    var incoming: Handshake?
  }

  /// Our own attempt.
  enum Outgoing: Sendable, Hashable {
    /// Passive, or the incoming connection has its OPEN.
    case none
    case waiting(until: Instant)
    case connecting(until: Instant)
    case open(Handshake)
  }

  struct Established: Sendable, Hashable {
    let connection: Connection
    let agreement: Agreement
    let since: Instant
    var holdDeadline: Instant?
    var keepaliveDue: Instant?
    /// A second connection whose OPEN has not come.
    var rival: Handshake?
  }

  /// Routes of the neighbor that are kept although their session ended.
  struct Stale: Sendable, Hashable {
    var families: FamilySet
    var until: Instant
  }

  public init(_ parameters: SessionParameters, restart: RestartAnnouncement = .none) {
    self.parameters = parameters
    self.restart = restart
  }

  /// The state of the neighbor as RFC 4271 names it.
  public var state: SessionState {
    switch phase {
    case .idle: return .idle
    case .established: return .established
    case .opening(let opening):
      let incoming = opening.incoming?.state ?? .idle
      switch opening.outgoing {
      case .none, .waiting: return max(.active, incoming)
      case .connecting: return max(.connect, incoming)
      case .open(let handshake): return max(handshake.state, incoming)
      }
    }
  }

  /// What was agreed on; nil unless Established.
  public var agreement: Agreement? {
    guard case .established(let established) = phase else { return nil }
    return established.agreement
  }

  /// The connection of the Established session.
  public var connection: Connection? {
    guard case .established(let established) = phase else { return nil }
    return established.connection
  }

  /// Families with routes of an earlier session (RFC 4724).
  public var staleFamilies: FamilySet { stale?.families ?? [] }

  /// Idle, and nothing but `start` changes that.
  public var isStopped: Bool { phase == .idle(.stopped) }

  /// Idle because the neighbor sent more prefixes than it may.
  public var isHeldDown: Bool { phase == .idle(.tooManyPrefixes) }
}

// MARK: Events

extension Session {
  /// Takes one event; the actions are to be done in their order.
  /// - Parameter now: never before the `now` of an earlier call.
  public mutating func handle(_ event: SessionEvent, now: Instant) -> [SessionAction] {
    if case .established(var established) = phase, case .received(established.connection, let message) = event,
      message == .update || message == .keepalive
    {
      // The common case: nothing but a restart of the hold timer, whose wake is still to come and early enough.
      established.holdDeadline = established.agreement.holdDeadline(now)
      phase = .established(established)
      return []
    }
    var actions: [SessionAction] = []
    if case .wake = event { wakeAt = nil }
    noteLink(event)
    expireStale(event, now, &actions)
    switch phase {
    case .idle(let idle): phase = handle(idle, event, now, &actions)
    case .opening(let opening): phase = release(handle(opening, event, now, &actions), now, &actions)
    case .established(let established): phase = handle(established, event, now, &actions)
    }
    if let due = nextDeadline, wakeAt.map({ due < $0 }) ?? true {
      wakeAt = due
      actions.append(.wake(at: due))
    }
    return actions
  }

  private mutating func noteLink(_ event: SessionEvent) {
    switch event {
    case .linkDown: isLinkUp = false
    case .linkUp: isLinkUp = true
    default: break
    }
  }

  private mutating func handle(
    _ idle: Idle, _ event: SessionEvent, _ now: Instant, _ actions: inout [SessionAction]
  ) -> Phase {
    switch event {
    case .start: return isLinkUp ? begin(now, &actions) : .idle(.linkDown)
    case .linkUp where idle == .linkDown: return begin(now, &actions)
    case .linkDown where idle == .tooManyPrefixes: return .idle(.linkDown)
    case .reset where idle == .tooManyPrefixes: return begin(now, &actions)
    case .stop: return .idle(.stopped)
    case .accepted(let connection):
      actions.append(.send(connection, Notification(.connectionRejected).encode()))
      actions.append(.close(connection))
      return .idle(idle)
    case .connected(let connection):
      actions.append(.close(connection))
      return .idle(idle)
    default: return .idle(idle)
    }
  }

  /// Leaves Idle: connects at once, unless passive.
  mutating func begin(_ now: Instant, _ actions: inout [SessionAction]) -> Phase {
    backoff = Backoff()
    return .opening(Opening(outgoing: connect(now, &actions), incoming: nil))
  }

  private var nextDeadline: Instant? {
    var earliest = stale?.until
    func take(_ instant: Instant?) {
      guard let instant else { return }
      earliest = min(earliest ?? instant, instant)
    }
    switch phase {
    case .idle: break
    case .opening(let opening):
      switch opening.outgoing {
      case .none: break
      case .waiting(let until), .connecting(let until): take(until)
      case .open(let handshake): take(handshake.nextDeadline)
      }
      take(opening.incoming?.nextDeadline)
    case .established(let established):
      take(established.holdDeadline)
      take(established.keepaliveDue)
      take(established.rival?.nextDeadline)
    }
    return earliest
  }

  // MARK: Graceful restart, helper side (RFC 4724 section 4.2)

  private mutating func expireStale(_ event: SessionEvent, _ now: Instant, _ actions: inout [SessionAction]) {
    guard var stale else { return }
    switch event {
    case .wake where stale.until <= now, .linkDown, .stop:
      actions.append(.dropStale(stale.families))
      self.stale = nil
    case .endOfRIB(let family):
      guard stale.families.remove(FamilySet(family)) != nil else { break }
      actions.append(.dropStale(FamilySet(family)))
      self.stale = stale.families.isEmpty ? nil : stale
    default: break
    }
  }
}

/// The pause before our next attempt to connect: none, then 50 ms and twice as long each time, up to the connect-retry
/// time. It starts again once a session has stood for a while, so a peer that fails at once is not asked in a loop.
struct Backoff: Sendable, Hashable {
  private var attempts = 0

  /// How long a session has to stand to count as a success.
  static let proven: UInt64 = 5_000_000_000
  /// An attempt is given up after this long at first, and twice as long each time up to `longestAttempt`: a SYN that was
  /// lost while a link came up is sent again sooner than the kernel would.
  static let shortestAttempt: UInt64 = 200_000_000
  static let longestAttempt: UInt64 = 6_000_000_000

  /// Nanoseconds to wait now; the next call gives more.
  mutating func next(_ timers: TimerConfiguration) -> UInt64 {
    defer { attempts = min(attempts + 1, 16) }
    guard attempts > 0 else { return 0 }
    return min(50_000_000 << UInt64(attempts - 1), UInt64(timers.connectRetryMilliseconds) * 1_000_000)
  }

  /// Nanoseconds to give an attempt.
  var attemptTime: UInt64 { min(Self.shortestAttempt << UInt64(attempts), Self.longestAttempt) }
}
