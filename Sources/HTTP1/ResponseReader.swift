/// A whole response, read as its bytes come: for clients that look at responses and do not pass them on.
public struct ResponseReader: Sendable {
  private let method: RequestMethod
  private let mostContent: Int
  private var parser = ResponseParser()
  private var body: BodyDecoder?
  /// What has come of the content, up to the limit.
  public private(set) var content: [UInt8] = []

  /// - Parameters:
  ///   - method: of the request that is answered.
  ///   - mostContent: bytes of content that are kept; what comes beyond them is read and forgotten.
  public init(answering method: RequestMethod = .get, mostContent: Int = 0) {
    self.method = method
    self.mostContent = mostContent
  }

  /// Whole after `read` said so, or `isWholeAtEnd`.
  public var head: ResponseHead { parser.head }

  /// Whether the end of the connection, now, is the end of the response; otherwise it was cut off.
  public var isWholeAtEnd: Bool { body?.endsWithConnection ?? false }

  /// Takes bytes; interim responses (1xx) are passed over.
  /// - Returns: whether the response is whole. What came behind its end is forgotten.
  public mutating func read(_ bytes: UnsafeRawBufferPointer) throws(HTTP1Failure) -> Bool {
    var offset = 0
    while offset < bytes.count {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
      if var body {
        let step = try body.decode(rest)
        keep(rest[step.content])
        self.body = body
        offset += step.consumed
        if step.isEnd { return true }
      } else {
        let progress = try parser.parse(rest, answering: method)
        offset += progress.consumed
        guard progress.isComplete else { return false }
        if parser.head.status < 200, parser.head.status != 101 {
          parser.reset()
          continue
        }
        let decoder = BodyDecoder(parser.head.framing)
        body = decoder
        if decoder.isEnded { return true }
      }
    }
    return false
  }

  private mutating func keep(_ bytes: Slice<UnsafeRawBufferPointer>) {
    content += bytes.prefix(mostContent - content.count)
  }
}
