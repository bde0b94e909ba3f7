public import BGPWire

//                       SessionEvent, now
//   sockets, timers ───────────────────────►  Session  ── SessionAction ──►  sockets, timers, RoutingTable
//   links, operator                        (RFC 4271)

/// One TCP connection of a session. There is more than one while a collision lasts (RFC 4271 section 6.8).
public struct Connection: Sendable, Hashable {
  /// Never used again within the session.
  public var number: UInt32
  /// We connected; otherwise the peer did.
  public var isOutgoing: Bool

  public init(number: UInt32, isOutgoing: Bool) {
    self.number = number
    self.isOutgoing = isOutgoing
  }
}

/// What happens to a session. Numbers are the events of RFC 4271 section 8.1.
public enum SessionEvent: Sendable, Hashable {
  /// 1, 3 (4 and 5 when the neighbor is passive): also ends the Idle state that `stop` or too many prefixes left.
  case start
  /// 2, 8: the NOTIFICATION is sent, and the session stays Idle until `start`.
  case stop(Notification)
  /// 2 and 1 in one: the NOTIFICATION is sent, and a new connection is made at once.
  case reset(Notification)
  /// The interface of the session has lost its carrier or was taken down: nothing can be sent.
  case linkDown
  case linkUp
  /// 16: our connection is established.
  case connected(Connection)
  /// 17: the peer has connected.
  case accepted(Connection)
  /// 18: our connection was refused or timed out, or could not be begun.
  case connectFailed
  /// 18: an open connection has ended or failed.
  case closed(Connection)
  /// 19, 24 to 27.
  case received(Connection, Message)
  /// 21, 22, 28: bytes that are no message, or an UPDATE or a count of prefixes with which the table cannot go on.
  case failed(Connection, Notification)
  /// All routes of the family have come (RFC 4724 section 2).
  case endOfRIB(Family)
  /// Output has waited for the peer for too long (RFC 9687).
  case sendHoldExpired
  /// 9 to 13: the time of the last `wake` has come, or passed.
  case wake
}

/// What the driver has to do, in this order.
public enum SessionAction: Sendable, Hashable {
  /// Begin to connect; answered by `connected` or `connectFailed`.
  case connect
  /// Give the attempt to connect up.
  case cancelConnect
  /// Write this whole message, behind what is queued.
  case send(Connection, [UInt8])
  /// Close when what was queued is written, without waiting long; nothing more is read.
  case close(Connection)
  /// Established: UPDATEs of this connection go to the table, and its own go out.
  case up(Connection, Agreement)
  /// No longer Established. Routes of the families retained become stale, those of the others go.
  case down(SessionLoss, retaining: FamilySet)
  /// Routes still stale go.
  case dropStale(FamilySet)
  /// The peer asks for our routes again (RFC 2918).
  case refresh(Family)
  /// Come back with `wake` at this time; a new time replaces an older one.
  case wake(at: Instant)
}

/// Why a session or a connection ended.
public enum SessionLoss: Sendable, Hashable {
  case sent(Notification)
  case received(Notification)
  case connectionLost
  case linkDown
}

extension SessionLoss {
  /// One connection of two was given up: nothing is wrong.
  var isCollision: Bool {
    switch self {
    case .sent(let notification), .received(let notification): notification.code == .collisionResolution
    case .connectionLost, .linkDown: false
    }
  }
}

extension SessionLoss: CustomStringConvertible {
  public var description: String {
    switch self {
    case .sent(let notification): "sent \(notification)"
    case .received(let notification): "received \(notification)"
    case .connectionLost: "connection lost"
    case .linkDown: "link down"
    }
  }
}
