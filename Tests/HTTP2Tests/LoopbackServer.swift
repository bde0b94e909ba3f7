import CLinux
import EventLoop
import Foundation
import HTTP2

/// An HTTP/2 server over clear text on a free port of 127.0.0.1, in a thread of its own. It sends bodies back, and to
/// GET /size/N a body of N octets.
final class LoopbackServer: Sendable {
  let port: UInt16
  private let stopper: Int32
  private let ended = DispatchSemaphore(value: 0)

  init() throws {
    let listener = try systemCall("socket") { nl_tcp_socket(4) }
    var address = sockaddr_storage()
    let length = nl_address(&address, [127, 0, 0, 1], 4, 0, 0)
    try withUnsafeBytes(of: &address) { bytes in
      let pointer = __CONST_SOCKADDR_ARG(__sockaddr__: bytes.bindMemory(to: sockaddr.self).baseAddress)
      try systemCall("bind") { bind(listener, pointer, length) }
    }
    try systemCall("listen") { listen(listener, 100) }
    try systemCall("getsockname") { nl_tcp_local(listener, &address) }
    var bytes = [UInt8](repeating: 0, count: 16)
    var (port, scope): (UInt16, UInt32) = (0, 0)
    _ = nl_address_parts(&address, &bytes, &port, &scope)
    self.port = port
    var ends: [Int32] = [0, 0]
    try systemCall("pipe2") { pipe2(&ends, O_CLOEXEC) }
    stopper = ends[1]
    let ended = ended
    Thread.detachNewThread { [ends] in
      try? Self.serve(listener, until: ends[0])
      close(listener)
      close(ends[0])
      ended.signal()
    }
  }

  deinit {
    close(stopper)
    ended.wait()
  }

  private static func serve(_ listener: Int32, until stopping: Int32) throws {
    let loop = try EventLoop()
    var connections: [Int32: EchoConnection] = [:]
    try loop.register(stopping, .read) { _ in loop.stop() }
    try loop.register(listener, .read) { _ in
      var from = sockaddr_storage()
      let descriptor = nl_tcp_accept(listener, &from)
      guard descriptor >= 0 else { return }
      nl_tcp_nodelay(descriptor)
      let connection = EchoConnection(loop, descriptor) { connections[descriptor] = nil }
      connections[descriptor] = connection
      try? loop.register(descriptor, .read) { [unowned connection] in connection.handle($0) }
    }
    try loop.run()
    for descriptor in connections.keys { close(descriptor) }
  }
}

/// One connection of the server.
private final class EchoConnection {
  private let loop: EventLoop
  private let descriptor: Int32
  private let session: HTTP2Session
  private let ended: () -> Void
  private var output: [UInt8] = []

  init(_ loop: EventLoop, _ descriptor: Int32, ended: @escaping () -> Void) {
    self.loop = loop
    self.descriptor = descriptor
    self.ended = ended
    session = HTTP2Session(.server)
    session.onEvent = { [unowned self] in answer($0) }
  }

  private func answer(_ event: HTTP2Event) {
    switch event {
    case .head(let stream, let fields, let end):
      let path = fields.first { $0.name == ":path" }?.text ?? ""
      try? session.submitResponse(stream, [HeaderField(":status", "200")], endStream: false)
      guard end else { return }
      let count = path.hasPrefix("/size/") ? Int(path.dropFirst(6)) ?? 0 : 0
      _ = try? session.send(stream, [UInt8](repeating: 0x78, count: count), endStream: true)
    case .data(let stream, let bytes, let end):
      _ = try? session.send(stream, bytes, endStream: end)
      session.consumed(stream, bytes.count)
    default: break
    }
  }

  func handle(_ readiness: EventLoop.Readiness) {
    if readiness.contains(.readable) {
      let count = read(descriptor, loop.scratch.baseAddress, loop.scratch.count)
      if count == 0 || (count < 0 && errno != EAGAIN) { return end() }
      if count > 0 { try? session.receive(UnsafeRawBufferPointer(rebasing: loop.scratch[..<count]), now: loop.now) }
    }
    flush()
  }

  private func flush() {
    while true {
      if output.isEmpty { session.pullOutput(into: &output) }
      if output.isEmpty { break }
      let count = output.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      if count < 0 && errno != EAGAIN { return end() }
      if count < 0 { break }
      output.removeFirst(count)
    }
    if output.isEmpty && session.isFinished { return end() }
    try? loop.modify(descriptor, output.isEmpty ? .read : [.read, .write])
  }

  private func end() {
    loop.unregister(descriptor)
    close(descriptor)
    ended()
  }
}

/// Runs a program to its end and returns what it wrote, both outputs together.
func run(_ program: String, _ arguments: [String]) throws -> (status: Int32, text: String) {
  let process = Process()
  let pipe = Pipe()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = [program] + arguments
  process.standardOutput = pipe
  process.standardError = pipe
  process.standardInput = FileHandle.nullDevice
  try process.run()
  let bytes = pipe.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  return (process.terminationStatus, String(decoding: bytes, as: UTF8.self))
}
