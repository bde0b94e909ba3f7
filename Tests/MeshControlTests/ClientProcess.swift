import Foundation
import Glibc

/// A program that is told what to do line by line, and answers line by line.
final class ClientProcess {
  private let process = Process()
  private let input = Pipe()
  private let output = Pipe()
  private var buffer: [UInt8] = []
  private let ended = DispatchSemaphore(value: 0)

  struct Silence: Error {
    let awaited: String
    let heard: String
  }

  init(_ arguments: [String], environment: [String: String] = [:]) throws {
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
    process.standardInput = input
    process.standardOutput = output
    process.terminationHandler = { [ended] _ in ended.signal() }
    try process.run()
  }

  deinit { stop() }

  /// Sends a line and reads the answer: the next line.
  func ask(_ line: String) throws -> String {
    try input.fileHandleForWriting.write(contentsOf: Data((line + "\n").utf8))
    return try readLine("an answer to \(line)")
  }

  /// The next line of output.
  func readLine(_ awaited: String, milliseconds: Int32 = 30_000) throws -> String {
    while true {
      if let end = buffer.firstIndex(of: 10) {
        let line = String(decoding: buffer[..<end], as: UTF8.self)
        buffer.removeSubrange(...end)
        return line
      }
      var descriptor = pollfd(fd: output.fileHandleForReading.fileDescriptor, events: Int16(POLLIN), revents: 0)
      guard poll(&descriptor, 1, milliseconds) > 0 else { throw Silence(awaited: awaited, heard: heard) }
      var chunk = [UInt8](repeating: 0, count: 4096)
      let count = read(descriptor.fd, &chunk, chunk.count)
      guard count > 0 else { throw Silence(awaited: awaited, heard: heard) }
      buffer += chunk[..<count]
    }
  }

  private var heard: String { String(decoding: buffer, as: UTF8.self) }

  /// Ends it, whatever it is doing, and waits until it has ended, never longer than for a minute.
  func stop() {
    guard process.isRunning else { return }
    process.terminate()
    // It has cleaned up when it has let go of its output.
    while (try? readLine("its end")) != nil {}
    if ended.wait(timeout: .now() + 20) == .timedOut { kill(process.processIdentifier, SIGKILL) }
  }
}

/// What the tests with real clients need, and where it is found.
enum RealClients {
  /// Envoy of NETLOOM_ENVOY, or of the PATH.
  static let envoy: String? = {
    if let named = ProcessInfo.processInfo.environment["NETLOOM_ENVOY"] { return named }
    let paths = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    return paths.map { "\($0)/envoy" }.first { access($0, X_OK) == 0 }
  }()

  /// A Python with grpcio and xds-protos: of NETLOOM_XDS_PYTHON, or the first of the PATH.
  static let python: String? = {
    let name = ProcessInfo.processInfo.environment["NETLOOM_XDS_PYTHON"] ?? "python3"
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [name, "-c", "import grpc; import envoy.service.discovery.v3.discovery_pb2"]
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return nil }
    process.waitUntilExit()
    return process.terminationStatus == 0 ? name : nil
  }()

  static func skip(_ what: String) { print("skipped: \(what)") }
}
