import BGPWire

extension Session {
  mutating func handle(
    _ established: Established, _ event: SessionEvent, _ now: Instant, _ actions: inout [SessionAction]
  ) -> Phase {
    var established = established
    switch event {
    case .start, .linkUp, .connectFailed, .endOfRIB: break
    case .stop(let notification):
      leave(established, .sent(notification), now, &actions)
      return .idle(.stopped)
    case .reset(let notification):
      leave(established, .sent(notification), now, &actions)
      return begin(now, &actions)
    case .linkDown:
      leave(established, .linkDown, now, &actions)
      return .idle(.linkDown)
    case .connected(let connection): actions.append(.close(connection))
    case .accepted(let connection): accepted(connection, in: &established, now, &actions)
    case .closed(established.connection): return lost(established, .connectionLost, now, &actions)
    case .closed(let connection):
      if established.rival?.connection == connection { established.rival = nil }
    case .failed(established.connection, let notification):
      guard notification.code != .maximumPrefixes else {
        leave(established, .sent(notification), now, &actions)
        return .idle(.tooManyPrefixes)
      }
      return lost(established, .sent(notification), now, &actions)
    case .failed(let connection, let notification):
      guard established.rival?.connection == connection else { break }
      actions += [.send(connection, notification.encode()), .close(connection)]
      established.rival = nil
    case .sendHoldExpired: return lost(established, .sent(Notification(.sendHoldTimerExpired)), now, &actions)
    case .received(established.connection, let message): return received(message, established, now, &actions)
    case .received(let connection, let message):
      guard let rival = established.rival, rival.connection == connection else { break }
      return received(message, onRival: rival, established, now, &actions)
    case .wake: return wake(established, now, &actions)
    }
    return .established(established)
  }

  // MARK: Messages

  private mutating func received(
    _ message: Message, _ established: Established, _ now: Instant, _ actions: inout [SessionAction]
  ) -> Phase {
    var established = established
    switch message {
    case .update, .keepalive: established.holdDeadline = established.agreement.holdDeadline(now)
    case .notification(let notification): return lost(established, .received(notification), now, &actions)
    case .open:
      let notification = Notification(.unexpectedInEstablished, data: [message.type.rawValue])
      return lost(established, .sent(notification), now, &actions)
    case .routeRefresh(let refresh):
      // A family that was not agreed on is ignored (RFC 2918 section 4), and so are the marks of RFC 7313.
      guard let family = Family(afi: refresh.afi, safi: refresh.safi), refresh.subtype == 0,
        established.agreement.families.contains(family)
      else { break }
      actions.append(.refresh(family))
    }
    return .established(established)
  }

  // MARK: A second connection

  /// The peer connects although its session stands here: it has lost that session and we have not heard of it, or it
  /// is the late half of a collision. A KEEPALIVE on the old connection finds the truth: a peer that lost it answers
  /// with a reset.
  private func accepted(
    _ connection: Connection, in established: inout Established, _ now: Instant, _ actions: inout [SessionAction]
  ) {
    if let older = established.rival { refuse(older.connection, .collisionResolution, &actions) }
    actions.append(.send(established.connection, Keepalive.encoded))
    established.keepaliveDue = established.agreement.keepaliveDue(now)
    established.rival = open(connection, now, &actions)
  }

  private mutating func received(
    _ message: Message, onRival rival: Handshake, _ established: Established, _ now: Instant,
    _ actions: inout [SessionAction]
  ) -> Phase {
    var established = established
    if case .open(let theirs) = message, established.agreement.gracefulRestart != nil,
      theirs.gracefulRestart?.isRestarting == true
    {
      // It has restarted: the old connection is dead (RFC 4724 section 4.2).
      actions.append(.close(established.connection))
      let opening = lose(established, .connectionLost, now, &actions)
      return received(message, on: rival.connection, opening, now, &actions)
    }
    switch message {
    case .open: refuse(rival.connection, .collisionResolution, &actions)  // RFC 4271 section 6.8
    case .notification: actions.append(.close(rival.connection))
    default: actions += [.send(rival.connection, rival.unexpected(message.type).encode()), .close(rival.connection)]
    }
    established.rival = nil
    return .established(established)
  }

  // MARK: Timers

  private mutating func wake(
    _ established: Established, _ now: Instant, _ actions: inout [SessionAction]
  ) -> Phase {
    var established = established
    if let deadline = established.holdDeadline, deadline <= now {
      return lost(established, .sent(Notification(.holdTimerExpired)), now, &actions)
    }
    if let due = established.keepaliveDue, due <= now {
      actions.append(.send(established.connection, Keepalive.encoded))
      established.keepaliveDue = established.agreement.keepaliveDue(now)
    }
    if let rival = established.rival, let deadline = rival.holdDeadline, deadline <= now {
      refuse(rival.connection, .holdTimerExpired, &actions)
      established.rival = nil
    }
    return .established(established)
  }

  // MARK: Ends

  /// Established no more, and a new connection is tried after the pause that is due.
  private mutating func lost(
    _ established: Established, _ loss: SessionLoss, _ now: Instant, _ actions: inout [SessionAction]
  ) -> Phase {
    if case .sent(let notification) = loss {
      actions.append(.send(established.connection, notification.encode()))
      actions.append(.close(established.connection))
    } else if case .received = loss {
      actions.append(.close(established.connection))
    }
    return .opening(lose(established, loss, now, &actions))
  }

  /// The rival, if there is one, goes on.
  private mutating func lose(
    _ established: Established, _ loss: SessionLoss, _ now: Instant, _ actions: inout [SessionAction]
  ) -> Opening {
    endRoutes(established, loss, now, &actions)
    if now.nanoseconds &- established.since.nanoseconds >= Backoff.proven { backoff = Backoff() }
    guard let rival = established.rival else { return Opening(outgoing: pause(now), incoming: nil) }
    return rival.connection.isOutgoing
      ? Opening(outgoing: .open(rival), incoming: nil) : Opening(outgoing: pause(now), incoming: rival)
  }

  /// Everything is closed, the rival too.
  private mutating func leave(
    _ established: Established, _ loss: SessionLoss, _ now: Instant, _ actions: inout [SessionAction]
  ) {
    for connection in [established.connection, established.rival?.connection].compactMap(\.self) {
      if case .sent(let notification) = loss { actions.append(.send(connection, notification.encode())) }
      actions.append(.close(connection))
    }
    endRoutes(established, loss, now, &actions)
  }

  /// RFC 4724 section 4.2: routes are kept when the connection is lost, not after a NOTIFICATION of either side (that
  /// would be RFC 8538), and not when the link is gone.
  private mutating func endRoutes(
    _ established: Established, _ loss: SessionLoss, _ now: Instant, _ actions: inout [SessionAction]
  ) {
    lastLoss = loss
    flaps += 1
    var retained: FamilySet = []
    var time: UInt16 = 0
    if loss == .connectionLost, let restart = established.agreement.gracefulRestart,
      let own = parameters.gracefulRestart
    {
      time = min(restart.restartTime, own.staleTime)
      if time > 0 { retained = restart.families }
    }
    stale = retained.isEmpty ? nil : Stale(families: retained, until: now.adding(seconds: time))
    actions.append(.down(loss, retaining: retained))
  }
}
