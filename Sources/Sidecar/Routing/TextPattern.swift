import Glibc

/// A POSIX extended regular expression that the whole of a text has to match. The engine of libc has no references
/// back in such expressions' hot path and takes no time that grows exponentially; `\d` is understood on top.
final class TextPattern {
  private var expression = regex_t()

  init?(_ text: String) {
    guard text.utf8.count <= 4096, !text.utf8.contains(0) else { return nil }
    var translated = ""
    var escaped = false
    for character in text {
      if escaped {
        translated += character == "d" ? "[0-9]" : character == "D" ? "[^0-9]" : "\\\(character)"
        // A reference back would make matching exponential.
        if character.isNumber { return nil }
        escaped = false
      } else if character == "\\" {
        escaped = true
      } else {
        translated.append(character)
      }
    }
    guard !escaped, regcomp(&expression, "^(\(translated))$", REG_EXTENDED | REG_NOSUB) == 0 else { return nil }
  }

  deinit { regfree(&expression) }

  func matches(_ text: String) -> Bool { regexec(&expression, text, 0, nil, 0) == 0 }
}
