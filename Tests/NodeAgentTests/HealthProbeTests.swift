import CLinux
import ControlProtocol
import EventLoop
import Glibc
import Testing

@testable import NodeAgent

/// A probe and the program that it asks, on one loop, on 127.0.0.1.
private final class Bench {
  let loop: EventLoop
  private(set) var verdicts: [NLSample.Health] = []
  private(set) lazy var probe: HealthProbe = HealthProbe(loop) { [weak self] in
    self.map { $0.verdicts.append($0.probe.verdict) }
  }
  let listener: Int32
  let port: UInt16
  /// The status that a GET is answered with; nil: accepted and never answered.
  var status: Int? = 200
  private(set) var requests: [String] = []
  private var connections: [Int32] = []
  private var isOpen = true

  init() throws {
    loop = try EventLoop()
    let listener = nl_tcp_socket(4)
    self.listener = listener
    var storage = sockaddr_storage()
    let length = nl_address(&storage, [127, 0, 0, 1], 4, 0, 0)
    let bound = withUnsafePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, __CONST_SOCKADDR_ARG(__sockaddr__: $0), length)
      }
    }
    guard bound == 0, listen(listener, 16) == 0 else { throw SystemError.last("listen") }
    var bytes = [UInt8](repeating: 0, count: 16)
    var (port, scope) = (UInt16(0), UInt32(0))
    var local = sockaddr_storage()
    guard nl_tcp_local(listener, &local) == 0, nl_address_parts(&local, &bytes, &port, &scope) == 4 else {
      throw SystemError.last("getsockname")
    }
    self.port = port
    try loop.register(listener, .read) { [unowned self] _ in accept() }
  }

  deinit {
    probe.apply(nil)
    stop()
    for connection in connections { _ = close(connection) }
  }

  /// The program ends.
  func stop() {
    guard isOpen else { return }
    isOpen = false
    loop.unregister(listener)
    _ = close(listener)
  }

  private func accept() {
    let raw = accept4(listener, __SOCKADDR_ARG(), nil, Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue))
    guard raw >= 0 else { return }
    connections.append(raw)
    try? loop.register(raw, .read) { [unowned self] _ in
      var buffer = [UInt8](repeating: 0, count: 4096)
      let count = recv(raw, &buffer, buffer.count, 0)
      loop.unregister(raw)
      guard count > 0, let status else { return }
      requests.append(String(decoding: buffer.prefix(count), as: UTF8.self).prefix { $0 != "\r\n" }.description)
      let answer = Array("HTTP/1.1 \(status) X\r\ncontent-length: 0\r\n\r\n".utf8)
      _ = send(raw, answer, answer.count, Int32(MSG_NOSIGNAL))
    }
  }

  func check(path: String = "", failures: UInt32 = 1, successes: UInt32 = 1) -> NLHealthCheck {
    var check = NLHealthCheck()
    check.port = UInt32(port)
    check.path = path
    check.intervalMs = 5
    check.timeoutMs = 200
    check.failures = failures
    check.successes = successes
    return check
  }

  /// Runs the loop until it holds, five seconds at most.
  func wait(_ holds: () -> Bool) throws -> Bool {
    let deadline = EventLoop.clock() + 5_000_000_000
    while !holds() {
      guard EventLoop.clock() < deadline else { return false }
      _ = try loop.step(timeout: 1_000_000)
    }
    return true
  }
}

@Suite struct HealthProbeTests {
  @Test func aPortThatIsListenedOnIsEnoughWhereNoPathIsGiven() throws {
    let bench = try Bench()
    bench.probe.apply(bench.check())
    #expect(try bench.wait { bench.probe.verdict == .well })
    bench.stop()
    #expect(try bench.wait { bench.probe.verdict == .ill })
    #expect(bench.verdicts == [.well, .ill] && bench.requests.isEmpty)
  }

  @Test(arguments: [(200, NLSample.Health.well), (302, .well), (404, .ill), (503, .ill)])
  func anAnswerBelow400IsAGoodOne(_ status: Int, _ verdict: NLSample.Health) throws {
    let bench = try Bench()
    bench.status = status
    bench.probe.apply(bench.check(path: "/healthz"))
    #expect(try bench.wait { bench.probe.verdict == verdict })
    #expect(bench.requests.first == "GET /healthz HTTP/1.1")
  }

  @Test func soManyInARowMakeAVerdict() throws {
    let bench = try Bench()
    bench.probe.apply(bench.check(path: "/", failures: 3, successes: 2))
    #expect(try bench.wait { bench.probe.verdict == .well } && bench.requests.count >= 2)
    bench.status = 500
    let before = bench.requests.count
    #expect(try bench.wait { bench.probe.verdict == .ill } && bench.requests.count >= before + 3)
    #expect(bench.verdicts == [.well, .ill])
  }

  @Test func whoDoesNotAnswerInTimeIsIll() throws {
    let bench = try Bench()
    bench.status = nil
    var check = bench.check(path: "/")
    check.timeoutMs = 30
    bench.probe.apply(check)
    #expect(try bench.wait { bench.probe.verdict == .ill })
  }

  @Test func withoutACheckNothingIsKnown() throws {
    let bench = try Bench()
    bench.probe.apply(bench.check())
    #expect(try bench.wait { bench.probe.verdict == .well })
    bench.probe.apply(nil)
    #expect(bench.probe.verdict == .unknown)
  }
}
