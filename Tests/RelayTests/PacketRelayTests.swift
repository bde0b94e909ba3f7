import EventLoop
import Glibc
import Netlink
import Testing

@testable import Relay

private let isRoot = geteuid() == 0

@Suite(.serialized, .enabled(if: isRoot, "needs root for namespaces")) struct PacketRelayTests {
  @Test func framesPassUnchangedInOrderAndAreCounted() throws {
    let bench = try RelayBench(aToB: LinkDelay(microseconds: 300, jitter: 300))
    let (near, far) = (try RawPort(bench.a), try RawPort(bench.b))
    let frames = (0..<500).map { frame($0, length: 60 + $0) }
    for frame in frames { try near.send(frame) }
    var arrived: [[UInt8]] = []
    try bench.turn {
      arrived += far.read()
      return arrived.count >= 500
    }
    #expect(arrived == frames)
    #expect(bench.aToB.counters.packets == 500)
    #expect(bench.aToB.counters.bytes == UInt64(frames.reduce(0) { $0 + $1.count }))
    #expect(bench.aToB.lateness.count == 500)
    let carried = try #require(bench.relay.carried(link: 0))
    #expect(carried.aToB.packets == 500 && carried.aToB.dropped == 0)
    #expect(carried.aToB.latest == bench.aToB.lateness.largest)
    #expect(carried.aToB.lateMedian <= carried.aToB.lateP99 && carried.aToB.lateP99 <= carried.aToB.latest)
    #expect(carried.bToA == CarriedPackets(packets: 0, dropped: 0, lateMedian: 0, lateP99: 0, latest: 0))
    #expect(bench.relay.carried(link: 1) == nil)
    #expect(bench.bToA.counters == DirectionCounters())
    #expect(near.read().isEmpty)
  }

  @Test func eachWayHasItsOwnDelay() throws {
    let bench = try RelayBench(aToB: LinkDelay(microseconds: 60_000_000))
    let (near, far) = (try RawPort(bench.a), try RawPort(bench.b))
    try near.send(frame(1))
    try far.send(frame(2))
    var arrived: [[UInt8]] = []
    try bench.turn {
      arrived += near.read()
      return !arrived.isEmpty && bench.aToB.queue.count == 1
    }
    #expect(arrived == [frame(2)])
    #expect(far.read().isEmpty)
  }

  @Test func packetsUnderWayKeepTheirTimeWhenTheDelayChanges() throws {
    let bench = try RelayBench(aToB: LinkDelay(microseconds: 0))
    let (near, far) = (try RawPort(bench.a), try RawPort(bench.b))
    #expect(bench.relay.set(link: 0, aToB: LinkDelay(microseconds: 200_000), bToA: LinkDelay(microseconds: 0)))
    let start = EventLoop.clock()
    try near.send(frame(1))
    try bench.turn { bench.aToB.nextDue != nil }
    let due = bench.aToB.nextDue
    #expect(due != nil)
    #expect(bench.relay.set(link: 0, aToB: LinkDelay(microseconds: 0), bToA: LinkDelay(microseconds: 0)))
    #expect(!bench.relay.set(link: 1, aToB: LinkDelay(microseconds: 0), bToA: LinkDelay(microseconds: 0)))
    #expect(bench.aToB.nextDue == due)
    try near.send(frame(2))
    var arrived: [[UInt8]] = []
    try bench.turn {
      arrived += far.read()
      return arrived.count == 2
    }
    #expect(arrived == [frame(1), frame(2)])
    #expect(EventLoop.clock() - start >= 200_000_000)
  }

  @Test func aFullQueueDropsWhatComesLastAndSaysSo() throws {
    // 4096 bytes: 32 frames of 10 + 100 bytes with 16 before each.
    let bench = try RelayBench(aToB: LinkDelay(microseconds: 100_000), limit: 4096)
    let (near, far) = (try RawPort(bench.a), try RawPort(bench.b))
    for number in 0..<50 { try near.send(frame(number, length: 100)) }
    try bench.turn { UInt64(bench.aToB.queue.count) + bench.aToB.counters.full == 50 }
    #expect(bench.aToB.counters.full == 18)
    var arrived: [[UInt8]] = []
    try bench.turn {
      arrived += far.read()
      return arrived.count == 32
    }
    #expect(arrived == (0..<32).map { frame($0, length: 100) })
    #expect(bench.relay.statistics[0].contains("dropped: 18 queue full,"))
    #expect(bench.relay.carried(link: 0)?.aToB.dropped == 18)
  }

  @Test func tagsOfVLANsStayInTheirFrames() throws {
    let bench = try RelayBench(aToB: LinkDelay(microseconds: 100))
    let near = try RawPort(bench.a)
    let capture = try FrameCapture(bench.b, count: 2)
    try near.send(frame(1, tag: [0x81, 0, 0x20, 0x64]))
    try near.send(frame(2, tag: [0x88, 0xA8, 0, 7, 0x81, 0, 0, 9]))
    try bench.turn { bench.aToB.counters.packets == 2 }
    let lines = try capture.lines()
    #expect(lines[0].contains("ethertype 802.1Q (0x8100), length 60: vlan 100, p 1"))
    #expect(
      lines[1].contains("ethertype 802.1Q-QinQ (0x88a8), length 60: vlan 7, p 0, ethertype 802.1Q (0x8100), vlan 9"))
  }

  @Test func anEndThatIsDownLosesItsPacketsAndHearsAgainWhenItIsUp() throws {
    let bench = try RelayBench(aToB: LinkDelay(microseconds: 0))
    let (near, far) = (try RawPort(bench.a), try RawPort(bench.b))
    try bench.setFar(13, up: false)
    try near.send(frame(1))
    try bench.turn { bench.aToB.counters.refused == 1 }
    try bench.setFar(13, up: true)
    try near.send(frame(2))
    try far.send(frame(3))
    var arrived: [[UInt8]] = []
    try bench.turn {
      arrived += far.read() + near.read()
      return arrived.count == 2
    }
    #expect(Set(arrived) == [frame(2), frame(3)])
  }

  @Test func anEndThatIsDeletedDoesNotKeepTheRelayBusy() throws {
    let bench = try RelayBench(aToB: LinkDelay(microseconds: 0))
    try NetlinkSocket(in: bench.a).commit { $0.deleteLink(2) }
    // The socket says once that its interface is gone, and then nothing.
    var steps = 0
    while try bench.loop.step(timeout: 20_000_000), steps < 100 { steps += 1 }
    #expect(steps < 10)
  }
}

