import CLinux

import Glibc
import Testing

@testable import EventLoop

@Suite struct EventLoopTests {
  @Test func anEventOfAClosedDescriptorNeverReachesTheOneThatReusedItsNumber() throws {
    let loop = try EventLoop()
    let (a, aPeer) = try UnixSocket.pair()
    let (b, bPeer) = try UnixSocket.pair()
    defer { for descriptor in [aPeer, bPeer] { close(descriptor) } }
    var first = 0
    var wrong = 0
    // Both become readable in one batch; whichever handler runs first closes the other and takes its number.
    func replace(_ victim: Int32) throws {
      loop.unregister(victim)
      close(victim)
      let (fresh, _) = try UnixSocket.pair()
      #expect(fresh == victim || dup2(fresh, victim) == victim)
      try loop.register(victim, .read) { _ in wrong += 1 }
    }
    try loop.register(a, .read) { _ in
      first += 1; loop.unregister(a); try? replace(b)
    }
    try loop.register(b, .read) { _ in
      first += 1; loop.unregister(b); try? replace(a)
    }
    #expect(write(aPeer, "x", 1) == 1)
    #expect(write(bPeer, "x", 1) == 1)
    try loop.step(timeout: 0)
    #expect(first == 1)
    #expect(wrong == 0)
  }

  @Test func aDescriptorThatRestsIsNotReportedUntilItsTimeIsOver() throws {
    let loop = try EventLoop()
    let (a, aPeer) = try UnixSocket.pair()
    defer { for descriptor in [a, aPeer] { close(descriptor) } }
    var seen = 0
    try loop.register(a, .read) { _ in
      seen += 1
      loop.rest(a, nanoseconds: seen == 1 ? 3_600_000_000_000 : 0)
    }
    #expect(write(aPeer, "x", 1) == 1)
    for _ in 0..<100 { try loop.step(timeout: 0) }
    #expect(seen == 1)
    loop.unregister(a)
    try loop.register(a, .read) { _ in
      seen += 1
      if seen < 4 { loop.rest(a, nanoseconds: 0) } else { loop.unregister(a) }
    }
    for _ in 0..<100 { try loop.step(timeout: 0) }
    #expect(seen == 4, "it is watched again each time")
  }

  @Test func theEndOfARestDoesNotReachTheOneThatReusedTheNumber() throws {
    let loop = try EventLoop()
    let (a, aPeer) = try UnixSocket.pair()
    defer { for descriptor in [a, aPeer] { close(descriptor) } }
    var seen = 0
    #expect(write(aPeer, "x", 1) == 1)
    try loop.register(a, .read) { _ in loop.rest(a, nanoseconds: 0) }
    // The one that rests leaves in the same step; its time is over in the next.
    loop.rest(a, nanoseconds: 0)
    loop.unregister(a)
    try loop.register(a, []) { _ in seen += 1 }
    while try loop.step(timeout: 0) {}
    #expect(seen == 0, "nobody asked for its input")
  }

  @Test func timersFireInOrderOfTimeAndNotWhenCancelled() throws {
    let loop = try EventLoop()
    var fired: [Int] = []
    let start = EventLoop.clock()
    let timers = (0..<100).map { index in LoopTimer(loop) { fired.append(index) } }
    for (index, timer) in timers.enumerated() { timer.arm(at: start + UInt64((index * 37) % 100) * 10_000) }
    for index in stride(from: 0, to: 100, by: 3) { timers[index].cancel() }
    while fired.count < 66 { try loop.step() }
    let expected = (0..<100).filter { $0 % 3 != 0 }.sorted { ($0 * 37) % 100 < ($1 * 37) % 100 }
    #expect(fired == expected)
    #expect(try loop.step(timeout: 1_000_000) == false)
  }

  @Test func aTimerArmedLaterDoesNotFireAtItsOldTimeAndOneArmedEarlierDoes() throws {
    let loop = try EventLoop()
    var times: [String: UInt64] = [:]
    let start = EventLoop.clock()
    let later = LoopTimer(loop) { times["later"] = loop.now }
    let earlier = LoopTimer(loop) { times["earlier"] = loop.now }
    later.arm(at: start + 1_000_000)
    earlier.arm(at: start + 500_000_000)
    later.arm(at: start + 20_000_000)
    earlier.arm(at: start + 2_000_000)
    while times.count < 2 { try loop.step() }
    let laterTime = try #require(times["later"])
    let earlierTime = try #require(times["earlier"])
    #expect(laterTime >= start + 20_000_000)
    #expect(earlierTime >= start + 2_000_000)
    #expect(earlierTime < laterTime)
  }

  @Test func aTimerThatArmsItselfForThePastDoesNotHoldTheLoop() throws {
    let loop = try EventLoop()
    var count = 0
    var timer: LoopTimer?
    timer = LoopTimer(loop) {
      count += 1; timer?.arm(at: 0)
    }
    timer?.arm(at: 0)
    try loop.step(timeout: 0)
    #expect(count == 1)
    timer?.cancel()
    timer = nil
  }

