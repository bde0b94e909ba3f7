import Glibc

/// The text of a file, checked to be text before anything looks inside.
struct SourceFile {
  /// As the user named it.
  var name: String
  var text: String

  /// 32 MiB: a lab of 100,000 nodes is a third of it.
  static let sizeLimit = 32 << 20

  /// nil after reporting why.
  static func read(path: String, at referrer: Place? = nil, _ reporter: Reporter) -> SourceFile? {
    let place = referrer ?? Place(file: path, line: 1, column: 1)
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      reporter.error(place, "cannot open `\(path)`: \(String(cString: strerror(errno)))")
      return nil
    }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT != S_IFDIR else {
      reporter.error(place, "`\(path)` is a directory; expected a YAML file")
      return nil
    }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 1 << 16)
    while bytes.count <= sizeLimit {
      let count = Glibc.read(descriptor, &piece, piece.count)
      if count == 0 { break }
      if count < 0 {
        if errno == EINTR { continue }
        reporter.error(place, "cannot read `\(path)`: \(String(cString: strerror(errno)))")
        return nil
      }
      bytes.append(contentsOf: piece[..<count])
    }
    return SourceFile(name: path, bytes: bytes, reporter)
  }

  /// nil after reporting what makes it no text.
  init?(name: String, bytes: [UInt8], _ reporter: Reporter) {
    let start = Place(file: name, line: 1, column: 1)
    guard bytes.count <= Self.sizeLimit else {
      reporter.error(start, "the file is larger than \(Self.sizeLimit >> 20) MiB; no topology needs that")
      return nil
    }
    let content = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes[3...] : bytes[...]
    if let index = content.firstIndex(where: { $0 < 0x20 && $0 != 9 && $0 != 10 && $0 != 13 || $0 == 0x7F }) {
      let code = String(content[index], radix: 16)
      reporter.error(
        Self.place(of: index, in: content, file: name), "byte 0x\(code) in a binary file; expected YAML text in UTF-8")
      return nil
    }
    guard let text = String(validating: content, as: UTF8.self) else {
      let valid = Self.validLength(content)
      reporter.error(
        Self.place(of: content.startIndex + valid, in: content, file: name),
        "not UTF-8 from here on; expected YAML text in UTF-8")
      return nil
    }
    self.name = name
    self.text = text
  }

  private static func place(of index: Int, in bytes: ArraySlice<UInt8>, file: String) -> Place {
    let before = bytes[..<index]
    let line = before.reduce(1) { $1 == 10 ? $0 + 1 : $0 }
    let lineStart = before.lastIndex(of: 10).map { $0 + 1 } ?? bytes.startIndex
    // Continuation bytes do not start a scalar.
    let column = before[lineStart...].reduce(1) { $1 & 0xC0 == 0x80 ? $0 : $0 + 1 }
    return Place(file: file, line: line, column: column)
  }

  /// Bytes before the first that is not UTF-8.
  private static func validLength(_ bytes: ArraySlice<UInt8>) -> Int {
    var decoder = UTF8()
    var iterator = bytes.makeIterator()
    var length = 0
    while case .scalarValue(let scalar) = decoder.decode(&iterator) { length += UTF8.width(scalar) }
    return length
  }
}

/// Paths as text; nothing here asks the file system except `absolute` for the current directory.
enum FilePath {
  static func directory(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  static func join(_ directory: String, _ path: String) -> String {
    if path.hasPrefix("/") || directory == "." { return path }
    return directory.hasSuffix("/") ? directory + path : directory + "/" + path
  }

  /// Absolute, with `.` and `..` taken out.
  static func absolute(_ path: String) -> String {
    var whole = path
    if !path.hasPrefix("/"), let current = getcwd(nil, 0) {
      whole = String(cString: current) + "/" + path
      free(current)
    }
    var parts: [Substring] = []
    for part in whole.split(separator: "/") where part != "." {
      if part == ".." { _ = parts.popLast() } else { parts.append(part) }
    }
    return "/" + parts.joined(separator: "/")
  }

  /// nil when it is a file that we may read; otherwise why not.
  static func unreadable(_ path: String) -> String? {
    if let reason = absent(path) { return reason }
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR ? "it is a directory" : nil
  }

  /// nil when it is a file or a directory that we may read; otherwise why not.
  static func absent(_ path: String) -> String? {
    access(path, R_OK) == 0 ? nil : String(cString: strerror(errno))
  }
}
