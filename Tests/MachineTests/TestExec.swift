import CLinux
import ControlProtocol
import EventLoop
import Glibc
import SwiftProtobuf
import Testing

/// What a command run through machine.sock said and how it ended.
struct ExecResult {
  var output = ""
  var code: Int32 = -1
  var signal: Int32 = 0
  var error: String?
}

/// The CLI's side of machine.sock.
final class TestExec {
  private let lab: TestLab
  private let connection: StreamConnection
  private var reader = FrameReader()
  private(set) var result = ExecResult()
  private(set) var started: Int32 = 0
  private(set) var finished = false
  private(set) var terminal: Int32 = -1
  private let collect: Int32

  init(_ lab: TestLab, _ node: String, _ argv: [String], terminal wanted: Bool = false) throws {
    self.lab = lab
    connection = try StreamConnection(lab.loop, try UnixSocket.connect(lab.directory.machineSocket))
    let path = "\(lab.root)/output\(EventLoop.clock())"
    let output = try FileDescriptor.open(path, O_RDWR | O_CREAT)
    let null = try FileDescriptor.open("/dev/null", O_RDWR)
    collect = try output.duplicate().release()
    var execute = NLExecute()
    execute.node = node
    execute.argv = argv
    execute.environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "CLIENT=yes"]
    execute.directory = "/tmp"
    if wanted { (execute.terminal, execute.rows, execute.columns) = (true, 33, 99) }
    connection.onDescriptors = { [weak self] in self?.terminal = $0[0] }
    connection.onBytes = { [weak self] in self?.receive($0) }
    connection.onClose = { [weak self] _ in self?.finished = true }
    let message = NLToMachine.with { $0.execute = execute }
    try connection.send(try frame(message), descriptors: [null.rawValue, output.rawValue, output.rawValue])
  }

  deinit {
    close(collect)
    if terminal >= 0 { close(terminal) }
  }

  private func receive(_ bytes: UnsafeRawBufferPointer) {
    reader.append(bytes)
    while let message = (try? reader.next(NLFromMachine.self)).flatMap({ $0 }) {
      switch message.body {
      case .started(let start): started = start.pid
      case .exited(let end): (result.code, result.signal, finished) = (end.code, end.signal, true)
      case .error(let text): (result.error, finished) = (text, true)
      case nil: break
      }
    }
  }

  func signal(_ number: Int32) throws {
    connection.send(try frame(NLToMachine.with { $0.signal = .with { $0.number = number } }))
  }

  /// Goes away without a word.
  func vanish() {
    connection.close()
    if terminal >= 0 { close(terminal) }
    terminal = -1
  }

  func waitForStart() throws { try lab.wait("the start of a command") { started > 0 || finished } }

  /// Everything until its end.
  func wait() throws -> ExecResult {
    try lab.wait("the end of a command") { finished }
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    let count = terminal >= 0 ? read(terminal, &buffer, buffer.count) : pread(collect, &buffer, buffer.count, 0)
    result.output = String(decoding: buffer[..<max(0, count)], as: UTF8.self)
    return result
  }
}

extension TestLab {
  /// Runs a command in a node to its end.
  func run(_ node: String, _ argv: String...) throws -> ExecResult { try TestExec(self, node, argv).wait() }

  /// Runs a shell line and returns its output without the last newline; anything but exit 0 is an error.
  func shell(_ node: String, _ line: String) throws -> String {
    let result = try run(node, "/bin/sh", "-c", line)
    guard result.error == nil, result.code == 0, result.signal == 0 else { throw TestFailure("\(line): \(result)") }
    return result.output.hasSuffix("\n") ? String(result.output.dropLast()) : result.output
  }
}
