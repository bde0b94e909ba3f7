/// As much of XML 1.0 as reports of tests use: elements, attributes, text, CDATA, comments, character references. No
/// entities are declared or followed, and a document type is refused: nothing in a report can grow or read a file.
struct XMLScanner {
  enum Event: Equatable {
    case start(String, [String: String], isEmpty: Bool)
    case end(String)
    case text(String)
  }

  private let bytes: [UInt8]
  private var at = 0
  private var open: [String] = []
  private var sawRoot = false

  init(_ bytes: [UInt8]) {
    self.bytes = bytes
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { at = 3 }
  }

  /// nil: the document is over, and whole.
  mutating func next() throws -> Event? {
    while at < bytes.count {
      if bytes[at] != UInt8(ascii: "<") {
        let text = takeText()
        if !open.isEmpty { return .text(text) }
        guard text.allSatisfy(\.isWhitespace) else { throw problem("text outside of the document") }
        continue
      }
      if try skip("<!--", upTo: "-->") || skip("<?", upTo: "?>") { continue }
      if starts("<![CDATA[") { return .text(try take("<![CDATA[", upTo: "]]>")) }
      if starts("<!") { throw problem("a document type, which reports do not need") }
      if starts("</") { return try endTag() }
      return try startTag()
    }
    if let element = open.last { throw problem("the file ends inside <\(element)>") }
    if !sawRoot { throw problem("the file is empty") }
    return nil
  }

  private mutating func takeText() -> String {
    let start = at
    while at < bytes.count, bytes[at] != UInt8(ascii: "<") { at += 1 }
    return Self.decoded(bytes[start..<at])
  }

  private mutating func startTag() throws -> Event {
    if open.isEmpty, sawRoot { throw problem("a second document") }
    at += 1
    let name = try takeName()
    var attributes: [String: String] = [:]
    while true {
      let hadSpace = skipSpace()
      guard at < bytes.count else { throw problem("the file ends inside a tag") }
      if bytes[at] == UInt8(ascii: ">") {
        at += 1
        open.append(name)
        sawRoot = true
        return .start(name, attributes, isEmpty: false)
      }
      if starts("/>") {
        at += 2
        sawRoot = true
        return .start(name, attributes, isEmpty: true)
      }
      guard hadSpace else { throw problem("no space between attributes") }
      let key = try takeName()
      skipSpace()
      guard at < bytes.count, bytes[at] == UInt8(ascii: "=") else { throw problem("attribute \(key) has no value") }
      at += 1
      skipSpace()
      attributes[key] = try takeQuoted()
    }
  }

  private mutating func endTag() throws -> Event {
    at += 2
    let name = try takeName()
    skipSpace()
    guard at < bytes.count, bytes[at] == UInt8(ascii: ">") else { throw problem("</\(name) does not end") }
    at += 1
    guard open.popLast() == name else { throw problem("</\(name)> closes nothing") }
    return .end(name)
  }

  private mutating func takeName() throws -> String {
    let start = at
    while at < bytes.count, !" \t\r\n/>=<\"'&".utf8.contains(bytes[at]) { at += 1 }
    guard at > start else { throw problem("a name is missing") }
    return String(decoding: bytes[start..<at], as: UTF8.self)
  }

  private mutating func takeQuoted() throws -> String {
    guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") || bytes[at] == UInt8(ascii: "'") else {
      throw problem("a value without quotes")
    }
    let quote = bytes[at]
    at += 1
    let start = at
    while at < bytes.count, bytes[at] != quote { at += 1 }
    guard at < bytes.count else { throw problem("a value that does not end") }
    defer { at += 1 }
    return Self.decoded(bytes[start..<at])
  }

  @discardableResult
  private mutating func skipSpace() -> Bool {
    let start = at
    while at < bytes.count, " \t\r\n".utf8.contains(bytes[at]) { at += 1 }
    return at > start
  }

  private func starts(_ text: String) -> Bool { bytes[at...].starts(with: text.utf8) }

  private mutating func skip(_ opening: String, upTo closing: String) throws -> Bool {
    guard starts(opening) else { return false }
    _ = try take(opening, upTo: closing)
    return true
  }

  private mutating func take(_ opening: String, upTo closing: String) throws -> String {
    let start = at + opening.utf8.count
    let wanted = Array(closing.utf8)
    var end = start
    while end + wanted.count <= bytes.count {
      if bytes[end..<(end + wanted.count)].elementsEqual(wanted) {
        at = end + wanted.count
        return String(decoding: bytes[start..<end], as: UTF8.self)
      }
      end += 1
    }
    throw problem("\(opening) does not end")
  }

  private func problem(_ what: String) -> JUnitProblem {
    let line = bytes[..<min(at, bytes.count)].reduce(1) { $1 == 10 ? $0 + 1 : $0 }
    return JUnitProblem(reason: "line \(line): \(what)")
  }

  /// With the five entities of XML and character references resolved; what is none stays as it is.
  private static func decoded(_ slice: ArraySlice<UInt8>) -> String {
    let text = String(decoding: slice, as: UTF8.self)
    guard text.contains("&") else { return text }
    var result = ""
    var rest = text[...]
    while let ampersand = rest.firstIndex(of: "&") {
      result += rest[..<ampersand]
      rest = rest[ampersand...]
      guard let semicolon = rest.prefix(12).firstIndex(of: ";"),
        let meant = meaning(rest[rest.index(after: ampersand)..<semicolon])
      else {
        result += "&"
        rest = rest.dropFirst()
        continue
      }
      result += meant
      rest = rest[rest.index(after: semicolon)...]
    }
    return result + rest
  }

  private static func meaning(_ name: Substring) -> String? {
    switch name {
    case "lt": return "<"
    case "gt": return ">"
    case "amp": return "&"
    case "quot": return "\""
    case "apos": return "'"
    default:
      guard name.hasPrefix("#") else { return nil }
      let digits = name.dropFirst()
      let code = digits.hasPrefix("x") ? UInt32(digits.dropFirst(), radix: 16) : UInt32(digits)
      return code.flatMap(Unicode.Scalar.init).map { String($0) }
    }
  }
}
