import BGPWire

// Connect, Active, OpenSent, OpenConfirm.

extension Session {
  /// RFC 4271 section 8.2.2 suggests four minutes; a peer that accepts and is silent is tried again sooner.
  static let openHoldSeconds: UInt16 = 60
  /// How long the losing connection of a collision waits for the winning one.
  static let collisionWait: UInt64 = 1_000_000_000

  mutating func handle(
    _ opening: Opening, _ event: SessionEvent, _ now: Instant, _ actions: inout [SessionAction]
  ) -> Phase {
    var opening = opening
    switch event {
    case .start, .endOfRIB, .sendHoldExpired: return .opening(opening)
    case .stop(let notification):
      abandon(opening, notification, &actions)
      return .idle(.stopped)
    case .reset(let notification):
      abandon(opening, notification, &actions)
      return begin(now, &actions)
    case .linkDown:
      abandon(opening, nil, &actions)
      lastLoss = .linkDown
      return .idle(.linkDown)
    case .linkUp:
      backoff = Backoff()
      if case .connecting = opening.outgoing { actions.append(.cancelConnect) }
      if opening.outgoing.isAttempt { opening.outgoing = connect(now, &actions) }
    case .connected(let connection):
      guard case .connecting = opening.outgoing else {
        actions.append(.close(connection))
        return .opening(opening)
      }
      opening.outgoing = .open(open(connection, now, &actions))
    case .connectFailed:
      guard case .connecting = opening.outgoing else { return .opening(opening) }
      if lastLoss == nil { lastLoss = .connectionLost }
      opening.outgoing = pause(now)
    case .accepted(let connection):
      // The peer has one connection to us at a time: an older one is dead, or about to be.
      if let older = opening.incoming { refuse(older.connection, .collisionResolution, &actions) }
      opening.incoming = open(connection, now, &actions)
    case .closed(let connection):
      drop(connection, .connectionLost, from: &opening, now)
    case .failed(let connection, let notification):
      guard opening.handshake(connection) != nil else { return .opening(opening) }
      fail(connection, notification, in: &opening, now, &actions)
    case .received(let connection, let message):
      return received(message, on: connection, opening, now, &actions)
    case .wake: return wake(opening, now, &actions)
    }
    return .opening(opening)
  }

  // MARK: Our attempts

  /// Connect, or Active where the neighbor is passive.
  func connect(_ now: Instant, _ actions: inout [SessionAction]) -> Outgoing {
    guard !parameters.isPassive else { return .none }
    actions.append(.connect)
    return .connecting(until: now.adding(nanoseconds: backoff.attemptTime))
  }

  /// Active, until the time of the next attempt.
  mutating func pause(_ now: Instant) -> Outgoing {
    parameters.isPassive ? .none : .waiting(until: now.adding(nanoseconds: backoff.next(parameters.timers)))
  }

  /// A connection stands: OpenSent.
  func open(_ connection: Connection, _ now: Instant, _ actions: inout [SessionAction]) -> Handshake {
    let ours = parameters.open(restart: restart)
    actions.append(.send(connection, ours.encode()))
    return Handshake(
      connection: connection, ours: ours, stage: .openSent,
      holdDeadline: now.adding(seconds: max(Self.openHoldSeconds, parameters.timers.holdSeconds)))
  }

  // MARK: Ends

  func refuse(_ connection: Connection, _ code: NotificationCode, _ actions: inout [SessionAction]) {
    actions.append(.send(connection, Notification(code).encode()))
    actions.append(.close(connection))
  }

  /// Closes all there is, after a NOTIFICATION unless there is no use in one.
  private func abandon(_ opening: Opening, _ notification: Notification?, _ actions: inout [SessionAction]) {
    if case .connecting = opening.outgoing { actions.append(.cancelConnect) }
    for handshake in opening.handshakes {
      if let notification { actions.append(.send(handshake.connection, notification.encode())) }
      actions.append(.close(handshake.connection))
    }
  }

  private mutating func fail(
    _ connection: Connection, _ notification: Notification, in opening: inout Opening, _ now: Instant,
    _ actions: inout [SessionAction]
  ) {
    actions.append(.send(connection, notification.encode()))
    actions.append(.close(connection))
    drop(connection, .sent(notification), from: &opening, now)
  }

