// Bytes of a connection → the head of a response (RFC 9112 sections 4, 5, 6).

public struct ResponseParser: Sendable {
  private let limits: HeadLimits
  private var lines = HeadLines()
  private var haveStatusLine = false
  /// What has been read so far; whole after `parse` reported that the head is complete.
  public var head = ResponseHead()

  public init(limits: HeadLimits = HeadLimits()) { self.limits = limits }

  /// Whether a part of a head has been read.
  public var isInside: Bool { !head.fields.storage.isEmpty }

  /// Begins the next response; the memory of the last head is used again.
  public mutating func reset() {
    lines = HeadLines()
    haveStatusLine = false
    head.fields.removeAll()
    head.framing = .none
    head.keepsAlive = true
  }

  /// Takes bytes up to the end of the head.
  /// - Parameter method: of the request that this answers: it decides whether there is content.
  public mutating func parse(
    _ input: UnsafeRawBufferPointer, answering method: RequestMethod
  ) throws(HTTP1Failure) -> ParseProgress {
    var offset = 0
    while offset < input.count {
      let rest = UnsafeRawBufferPointer(rebasing: input[offset...])
      let (taken, line) = try lines.feed(rest, into: &head.fields.storage, limit: limits.bytes)
      offset += taken
      if head.fields.storage.first != UInt8(ascii: "H") { throw .invalidStatusLine }
      guard let line else { break }
      if !haveStatusLine {
        try readStatusLine(line)
        haveStatusLine = true
      } else if line.isEmpty {
        try finish(answering: method)
        return ParseProgress(consumed: offset, isComplete: true)
      } else {
        try head.fields.addLine(line, limit: limits.fields)
      }
    }
    return ParseProgress(consumed: offset, isComplete: false)
  }

  private mutating func readStatusLine(_ line: Range<Int32>) throws(HTTP1Failure) {
    let bytes = head.fields.slice(line)
    let start = bytes.startIndex
    guard bytes.count >= 12, bytes.prefix(7).elementsEqual("HTTP/1.".utf8), bytes[start + 8] == ByteClass.space else {
      throw .invalidStatusLine
    }
    guard bytes[start + 7] == UInt8(ascii: "0") || bytes[start + 7] == UInt8(ascii: "1") else {
      throw .unsupportedVersion
    }
    head.minorVersion = Int(bytes[start + 7] - 0x30)
    var status = 0
    for byte in bytes[(start + 9)..<(start + 12)] {
      guard ByteClass.isDigit(byte) else { throw .invalidStatusLine }
      status = status * 10 + Int(byte - 0x30)
    }
    guard status >= 100 else { throw .invalidStatusLine }
    head.status = status
    // The space before an empty reason is often left out, and nothing hangs on it.
    guard bytes.count == 12 || bytes[start + 12] == ByteClass.space else { throw .invalidStatusLine }
    let reason = bytes.dropFirst(13)
    guard reason.allSatisfy(ByteClass.isFieldContent) else { throw .controlCharacter }
    head.reasonRange = reason.isEmpty ? 0..<0 : Int32(reason.startIndex)..<Int32(reason.endIndex)
  }

  /// RFC 9112 section 6.3, in its order.
  private mutating func finish(answering method: RequestMethod) throws(HTTP1Failure) {
    let framing = try Framing(&head.fields)
    head.keepsAlive = framing.persists(minorVersion: head.minorVersion)
    let hasNone = method == .head || head.status < 200 || head.status == 204 || head.status == 304
    if hasNone {
      head.framing = .none
    } else if framing.isChunked {
      guard head.minorVersion == 1 else { throw .transferEncodingInOldVersion }
      head.framing = .chunked
    } else if let length = framing.contentLength {
      head.framing = length == 0 ? .none : .length(length)
    } else {
      head.framing = .untilClose
      head.keepsAlive = false
    }
  }
}
