import ControlProtocol
import EventLoop
import Foundation
import NetTypes
import Probe
import Synchronization
import Testing

/// A controller on paper: a socket that is accepted, read and written by hand.
private final class ScriptedController {
  private let listener: FileDescriptor
  private var connection: Int32 = -1
  private var reader = FrameReader()

  init(_ directory: RunDirectory) throws {
    listener = try UnixSocket.listen(directory.controllerSocket)
  }

  deinit { hangUp() }

  private func wait(_ descriptor: Int32) throws {
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    try #require(poll(&entry, 1, 10_000) == 1, "nothing came within 10 s")
  }

  func accept() throws {
    try wait(listener.rawValue)
    guard let accepted = try UnixSocket.accept(listener.rawValue) else {
      throw NamespaceLab.Failure(text: "no connection")
    }
    connection = accepted.release()
    reader = FrameReader()
  }

  func hangUp() {
    if connection >= 0 { close(connection) }
    connection = -1
  }

  func receive() throws -> NLToController {
    while true {
      if let message = try reader.next(NLToController.self) { return message }
      try wait(connection)
      var buffer = [UInt8](repeating: 0, count: 65536)
      let count = read(connection, &buffer, buffer.count)
      try #require(count > 0)
      reader.append(buffer[0..<count])
    }
  }

  func ask(_ number: UInt64, _ request: NLTraceRequest) throws {
    var message = NLFromController()
    message.request = number
    message.traceRequest = request
    try send(message)
  }

  func ask(_ number: UInt64, _ request: NLRateRequest) throws {
    var message = NLFromController()
    message.request = number
    message.rateRequest = request
    try send(message)
  }

  private func send(_ message: NLFromController) throws {
    try SmallFile.writeAll(connection, frame(message))
  }
}

extension NamespaceTests {
  @Suite struct ProbeServiceTests {
    /// A probe that serves a controller on paper, and what ends it.
    private static func serve() throws -> (ScriptedController, stop: () -> Void) {
      let path = NSTemporaryDirectory() + "nlprobe-\(UUID().uuidString.prefix(8))"
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      let controller = try ScriptedController(RunDirectory(path: path))
      let stopper = Mutex<Waker?>(nil)
      let thread = Thread {
        guard let loop = try? EventLoop(), let service = try? ProbeService(loop, runDirectory: path, machine: "m1")
        else { return }
        let waker = try? loop.waker { loop.stop() }
        stopper.withLock { $0 = waker }
        withExtendedLifetime(service) { try? loop.run() }
      }
      thread.start()
      return (
        controller,
        {
          stopper.withLock { $0?.wake() }
          try? FileManager.default.removeItem(atPath: path)
        }
      )
    }

    @Test("rate runs go on beside traces, two at a time, and end with the controller that asked for them")
    func rates() throws {
      let lab = try NamespaceLab(["h1:eth1-web:eth1"], hosts: ["h1", "web"])
      let (controller, stop) = try Self.serve()
      defer { stop() }
      try controller.accept()
      _ = try controller.receive()
      func rate(_ port: UInt32, _ milliseconds: UInt32) -> NLRateRequest {
        var request = NLRateRequest()
        request.flow = lab.request("h1", "web", lab.address("web:eth1"), .udp, port: port)
        (request.durationMs, request.rate) = (milliseconds, 1_000_000)
        return request
      }
      for number: UInt64 in 1...3 { try controller.ask(number, rate(6000 + UInt32(number), 400)) }
      try controller.ask(4, lab.request("h1", "web", lab.address("web:eth1")))
      var replies: [UInt64: NLToController] = [:]
      for _ in 0..<4 {
        let message = try controller.receive()
        replies[message.request] = message
      }
      for number: UInt64 in 1...2 {
        #expect(replies[number]?.rateReply.reachable == true, "\(replies[number]?.rateReply.error ?? "")")
        #expect(replies[number]?.rateReply.limitedBy == NLRateReply.LimitedBy.none)
      }
      #expect(replies[3]?.rateReply.error.contains("2 rate runs are under way") == true)
      #expect(replies[4]?.traceReply.reachable == true)
      // One of a minute is gone with its controller: its port is free again.
      try controller.ask(5, rate(6005, 60_000))
      // It runs when its packets come by.
      try lab.run("web", "timeout 20 tcpdump -q -n -i eth1 --immediate-mode -c 1 udp port 6005")
      controller.hangUp()
      // Nobody is told when a port is free: a program that takes it when it is.
      let taking =
        "import socket as s\nwhile 1:\n try: s.socket(s.AF_INET, s.SOCK_DGRAM).bind((str(), 6005)); break\n except OSError: pass"
      try lab.run("web", "timeout 20 python3 -c \"\(taking)\"")
    }

    @Test("the probe says hello, answers every request under its number, and comes back to a new controller")
    func service() throws {
      let lab = try NamespaceLab(["h1:eth1-web:eth1"], hosts: ["h1", "web"])
      let (controller, stop) = try Self.serve()
      defer { stop() }
      try controller.accept()
      let hello = try controller.receive().hello
      #expect(hello.role == .probe && hello.name == "m1" && hello.pid == getpid())
      let protocols: [UInt64: NLProtocol] = [5: .icmp, 6: .tcp, 7: .udp]
      for (number, proto) in protocols {
        try controller.ask(
          number, lab.request("h1", "web", lab.address("web:eth1"), proto, port: UInt32(7000 + number)))
      }
      var nonsense = lab.request("nobody", "web", lab.address("web:eth1"))
      nonsense.nodes = []
      try controller.ask(8, nonsense)
      var replies: [UInt64: NLTraceReply] = [:]
      for _ in 0..<4 {
        let message = try controller.receive()
        replies[message.request] = message.traceReply
      }
      for number in protocols.keys {
        #expect(replies[number]?.reachable == true && replies[number]?.undecidedBecause == "", "\(number)")
        #expect(replies[number]?.forward.path == ["h1", "web"], "\(number)")
      }
      #expect(replies[8]?.error.contains("nobody") == true)
      controller.hangUp()
      try controller.accept()
      #expect(try controller.receive().hello.incarnation == hello.incarnation)
    }
  }
}
