/// Scalars and flow collections as a topology file writes them.
enum YAMLText {
  /// Plain where every YAML reader takes it for this text or for a number, quoted otherwise.
  static func scalar(_ text: String) -> String { isPlain(text) ? text : quoted(text) }

  static func list(_ items: [String]) -> String { "[" + items.map(scalar).joined(separator: ", ") + "]" }

  private static let words: Set = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "~"]

  private static func isPlain(_ text: String) -> Bool {
    guard let first = text.utf8.first, let last = text.utf8.last, last != 32 else { return false }
    let starts =
      isAlphanumeric(first) || first == UInt8(ascii: "/") || first == UInt8(ascii: ".") || first == UInt8(ascii: "_")
    return starts && text.utf8.allSatisfy { isAlphanumeric($0) || " /._-+=@()".utf8.contains($0) }
      && !words.contains(text.lowercased())
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    (48...57).contains(byte) || (97...122).contains(byte | 32)
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      case "\r": result += "\\r"
      case _
      where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
        || [0x2028, 0x2029, 0xFEFF].contains(scalar.value)
        || (0xFFFE...0xFFFF).contains(scalar.value):
        let digits = String(scalar.value, radix: 16, uppercase: true)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
