/// Which bytes may stand where in a message (RFC 9110 section 5.6.2, RFC 9112 section 2.2).
enum ByteClass {
  static let lineFeed: UInt8 = 0x0A
  static let carriageReturn: UInt8 = 0x0D
  static let space: UInt8 = 0x20
  static let tab: UInt8 = 0x09
  static let colon: UInt8 = 0x3A
  static let comma: UInt8 = 0x2C
  static let semicolon: UInt8 = 0x3B

  // One bit a byte: ! # $ % & ' * + - . 0-9, then A-Z ^ _ ` a-z | ~
  private static let lowTokens: UInt64 = 0x03FF_6CFA_0000_0000
  private static let highTokens: UInt64 = 0x57FF_FFFF_C7FF_FFFE

  /// tchar of RFC 9110 section 5.6.2.
  @inline(__always)
  static func isToken(_ byte: UInt8) -> Bool {
    if byte < 64 { return lowTokens >> UInt64(byte) & 1 == 1 }
    return byte < 128 && highTokens >> UInt64(byte & 63) & 1 == 1
  }

  /// field-vchar, SP and HTAB: everything that a field value or a reason phrase may hold (RFC 9110 section 5.5).
  @inline(__always)
  static func isFieldContent(_ byte: UInt8) -> Bool { byte >= 0x20 ? byte != 0x7F : byte == tab }

  /// VCHAR: a request target holds nothing else (RFC 9112 section 3.2).
  @inline(__always)
  static func isVisible(_ byte: UInt8) -> Bool { byte > 0x20 && byte < 0x7F }

  @inline(__always)
  static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

  /// ASCII letters to lower case; every other byte as it is.
  @inline(__always)
  static func lowercase(_ byte: UInt8) -> UInt8 { byte &- 0x41 < 26 ? byte | 0x20 : byte }

  /// The value of a hexadecimal digit; nil for another byte.
  @inline(__always)
  static func hexadecimal(_ byte: UInt8) -> UInt64? {
    if byte &- 0x30 < 10 { return UInt64(byte &- 0x30) }
    let letter = byte | 0x20
    return letter &- 0x61 < 6 ? UInt64(letter &- 0x61) + 10 : nil
  }

  /// What may stand in `uri-host [":" port]` (RFC 3986 section 3.2), user information left out on purpose.
  static func isAuthority(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
    case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"), UInt8(ascii: "%"): true
    case UInt8(ascii: "!"), UInt8(ascii: "$"), UInt8(ascii: "&"), UInt8(ascii: "'"), UInt8(ascii: "*"): true
    case UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: "+"), comma, semicolon, UInt8(ascii: "="): true
    case colon, UInt8(ascii: "["), UInt8(ascii: "]"): true
    default: false
    }
  }
}
