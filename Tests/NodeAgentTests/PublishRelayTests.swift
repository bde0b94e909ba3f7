import CLinux
import EventLoop
import Glibc
import Testing

@testable import NodeAgent

/// client ──► relay's listener ═ relay ══► server's listener ──► server, all on 127.0.0.1
private final class Bench {
  let loop: EventLoop
  let relay: PublishRelay
  private let outer: Int32
  private let inner: Int32
  private(set) var client: Int32 = -1
  private(set) var server: Int32 = -1

  /// - Parameter listens: false: the port inside is nobody's.
  init(listens: Bool = true, most: Int = PublishRelay.mostConnections) throws {
    loop = try EventLoop()
    outer = try Self.listener()
    let service = try Self.listener()
    let port = try Self.port(service)
    if !listens { _ = close(service) }
    inner = listens ? service : -1
    relay = try PublishRelay(loop, Log(), [PublishRelay.Port(listener: outer, inner: port)], most: most)
    client = try Self.dial(try Self.port(outer))
    guard listens else { return }
    try wait("the node's service hears of it") {
      server = accept4(inner, __SOCKADDR_ARG(), nil, Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue))
      return server >= 0
    }
  }

  deinit { for socket in [outer, inner, client, server] where socket >= 0 { _ = close(socket) } }

  /// Another client, of whom the relay need not have heard.
  func dialAgain() throws -> Int32 { try Self.dial(try Self.port(outer)) }

  /// What the node's service hears next; nil: nothing.
  func accept() -> Int32? {
    let raw = accept4(inner, __SOCKADDR_ARG(), nil, Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue))
    return raw >= 0 ? raw : nil
  }

  struct Late: Error { let what: String }

  /// Runs the relay until it holds, ten seconds at most.
  func wait(_ what: String, until holds: () throws -> Bool) throws {
    let deadline = EventLoop.clock() + 10_000_000_000
    while !(try holds()) {
      guard EventLoop.clock() < deadline else { throw Late(what: what) }
      try loop.step(timeout: 1_000_000)
    }
  }

  func read(_ socket: Int32, _ count: Int) throws -> [UInt8] {
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    try wait("\(count) bytes") {
      let got = recv(socket, &buffer, min(buffer.count, count - all.count), 0)
      if got > 0 { all += buffer.prefix(got) }
      return all.count == count
    }
    return all
  }

  /// What ends the stream: 0 for FIN, an errno otherwise.
  func ending(_ socket: Int32) throws -> Int32 {
    var byte: UInt8 = 0
    var ending: Int32 = -1
    try wait("the end") {
      let got = recv(socket, &byte, 1, 0)
      if got == 0 { ending = 0 } else if got < 0, errno != EAGAIN { ending = errno }
      return ending >= 0
    }
    return ending
  }

  private static func address(_ port: UInt16) -> (sockaddr_storage, socklen_t) {
    var storage = sockaddr_storage()
    let length = nl_address(&storage, [127, 0, 0, 1], 4, port, 0)
    return (storage, length)
  }

  private static func listener() throws -> Int32 {
    let raw = nl_tcp_socket(4)
    var (storage, length) = address(0)
    let bound = withUnsafePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), length) }
    }
    guard raw >= 0, bound == 0, listen(raw, 16) == 0 else { throw SystemError.last("listen") }
    return raw
  }

  private static func port(_ socket: Int32) throws -> UInt16 {
    var storage = sockaddr_storage()
    var bytes = [UInt8](repeating: 0, count: 16)
    var (port, scope) = (UInt16(0), UInt32(0))
    guard nl_tcp_local(socket, &storage) == 0, nl_address_parts(&storage, &bytes, &port, &scope) == 4 else {
      throw SystemError.last("getsockname")
    }
    return port
  }

  private static func dial(_ port: UInt16) throws -> Int32 {
    let raw = nl_tcp_socket(4)
    var (storage, length) = address(port)
    let result = withUnsafePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(raw, __CONST_SOCKADDR_ARG(__sockaddr__: $0), length)
      }
    }
    guard raw >= 0, result == 0 || errno == EINPROGRESS else { throw SystemError.last("connect") }
    return raw
  }
}

@Suite struct PublishRelayTests {
  @Test func `bytes go both ways`() throws {
    let bench = try Bench()
    #expect(send(bench.client, "ask", 3, 0) == 3)
    #expect(try bench.read(bench.server, 3) == Array("ask".utf8))
    #expect(send(bench.server, "answer", 6, 0) == 6)
    #expect(try bench.read(bench.client, 6) == Array("answer".utf8))
  }

