import Foundation
import Synchronization
import Testing

@testable import Sidecar

@Suite struct TCPProxyTests {
  @Test("the client's end passes alone: the server still answers after it")
  func halfClose() throws {
    let origin = Origin { peer in
      let all = peer.readAll()
      peer.write("\(all.utf8.count) bytes")
    }
    let running = try Setup(.tcp, [Setup.cluster("web", origin.port)]).start()
    let peer = try running.connect()
    peer.write([UInt8](repeating: 120, count: 100_000))
    peer.endWriting()
    #expect(peer.readAll() == "100000 bytes")
  }

  @Test("the server's end passes alone: what the client sends after it arrives")
  func serverHalfClose() throws {
    let received = Mutex("")
    let done = DispatchSemaphore(value: 0)
    let origin = Origin { peer in
      peer.write("first")
      peer.endWriting()
      received.withLock { $0 = peer.readAll() }
      done.signal()
    }
    let running = try Setup(.tcp, [Setup.cluster("web", origin.port)]).start()
    let peer = try running.connect()
    #expect(peer.readAll() == "first")
    peer.write("after")
    peer.endWriting()
    #expect(done.wait(timeout: .now() + 10) == .success)
    #expect(received.withLock { $0 } == "after")
  }

  @Test("a reset is passed on as a reset")
  func reset() throws {
    let origin = Origin { peer in
      _ = peer.read(exactly: 4)
      peer.resetOnClose()
    }
    let running = try Setup(.tcp, [Setup.cluster("web", origin.port)]).start()
    let peer = try running.connect()
    peer.write("quit")
    #expect(peer.readError() == ECONNRESET)
  }

  @Test("bulk both ways is whole, over the change from copying to splicing")
  func bulk() throws {
    let size = 16_000_000
    let origin = Origin { peer in
      var count = 0
      var sum: UInt64 = 0
      while let bytes = peer.read() {
        count += bytes.count
        for byte in bytes { sum = sum &* 31 &+ UInt64(byte) }
        // Sent back at once: both directions are busy at the same time.
        if !peer.write(bytes) { return }
      }
      peer.write("\n\(count) \(sum)")
    }
    let running = try Setup(.tcp, [Setup.cluster("web", origin.port)]).start()
    let peer = try running.connect()
    var sum: UInt64 = 0
    var piece = [UInt8](repeating: 0, count: 1_000_000)
    for index in piece.indices { piece[index] = UInt8(truncatingIfNeeded: index &* 7 &+ index >> 8) }
    for _ in 0..<(size / piece.count) { for byte in piece { sum = sum &* 31 &+ UInt64(byte) } }
    let content = piece
    Thread {
      for _ in 0..<(size / content.count) { peer.write(content) }
      peer.endWriting()
    }.start()
    var back: UInt64 = 0
    var tail: [UInt8] = []
    var count = 0
    while let bytes = peer.read() {
      let left = max(0, size - count)
      for byte in bytes.prefix(left) { back = back &* 31 &+ UInt64(byte) }
      tail += bytes.dropFirst(left)
      count += bytes.count
    }
    #expect(back == sum)
    #expect(String(decoding: tail, as: UTF8.self) == "\n\(size) \(sum)")
  }

  @Test("an endpoint that is down costs nothing but the next one is tried")
  func nextEndpoint() throws {
    let origin = Origin { peer in peer.write("here") }
    let running = try Setup(.tcp, [Setup.cluster("web", Origin.closedPort(), origin.port)]).start()
    for _ in 0..<20 { #expect(try running.connect().readAll() == "here") }
  }

  @Test("where nobody listens the client gets a reset, and the reason is counted")
  func nobody() throws {
    let running = try Setup(.tcp, [Setup.cluster("web", Origin.closedPort())]).start()
    #expect(try running.connect().readError() == ECONNRESET)
    #expect(running.metric("netloom_refusals_total", "reason=\"connect-failed\"") == 1)
  }
}
