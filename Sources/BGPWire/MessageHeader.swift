/// Message type (RFC 4271 section 4.1, RFC 2918). An unknown number is data.
public struct MessageType: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let open = MessageType(rawValue: 1)
  public static let update = MessageType(rawValue: 2)
  public static let notification = MessageType(rawValue: 3)
  public static let keepalive = MessageType(rawValue: 4)
  public static let routeRefresh = MessageType(rawValue: 5)

  /// Whole lengths that the type allows, header included; nil for a type that is not known (RFC 4271 section 6.1,
  /// RFC 2918 section 3: AFI, one reserved octet, SAFI).
  @inlinable var lengths: ClosedRange<Int>? {
    switch rawValue {
    case 1: 29...MessageHeader.maximumLength
    case 2: 23...MessageHeader.maximumLength
    case 3: 21...MessageHeader.maximumLength
    case 4: 19...19
    case 5: 23...23
    default: nil
    }
  }
}

extension MessageType: CustomStringConvertible {
  public var description: String {
    switch self {
    case .open: "OPEN"
    case .update: "UPDATE"
    case .notification: "NOTIFICATION"
    case .keepalive: "KEEPALIVE"
    case .routeRefresh: "ROUTE-REFRESH"
    default: "type \(rawValue)"
    }
  }
}

/// The fixed header: 16 octets of ones, length, type (RFC 4271 section 4.1).
public struct MessageHeader: Hashable, Sendable {
  public static let size = 19
  /// Without the extended message capability (RFC 8654), which we do not offer.
  public static let maximumLength = 4096

  /// Of the whole message, header included.
  public var length: Int
  public var type: MessageType

  @inlinable public init(length: Int, type: MessageType) {
    self.length = length
    self.type = type
  }

  /// Cuts one message from the front of a stream.
  /// - Parameter bytes: what has arrived and has not been used.
  /// - Returns: the header of a message that lies completely in `bytes`; nil when more bytes are needed.
  /// - Throws: one of the three errors of RFC 4271 section 6.1, as soon as the header is there.
  @inlinable public static func frame(_ bytes: UnsafeRawBufferPointer) throws(MessageError) -> MessageHeader? {
    guard bytes.count >= size else { return nil }
    guard bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self) == .max,
      bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self) == .max
    else { throw .notSynchronized }
    let length = UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt16.self))
    let type = MessageType(rawValue: bytes[18])
    guard length >= size, length <= maximumLength else { throw .badLength(length) }
    guard let lengths = type.lengths else { throw .badType(type) }
    guard lengths.contains(Int(length)) else { throw .badLength(length) }
    return bytes.count >= Int(length) ? MessageHeader(length: Int(length), type: type) : nil
  }

  /// Marker, a length to be filled in by `body`, and the type.
  static func message(_ type: MessageType, body: (inout [UInt8]) -> Void) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xFF, count: 16)
    bytes.appendBigEndian(UInt16(0))
    bytes.append(type.rawValue)
    body(&bytes)
    bytes[16] = UInt8(truncatingIfNeeded: bytes.count >> 8)
    bytes[17] = UInt8(truncatingIfNeeded: bytes.count)
    return bytes
  }
}

extension [UInt8] {
  mutating func appendBigEndian(_ value: some FixedWidthInteger) {
    Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
  }

  /// One octet of length, then what `body` appends, at most 255 octets.
  mutating func appendLengthPrefixed(_ body: (inout [UInt8]) -> Void) {
    let start = count
    append(0)
    body(&self)
    self[start] = UInt8(truncatingIfNeeded: count - start - 1)
  }
}
