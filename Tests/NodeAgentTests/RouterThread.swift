import CLinux
import ControlProtocol
import EventLoop
import Foundation
import Glibc
import NetTypes
import Netlink
import Testing

@testable import NodeAgent

/// An agent with a loop of its own, on a thread that stands in the router's namespace, as the process would: the
/// speaker's sockets are opened there.
final class RouterThread {
  let namespace: Namespace
  let socket: NetlinkSocket
  let controller: FakeController
  private let directory: String
  private var stopEvent: Int32
  private let ended = DispatchSemaphore(value: 0)
  private var isRunning = false

  init(_ loop: EventLoop, namespace: Namespace) throws {
    self.namespace = namespace
    socket = try NetlinkSocket(in: namespace)
    var template = Array("/tmp/netloom-agent-test-XXXXXX".utf8CString)
    directory = String(cString: try #require(mkdtemp(&template)))
    controller = try FakeController(loop, path: directory + "/controller.sock")
    stopEvent = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
  }

  /// Starts the agent; again after `kill`.
  func start(_ name: String) {
    let (namespace, path, stopEvent, ended) = (namespace, controller.path, stopEvent, ended)
    isRunning = true
    Thread.detachNewThread {
      do {
        try namespace.run { () throws(KernelError) in
          do {
            let loop = try EventLoop()
            let agent = try Agent(loop: loop, controllerSocket: path, name: name)
            try loop.register(stopEvent, .read) { _ in
              var count: UInt64 = 0
              _ = read(stopEvent, &count, 8)
              loop.stop()
            }
            agent.start()
            try loop.run()
          } catch {
            throw KernelError(number: EIO, call: "\(error)")
          }
        }
      } catch {
        Issue.record(error)
      }
      ended.signal()
    }
  }

  /// As a crash would: no Cease, sockets closed, kernel routes left.
  func kill() {
    guard isRunning else { return }
    isRunning = false
    var one: UInt64 = 1
    _ = write(stopEvent, &one, 8)
    ended.wait()
  }

  deinit {
    kill()
    close(stopEvent)
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

  /// Runs the controller's loop until a sample fits; no longer than ten seconds.
  func sample(_ what: String, _ fits: (NLSample) -> Bool) throws -> NLSample {
    let deadline = EventLoop.clock() + EventLoop.milliseconds(10_000)
    while true {
      let sample = try controller.sample(wave: 1)
      if fits(sample) { return sample }
      try #require(EventLoop.clock() < deadline, "not \(what): \(sample)")
      try controller.loop.step(timeout: EventLoop.milliseconds(20))
    }
  }
}
