import CLinux
import Glibc
import Testing

@testable import EventLoop

@Suite struct StreamTests {
  private func connections(_ loop: EventLoop) throws -> (StreamConnection, StreamConnection) {
    let (a, b) = try UnixSocket.pair()
    return (
      try StreamConnection(loop, FileDescriptor(owning: a)), try StreamConnection(loop, FileDescriptor(owning: b))
    )
  }

  @Test func fourMegabytesArriveWholeAndInOrderThoughTheSocketTakesFarLessAtOnce() throws {
    let loop = try EventLoop()
    let (left, right) = try connections(loop)
    let sent = (0..<4_194_304).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 9) }
    var received: [UInt8] = []
    var drained = 0
    right.onBytes = { received.append(contentsOf: $0) }
    left.onDrained = { drained += 1 }
    left.send(Array(sent[..<3_000_000]))
    #expect(left.queued > 0)
    left.send(Array(sent[3_000_000...]))
    while received.count < sent.count { try loop.step() }
    #expect(received == sent)
    #expect(left.queued == 0)
    #expect(drained == 1)
  }

  @Test func aPausedReaderLeavesTheBytesWithTheSender() throws {
    let loop = try EventLoop()
    let (left, right) = try connections(loop)
    var received = 0
    right.onBytes = { received += $0.count }
    right.pauseReading()
    left.send([UInt8](repeating: 1, count: 8 << 20))
    while try loop.step(timeout: 0) {}
    #expect(received == 0)
    #expect(left.queued > 0)
    right.resumeReading()
    while received < 8 << 20 { try loop.step() }
    #expect(left.queued == 0)
  }

  @Test func whatWasSentBeforeTheCloseArrivesBeforeTheCloseIsReported() throws {
    let loop = try EventLoop()
    let (left, right) = try connections(loop)
    var log: [String] = []
    right.onBytes = { log.append(String(decoding: $0, as: UTF8.self)) }
    right.onClose = { log.append($0 == nil ? "closed" : "\($0!)") }
    left.send(Array("last words".utf8))
    left.close()
    while right.isOpen { try loop.step() }
    #expect(log == ["last words", "closed"])
  }

  @Test func writingToAPeerThatIsGoneIsReportedOnceAndRaisesNoSignal() throws {
    let loop = try EventLoop()
    let (left, right) = try connections(loop)
    var closed = 0
    left.onClose = { _ in closed += 1 }
    right.close()
    left.send([1])
    left.send([2])
    while left.isOpen { try loop.step() }
    while try loop.step(timeout: 0) {}
    #expect(closed == 1)
  }

  @Test func descriptorsTravelAndStayUsable() throws {
    let loop = try EventLoop()
    let (left, right) = try connections(loop)
    var ends: [Int32] = [-1, -1]
    #expect(pipe(&ends) == 0)
    var arrived: [Int32] = []
    var text = ""
    right.onDescriptors = { arrived = $0 }
    right.onBytes = { text = String(decoding: $0, as: UTF8.self) }
    try left.send(Array("take it".utf8), descriptors: [ends[1]])
    close(ends[1])
    while text.isEmpty { try loop.step() }
    #expect(text == "take it")
    #expect(arrived.count == 1)
    let target = try #require(arrived.first)
    #expect(fcntl(target, F_GETFD) & FD_CLOEXEC != 0)
    #expect(write(target, "hello", 5) == 5)
    close(target)
    var buffer = [UInt8](repeating: 0, count: 16)
    #expect(read(ends[0], &buffer, 16) == 5)
    #expect(Array(buffer[..<5]) == Array("hello".utf8))
    close(ends[0])
  }

  @Test func descriptorsNobodyAskedForAreClosed() throws {
    let loop = try EventLoop()
    let (left, right) = try connections(loop)
    var ends: [Int32] = [-1, -1]
    #expect(pipe(&ends) == 0)
    var seen = false
    right.onBytes = { _ in seen = true }
    try left.send([1], descriptors: [ends[1]])
    close(ends[1])
    while !seen { try loop.step() }
    var byte: UInt8 = 0
    #expect(read(ends[0], &byte, 1) == 0)  // no writer is left anywhere
    close(ends[0])
  }

  @Test func aPathTooLongForASocketIsAnErrorAndNotATruncatedName() {
    let path = "/tmp/" + String(repeating: "x", count: 120)
    #expect(throws: SystemError("connect", ENAMETOOLONG, path)) { _ = try UnixSocket.connect(path).rawValue }
  }

  @Test func aListenerTellsWhoConnected() throws {
    let path = "/tmp/nlm-test-\(getpid()).sock"
    let listener = try UnixSocket.listen(path)
    defer { unlink(path) }
    #expect(try UnixSocket.accept(listener.rawValue) == nil)
    let client = try UnixSocket.connect(path)
    let accepted = try #require(try UnixSocket.accept(listener.rawValue)?.release())
    defer { close(accepted) }
    let peer = try UnixSocket.peerCredentials(accepted)
    #expect(peer.pid == getpid())
    #expect(peer.user == geteuid())
    withExtendedLifetime(client.rawValue) {}
  }
}
