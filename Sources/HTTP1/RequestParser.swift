// Bytes of a connection → the head of a request (RFC 9112 sections 2, 3, 5, 6). What it lets through is unambiguous:
// see `HTTP1Failure` for everything that it refuses, `Framing` for the length of the content.

public struct RequestParser: Sendable {
  private let limits: HeadLimits
  private var lines = HeadLines()
  private var haveRequestLine = false
  /// What has been read so far; whole after `parse` reported that the head is complete. May be taken out.
  public var head = RequestHead()

  public init(limits: HeadLimits = HeadLimits()) { self.limits = limits }

  /// Whether a part of a head has been read.
  public var isInside: Bool { haveRequestLine || !head.fields.storage.isEmpty }

  /// Begins the next request; the memory of the last head is used again.
  public mutating func reset() {
    lines = HeadLines()
    haveRequestLine = false
    head.fields.removeAll()
    head.framing = .none
    head.keepsAlive = true
    head.expectsContinue = false
    head.asksUpgrade = false
  }

  /// Takes bytes up to the end of the head. After an error the connection's further bytes mean nothing.
  public mutating func parse(_ input: UnsafeRawBufferPointer) throws(HTTP1Failure) -> ParseProgress {
    var offset = 0
    while offset < input.count {
      let limit = haveRequestLine ? limits.bytes : min(limits.bytes, limits.startLine)
      let rest = UnsafeRawBufferPointer(rebasing: input[offset...])
      let line: Range<Int32>?
      do throws(HTTP1Failure) {
        let result = try lines.feed(rest, into: &head.fields.storage, limit: limit)
        offset += result.taken
        line = result.line
      } catch {
        throw error == .headTooLarge && !haveRequestLine ? .requestLineTooLong : error
      }
      try checkFirstByte()
      guard let line else { break }
      if try take(line) { return ParseProgress(consumed: offset, isComplete: true) }
    }
    return ParseProgress(consumed: offset, isComplete: false)
  }

  /// What cannot become a request (TLS, another protocol) is refused at its first byte.
  private func checkFirstByte() throws(HTTP1Failure) {
    guard !haveRequestLine, let byte = head.fields.storage.first else { return }
    guard ByteClass.isToken(byte) || byte == ByteClass.carriageReturn else { throw .invalidMethod }
  }

  /// Whether the line was the end of the head.
  private mutating func take(_ line: Range<Int32>) throws(HTTP1Failure) -> Bool {
    if !haveRequestLine {
      if line.isEmpty { return try skipEmptyLine() }
      try readRequestLine(line)
      haveRequestLine = true
      return false
    }
    if line.isEmpty {
      try finish()
      return true
    }
    try head.fields.addLine(line, limit: limits.fields)
    return false
  }

  private mutating func skipEmptyLine() throws(HTTP1Failure) -> Bool {
    let count = lines.emptyLines + 1
    guard count <= 2 else { throw .invalidRequestLine }
    lines = HeadLines(lineStart: 0, emptyLines: count)
    head.fields.storage.removeAll(keepingCapacity: true)
    return false
  }
}

// MARK: - The request line

extension RequestParser {
  private mutating func readRequestLine(_ line: Range<Int32>) throws(HTTP1Failure) {
    let bytes = head.fields.slice(line)
    var position = bytes.startIndex
    while position < bytes.endIndex, ByteClass.isToken(bytes[position]) { position += 1 }
    guard position > bytes.startIndex, position - bytes.startIndex <= 64, position < bytes.endIndex,
      bytes[position] == ByteClass.space
    else { throw .invalidMethod }
    head.methodRange = line.lowerBound..<Int32(position)
    position += 1
    let targetStart = position
    while position < bytes.endIndex, ByteClass.isVisible(bytes[position]) { position += 1 }
    guard position > targetStart else { throw .invalidRequestLine }
    guard position < bytes.endIndex else { throw .http09 }
    guard bytes[position] == ByteClass.space else { throw .invalidTarget }
    head.targetRange = Int32(targetStart)..<Int32(position)
    try readVersion(bytes[(position + 1)...])
    head.method = RequestMethod(head.fields, head.methodRange)
  }

