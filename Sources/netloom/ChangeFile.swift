import Glibc
import Lab
import NorthboundAPI
import NorthboundClient

/// A CHANGE as the user gives it: a file, or `-` for what comes in.
struct ChangeFile {
  /// What diagnostics call it.
  let name: String
  let text: String

  init(_ path: String) throws(LabError) {
    name = path == "-" ? "<stdin>" : path
    let descriptor = path == "-" ? dup(0) : open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw LabError(.usage, "cannot read \(path): \(String(cString: strerror(errno)))") }
    defer { close(descriptor) }
    text = try Self.read(descriptor, name)
  }

  /// In bytes. The controller takes a body of 8 MiB, and JSON writes a character of a file as two at most; a device that
  /// never ends is not read for ever.
  private static let limit = 4_000_000

  private static func read(_ descriptor: Int32, _ name: String) throws(LabError) -> String {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = buffer.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
      if count == 0 { break }
      if count < 0 {
        if errno == EINTR { continue }
        throw LabError(.usage, "cannot read \(name): \(String(cString: strerror(errno)))")
      }
      bytes += buffer[..<count]
      guard bytes.count <= limit else {
        throw LabError(.usage, "\(name) is longer than a CHANGE may be: \(limit / 1_000_000) MB")
      }
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw LabError(.usage, "\(name) is not UTF-8 text")
    }
    return text
  }
}

/// Who changes something, for the history: the person, also under sudo.
enum Author {
  static var name: String {
    for variable in ["SUDO_USER", "USER", "LOGNAME"] {
      if let value = getenv(variable).map({ String(cString: $0) }), !value.isEmpty { return value }
    }
    return getpwuid(getuid()).map { String(cString: $0.pointee.pw_name) } ?? "uid \(getuid())"
  }
}

extension Lab {
  /// Asks for a change. A controller that dies over it leaves the lab in one whole version: the restarted one says which.
  func changing<Answer>(_ ask: (NorthboundClient) async throws -> Answer) async throws -> Answer {
    do {
      return try await naming(ask)
    } catch let error as ClientError {
      switch error {
      case .interrupted, .timedOut: break
      case .unreachable, .malformed: throw error
      }
      guard let entry = try? await client.history(limit: 20, offset: 0).first(where: \.current) else { throw error }
      throw LabError(
        .environment,
        "\(error); the lab is wholly in version \(entry.version) (\(entry.change)); see: netloom history")
    }
  }
}
