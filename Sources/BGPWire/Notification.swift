/// Error code and subcode of a NOTIFICATION. An unknown pair is data.
public struct NotificationCode: Hashable, Sendable {
  public var code: UInt8
  public var subcode: UInt8

  public init(_ code: UInt8, _ subcode: UInt8) {
    self.code = code
    self.subcode = subcode
  }

  // RFC 4271 section 6.1
  public static let connectionNotSynchronized = NotificationCode(1, 1)
  public static let badMessageLength = NotificationCode(1, 2)
  public static let badMessageType = NotificationCode(1, 3)
  // RFC 4271 section 6.2, RFC 5492, RFC 9234
  public static let openUnspecific = NotificationCode(2, 0)
  public static let unsupportedVersion = NotificationCode(2, 1)
  public static let badPeerAS = NotificationCode(2, 2)
  public static let badIdentifier = NotificationCode(2, 3)
  public static let unsupportedParameter = NotificationCode(2, 4)
  public static let unacceptableHoldTime = NotificationCode(2, 6)
  public static let unsupportedCapability = NotificationCode(2, 7)
  public static let roleMismatch = NotificationCode(2, 11)
  // RFC 4271 section 6.3
  public static let malformedAttributeList = NotificationCode(3, 1)
  public static let unrecognizedWellKnown = NotificationCode(3, 2)
  public static let missingWellKnown = NotificationCode(3, 3)
  public static let attributeFlags = NotificationCode(3, 4)
  public static let attributeLength = NotificationCode(3, 5)
  public static let invalidOrigin = NotificationCode(3, 6)
  public static let invalidNextHop = NotificationCode(3, 8)
  public static let optionalAttribute = NotificationCode(3, 9)
  public static let invalidNetworkField = NotificationCode(3, 10)
  public static let malformedASPath = NotificationCode(3, 11)
  public static let holdTimerExpired = NotificationCode(4, 0)
  // RFC 6608
  public static let fsmUnspecific = NotificationCode(5, 0)
  public static let unexpectedInOpenSent = NotificationCode(5, 1)
  public static let unexpectedInOpenConfirm = NotificationCode(5, 2)
  public static let unexpectedInEstablished = NotificationCode(5, 3)
  // RFC 4486, RFC 8538, RFC 9384
  public static let maximumPrefixes = NotificationCode(6, 1)
  public static let administrativeShutdown = NotificationCode(6, 2)
  public static let peerDeconfigured = NotificationCode(6, 3)
  public static let administrativeReset = NotificationCode(6, 4)
  public static let connectionRejected = NotificationCode(6, 5)
  public static let configurationChange = NotificationCode(6, 6)
  public static let collisionResolution = NotificationCode(6, 7)
  public static let outOfResources = NotificationCode(6, 8)
  public static let hardReset = NotificationCode(6, 9)
  public static let bfdDown = NotificationCode(6, 10)
  // RFC 7313
  public static let refreshLength = NotificationCode(7, 1)
  // RFC 9687
  public static let sendHoldTimerExpired = NotificationCode(8, 0)

  /// Names as the registries print them ("BGP Error (Notification) Codes" and its subcode registries).
  static let names: [(code: UInt8, name: String, subcodes: [UInt8: String])] = [
    (
      1, "Message Header Error",
      [
        1: "Connection Not Synchronized", 2: "Bad Message Length", 3: "Bad Message Type",
      ]
    ),
    (
      2, "OPEN Message Error",
      [
        1: "Unsupported Version Number", 2: "Bad Peer AS", 3: "Bad BGP Identifier", 4: "Unsupported Optional Parameter",
        5: "Authentication Failure", 6: "Unacceptable Hold Time", 7: "Unsupported Capability", 11: "Role Mismatch",
      ]
    ),
    (
      3, "UPDATE Message Error",
      [
        1: "Malformed Attribute List", 2: "Unrecognized Well-known Attribute", 3: "Missing Well-known Attribute",
        4: "Attribute Flags Error", 5: "Attribute Length Error", 6: "Invalid ORIGIN Attribute", 7: "AS Routing Loop",
        8: "Invalid NEXT_HOP Attribute", 9: "Optional Attribute Error", 10: "Invalid Network Field",
        11: "Malformed AS_PATH",
      ]
    ),
    (4, "Hold Timer Expired", [:]),
    (
      5, "Finite State Machine Error",
      [
        1: "Receive Unexpected Message in OpenSent State", 2: "Receive Unexpected Message in OpenConfirm State",
        3: "Receive Unexpected Message in Established State",
      ]
    ),
    (
      6, "Cease",
      [
        1: "Maximum Number of Prefixes Reached", 2: "Administrative Shutdown", 3: "Peer De-configured",
        4: "Administrative Reset", 5: "Connection Rejected", 6: "Other Configuration Change",
        7: "Connection Collision Resolution", 8: "Out of Resources", 9: "Hard Reset", 10: "BFD Down",
      ]
    ),
    (7, "ROUTE-REFRESH Message Error", [1: "Invalid Message Length"]),
    (8, "Send Hold Timer Expired", [:]),
  ]
}

extension NotificationCode: CustomStringConvertible {
  /// `Cease/Administrative Reset`; numbers where the registries have no name.
  public var description: String {
    guard let row = Self.names.first(where: { $0.code == code }) else { return "error \(code)/\(subcode)" }
    guard subcode != 0 else { return row.name }
    return "\(row.name)/\(row.subcodes[subcode] ?? "subcode \(subcode)")"
  }
}

/// A NOTIFICATION (RFC 4271 section 4.5): the sender closes the connection after it.
public struct Notification: Hashable, Sendable {
  public var code: NotificationCode
  public var data: [UInt8]

  public init(_ code: NotificationCode, data: [UInt8] = []) {
    self.code = code
    self.data = data
  }

  /// Cease with a text for the operator of the other end (RFC 9003; subcodes 2 and 4). The text is cut at 255 octets,
  /// between characters.
  public static func cease(_ code: NotificationCode, text: String) -> Notification {
    guard !text.isEmpty else { return Notification(code) }
    var utf8: [UInt8] = []
    for scalar in text.unicodeScalars {
      let next = Array(String(scalar).utf8)
      guard utf8.count + next.count <= 255 else { break }
      utf8 += next
    }
    return Notification(code, data: [UInt8(utf8.count)] + utf8)
  }

  /// The text of RFC 9003, without control characters; nil where there is none, or none that is valid.
  public var shutdownText: String? {
    guard code == .administrativeShutdown || code == .administrativeReset, let length = data.first, length > 0,
      data.count >= 1 + Int(length), let text = String(validating: data[1..<(1 + Int(length))], as: UTF8.self)
    else { return nil }
    return String(String.UnicodeScalarView(text.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F }))
  }

  /// From the body of a framed message, at least two octets.
  public init(decoding body: UnsafeRawBufferPointer) throws(MessageError) {
    guard body.count >= 2 else { throw .badLength(UInt16(clamping: body.count + MessageHeader.size)) }
    code = NotificationCode(body[0], body[1])
    data = Array(body[2...])
  }

  /// The whole message; data beyond the largest message is cut.
  public func encode() -> [UInt8] {
    MessageHeader.message(.notification) {
      $0.append(code.code)
      $0.append(code.subcode)
      $0.append(contentsOf: data.prefix(MessageHeader.maximumLength - MessageHeader.size - 2))
    }
  }
}

extension Notification: CustomStringConvertible {
  public var description: String {
    shutdownText.map { "\(code): \($0)" } ?? "\(code)"
  }
}