  private mutating func readVersion(_ text: ArraySlice<UInt8>) throws(HTTP1Failure) {
    let start = text.startIndex
    guard text.count == 8, text.prefix(5).elementsEqual("HTTP/".utf8), ByteClass.isDigit(text[start + 5]),
      text[start + 6] == UInt8(ascii: "."), ByteClass.isDigit(text[start + 7])
    else { throw .invalidRequestLine }
    guard text[start + 5] == UInt8(ascii: "1"), text[start + 7] <= UInt8(ascii: "1") else {
      throw .unsupportedVersion
    }
    head.minorVersion = Int(text[start + 7] - 0x30)
  }
}

// MARK: - The end of the head

extension RequestParser {
  private mutating func finish() throws(HTTP1Failure) {
    try checkHost()
    try readTarget()
    let framing = try Framing(&head.fields)
    if framing.isChunked {
      guard head.minorVersion == 1 else { throw .transferEncodingInOldVersion }
      head.framing = .chunked
    } else if let length = framing.contentLength, length > 0 {
      head.framing = .length(length)
    }
    head.keepsAlive = framing.persists(minorVersion: head.minorVersion)
    head.asksUpgrade =
      framing.upgrades && head.minorVersion == 1 && head.fields.firstIndex(of: .upgrade) != nil
    try head.readExpectation()
  }

  /// RFC 9112 section 3.2: exactly one, and it is a host.
  private func checkHost() throws(HTTP1Failure) {
    var found = false
    for index in head.fields.entries.indices where head.fields.entries[index].known == .host {
      guard !found else { throw .duplicateHost }
      found = true
      guard head.fields.value(at: index).allSatisfy(ByteClass.isAuthority) else { throw .invalidHost }
    }
    guard found || head.minorVersion == 0 else { throw .missingHost }
  }

  /// RFC 9112 section 3.2.1 to 3.2.4: origin-form stays, absolute-form becomes origin-form and Host, `*` is for
  /// OPTIONS alone, CONNECT is refused.
  private mutating func readTarget() throws(HTTP1Failure) {
    guard head.method != .connect else { throw .connectRefused }
    let target = head.targetBytes
    guard !target.contains(UInt8(ascii: "#")) else { throw .invalidTarget }
    if target.first == UInt8(ascii: "/") { return }
    if target.count == 1, target.first == UInt8(ascii: "*") {
      guard head.method == .options else { throw .invalidTarget }
      return
    }
    try splitAbsoluteForm(String(decoding: target, as: UTF8.self))
  }

  private mutating func splitAbsoluteForm(_ target: String) throws(HTTP1Failure) {
    let scheme = target.prefix(7).lowercased() == "http://" ? 7 : target.prefix(8).lowercased() == "https://" ? 8 : 0
    guard scheme > 0 else { throw .invalidTarget }
    let rest = target.dropFirst(scheme)
    let authority = rest.prefix { $0 != "/" && $0 != "?" }
    guard !authority.isEmpty, authority.utf8.allSatisfy(ByteClass.isAuthority) else { throw .invalidTarget }
    let path = rest.dropFirst(authority.count)
    let origin =
      path.isEmpty ? (head.method == .options ? "*" : "/") : path.first == "?" ? "/" + path : String(path)
    let start = Int32(head.fields.storage.count)
    head.fields.storage.append(contentsOf: origin.utf8)
    head.targetRange = start..<Int32(head.fields.storage.count)
    head.fields.set("Host", String(authority))
  }
}

extension RequestHead {
  mutating func readExpectation() throws(HTTP1Failure) {
    for index in fields.entries.indices where fields.entries[index].known == .expect {
      guard fields.equals(fields.entries[index].value, "100-continue") else { throw .unsupportedExpectation }
      expectsContinue = minorVersion == 1 && framing != .none
    }
  }
}
