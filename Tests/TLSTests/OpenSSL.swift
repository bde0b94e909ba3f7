import Foundation
import Testing

/// Files of a test in a directory of their own, and the openssl program run in it.
final class OpenSSL: Sendable {
  let directory: URL

  init() throws {
    directory = FileManager.default.temporaryDirectory.appendingPathComponent("netloom-tls-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: directory) }

  func write(_ name: String, _ bytes: [UInt8]) throws {
    try Data(bytes).write(to: directory.appendingPathComponent(name))
  }

  func read(_ name: String) throws -> [UInt8] {
    try Array(Data(contentsOf: directory.appendingPathComponent(name)))
  }

  /// Runs `program` to its end, and returns what it wrote, both outputs together.
  @discardableResult
  func run(
    _ arguments: [String], input: [UInt8] = [], program: String = "openssl"
  ) throws -> (status: Int32, text: String) {
    let process = Process()
    let output = Pipe()
    try write("input", input)
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [program] + arguments
    process.currentDirectoryURL = directory
    process.standardOutput = output
    process.standardError = output
    process.standardInput = try FileHandle(forReadingFrom: directory.appendingPathComponent("input"))
    try process.run()
    let bytes = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: bytes, as: UTF8.self))
  }
}

/// `openssl s_server -rev`, which sends back each line reversed, on a free port; ended by its process id.
final class OpenSSLServer {
  let port: UInt16
  private let process = Process()

  init(_ openssl: OpenSSL, _ arguments: [String]) throws {
    let output = Pipe()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments =
      ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", "server.pem", "-key", "server.key", "-rev"] + arguments
    process.currentDirectoryURL = openssl.directory
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    process.standardInput = FileHandle.nullDevice
    try process.run()
    // "ACCEPT 127.0.0.1:PORT"
    var text = ""
    var found: UInt16?
    while found == nil {
      let more = output.fileHandleForReading.availableData
      if more.isEmpty { break }
      text += String(decoding: more, as: UTF8.self)
      found = text.firstMatch(of: /ACCEPT .*:(\d+)\n/).flatMap { UInt16($0.1) }
    }
    port = try #require(found, "\(text)")
  }

  deinit {
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
  }
}
