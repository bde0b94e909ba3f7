internal import Glibc

/// A POSIX extended regular expression that the whole of a text has to match, as sidecars match requests. The engine of
/// libc has no references back in such expressions' hot path and takes no time that grows exponentially.
///
/// On top, what RE2 (Envoy's) understands the same: `\d`, `\D` outside of brackets, and in brackets `\d`, `\w` and escaped
/// punctuation. What the two would take for different things is refused: other escaped letters and digits, and escapes of
/// what closes or divides a bracket.
public final class TextPattern {
  private var expression = regex_t()

  /// nil: not an expression of this kind.
  public init?(_ text: String) {
    guard text.utf8.count <= 4096, !text.utf8.contains(0), let translated = Self.posix(text),
      regcomp(&expression, "^(\(translated))$", REG_EXTENDED | REG_NOSUB) == 0
    else { return nil }
  }

  deinit { regfree(&expression) }

  public func matches(_ text: String) -> Bool { regexec(&expression, text, 0, nil, 0) == 0 }

  private static func posix(_ text: String) -> String? {
    var result = ""
    var rest = text[...]
    while let character = rest.popFirst() {
      switch character {
      case "\\":
        guard let escaped = rest.popFirst(), let translated = escape(escaped) else { return nil }
        result += translated
      case "[":
        guard let bracket = bracket(&rest) else { return nil }
        result += bracket
      default: result.append(character)
      }
    }
    return result
  }

  private static func escape(_ character: Character) -> String? {
    switch character {
    case "d": "[0-9]"
    case "D": "[^0-9]"
    case "w", "W", "s", "S", "b", "B": "\\\(character)"  // libc's, with the same meaning
    // A reference back would make matching exponential.
    case _ where character.isLetter || character.isNumber: nil
    default: "\\\(character)"
    }
  }

  /// What stands behind `[`, up to the `]` that closes it. In brackets POSIX knows no escapes.
  private static func bracket(_ rest: inout Substring) -> String? {
    var result = "["
    if rest.first == "^" { result.append(rest.removeFirst()) }
    // First of all it stands for itself.
    if rest.first == "]" { result.append(rest.removeFirst()) }
    while let character = rest.popFirst() {
      switch character {
      case "]": return result + "]"
      case "\\":
        switch rest.popFirst() {
        case "d": result += "0-9"
        case "w": result += "0-9A-Za-z_"
        case let escaped?
        where escaped.isASCII && !escaped.isLetter && !escaped.isNumber && !"]-^\\[".contains(escaped):
          result.append(escaped)
        default: return nil
        }
      case "[":
        // A class, `[:alpha:]`; or itself.
        guard rest.first == ":", let end = rest.range(ofClassEnd: ":]") else {
          guard rest.first != "=", rest.first != "." else { return nil }
          result.append(character)
          continue
        }
        result += "[" + rest[..<end]
        rest = rest[end...]
      default: result.append(character)
      }
    }
    return nil
  }
}

extension Substring {
  /// Where the text behind the first occurrence begins.
  fileprivate func range(ofClassEnd end: String) -> Index? {
    var index = startIndex
    while index < endIndex {
      if self[index...].hasPrefix(end) { return self.index(index, offsetBy: end.count) }
      index = self.index(after: index)
    }
    return nil
  }
}
