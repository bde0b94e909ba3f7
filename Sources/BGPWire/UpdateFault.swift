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

extension UpdateFault: CustomStringConvertible {
  public var description: String {
    attribute.map { "\($0): \(reason.rawValue)" } ?? reason.rawValue
  }
}
