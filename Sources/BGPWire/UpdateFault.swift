/// What is wrong with an UPDATE, and what RFC 7606 wants done about it.
public struct UpdateFault: Error, Hashable, Sendable {
  /// From weak to strong; of several faults in one message the strongest counts (RFC 7606 section 3 h).
  public enum Action: UInt8, Hashable, Comparable, Sendable {
    case attributeDiscard
    case treatAsWithdraw
    case sessionReset
    public static func < (a: Action, b: Action) -> Bool { a.rawValue < b.rawValue }
  }

  public enum Reason: String, Hashable, Sendable {
    case lengthsExceedMessage = "section lengths exceed the message"
    case withdrawnSyntax = "withdrawn routes do not parse"
    case nlriSyntax = "NLRI do not parse"
    case overrun = "attribute exceeds the attributes section"
    case underrun = "attributes section ends inside an attribute header"
    case repeated = "attribute occurs more than once"
    case flags = "attribute flags conflict with the type"
    case length = "attribute length is wrong"
    case value = "attribute value is not defined"
    case pathSyntax = "AS path does not parse"
    case asZero = "AS number 0"
    case missing = "mandatory attribute is missing"
    case unknownWellKnown = "well-known attribute is not known"
    case nextHop = "next hop is of a wrong length"
    case fromExternal = "attribute is not for external peers"
  }

  public var action: Action
  public var reason: Reason
  /// nil: not about one attribute.
  public var attribute: AttributeType?
  /// The NOTIFICATION, should it come to a session reset.
  public var code: NotificationCode

  public init(_ action: Action, _ reason: Reason, _ attribute: AttributeType? = nil, code: NotificationCode) {
    self.action = action
    self.reason = reason
    self.attribute = attribute
    self.code = code
  }
}

extension AttributeIndex {
  /// What the peer is told when a fault of the list that was scanned last ends the session. RFC 4271 section 6.3 wants
  /// the attribute at fault as data, its type where it is missing, and nothing for errors of the list or of AS_PATH.
  /// (A message holds less than a NOTIFICATION has room for.)
  public func notification(_ fault: UpdateFault) -> Notification {
    guard let type = fault.attribute else { return Notification(fault.code) }
    switch fault.code {
    case .missingWellKnown:
      return Notification(fault.code, data: [type.rawValue])
    case .unrecognizedWellKnown, .attributeFlags, .attributeLength, .invalidOrigin, .invalidNextHop, .optionalAttribute:
      return Notification(fault.code, data: octets(of: type, isOverrun: fault.reason == .overrun))
    default:
      return Notification(fault.code)
    }
  }

  /// The attribute as it came: flags, type, length, value; of one that exceeds the list what there is.
  private func octets(of type: AttributeType, isOverrun: Bool) -> [UInt8] {
    var offset = 0
    while offset + 3 <= list.count {
      let extended = list[offset] & AttributeFlags.extendedLength.rawValue != 0
      guard !extended || offset + 4 <= list.count else { break }
      let end = offset + (extended ? 4 + Int(list.bigEndian16(at: offset + 2)) : 3 + Int(list[offset + 2]))
      if list[offset + 1] == type.rawValue, isOverrun == (end > list.count) {
        return Array(list[offset..<min(end, list.count)])
      }
      offset = end
    }
    return []
  }
}

extension UpdateFault: CustomStringConvertible {
  public var description: String {
    attribute.map { "\($0): \(reason.rawValue)" } ?? reason.rawValue
  }
}
