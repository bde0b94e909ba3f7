import BGPWire

/// A connection from our OPEN up to Established: what RFC 4271 calls OpenSent and OpenConfirm.
struct Handshake: Sendable, Hashable {
  enum Stage: Sendable, Hashable {
    case openSent
    /// Their OPEN is in, our KEEPALIVE is held back: the other connection is to win the collision, and this one is
    /// confirmed only if that one has not got its OPEN by `until`. `isConfirmed`: their KEEPALIVE is in already.
    ///
    /// Without this, the peer could have this connection Established while we, on the OPEN that is on its way on the
    /// other, choose that one, and both would be closed. RFC 4271 section 6.8 leaves the race open.
    case held(Agreement, isConfirmed: Bool, until: Instant)
    case openConfirm(Agreement, keepaliveDue: Instant?)
  }

  let connection: Connection
  /// As sent on this connection.
  let ours: Open
  var stage: Stage
  var holdDeadline: Instant?

  /// The RFC's name for where this connection is.
  var state: SessionState {
    switch stage {
    case .openSent: .openSent
    case .held, .openConfirm: .openConfirm
    }
  }

  var nextDeadline: Instant? {
    switch stage {
    case .openSent: holdDeadline
    case .held(_, _, let until): [until, holdDeadline].compactMap(\.self).min()
    case .openConfirm(_, let keepaliveDue): [keepaliveDue, holdDeadline].compactMap(\.self).min()
    }
  }

  /// What a message of this type is told that does not belong here (RFC 6608).
  func unexpected(_ type: MessageType) -> Notification {
    switch stage {
    case .openSent: Notification(.unexpectedInOpenSent, data: [type.rawValue])
    case .held, .openConfirm: Notification(.unexpectedInOpenConfirm, data: [type.rawValue])
    }
  }
}

extension Agreement {
  /// When the hold timer runs out, started at `now`; nil: there is none.
  func holdDeadline(_ now: Instant) -> Instant? { holdSeconds == 0 ? nil : now.adding(seconds: holdSeconds) }

  /// When the next KEEPALIVE is due. No jitter (RFC 4271 section 10 asks for some): a lab should repeat itself, and a
  /// third of the hold time leaves room.
  func keepaliveDue(_ now: Instant) -> Instant? {
    keepaliveSeconds == 0 ? nil : now.adding(seconds: keepaliveSeconds)
  }
}
