internal import Glibc

/// Files that a user names, read whole and checked to be text.
enum TextFile {
  struct Problem: Error {
    var message: String
    var line = 1
    var column = 1
  }

  /// 4 MiB: thousands of nodes are a tenth of it.
  static let sizeLimit = 4 << 20

  static func read(_ path: String) -> Result<String, Problem> {
    // O_NONBLOCK: a FIFO nobody writes to must not hold the import up.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { return .failure(failed("open", path)) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { return .failure(failed("read", path)) }
    guard status.st_mode & S_IFMT != S_IFDIR else {
      return .failure(Problem(message: "`\(path)` is a directory; expected a file"))
    }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 1 << 16)
    while bytes.count <= sizeLimit {
      let count = Glibc.read(descriptor, &piece, piece.count)
      if count == 0 { break }
      if count < 0 {
        if errno == EINTR { continue }
        return .failure(failed("read", path))
      }
      bytes.append(contentsOf: piece[..<count])
    }
    return text(bytes, path)
  }

  static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  private static func text(_ bytes: [UInt8], _ path: String) -> Result<String, Problem> {
    guard bytes.count <= sizeLimit else {
      return .failure(Problem(message: "`\(path)` is larger than \(sizeLimit >> 20) MiB; expected a text of a lab"))
    }
    let content = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes[3...] : bytes[...]
    if let index = content.firstIndex(where: { $0 < 0x20 && $0 != 9 && $0 != 10 && $0 != 13 || $0 == 0x7F }) {
      let before = content[..<index]
      let start = before.lastIndex(of: 10).map { $0 + 1 } ?? before.startIndex
      let column = before[start...].reduce(1) { $1 & 0xC0 == 0x80 ? $0 : $0 + 1 }
      return .failure(
        Problem(
          message: "byte 0x\(String(content[index], radix: 16)) in a binary file; expected text in UTF-8",
          line: before.reduce(1) { $1 == 10 ? $0 + 1 : $0 }, column: column))
    }
    guard let text = String(validating: content, as: UTF8.self) else {
      return .failure(Problem(message: "`\(path)` is not UTF-8; expected text in UTF-8"))
    }
    return .success(text)
  }

  private static func failed(_ what: String, _ path: String) -> Problem {
    Problem(message: "cannot \(what) `\(path)`: \(String(cString: strerror(errno)))")
  }
}

/// Paths as text; only `absolute` asks the system, for the current directory.
enum Paths {
  static func directory(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  static func absolute(_ path: String, from base: String? = nil) -> String {
    if path.hasPrefix("/") { return normal(path) }
    if let base { return normal(base + "/" + path) }
    guard let current = getcwd(nil, 0) else { return normal("/" + path) }
    defer { free(current) }
    return normal(String(cString: current) + "/" + path)
  }

  /// Both absolute.
  static func relative(_ path: String, to directory: String) -> String {
    let parts = path.split(separator: "/")
    let base = directory.split(separator: "/")
    let shared = zip(parts, base).prefix { $0 == $1 }.count
    let up = Array(repeating: Substring(".."), count: base.count - shared)
    return (up + parts[shared...]).joined(separator: "/")
  }

  private static func normal(_ path: String) -> String {
    var parts: [Substring] = []
    for part in path.split(separator: "/") where part != "." {
      if part == ".." { _ = parts.popLast() } else { parts.append(part) }
    }
    return "/" + parts.joined(separator: "/")
  }
}
