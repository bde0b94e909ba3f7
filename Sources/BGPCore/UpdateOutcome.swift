public import BGPWire

/// What one UPDATE led to.
public enum UpdateOutcome: Sendable, Equatable {
  case accepted
  /// RFC 4724 section 2.
  case endOfRIB(Family)
  /// Accepted without the attributes at fault (RFC 7606 section 2).
  case attributesDiscarded(UpdateFault)
  /// The announced routes were withdrawn instead (RFC 7606 section 2).
  case treatedAsWithdraw(UpdateFault)
  /// End the session with this NOTIFICATION.
  case sessionReset(Notification, UpdateFault)
  /// More prefixes than `PeerSettings.maxPrefix`: end the session with this Cease (RFC 4486).
  case maxPrefixesExceeded(Notification)
}
