import FoundationEssentials
import Glibc

/// What goes to stdout and stderr.
enum Output {
  static let isTerminal = isatty(1) == 1
  static let isErrorTerminal = isatty(2) == 1

  /// https://no-color.org: set and not empty.
  static let environmentForbidsColor: Bool = {
    guard let value = getenv("NO_COLOR") else { return environmentTerminalIsDumb }
    return value.pointee != 0 || environmentTerminalIsDumb
  }()

  private static let environmentTerminalIsDumb = getenv("TERM").map { String(cString: $0) == "dumb" } ?? false

  static func line(_ text: String) { write(text + "\n", to: 1) }

  static func text(_ text: String) { write(text, to: 1) }

  static func note(_ text: String) { write(text + "\n", to: 2) }

  static func error(_ text: String) { write("netloom: \(text)\n", to: 2) }

  /// Progress on a terminal: overwrites itself.
  static func progress(_ text: String) { write("\r\u{1B}[K\(text)", to: 2) }

  /// One document on a line of its own, at once.
  static func jsonLine(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    line(String(decoding: try encoder.encode(value), as: UTF8.self))
  }

  static func json(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    line(String(decoding: try encoder.encode(value), as: UTF8.self))
  }

  /// The environment of this process as KEY=VALUE.
  static var environment: [String] {
    ProcessInfo.processInfo.environment.map { "\($0.key)=\($0.value)" }.sorted()
  }

  static var currentDirectory: String { FileManager.default.currentDirectoryPath }

  /// A reader that went away ends the output, not the command.
  private static func write(_ text: String, to descriptor: Int32) {
    let bytes = Array(text.utf8)
    var written = 0
    while written < bytes.count {
      let count = bytes[written...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno != EINTR, errno != EAGAIN { return }
      written += max(0, count)
    }
  }
}

/// ANSI colours, or none.
struct Palette {
  let color: Bool

  func bold(_ text: String) -> String { wrap("1", text) }
  func dim(_ text: String) -> String { wrap("2", text) }
  func red(_ text: String) -> String { wrap("31", text) }
  func green(_ text: String) -> String { wrap("32", text) }
  func yellow(_ text: String) -> String { wrap("33", text) }

  private func wrap(_ code: String, _ text: String) -> String {
    color && !text.isEmpty ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
  }
}
