// Heads that did not come as text but field by field, as HTTP/2 has them. What is let through here would be let through by
// the parsers of HTTP/1.1 too, so a message that is passed on as text means the same to everybody (RFC 9113 section 10.3).

extension HeaderFields {
  /// Adds a field of these octets behind all others.
  /// - Parameter isSensitive: it must never be put into a compression table (RFC 7541 section 7.1.3).
  public mutating func append(
    name: UnsafeBufferPointer<UInt8>, value: UnsafeBufferPointer<UInt8>, isSensitive: Bool = false
  ) throws(HTTP1Failure) {
    guard !name.isEmpty, name.allSatisfy(ByteClass.isToken) else { throw .invalidFieldName }
    guard value.allSatisfy(ByteClass.isFieldContent) else { throw .controlCharacter }
    guard storage.count + name.count + value.count < 1 << 20 else { throw .headTooLarge }
    let start = Int32(storage.count)
    storage.append(contentsOf: name)
    let middle = Int32(storage.count)
    storage.append(contentsOf: value)
    let range = start..<middle
    let trimmed = trimmed(middle..<Int32(storage.count))
    entries.append(Entry(name: range, value: trimmed, known: known(range), isSensitive: isSensitive))
  }

  /// Every field that goes on to the next hop (RFC 9110 section 7.6.1), with octets that are valid during the call only.
  @inline(__always)
  public func forEachEndToEnd(
    _ body: (
      _ name: UnsafeBufferPointer<UInt8>, _ value: UnsafeBufferPointer<UInt8>, _ known: KnownField, _ isSensitive: Bool
    ) -> Void
  ) {
    storage.withUnsafeBufferPointer { bytes in
      for entry in entries {
        switch entry.known {
        case .hopByHop, .connection, .transferEncoding, .upgrade: continue
        default: break
        }
        body(
          UnsafeBufferPointer(rebasing: bytes[Int(entry.name.lowerBound)..<Int(entry.name.upperBound)]),
          UnsafeBufferPointer(rebasing: bytes[Int(entry.value.lowerBound)..<Int(entry.value.upperBound)]), entry.known,
          entry.isSensitive)
      }
    }
  }

  /// Whether the sender takes trailers (RFC 9110 section 10.1.4).
  public var acceptsTrailers: Bool {
    for entry in entries where entry.known == .hopByHop && equals(entry.name, "te") {
      for coding in slice(entry.value).split(separator: ByteClass.comma) {
        let name = coding.prefix { $0 != ByteClass.semicolon }.filter { $0 > ByteClass.space }
        if name.map(ByteClass.lowercase).elementsEqual("trailers".utf8) { return true }
      }
    }
    return false
  }

  /// What frames or routes a message cannot come after it (RFC 9110 section 6.5.1).
  public func checkTrailers() throws(HTTP1Failure) {
    for entry in entries {
      switch entry.known {
      case .host, .contentLength, .transferEncoding, .connection, .upgrade, .expect: throw .forbiddenTrailer
      default: break
      }
    }
  }

  fileprivate func checkConnectionSpecific() throws(HTTP1Failure) {
    for entry in entries {
      switch entry.known {
      case .connection, .transferEncoding, .upgrade: throw .connectionSpecificField
      case .hopByHop where equals(entry.name, "keep-alive") || equals(entry.name, "proxy-connection"):
        throw .connectionSpecificField
      default: break
      }
    }
  }
}

/// The head of a request, put together from its parts. First the pseudo-header fields, then the others, then `finish`.
public struct RequestHeadBuilder {
  private var head = RequestHead()
  /// Where the cookies are among the fields, when there are several.
  private var cookies: [Int] = []
  private var hasMethod = false
  private static let mostFields = HeadLimits().fields

  public init() {
    head.fields.storage.reserveCapacity(512)
    head.fields.entries.reserveCapacity(16)
  }

  public mutating func method(_ octets: UnsafeBufferPointer<UInt8>) throws(HTTP1Failure) {
    guard !octets.isEmpty, octets.count <= 64, octets.allSatisfy(ByteClass.isToken) else { throw .invalidMethod }
    head.methodRange = place(octets)
    head.method = RequestMethod(head.fields, head.methodRange)
    hasMethod = true
  }

  /// Path and query, or `*`.
  public mutating func target(_ octets: UnsafeBufferPointer<UInt8>) throws(HTTP1Failure) {
    guard octets.count <= HeadLimits().startLine else { throw .requestLineTooLong }
    guard !octets.isEmpty, octets.allSatisfy({ ByteClass.isVisible($0) && $0 != UInt8(ascii: "#") }) else {
      throw .invalidTarget
    }
    head.targetRange = place(octets)
  }

