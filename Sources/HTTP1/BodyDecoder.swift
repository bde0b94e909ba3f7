// The content of one message out of the bytes of its connection. Chunks (RFC 9112 section 7.1) are taken strictly and
// their framing is thrown away: whoever passes the content on writes chunks of its own, so nothing that a lax recipient
// might read otherwise gets past.

public struct BodyDecoder: Sendable {
  /// One step: what of the input is content, and how far the decoder got.
  public struct Step: Equatable, Sendable {
    /// Bytes of the input that are done with.
    public let consumed: Int
    /// Which of them are content; may be empty.
    public let content: Range<Int>
    /// The message is complete.
    public let isEnd: Bool
  }

  private enum State: Equatable {
    case raw(UInt64)  // so many bytes are left
    case untilClose
    case size  // in the digits of a chunk's size
    case extensions
    case sizeLineFeed
    case chunk(UInt64)
    case chunkCarriageReturn
    case chunkLineFeed
    case trailers
    case ended
  }

  private var state: State
  private var size: UInt64 = 0
  private var lineBytes = 0  // of the present chunk line
  private var digits = 0
  private var quoted = false
  private var escaped = false
  private var lines = HeadLines()
  /// Fields behind the last chunk, without those that must not stand there; empty for other framings.
  public private(set) var trailers = HeaderFields()

  private static let chunkLineLimit = 1024
  private static let trailerLimit = 8192

  public init(_ framing: BodyFraming) {
    state =
      switch framing {
      case .none, .length(0): .ended
      case .length(let length): .raw(length)
      case .chunked: .size
      case .untilClose: .untilClose
      }
  }

  public var isEnded: Bool { state == .ended }

  /// Whether the end of the connection is the end of the content; otherwise the message was cut off.
  public var endsWithConnection: Bool { state == .untilClose || state == .ended }

  /// Takes the input up to the next stretch of content, the end of the message, or its own end. Call it again with the
  /// rest until the rest is empty or `isEnd`.
  public mutating func decode(_ input: UnsafeRawBufferPointer) throws(HTTP1Failure) -> Step {
    var offset = 0
    while offset < input.count {
      switch state {
      case .ended: return Step(consumed: offset, content: 0..<0, isEnd: true)
      case .untilClose: return Step(consumed: input.count, content: offset..<input.count, isEnd: false)
      case .raw(let left), .chunk(let left):
        return take(left, offset, input.count)
      case .trailers:
        offset += try trailerLine(UnsafeRawBufferPointer(rebasing: input[offset...]))
      default:
        try step(input[offset])
        offset += 1
      }
    }
    return Step(consumed: offset, content: 0..<0, isEnd: state == .ended)
  }

  private mutating func take(_ left: UInt64, _ offset: Int, _ end: Int) -> Step {
    let count = Int(min(left, UInt64(end - offset)))
    let rest = left - UInt64(count)
    if case .raw = state {
      state = rest == 0 ? .ended : .raw(rest)
    } else {
      state = rest == 0 ? .chunkCarriageReturn : .chunk(rest)
    }
    return Step(consumed: offset + count, content: offset..<(offset + count), isEnd: state == .ended)
  }

  // MARK: Chunk lines

  private mutating func step(_ byte: UInt8) throws(HTTP1Failure) {
    lineBytes += 1
    guard lineBytes <= BodyDecoder.chunkLineLimit else { throw .chunkLineTooLong }
    switch state {
    case .size: try sizeByte(byte)
    case .extensions: try extensionByte(byte)
    case .sizeLineFeed:
      guard byte == ByteClass.lineFeed else { throw .invalidChunkSize }
      state = size == 0 ? .trailers : .chunk(size)
    case .chunkCarriageReturn:
      guard byte == ByteClass.carriageReturn else { throw .invalidChunkEnd }
      state = .chunkLineFeed
    default:
      guard byte == ByteClass.lineFeed else { throw .invalidChunkEnd }
      state = .size
      size = 0
      digits = 0
      lineBytes = 0
    }
  }

  private mutating func sizeByte(_ byte: UInt8) throws(HTTP1Failure) {
    if let digit = ByteClass.hexadecimal(byte) {
      // 15 digits stay below 2^60. Leading zeros count too: nobody needs them.
      guard digits < 15 else { throw .chunkSizeOverflow }
      digits += 1
      size = size << 4 | digit
      return
    }
    guard digits > 0 else { throw .invalidChunkSize }
    if byte == ByteClass.carriageReturn {
      state = .sizeLineFeed
    } else if byte == ByteClass.semicolon {
      state = .extensions
      quoted = false
      escaped = false
    } else {
      // White space before the semicolon is "bad" in RFC 9112 section 7.1.1, and has been used for smuggling.
      throw .invalidChunkSize
    }
  }

  private mutating func extensionByte(_ byte: UInt8) throws(HTTP1Failure) {
    if byte == ByteClass.carriageReturn {
      guard !quoted else { throw .invalidChunkExtension }
      state = .sizeLineFeed
      return
    }
    guard ByteClass.isFieldContent(byte) else { throw .invalidChunkExtension }
    if quoted {
      if escaped {
        escaped = false
      } else if byte == UInt8(ascii: "\\") {
        escaped = true
      } else if byte == UInt8(ascii: "\"") {
        quoted = false
      }
    } else if byte == UInt8(ascii: "\"") {
      quoted = true
    } else if !ByteClass.isToken(byte), byte != UInt8(ascii: "="), byte != ByteClass.semicolon {
      throw .invalidChunkExtension
    }
  }

  // MARK: Trailers

  private mutating func trailerLine(_ input: UnsafeRawBufferPointer) throws(HTTP1Failure) -> Int {
    let result: (taken: Int, line: Range<Int32>?)
    do throws(HTTP1Failure) {
      result = try lines.feed(input, into: &trailers.storage, limit: BodyDecoder.trailerLimit)
    } catch {
      throw error == .headTooLarge ? .trailersTooLarge : error
    }
    guard let line = result.line else { return result.taken }
    if line.isEmpty {
      state = .ended
      return result.taken
    }
    do throws(HTTP1Failure) {
      try trailers.addLine(line, limit: 32)
    } catch {
      throw error == .tooManyFields ? .trailersTooLarge : error
    }
    try trailers.checkTrailers()
    return result.taken
  }
}