  @Test func aHundredThousandTimersAreCheap() throws {
    let loop = try EventLoop()
    var fired = 0
    let timers = (0..<100_000).map { _ in LoopTimer(loop) { fired += 1 } }
    let start = EventLoop.clock()
    var state: UInt64 = 1
    for timer in timers {
      state = state &* 6364136223846793005 &+ 1442695040888963407
      timer.arm(at: start + 3_600_000_000_000 + state >> 20)
    }
    for timer in timers { timer.arm(at: timer.deadline + 1_000_000_000) }
    for timer in timers { timer.cancel() }
    #expect(EventLoop.clock() - start < 5_000_000_000)
    #expect(loop.timers.earliest == nil)
    #expect(fired == 0)
  }

  @Test func deferredWorkRunsOnceAfterTheHandlersAndBeforeTheNextWait() throws {
    let loop = try EventLoop()
    var order: [String] = []
    loop.enqueue {
      order.append("first")
      loop.enqueue { order.append("second") }
    }
    try loop.step()
    #expect(order == ["first"])
    try loop.step()
    #expect(order == ["first", "second"])
  }

  @Test func anotherThreadWakesTheLoop() throws {
    let loop = try EventLoop()
    var woken = 0
    let waker = try loop.waker {
      woken += 1; loop.stop()
    }
    try onThrowawayThread { () throws(SystemError) -> Void in
      waker.wake(); waker.wake()
    }
    try loop.run()
    #expect(woken == 1)
  }

  @Test func aWakerThatIsGoneWakesNobodyAndItsHandlerIsLetGo() throws {
    final class Token {}
    let loop = try EventLoop()
    var woken = 0
    weak var token: Token?
    func make() throws -> Waker {
      let held = Token()
      token = held
      return try loop.waker { withExtendedLifetime(held) { woken += 1 } }
    }
    var waker: Waker? = try make()
    waker?.wake()
    try loop.step()
    #expect(woken == 1 && token != nil)
    waker?.wake()
    waker = nil
    try loop.step()
    #expect(woken == 1 && token == nil)
  }

  @Test func aChildsEndIsReportedWithItsCode() throws {
    let loop = try EventLoop()
    var status: ProcessExit?
    let pid = try spawnShell("exit 7")
    try loop.onExit(ofChild: pid) { status = $0 }
    while status == nil { try loop.step() }
    #expect(status == .exited(7))
  }

  @Test func aChildEndedByASignalSaysSo() throws {
    let loop = try EventLoop()
    var status: ProcessExit?
    let pid = try spawnShell("kill -9 $$")
    try loop.onExit(ofChild: pid) { status = $0 }
    while status == nil { try loop.step() }
    #expect(status == .signaled(SIGKILL))
  }

  @Test func aFailedCallNamesTheCallTheThingAndTheReason() {
    #expect(throws: SystemError("open", ENOENT, "/proc/no-such-folder/file")) {
      _ = try FileDescriptor.open("/proc/no-such-folder/file", O_RDONLY).rawValue
    }
    #expect("\(SystemError("open", ENOENT, "/x"))" == "open /x: No such file or directory")
  }

  @Test func aNamespaceThreadOpensItsSocketThereAndLeavesTheCallerWhereItWas() throws {
    guard geteuid() == 0 else { return print("skipped: making a network namespace needs root") }
    func inode(_ path: String) throws -> UInt64 {
      var status = stat()
      try systemCall("stat", path) { stat(path, &status) }
      return UInt64(status.st_ino)
    }
    let here = try inode("/proc/thread-self/ns/net")
    let namespace = try onThrowawayThread { () throws(SystemError) -> FileDescriptor in
      try systemCall("unshare") { unshare(CLONE_NEWNET) }
      return try FileDescriptor.open("/proc/thread-self/ns/net", O_RDONLY)
    }
    // A fresh namespace has one interface, lo: the socket of another one cannot see ours.
    let count = try inNamespace(namespace.rawValue) { () throws(SystemError) -> Int in
      let interfaces = if_nameindex()
      defer { if_freenameindex(interfaces) }
      var count = 0
      while let interfaces, interfaces[count].if_index != 0 { count += 1 }
      return count
    }
    #expect(count == 1)
    #expect(try inode("/proc/thread-self/ns/net") == here)
  }
}

/// Starts `/bin/sh -c` by the process shim.
func spawnShell(_ command: String) throws -> Int32 {
  let words: [UnsafeMutablePointer<CChar>?] = ["/bin/sh", "-c", command].map { (word: String) in strdup(word) }
  defer { for word in words { free(word) } }
  var argv = words + [nil]
  var envp: [UnsafeMutablePointer<CChar>?] = [nil]
  var stage: Int32 = 0
  return try argv.withUnsafeMutableBufferPointer { argv in
    try envp.withUnsafeMutableBufferPointer { envp in
      var what = nl_process()
      what.argv = UnsafePointer(argv.baseAddress)
      what.envp = UnsafePointer(envp.baseAddress)
      (what.net, what.mount, what.uts, what.input, what.output, what.error) = (-1, -1, -1, -1, -1, -1)
      (what.uid, what.gid) = (.max, .max)
      return try systemCall("spawn") { nl_spawn(&what, &stage) }
    }
  }
}
