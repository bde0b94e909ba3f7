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
  /// Flow rules do not parse: all of the family are gone, and further ones are ignored until the session ends (RFC 4760
  /// section 7).
  case familyDisabled(Family, FlowRuleFault)
  /// End the session with this NOTIFICATION.
  case sessionReset(Notification, UpdateFault)
  /// More prefixes than `PeerSettings.maxPrefix`: end the session with this Cease (RFC 4486).
  case maxPrefixesExceeded(Notification)
}

extension UpdateOutcome {
  var endsSession: Bool {
    switch self {
    case .sessionReset, .maxPrefixesExceeded: true
    default: false
    }
  }
}