  @Test func `who has said all still hears the answer`() throws {
    let bench = try Bench()
    #expect(send(bench.client, "ask", 3, 0) == 3)
    #expect(shutdown(bench.client, Int32(SHUT_WR)) == 0)
    #expect(try bench.read(bench.server, 3) == Array("ask".utf8))
    #expect(try bench.ending(bench.server) == 0)
    #expect(send(bench.server, "answer", 6, 0) == 6)
    #expect(shutdown(bench.server, Int32(SHUT_WR)) == 0)
    #expect(try bench.read(bench.client, 6) == Array("answer".utf8))
    #expect(try bench.ending(bench.client) == 0)
  }

  @Test func `connections beyond what it holds wait until one ends, and keep nobody busy`() throws {
    let bench = try Bench(most: 1)
    let second = try bench.dialAgain()
    defer { _ = close(second) }
    // The listener is readable now. Left in the loop, it would end every step at once.
    try bench.loop.step(timeout: 50_000_000)
    let before = EventLoop.clock()
    try bench.loop.step(timeout: 100_000_000)
    #expect(EventLoop.clock() - before >= 100_000_000)
    #expect(bench.accept() == nil)
    #expect(shutdown(bench.client, Int32(SHUT_WR)) == 0)
    #expect(try bench.ending(bench.server) == 0)
    #expect(shutdown(bench.server, Int32(SHUT_WR)) == 0)
    #expect(try bench.ending(bench.client) == 0)
    var served: Int32?
    try bench.wait("the second client is served") {
      served = served ?? bench.accept()
      return served != nil
    }
    _ = served.map { close($0) }
  }

  /// 64 MiB are more than the sockets between them hold: the writer waits for the reader, and nothing is lost.
  @Test func `a slow reader stops the writer and loses nothing`() throws {
    let bench = try Bench()
    let total = 64 << 20
    let pattern = (0..<65536).map { UInt8(truncatingIfNeeded: $0 * 7 + $0 >> 8) }
    var (written, stalled) = (0, false)
    func write() {
      while written < total {
        let start = written % pattern.count
        let count = pattern.withUnsafeBytes {
          send(bench.client, $0.baseAddress?.advanced(by: start), min(pattern.count - start, total - written), 0)
        }
        guard count > 0 else { return }
        written += count
      }
    }
    var quiet = 0
    try bench.wait("the writer stalls") {
      let before = written
      write()
      quiet = written == before ? quiet + 1 : 0
      stalled = quiet > 50
      return stalled
    }
    #expect(written < total)
    var got = 0
    var fine = true
    var buffer = [UInt8](repeating: 0, count: 65536)
    try bench.wait("all of it") {
      write()
      let count = recv(bench.server, &buffer, buffer.count, 0)
      for offset in 0..<max(count, 0) where buffer[offset] != pattern[(got + offset) % pattern.count] { fine = false }
      got += max(count, 0)
      return got == total
    }
    #expect(fine)
  }

  @Test func `a port that nobody listens on resets the connection`() throws {
    let bench = try Bench(listens: false)
    #expect(try bench.ending(bench.client) == ECONNRESET)
  }

  @Test func `a reset is passed on`() throws {
    let bench = try Bench()
    #expect(send(bench.client, "ask", 3, 0) == 3)
    #expect(try bench.read(bench.server, 3) == Array("ask".utf8))
    var linger = linger(l_onoff: 1, l_linger: 0)
    setsockopt(bench.server, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
    // The descriptor stays open under another name until the bench goes; the last close sends RST.
    let spare = open("/dev/null", O_RDWR | O_CLOEXEC)
    #expect(dup2(spare, bench.server) == bench.server)
    _ = close(spare)
    #expect(try bench.ending(bench.client) == ECONNRESET)
  }

  @Test(arguments: [
    ("--publish 7:80", [PublishRelay.Port(listener: 7, inner: 80)]),
    ("--publish 7:80,9:443", [.init(listener: 7, inner: 80), .init(listener: 9, inner: 443)]),
  ]) func `ports are given as descriptor and number`(line: String, ports: [PublishRelay.Port]) {
    let words = line.split(separator: " ").map(String.init)
    #expect(NodeProgram.Arguments(words)?.mode == .publish(ports))
  }

  @Test(arguments: ["--publish", "--publish x", "--publish 7", "--publish 7:0", "--publish 7:70000", "--publish 1:80"])
  func `what is no port is refused`(line: String) {
    #expect(NodeProgram.Arguments(line.split(separator: " ").map(String.init)) == nil)
  }
}
