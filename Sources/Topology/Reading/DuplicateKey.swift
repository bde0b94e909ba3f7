import Yams

/// Finds where a key stands for the second time in its mapping, given its first place. Yams tells only the first.
struct DuplicateKey {
  var key: String
  var line: Int
  var column: Int
  /// Of the key without quotes, in scalars of the text.
  var range: Range<Int>

  init?(first: Mark, in text: [Unicode.Scalar]) {
    var index = 0
    var line = 1
    while line < first.line, index < text.count {
      if text[index] == "\n" { line += 1 }
      index += 1
    }
    let lineStart = index
    index += first.column - 1
    guard index < text.count else { return nil }
    let name = Self.key(at: index, in: text)
    guard let name else { return nil }
    key = String(String.UnicodeScalarView(name.text))
    let block = text[lineStart..<index].allSatisfy { $0 == " " || $0 == "-" }
    self.line = line
    column = 0
    range = 0..<0
    let found =
      block
      ? inBlock(after: name.end, column: first.column, name: name.text, text)
      : inFlow(after: name.end, name: name.text, text)
    guard found else { return nil }
  }

  /// A plain or quoted key: its text and where it ends.
  private static func key(at index: Int, in text: [Unicode.Scalar]) -> (text: [Unicode.Scalar], start: Int, end: Int)? {
    guard index < text.count else { return nil }
    if text[index] == "\"" || text[index] == "'" {
      guard let close = text[(index + 1)...].firstIndex(of: text[index]) else { return nil }
      return (Array(text[(index + 1)..<close]), index + 1, close)
    }
    var end = index
    while end < text.count, text[end] != "\n" {
      if text[end] == ":", end + 1 == text.count || text[end + 1].properties.isWhitespace { break }
      if text[end] == "," || text[end] == "}" { break }
      end += 1
    }
    var last = end
    while last > index, text[last - 1] == " " { last -= 1 }
    return last > index ? (Array(text[index..<last]), index, last) : nil
  }

  /// A line whose first word, at the same column, is the key again.
  private mutating func inBlock(after: Int, column wanted: Int, name: [Unicode.Scalar], _ text: [Unicode.Scalar])
    -> Bool
  {
    var index = after
    while index < text.count {
      if text[index] == "\n" {
        line += 1
        var start = index + 1
        while start < text.count, text[start] == " " { start += 1 }
        if start - index == wanted, accept(start, name, column: wanted, text) { return true }
      }
      index += 1
    }
    return false
  }

  /// The next token inside the same braces that is the key again.
  private mutating func inFlow(after: Int, name: [Unicode.Scalar], _ text: [Unicode.Scalar]) -> Bool {
    var depth = 0
    var index = after
    var lineStart = (text[..<after].lastIndex(of: "\n") ?? -1) + 1
    while index < text.count, depth >= 0 {
      switch text[index] {
      case "{", "[": depth += 1
      case "}", "]": depth -= 1
      case "\n":
        line += 1
        lineStart = index + 1
      case "," where depth == 0:
        var start = index + 1
        var startLine = line
        var startOfLine = lineStart
        while start < text.count, text[start].properties.isWhitespace {
          if text[start] == "\n" {
            startLine += 1
            startOfLine = start + 1
          }
          start += 1
        }
        let before = line
        line = startLine
        if accept(start, name, column: start - startOfLine + 1, text) { return true }
        line = before
      default: break
      }
      index += 1
    }
    return false
  }

  private mutating func accept(_ start: Int, _ name: [Unicode.Scalar], column: Int, _ text: [Unicode.Scalar]) -> Bool {
    guard let found = Self.key(at: start, in: text), found.text == name else { return false }
    self.column = column
    range = found.start..<found.end
    return true
  }
}
