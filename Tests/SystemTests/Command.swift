import Foundation

/// One finished run of a program.
struct Finished {
  var exit: Int32
  var output: String
  var errors: String
}

/// Runs a program to its end, its output collected, ended by pid when the time is up.
enum Command {
  /// The user that stands for "an ordinary user" when the tests run as root: nobody has no rights to lose.
  static let ordinaryUser = "65534"
  static var isRoot: Bool { getuid() == 0 }

  /// The entry point under test, `scripts/netloom` of this checkout unless NETLOOM says otherwise.
  static var netloom: String {
    ProcessInfo.processInfo.environment["NETLOOM"] ?? "\(checkout)/scripts/netloom"
  }

  static let checkout: String = {
    var url = URL(fileURLWithPath: #filePath)
    for _ in 0..<3 { url.deleteLastPathComponent() }
    return url.path
  }()

  /// - Parameter seconds: more than the command can need; running into it is a failure of the test (exit 124).
  static func run(
    _ program: String, _ arguments: [String], in directory: String? = nil, environment: [String: String] = [:],
    input: String? = nil, seconds: Double = 120
  ) throws -> Finished {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["timeout", "-k", "5", "\(seconds)", program] + arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    if let directory { process.currentDirectoryURL = URL(fileURLWithPath: directory) }
    let output = Pipe()
    let errors = Pipe()
    process.standardOutput = output
    process.standardError = errors
    if let input {
      let pipe = Pipe()
      process.standardInput = pipe
      pipe.fileHandleForWriting.write(Data(input.utf8))
      try pipe.fileHandleForWriting.close()
    } else {
      process.standardInput = FileHandle.nullDevice
    }
    try process.run()
    let collected = Collected()
    let reader = Thread {
      collected.errors = errors.fileHandleForReading.readDataToEndOfFile(); collected.done.signal()
    }
    reader.start()
    let out = output.fileHandleForReading.readDataToEndOfFile()
    collected.done.wait()
    process.waitUntilExit()
    return Finished(
      exit: process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus,
      output: String(decoding: out, as: UTF8.self), errors: String(decoding: collected.errors, as: UTF8.self))
  }

  // proof: written by one thread before the signal, read by another after the wait.
  private final class Collected: @unchecked Sendable {
    var errors = Data()
    let done = DispatchSemaphore(value: 0)
  }

  static func shell(_ text: String, in directory: String? = nil, seconds: Double = 120) throws -> Finished {
    try run("/bin/sh", ["-c", text], in: directory, seconds: seconds)
  }
}
