/// Why bytes are no message of ours. Each case maps to exactly one NOTIFICATION (RFC 4271 sections 6.1 and 6.2; what
/// UPDATE asks for is in RFC 7606 and lives with the UPDATE decoder).
public enum MessageError: Error, Hashable, Sendable {
  /// The marker is not all ones.
  case notSynchronized
  /// Outside of 19...4096, or of what the type allows.
  case badLength(UInt16)
  case badType(MessageType)

  /// OPEN: another version than 4.
  case unsupportedVersion(UInt8)
  /// OPEN: AS 0 (RFC 7607), or not the configured one.
  case badPeerAS
  /// OPEN: zero, or our own within one AS (RFC 6286).
  case badIdentifier
  /// OPEN: a parameter that is not Capabilities.
  case unsupportedParameter
  /// OPEN: one or two seconds.
  case unacceptableHoldTime(UInt16)
  /// OPEN: optional parameters or capabilities that do not add up, or a known capability of a wrong length.
  case malformedOpen
  /// OPEN: no family in common (RFC 5492 section 5); the data are the capabilities that were missed.
  case unsupportedCapability([Capability])
  /// OPEN: roles that do not fit (RFC 9234 section 4.2).
  case roleMismatch

  /// What the peer is told.
  public var notification: Notification {
    switch self {
    case .notSynchronized: Notification(.connectionNotSynchronized)
    case .badLength(let length): Notification(.badMessageLength, data: [UInt8(length >> 8), UInt8(length & 255)])
    case .badType(let type): Notification(.badMessageType, data: [type.rawValue])
    // The data is the largest version we speak below the one that was offered.
    case .unsupportedVersion: Notification(.unsupportedVersion, data: [0, 4])
    case .badPeerAS: Notification(.badPeerAS)
    case .badIdentifier: Notification(.badIdentifier)
    case .unsupportedParameter: Notification(.unsupportedParameter)
    case .unacceptableHoldTime: Notification(.unacceptableHoldTime)
    case .malformedOpen: Notification(.openUnspecific)
    case .unsupportedCapability(let missed): Notification(.unsupportedCapability, data: Capability.encode(missed))
    case .roleMismatch: Notification(.roleMismatch)
    }
  }
}
