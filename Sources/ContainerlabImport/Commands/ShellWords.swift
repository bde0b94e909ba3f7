/// Command lines as words and back. Containerlab splits `exec` and `cmd` itself and starts no shell; netloom gives them
/// to one, so that words which mean something to a shell are quoted anew.
enum ShellWords {
  /// nil: a quote is not closed. As containerlab splits: a backslash takes its meaning from any character, but within
  /// single quotes; `#` before a word begins a comment.
  static func split(_ text: String) -> [String]? {
    var words: [String] = []
    var word: String?
    var quote: Character?
    var characters = text[...]
    while let character = characters.popFirst() {
      if character == quote {
        quote = nil
        continue
      }
      switch character {
      case "\\" where quote != "'":
        guard let next = characters.popFirst() else { return nil }
        word = (word ?? "") + String(next)
      case _ where quote != nil: word = (word ?? "") + String(character)
      case "'", "\"":
        quote = character
        word = word ?? ""
      case "#" where word == nil: characters = characters.drop { !$0.isNewline }
      case " ", "\t", "\n", "\r", "\r\n":
        if let done = word { words.append(done) }
        word = nil
      default: word = (word ?? "") + String(character)
      }
    }
    if quote != nil { return nil }
    return words + (word.map { [$0] } ?? [])
  }

  static func join(_ words: [String]) -> String { words.map(quoted).joined(separator: " ") }

  private static let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-")

  private static func quoted(_ word: String) -> String {
    if !word.isEmpty, word.allSatisfy(plain.contains) { return word }
    return "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
  }

  /// `sh -c SCRIPT` → the script.
  static func script(_ words: [String]) -> (shell: String, text: String)? {
    guard words.count == 3, let shell = words[0].split(separator: "/").last,
      ["sh", "bash", "ash", "dash"].contains(shell), ["-c", "-ec", "-ce", "-lc", "-xc"].contains(words[1])
    else { return nil }
    return (String(shell), words[2])
  }

  /// The commands of a script that has only `&&`, `;` and line ends between them, as words each; nil for any other.
  static func simpleCommands(_ script: String) -> [[String]]? {
    var pieces: [String] = [""]
    var quote: Character?
    var characters = script[...]
    while let character = characters.popFirst() {
      if let open = quote {
        if character == open { quote = nil }
        // A double-quoted text still has variables.
        if open == "\"", "$`\\".contains(character) { return nil }
        pieces[pieces.count - 1].append(character)
        continue
      }
      switch character {
      case "'", "\"":
        quote = character
        pieces[pieces.count - 1].append(character)
      case ";", "\n", "\r\n": pieces.append("")
      case "&":
        guard characters.first == "&" else { return nil }
        characters.removeFirst()
        pieces.append("")
      case "|", "<", ">", "$", "`", "(", ")", "{", "}", "*", "?", "[", "]", "#", "!", "~", "\\": return nil
      default: pieces[pieces.count - 1].append(character)
      }
    }
    guard quote == nil else { return nil }
    var commands: [[String]] = []
    for piece in pieces {
      guard let words = split(piece) else { return nil }
      guard let first = words.first else { continue }
      // `NAME=value` alone, or before a command, is the shell's.
      if first.contains("=") { return nil }
      if ["if", "for", "while", "until", "case", "then", "do", "done", "fi", "else", "cd", "set", "."].contains(first) {
        return nil
      }
      commands.append(words)
    }
    return commands
  }
}
