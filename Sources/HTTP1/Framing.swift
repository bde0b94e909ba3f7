// Where the content of a message ends, and what the connection is for afterwards. RFC 9112 section 6.3 leaves choices;
// here every message that two recipients might read differently is refused.

struct Framing {
  var contentLength: UInt64?
  var isChunked = false
  var closes = false
  var keepsAlive = false
  var upgrades = false

  /// Reads Content-Length, Transfer-Encoding and Connection, and marks what Connection names. Further fields of one and
  /// the same Content-Length are taken away.
  init(_ fields: inout HeaderFields) throws(HTTP1Failure) {
    var transferEncodings = 0
    var connections = false
    var index = 0
    while index < fields.count {
      switch fields.entries[index].known {
      case .contentLength:
        let length = try Framing.length(fields.value(at: index))
        if let contentLength {
          guard contentLength == length else { throw .differingContentLength }
          fields.remove(at: index)
          continue
        }
        contentLength = length
      case .transferEncoding:
        transferEncodings += 1
        guard transferEncodings == 1 else { throw .invalidTransferEncoding }
        try Framing.checkCoding(fields, fields.entries[index].value)
        isChunked = true
      case .connection: connections = true
      default: break
      }
      index += 1
    }
    guard contentLength == nil || !isChunked else { throw .lengthAndTransferEncoding }
    if connections { try readConnection(&fields) }
  }

  /// Digits only: no sign, no list, no white space inside (RFC 9110 section 8.6).
  private static func length(_ text: ArraySlice<UInt8>) throws(HTTP1Failure) -> UInt64 {
    guard !text.isEmpty, text.count <= 18 else { throw .invalidContentLength }
    var value: UInt64 = 0
    for byte in text {
      guard ByteClass.isDigit(byte) else { throw .invalidContentLength }
      value = value * 10 + UInt64(byte - 0x30)
    }
    return value
  }

  private static func checkCoding(_ fields: HeaderFields, _ value: Range<Int32>) throws(HTTP1Failure) {
    if fields.equals(value, "chunked") { return }
    let codings = fields.slice(value).split(separator: ByteClass.comma, omittingEmptySubsequences: false)
      .map { coding in String(decoding: coding.map(ByteClass.lowercase), as: UTF8.self).trimmed }
    let known: Set<String> = ["chunked", "gzip", "x-gzip", "deflate", "compress", "x-compress"]
    guard codings.allSatisfy(known.contains), codings.last == "chunked", !codings.dropLast().contains("chunked") else {
      throw .invalidTransferEncoding
    }
    throw .unsupportedTransferCoding
  }

  private mutating func readConnection(_ fields: inout HeaderFields) throws(HTTP1Failure) {
    for index in fields.entries.indices where fields.entries[index].known == .connection {
      let value = fields.entries[index].value
      var start = value.lowerBound
      while start < value.upperBound {
        var end = start
        while end < value.upperBound, fields.storage[Int(end)] != ByteClass.comma { end += 1 }
        try readOption(fields.trimmed(start..<end), &fields)
        start = end + 1
      }
    }
  }

  private mutating func readOption(_ option: Range<Int32>, _ fields: inout HeaderFields) throws(HTTP1Failure) {
    if option.isEmpty { return }
    guard fields.slice(option).allSatisfy(ByteClass.isToken) else { throw .invalidConnection }
    if fields.equals(option, "close") {
      closes = true
    } else if fields.equals(option, "keep-alive") {
      keepsAlive = true
    } else if fields.equals(option, "upgrade") {
      upgrades = true
    } else {
      fields.markHopByHop(named: option)
    }
  }

  /// Whether the connection goes on after a message of this minor version (RFC 9112 section 9.3).
  func persists(minorVersion: Int) -> Bool { minorVersion == 0 ? keepsAlive && !closes : !closes }
}

extension HeaderFields {
  /// The range without white space at its ends.
  func trimmed(_ range: Range<Int32>) -> Range<Int32> {
    var first = range.lowerBound
    var last = range.upperBound
    while first < last, isBlank(storage[Int(first)]) { first += 1 }
    while last > first, isBlank(storage[Int(last - 1)]) { last -= 1 }
    return first..<last
  }

  private func isBlank(_ byte: UInt8) -> Bool { byte == ByteClass.space || byte == ByteClass.tab }
}

extension String {
  fileprivate var trimmed: String {
    String(drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
  }
}