  /// The connection is no more; our own attempts go on, but not against the peer's that is on its way.
  private mutating func drop(
    _ connection: Connection, _ loss: SessionLoss, from opening: inout Opening, _ now: Instant
  ) {
    guard opening.handshake(connection) != nil else { return }
    if !loss.isCollision { lastLoss = loss }
    if let incoming = opening.incoming, incoming.connection == connection {
      opening.incoming = nil
      if opening.outgoing == .none { opening.outgoing = pause(now) }
    } else if opening.incoming == nil {
      opening.outgoing = pause(now)
    } else {
      opening.outgoing =
        parameters.isPassive
        ? .none : .waiting(until: now.adding(milliseconds: parameters.timers.connectRetryMilliseconds))
    }
  }

  /// A connection that was held back for another has nothing to wait for when that one is gone.
  mutating func release(_ phase: Phase, _ now: Instant, _ actions: inout [SessionAction]) -> Phase {
    guard case .opening(let opening) = phase, let handshake = opening.handshakes.first,
      opening.handshakes.count == 1, case .held(let agreement, let isConfirmed, _) = handshake.stage
    else { return phase }
    return confirm(handshake, agreement, isConfirmed: isConfirmed, opening, now, &actions)
  }

  // MARK: Messages

  mutating func received(
    _ message: Message, on connection: Connection, _ opening: Opening, _ now: Instant,
    _ actions: inout [SessionAction]
  ) -> Phase {
    var opening = opening
    guard let handshake = opening.handshake(connection) else { return .opening(opening) }
    switch (handshake.stage, message) {
    case (_, .notification(let notification)):
      // No reply to it (RFC 4271 section 6.4).
      actions.append(.close(connection))
      drop(connection, .received(notification), from: &opening, now)
    case (.openSent, .open(let theirs)):
      do {
        let agreement = try Agreement(parameters, ours: handshake.ours, theirs: theirs)
        return resolve(handshake, agreement, opening, now, &actions)
      } catch {
        fail(connection, error.notification, in: &opening, now, &actions)
      }
    case (.held(let agreement, _, let until), .keepalive):
      opening.set(handshake, .held(agreement, isConfirmed: true, until: until), handshake.holdDeadline)
    case (.openConfirm(let agreement, _), .keepalive):
      return establish(connection, agreement, opening, now, &actions)
    default:
      fail(connection, handshake.unexpected(message.type), in: &opening, now, &actions)
    }
    return .opening(opening)
  }

  /// An OPEN was accepted: collision detection of RFC 4271 section 6.8, with section 2.3 of RFC 6286 for equal
  /// identifiers. The connection made by the side with the greater (identifier, AS number) is kept.
  private mutating func resolve(
    _ handshake: Handshake, _ agreement: Agreement, _ opening: Opening, _ now: Instant,
    _ actions: inout [SessionAction]
  ) -> Phase {
    var opening = opening
    let isOutgoing = handshake.connection.isOutgoing
    let isLocalGreater =
      (parameters.localID, parameters.localASN) > (agreement.remoteID, agreement.remoteASN)
    let isPreferred = isOutgoing == isLocalGreater
    guard let other = isOutgoing ? opening.incoming : opening.outgoing.handshake else {
      return confirm(handshake, agreement, isConfirmed: false, opening, now, &actions)
    }
    if isPreferred {
      fail(other.connection, Notification(.collisionResolution), in: &opening, now, &actions)
      return confirm(handshake, agreement, isConfirmed: false, opening, now, &actions)
    }
    guard case .openSent = other.stage else {
      fail(handshake.connection, Notification(.collisionResolution), in: &opening, now, &actions)
      return .opening(opening)
    }
    opening.set(
      handshake, .held(agreement, isConfirmed: false, until: now.adding(nanoseconds: Self.collisionWait)),
      handshake.holdDeadline)
    return .opening(opening)
  }

