import CLinux
import ControlProtocol
import EventLoop
import Glibc
import NetTypes
import Netlink
import Testing

@testable import NodeAgent

/// A controller that says what a test wants it to say, on the loop of the agent under test.
final class FakeController {
  let loop: EventLoop
  let path: String
  private var listener: Int32 = -1
  private var stream: StreamConnection?
  private var reader = FrameReader()
  private(set) var received: [NLToController] = []
  private var lastRequest: UInt64 = 0

  init(_ loop: EventLoop, path: String) throws {
    self.loop = loop
    self.path = path
    try start()
  }

  deinit { stop() }

  func start() throws {
    listener = try UnixSocket.listen(path).release()
    try loop.register(listener, .read) { [weak self] _ in
      guard let self, let socket = try? UnixSocket.accept(self.listener) else { return }
      self.reader = FrameReader()
      self.stream = try? StreamConnection(self.loop, socket)
      self.stream?.onBytes = { [weak self] in self?.take($0) }
    }
  }

  /// As after a crash: the socket file stays, nobody answers.
  func stop() {
    stream?.close()
    stream = nil
    guard listener >= 0 else { return }
    loop.unregister(listener)
    close(listener)
    listener = -1
  }

  private func take(_ bytes: UnsafeRawBufferPointer) {
    reader.append(bytes)
    while let message = try? reader.next(NLToController.self) { received.append(message) }
  }

  func send(_ fill: (inout NLFromController) -> Void) throws -> UInt64 {
    lastRequest += 1
    var envelope = NLFromController()
    envelope.request = lastRequest
    fill(&envelope)
    try #require(stream).send(frame(envelope))
    return lastRequest
  }

  /// Runs the loop until a message fits; no longer than a minute. Older messages than it are forgotten.
  func next<T>(_ what: String, _ pick: (NLToController) -> T?) throws -> T {
    let deadline = EventLoop.clock() + EventLoop.milliseconds(60_000)
    while true {
      for (index, message) in received.enumerated() {
        guard let found = pick(message) else { continue }
        received.removeSubrange(...index)
        return found
      }
      try #require(EventLoop.clock() < deadline, "no \(what) came within a minute")
      try loop.step(timeout: EventLoop.milliseconds(50))
    }
  }

  func hello() throws -> NLHello { try next("hello") { if case .hello(let hello)? = $0.body { hello } else { nil } } }

  func ask(_ fill: (inout NLFromController) -> Void) throws -> NLToController {
    let request = try send(fill)
    return try next("answer") { $0.request == request ? $0 : nil }
  }

  func desire(_ version: UInt64, routes: [NLRoute]) throws -> NLAck {
    try ask { message in
      message.desired.version = version
      message.desired.routes.routes = routes
    }.ack
  }

  func sample(wave: UInt64) throws -> NLSample { try ask { $0.sampleRequest.wave = wave }.sample }
}

/// An agent in a namespace of its own, with two links:  eth1 10.7.0.1/24 fd07::1/64,  eth2 10.8.0.1/24 fd08::1/64.
final class LabNode {
  let loop: EventLoop
  let namespace: Namespace
  let far: Namespace
  let farSocket: NetlinkSocket
  /// What is behind each interface: `far` behind all of them, or a host of its own.
  let hosts: [Namespace]
  let socket: NetlinkSocket
  let controller: FakeController
  let agent: Agent
  private let directory: String

  /// nil: it may; otherwise why these tests are skipped.
  static let refusal: String? = {
    do {
      _ = try Namespace.create()
      return nil
    } catch {
      print("agent tests that need a network namespace are skipped: \(error)")
      return "\(error)"
    }
  }()
  static var isAllowed: Bool { refusal == nil }

  /// - Parameter count: 1, or 2 for a namespace of its own behind each interface.
  init(hosts count: Int = 1) throws {
    loop = try EventLoop()
    namespace = try Namespace.create()
    far = try Namespace.create()
    hosts = count == 1 ? [far, far] : [far, try Namespace.create()]
    socket = try NetlinkSocket(in: namespace)
    farSocket = try NetlinkSocket(in: far)
    try Sysctl.write([.init("net.ipv6.conf.all.keep_addr_on_down", "1")], in: namespace)
    // Nobody else has these addresses; looking for one who has takes a second.
    for place in [namespace] + hosts { try Sysctl.write([.init("net.ipv6.conf.default.accept_dad", "0")], in: place) }
    for number in 1...2 as ClosedRange<UInt32> {
      let index = InterfaceIndex(rawValue: 10 + number)
      let name = try #require(InterfaceName("eth\(number)"))
      let host = hosts[Int(number) - 1]
      let ends = (VethEnd(name, in: namespace, index: index), VethEnd(name, in: host, index: index))
      try socket.commit { $0.addVethPair(ends.0, ends.1) }
      try NetlinkSocket(in: host).commit { $0.setLink(index, up: true) }
      for text in ["10.\(6 + number).0.1/24", "fd0\(6 + number)::1/64"] {
        let address = try #require(InterfaceAddress(text))
        try socket.commit { batch in
          batch.setLink(index, up: true)
          batch.addAddress(address, to: index)
        }
      }
    }
    var template = Array("/tmp/netloom-agent-test-XXXXXX".utf8CString)
    directory = String(cString: try #require(mkdtemp(&template)))
    controller = try FakeController(loop, path: directory + "/controller.sock")
    agent = try Agent(loop: loop, controllerSocket: controller.path, name: "r1", namespace: namespace)
    agent.start()
  }

  deinit {
    controller.stop()
    unlink(directory + "/controller.sock")
    rmdir(directory)
  }

  func output(_ command: String) throws -> String {
    try namespace.run { () throws(KernelError) in
      guard let pipe = popen(command, "r") else { throw KernelError(call: "popen", subject: command) }
      defer { pclose(pipe) }
      var bytes: [UInt8] = []
      var chunk = [UInt8](repeating: 0, count: 65536)
      while case let count = fread(&chunk, 1, chunk.count, pipe), count > 0 { bytes += chunk[..<count] }
      return String(decoding: bytes, as: UTF8.self)
    }
  }

  /// Runs the loop until `command` prints something that fits; no longer than five seconds.
  func wait(_ command: String, _ fits: (String) -> Bool) throws {
    let deadline = EventLoop.clock() + EventLoop.milliseconds(60_000)
    while case let shown = try output(command), !fits(shown) {
      try #require(EventLoop.clock() < deadline, "`\(command)` still shows: \(shown)")
      try loop.step(timeout: EventLoop.milliseconds(20))
    }
  }
}

func prefix(_ text: String) throws -> NLPrefix { NLPrefix(try #require(IPPrefix(text))) }

/// A desired route; hops are `address`, `address@interface` or `@interface`.
func route(
  _ destination: String, _ hops: [String] = [], kind: NLRoute.Kind = .unicast, metric: UInt32 = 0,
  origin: NLRoute.Origin = .static
) throws -> NLRoute {
  var route = NLRoute()
  route.prefix = try prefix(destination)
  route.kind = kind
  route.metric = metric
  route.origin = origin
  route.nextHops = try hops.map { text in
    var hop = NLNextHop()
    let parts = text.split(separator: "@", omittingEmptySubsequences: false)
    if !parts[0].isEmpty { hop.gateway = try #require(IPAddress(parts[0])).data }
    if parts.count > 1 { hop.interface = String(parts[1]) }
    return hop
  }
  return route
}
