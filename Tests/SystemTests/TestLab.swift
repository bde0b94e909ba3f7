import Foundation
import Testing

/// A scratch folder and the labs begun from it; its end takes all of them away, and has Wireshark's
/// tools read every capture that lies there.
final class Bench {
  let directory: String
  /// Ordinary-user benches run every netloom command as nobody, with a home of their own.
  let ordinary: Bool
  private var labs: [String] = []
  /// For every command, over the test's own.
  var environment: [String: String] = [:]

  init(ordinary: Bool = false) throws {
    directory = "/tmp/nlt-\(getpid())-\(UInt32.random(in: 0..<1 << 24))"
    self.ordinary = ordinary && Command.isRoot
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    if self.ordinary { _ = try Command.run("chown", [Command.ordinaryUser, directory]) }
  }

  deinit {
    for lab in labs { _ = try? netloom(["down", "--lab", lab]) }
    do {
      for complaint in try CaptureFiles.complaints(in: directory) { Issue.record("\(complaint)") }
    } catch {
      Issue.record(error)
    }
    try? FileManager.default.removeItem(atPath: directory)
  }

  @discardableResult
  func netloom(_ arguments: [String], seconds: Double = 120) throws -> Finished {
    guard ordinary else {
      return try Command.run(Command.netloom, arguments, in: directory, environment: environment, seconds: seconds)
    }
    let prefix = [
      "--reuid=\(Command.ordinaryUser)", "--regid=\(Command.ordinaryUser)", "--clear-groups", "env", "-u",
      "XDG_RUNTIME_DIR", "TMPDIR=\(directory)",
      "HOME=\(directory)",
    ]
    return try Command.run(
      "setpriv", prefix + [Command.netloom] + arguments, in: directory, environment: environment,
      seconds: seconds)
  }

  /// Writes a file into the folder and answers its path.
  func file(_ name: String, _ text: String) throws -> String {
    let path = "\(directory)/\(name)"
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    return path
  }

  /// Brings a lab up; the topology's own name must be unique to the test.
  func up(_ name: String, _ topology: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> Status {
    let path = try file("\(name).yaml", "name: \(name)\n" + topology)
    labs.append(name)
    let up = try netloom(["up", path, "-o", "json"])
    try #require(up.exit == 0, "\(up.errors)\(up.output)", sourceLocation: sourceLocation)
    return try JSONDecoder().decode(Status.self, from: Data(up.output.utf8))
  }

  func status(_ lab: String) throws -> Status {
    let status = try netloom(["status", "--lab", lab, "-o", "json"])
    try #require(status.exit == 0, "\(status.errors)")
    return try JSONDecoder().decode(Status.self, from: Data(status.output.utf8))
  }

  /// Polls a fact until it holds; false when it did not in `seconds`.
  func eventually(_ seconds: Double = 10, _ fact: () throws -> Bool) rethrows -> Bool {
    let end = Date().addingTimeInterval(seconds)
    repeat {
      if try fact() { return true }
      sched_yield()
    } while Date() < end
    return false
  }
}

/// What the tests read of `status -o json`: written against the contract, not against the product's own types.
struct Status: Decodable {
  struct Controller: Decodable { var pid: Int32 }
  struct Node: Decodable {
    var name: String
    var kind: String
    var pid: Int32
    var state: String
  }
  struct Session: Decodable {
    var node: String
    var neighbor: String
    var state: String
    var prefixesReceived: Int
  }
  var lab: String
  var pid: Int32
  var controller: Controller
  var converged: Bool
  var convergedBy: String?
  var nodes: [Node]
  var sessions: [Session]

  func node(_ name: String) throws -> Node { try #require(nodes.first { $0.name == name }) }
}

func isAlive(_ pid: Int32) -> Bool { kill(pid, 0) == 0 || errno == EPERM }