  /// Sends the KEEPALIVE that answers an OPEN: OpenConfirm, and no attempt of our own any more.
  private mutating func confirm(
    _ handshake: Handshake, _ agreement: Agreement, isConfirmed: Bool, _ opening: Opening, _ now: Instant,
    _ actions: inout [SessionAction]
  ) -> Phase {
    var opening = opening
    if !handshake.connection.isOutgoing, opening.outgoing.isAttempt {
      if case .connecting = opening.outgoing { actions.append(.cancelConnect) }
      opening.outgoing = .none
    }
    actions.append(.send(handshake.connection, Keepalive.encoded))
    opening.set(
      handshake, .openConfirm(agreement, keepaliveDue: agreement.keepaliveDue(now)), agreement.holdDeadline(now))
    guard isConfirmed else { return .opening(opening) }
    return establish(handshake.connection, agreement, opening, now, &actions)
  }

  private mutating func establish(
    _ connection: Connection, _ agreement: Agreement, _ opening: Opening, _ now: Instant,
    _ actions: inout [SessionAction]
  ) -> Phase {
    if case .connecting = opening.outgoing { actions.append(.cancelConnect) }
    let other = opening.handshakes.first { $0.connection != connection }
    var rival: Handshake?
    if let other, case .openSent = other.stage {
      rival = other  // its OPEN, when it comes, is answered as section 6.8 says
    } else if let other {
      refuse(other.connection, .collisionResolution, &actions)
    }
    actions.append(.up(connection, agreement))
    restoreStale(agreement, now, &actions)
    return .established(
      Established(
        connection: connection, agreement: agreement, since: now, holdDeadline: agreement.holdDeadline(now),
        keepaliveDue: agreement.keepaliveDue(now), rival: rival))
  }

  /// RFC 4724 section 4.2: routes of families that the peer did not keep forwarding for go at once; for the rest its
  /// End-of-RIB is awaited, but not for ever.
  private mutating func restoreStale(_ agreement: Agreement, _ now: Instant, _ actions: inout [SessionAction]) {
    guard let stale else { return }
    let kept = stale.families.intersection(agreement.gracefulRestart?.preserved ?? [])
    let dropped = stale.families.subtracting(kept)
    if !dropped.isEmpty { actions.append(.dropStale(dropped)) }
    self.stale =
      kept.isEmpty
      ? nil
      : Stale(families: kept, until: now.adding(seconds: parameters.gracefulRestart?.staleTime ?? 0))
  }

  // MARK: Timers

  private mutating func wake(_ opening: Opening, _ now: Instant, _ actions: inout [SessionAction]) -> Phase {
    var opening = opening
    switch opening.outgoing {
    case .waiting(let until) where until <= now: opening.outgoing = connect(now, &actions)
    case .connecting(let until) where until <= now:
      actions.append(.cancelConnect)
      _ = backoff.next(parameters.timers)
      opening.outgoing = connect(now, &actions)
    default: break
    }
    for handshake in opening.handshakes {
      if let deadline = handshake.holdDeadline, deadline <= now {
        fail(handshake.connection, Notification(.holdTimerExpired), in: &opening, now, &actions)
        continue
      }
      switch handshake.stage {
      case .held(let agreement, let isConfirmed, let until) where until <= now:
        return confirm(handshake, agreement, isConfirmed: isConfirmed, opening, now, &actions)
      case .openConfirm(let agreement, let due?) where due <= now:
        actions.append(.send(handshake.connection, Keepalive.encoded))
        opening.set(
          handshake, .openConfirm(agreement, keepaliveDue: agreement.keepaliveDue(now)), handshake.holdDeadline)
      default: break
      }
    }
    return .opening(opening)
  }
}

extension Session.Outgoing {
  /// Connect or Active.
  var isAttempt: Bool {
    switch self {
    case .waiting, .connecting: true
    case .none, .open: false
    }
  }

  var handshake: Handshake? {
    guard case .open(let handshake) = self else { return nil }
    return handshake
  }
}

extension Session.Opening {
  var handshakes: [Handshake] { [outgoing.handshake, incoming].compactMap(\.self) }

  func handshake(_ connection: Connection) -> Handshake? { handshakes.first { $0.connection == connection } }

  mutating func set(_ handshake: Handshake, _ stage: Handshake.Stage, _ holdDeadline: Instant?) {
    var changed = handshake
    changed.stage = stage
    changed.holdDeadline = holdDeadline
    if outgoing.handshake?.connection == handshake.connection {
      outgoing = .open(changed)
    } else {
      incoming = changed
    }
  }
}