  public mutating func authority(_ octets: UnsafeBufferPointer<UInt8>) throws(HTTP1Failure) {
    guard !octets.isEmpty, octets.allSatisfy(ByteClass.isAuthority) else { throw .invalidHost }
    let name = Int32(head.fields.storage.count)
    head.fields.storage.append("host")
    let value = place(octets)
    head.fields.entries.append(HeaderFields.Entry(name: name..<value.lowerBound, value: value, known: .host))
  }

  public mutating func field(
    _ name: UnsafeBufferPointer<UInt8>, _ value: UnsafeBufferPointer<UInt8>, isSensitive: Bool
  ) throws(HTTP1Failure) {
    try head.fields.append(name: name, value: value, isSensitive: isSensitive)
    let last = head.fields.entries.count - 1
    let entry = head.fields.entries[last]
    if entry.name.count == 6, head.fields.equals(entry.name, "cookie") { cookies.append(last) }
    guard last - cookies.count < Self.mostFields else { throw .tooManyFields }
  }

  /// - Parameter hasContent: the stream goes on after its head.
  public mutating func finish(hasContent: Bool) throws(HTTP1Failure) -> RequestHead {
    guard hasMethod else { throw .invalidMethod }
    try checkTarget()
    try head.fields.checkConnectionSpecific()
    try uniteHosts()
    if cookies.count > 1 { joinCookies() }
    let length = try Framing(&head.fields).contentLength
    if hasContent {
      head.framing = length.map { .length($0) } ?? .chunked
    } else if let length, length > 0 {
      throw .invalidContentLength
    }
    try head.readExpectation()
    return head
  }

  private func checkTarget() throws(HTTP1Failure) {
    guard head.method != .connect else { throw .connectRefused }
    let target = head.targetBytes
    if target.first == UInt8(ascii: "/") { return }
    guard target.elementsEqual("*".utf8), head.method == .options else { throw .invalidTarget }
  }

  /// `:authority` and Host may both be there when they say the same (RFC 9113 section 8.3.1).
  private mutating func uniteHosts() throws(HTTP1Failure) {
    guard let first = head.fields.firstIndex(of: .host) else { throw .missingHost }
    let host = head.fields.value(at: first).map(ByteClass.lowercase)
    guard !host.isEmpty, host.allSatisfy(ByteClass.isAuthority) else { throw .invalidHost }
    var index = first + 1
    while index < head.fields.count {
      if head.fields.entries[index].known == .host {
        guard head.fields.value(at: index).map(ByteClass.lowercase) == host else { throw .duplicateHost }
        head.fields.remove(at: index)
        cookies = cookies.map { $0 > index ? $0 - 1 : $0 }
      } else {
        index += 1
      }
    }
  }

  /// RFC 9113 section 8.2.3.
  private mutating func joinCookies() {
    let start = Int32(head.fields.storage.count)
    var isSensitive = false
    for (number, index) in cookies.enumerated() {
      if number > 0 { head.fields.storage.append("; ") }
      head.fields.storage.append(contentsOf: Array(head.fields.value(at: index)))
      isSensitive = isSensitive || head.fields.entries[index].isSensitive
    }
    head.fields.entries[cookies[0]].value = start..<Int32(head.fields.storage.count)
    head.fields.entries[cookies[0]].isSensitive = isSensitive
    for index in cookies.dropFirst().reversed() { head.fields.remove(at: index) }
  }

  private mutating func place(_ octets: UnsafeBufferPointer<UInt8>) -> Range<Int32> {
    let start = Int32(head.fields.storage.count)
    head.fields.storage.append(contentsOf: octets)
    return start..<Int32(head.fields.storage.count)
  }
}

extension ResponseHead {
  /// The head of a response whose fields came one by one.
  /// - Parameter hasContent: the stream goes on after it.
  public init(status: Int, streamed fields: HeaderFields, hasContent: Bool) throws(HTTP1Failure) {
    guard (100...599).contains(status), status != 101 else { throw .invalidStatusLine }
    try fields.checkConnectionSpecific()
    self.fields = fields
    self.status = status
    let length = try Framing(&self.fields).contentLength
    if hasContent { framing = length.map { .length($0) } ?? .chunked }
  }

  /// Where neither framing nor fields say so: that a response of HTTP/1.1 has no content. Without it a client would wait
  /// for the end of the connection (RFC 9112 section 6.3).
  public mutating func stateEmptyContent(answering method: RequestMethod) {
    guard framing == .none, method != .head, status >= 200, status != 204, status != 304,
      fields.firstIndex(of: .contentLength) == nil
    else { return }
    fields.append("Content-Length", "0")
  }
}