/// tcpdump on eth1 of a namespace.
private final class FrameCapture {
  private let output: Int32
  private let pid: Int32
  private var text = ""

  init(_ namespace: Namespace, count: Int) throws {
    let command =
      "exec nsenter --net=/proc/\(getpid())/fd/\(namespace.fileDescriptor) tcpdump -lnei eth1 -Z root -c \(count) 2>&1"
    (pid, output) = try Self.start(command)
    while !text.contains("listening on") { try more() }
  }

  private static func start(_ command: String) throws -> (Int32, Int32) {
    var ends: [Int32] = [-1, -1]
    try systemCall("pipe2") { pipe2(&ends, O_CLOEXEC) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
    var arguments: [UnsafeMutablePointer<CChar>?] =
      ["/bin/sh", "-c", command].map { (word: String) in strdup(word) } + [nil]
    defer { for argument in arguments { free(argument) } }
    var environment: [UnsafeMutablePointer<CChar>?] = [strdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), nil]
    defer { free(environment[0]) }
    var pid: pid_t = 0
    let code = posix_spawn(&pid, "/bin/sh", &actions, nil, &arguments, &environment)
    posix_spawn_file_actions_destroy(&actions)
    close(ends[1])
    if code != 0 { throw SystemError("posix_spawn", code) }
    return (pid, ends[0])
  }

  private func more() throws {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = read(output, &buffer, buffer.count)
    try #require(count > 0, "tcpdump: \(text)")
    text += String(decoding: buffer[..<count], as: UTF8.self)
  }

  /// What it printed of the packets, after its end.
  func lines() throws -> [Substring] {
    var status: Int32 = 0
    waitpid(pid, &status, 0)
    while !text.contains("packets captured") { try more() }
    close(output)
    return text.split(separator: "\n").filter { $0.contains("ethertype") }
  }
}
