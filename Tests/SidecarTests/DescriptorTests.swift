import CLinux
import EventLoop
import Foundation
import Testing

@testable import Sidecar

/// A sidecar's program that has no descriptors left.
@Suite struct DescriptorTests {
  /// The program in front of a server, with one worker.
  private final class Program {
    let port: UInt16
    let admin: UInt16
    private let process = Process()
    private let log: String

    init(_ origin: UInt16) throws {
      let ports = try Self.freePorts(2)
      (port, admin) = (ports[0], ports[1])
      log = NSTemporaryDirectory() + "netloom-descriptors-\(getpid()).log"
      try #require(FileManager.default.createFile(atPath: log, contents: nil))
      // Beside the test bundle.
      let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
      process.executableURL = URL(fileURLWithPath: own).deletingLastPathComponent().appending(path: "netloom-sidecar")
      process.arguments = [
        "--tcp", "--listen", "127.0.0.1:\(port)", "--upstream", "127.0.0.1:\(origin)", "--admin", "127.0.0.1:\(admin)",
        "--workers", "1",
      ]
      process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: log))
      try process.run()
    }

    deinit {
      process.terminate()
      process.waitUntilExit()
      unlink(log)
    }

    /// Ports of loopback that nobody has.
    private static func freePorts(_ count: Int) throws -> [UInt16] {
      let held = try (0..<count).map { _ in try TCPSocket.listen(Setup.loopback(0)).release() }
      defer { for socket in held { close(socket) } }
      return try held.map { try #require(TCPSocket.local($0)?.port) }
    }

    func connect(_ port: UInt16) throws -> Peer {
      let deadline = EventLoop.clock() + EventLoop.milliseconds(10_000)
      while true {
        do {
          return try Peer.connect(port)
        } catch  where EventLoop.clock() < deadline {
          sched_yield()
        }
      }
    }

    /// Leaves no number for a new descriptor, or as many as there were before.
    func setFull(_ full: Bool) throws {
      let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process.processIdentifier)/fd")
      let used = Set(open.compactMap(Int.init))
      let limit = full ? try #require((0...).first { !used.contains($0) }) : 1024
      let status = system("prlimit --pid \(process.processIdentifier) --nofile=\(limit):")
      try #require(status == 0)
    }

    func said(_ text: String) -> Int {
      let lines = (try? String(contentsOfFile: log, encoding: .utf8))?.split(separator: "\n") ?? []
      return lines.count { $0.contains(text) }
    }

    func await(_ text: String) -> Bool {
      let deadline = EventLoop.clock() + EventLoop.milliseconds(10_000)
      while said(text) == 0 { if EventLoop.clock() > deadline { return false } }
      return true
    }
  }

  @Test("what is under way goes on, what comes waits without keeping the processor busy, and is served later")
  func none() throws {
    let origin = Origin { peer in
      guard let hello = peer.read(until: "\n") else { return }
      peer.write("\(hello)")
      peer.write("\(peer.readAll().utf8.count) bytes")
    }
    let program = try Program(origin.port)
    let first = try program.connect(program.port)
    first.write("one\n")
    #expect(first.read(until: "\n") == "one\n")

    try program.setFull(true)
    let second = try Peer.connect(program.port)
    let question = try Peer.connect(program.admin)
    #expect(program.await("accept: ") && program.await("admin: "))
    // Enough for what would be spliced; without descriptors for the pipes it is copied on.
    first.write([UInt8](repeating: 120, count: 8 << 20))
    first.endWriting()
    #expect(first.readAll() == "\(8 << 20) bytes")
    #expect(program.said("splice: ") == 1)
    // One a second, where a loop that is not left alone would have said it at each of its steps.
    #expect(program.said("accept: ") < 20 && program.said("admin: ") < 20)

    try program.setFull(false)
    second.write("two\n")
    second.endWriting()
    #expect(second.readAll() == "two\n0 bytes")
    question.write("GET /ready HTTP/1.1\r\nHost: sidecar\r\nConnection: close\r\n\r\n")
    #expect(Answer(question.readAll()).body == "ready\n")
  }
}
