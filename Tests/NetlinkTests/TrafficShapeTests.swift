import NetTypes
import Testing

@testable import Netlink

private func mbit(_ number: UInt64) -> DataRate { DataRate(bitsPerSecond: number * 1_000_000) }

/// Lowering and comparing: pure.
@Suite struct TrafficShapeTests {
  static let shape = TrafficShape(
    rate: mbit(10),
    classes: [.init("voice", rate: mbit(1), ceil: mbit(2)), .init("bulk", rate: mbit(3), priority: 5, limit: 99_000)])

  @Test func `a rate alone is one token bucket`() throws {
    let plan = try TrafficShape(rate: mbit(10)).plan(on: 7)
    let bucket = TokenBucket(rate: mbit(10), burst: 10_000, limit: 62_500)
    #expect(plan == TrafficPlan(on: 7, qdiscs: [Qdisc(on: 7, .tbf(bucket), handle: TrafficHandle(1))]))
    let given = try TrafficShape(rate: mbit(10), burst: 5000, limit: 7000).plan(on: 7).qdiscs.first?.discipline
    #expect(given == .tbf(TokenBucket(rate: mbit(10), burst: 5000, limit: 7000)))
    #expect(plan.kinds == ["tbf"])
  }

  @Test func `classes share the rate, and what no class takes is guaranteed the rest and may borrow all`() throws {
    let plan = try Self.shape.plan(on: 7)
    #expect(plan.kinds == ["htb", "bfifo"])
    #expect(plan.qdiscs.first == Qdisc(on: 7, .htb(HTB(defaultClass: 2)), handle: TrafficHandle(1)))
    let rows = plan.classes.map { one -> String in
      guard case .htb(let htb) = one.discipline else { return "?" }
      return "\(one.handle) < \(one.parent) \(htb.rate) \(htb.ceil) prio \(htb.priority)"
    }
    #expect(
      rows == [
        "1:1 < 1: 10 Mbit/s 10 Mbit/s prio 0", "1:2 < 1:1 6 Mbit/s 10 Mbit/s prio 7",
        "1:10 < 1:1 1 Mbit/s 2 Mbit/s prio 0", "1:11 < 1:1 3 Mbit/s 10 Mbit/s prio 5",
      ])
    let leaves = plan.qdiscs.dropFirst().map { "\($0.handle) < \($0.parent) \($0.discipline)" }
    #expect(
      leaves == [
        "2: < 1:2 bfifo(bytes: 62500)", "10: < 1:10 bfifo(bytes: 49152)", "11: < 1:11 bfifo(bytes: 99000)",
      ])
    #expect(Self.shape.handles == ["voice": TrafficHandle(1, 0x10), "bulk": TrafficHandle(1, 0x11)])
  }

  @Test func `a burst and a limit that are given hold for every bucket and queue`() throws {
    var shape = Self.shape
    (shape.burst, shape.limit) = (8000, 40_000)
    let plan = try shape.plan(on: 7)
    for one in plan.classes {
      guard case .htb(let htb) = one.discipline else { continue }
      #expect(htb.burst == 8000 && htb.ceilBurst == 8000)
    }
    let limits = plan.qdiscs.dropFirst().map(\.discipline)
    #expect(limits == [.bfifo(bytes: 40_000), .bfifo(bytes: 40_000), .bfifo(bytes: 99_000)])
  }

  @Test func `classes that are guaranteed everything leave the rest the least rate there is`() throws {
    let plan = try TrafficShape(rate: mbit(10), classes: [.init("all", rate: mbit(10))]).plan(on: 7)
    guard case .htb(let rest) = plan.classes[1].discipline else { throw KernelError(number: 0, call: "no htb") }
    #expect(rest.rate == DataRate(bytesPerSecond: 1000) && rest.ceil == mbit(10))
  }

  static let wrong: [(TrafficShape, TrafficShapeError)] = [
    (TrafficShape(rate: DataRate(bitsPerSecond: 7)), .noRate),
    (TrafficShape(rate: mbit(1), classes: [.init("a", rate: DataRate(bitsPerSecond: 1))]), .noRateOfClass("a")),
    (
      TrafficShape(rate: mbit(9), classes: [.init("a", rate: mbit(5)), .init("b", rate: mbit(5))]),
      .overcommitted(guaranteed: mbit(10), rate: mbit(9))
    ),
    (TrafficShape(rate: mbit(9), classes: [.init("a", rate: mbit(1)), .init("a", rate: mbit(1))]), .classTwice("a")),
    (TrafficShape(rate: mbit(9), classes: [.init("a", rate: mbit(2), ceil: mbit(1))]), .ceilBelowRate("a")),
    (TrafficShape(rate: mbit(9), classes: [.init("a", rate: mbit(2), ceil: mbit(10))]), .ceilAboveShape("a")),
    (TrafficShape(rate: mbit(9), classes: [.init("a", rate: mbit(2), priority: 8)]), .priorityBeyond7("a")),
  ]

  @Test(arguments: 0..<7) func `what cannot be had is refused with its reason`(index: Int) {
    let (shape, reason) = Self.wrong[index]
    #expect(throws: reason) { try shape.plan(on: 7) }
  }

  @Test func `only what differs is changed`() throws {
    let plan = try Self.shape.plan(on: 7)
    #expect(plan.changes(from: plan.kept) == [])
    var faster = Self.shape
    (faster.classes[0].rate, faster.classes[0].limit) = (mbit(2), 50_000)
    let handles = try faster.plan(on: 7).changes(from: plan.kept).map { change -> String in
      switch change {
      case .setClass(let one): "class \(one.handle)"
      case .setQdisc(let qdisc): "qdisc \(qdisc.handle)"
      default: "\(change)"
      }
    }
    #expect(handles == ["class 1:2", "class 1:10", "qdisc 10:"], "the rest shrinks")
    var fewer = Self.shape
    fewer.classes.removeLast()
    #expect(try fewer.plan(on: 7).changes(from: plan.kept).first == .deleteClass(TrafficHandle(1, 0x11)))
  }

  @Test func `a shape that marks congestion has codel in every class, and one class where it names none`() throws {
    var shape = TrafficShape(rate: mbit(10), marksCongestion: true)
    let plain = try shape.plan(on: 7)
    #expect(plain.kinds == ["htb", "codel"])
    #expect(plain.classes.map(\.handle) == [TrafficShape.whole, TrafficShape.unclassified])
    shape.classes = [.init("slow", rate: mbit(1), ceil: mbit(1), limit: 30_000)]
    let plan = try shape.plan(on: 7)
    let queues = plan.qdiscs.compactMap { if case .codel(let codel) = $0.discipline { codel } else { nil } }
    #expect(queues.count == 2 && queues.allSatisfy { $0.marks })
    // 30,000 bytes are 20 frames of 1514; one and a half take 18.168 ms at 1 Mbit/s, and less than 5 ms at 9.
    #expect(queues.map(\.limit).last == 20)
    #expect(queues.map(\.target) == [.milliseconds(5), .microseconds(18_168)])
  }

  @Test func `what the kernel rounds is not taken for a difference`() throws {
    // 50,001 bytes at 2 Gbit/s read back as 50,016, and 5 ms of CoDel as 4.999.
    var shape = TrafficShape(rate: mbit(2000), burst: 50_001, classes: [.init("a", rate: mbit(1000))])
    var plan = try shape.plan(on: 7)
    plan.qdiscs[1].discipline = .codel(CoDel())
    #expect(plan != plan.kept && plan.changes(from: plan.kept) == [])
    shape.classes[0].priority = 3
    var changed = try shape.plan(on: 7)
    changed.qdiscs[1].discipline = .codel(CoDel())
    #expect(changed.changes(from: plan.kept) == [.setClass(changed.classes[2])])
  }

  @Test func `what cannot be changed in place is begun anew, and nothing wanted is one deletion`() throws {
    let plan = try Self.shape.plan(on: 7)
    let bucket = try TrafficShape(rate: mbit(10)).plan(on: 7)
    let reset = TrafficChange.setQdisc(Qdisc(on: 7, .noqueue))
    #expect(plan.changes(from: bucket.kept).first == reset)
    #expect(plan.changes(from: bucket.kept).count == 1 + 4 + 4)
    #expect(bucket.changes(from: plan.kept) == [reset, .setQdisc(bucket.qdiscs[0])])
    #expect(plan.changes(from: TrafficPlan(on: 7)).count == 8)
    #expect(TrafficPlan(on: 7).changes(from: plan.kept) == [.deleteQdisc(parent: .root)])
    var moved = plan.kept
    moved.classes[3].parent = TrafficHandle(1, 0x10)
    #expect(plan.changes(from: moved).first == reset)
    var otherDefault = plan.kept
    otherDefault.qdiscs[0].discipline = .htb(HTB(defaultClass: 3))
    #expect(plan.changes(from: otherDefault).first == reset)
    var queueless = plan.kept
    queueless.qdiscs.removeLast()
    #expect(queueless.changes(from: plan.kept) == [.deleteQdisc(parent: TrafficHandle(1, 0x11))])
  }
}

/// The same against the kernel, with packets.
@Suite(.enabled(if: Kernel.isAllowed)) struct ShapedTrafficTests {
  /// Datagrams of 100 bytes: 14 + 20 + 8 + 100 on the wire.
  private func send(_ count: Int, to port: Int, bytes: Int = 100, from namespace: Namespace) throws {
    let one = "head -c \(bytes) /dev/zero > /dev/udp/10.7.0.2/\(port)"
    _ = try Kernel.output(of: "bash -c 'for i in $(seq \(count)); do \(one); done' 2>&1", in: namespace)
  }

  private func shaped(_ shape: TrafficShape) throws -> Pair {
    let pair = try Pair()
    let far = try ip("10.7.0.2")
    let plan = try shape.plan(on: 7, mtu: 1400)
    let current = try pair.socketA.trafficPlan(of: 7)
    try pair.socketA.commit { batch in
      batch.addPermanentNeighbour(far, mac: MACAddress(rawValue: 0x02_00_00_00_07_02), on: 7)
      batch.apply(plan.changes(from: current), on: 7)
    }
    return pair
  }

  private func statistics(_ pair: Pair) throws -> [TrafficHandle: TrafficStatistics] {
    Dictionary(try pair.socketA.classes(of: 7).map { ($0.subject.handle, $0.statistics) }) { first, _ in first }
  }

  @Test func `packets land in the class that nftables names, and all others in the default class`() throws {
    let pair = try shaped(TrafficShapeTests.shape)
    let rules = """
      table inet shape {
        chain out {
          type filter hook output priority 0;
          udp dport 5001 meta priority set 1:10
          udp dport 5002 meta priority set 1:11
        }
      }
      """
    #expect(try Kernel.output(of: "echo '\(rules)' | nft -f - 2>&1", in: pair.a) == "")
    let before = try statistics(pair)
    let direct = try #require(try pair.socketA.qdiscs(of: 7).first?.statistics.directPackets)
    try send(3, to: 5001, from: pair.a)
    try send(5, to: 5002, from: pair.a)
    try send(7, to: 5003, from: pair.a)
    let after = try statistics(pair)
    func sent(_ minor: UInt16) throws -> (packets: UInt64, bytes: UInt64) {
      let old = try #require(before[TrafficHandle(1, minor)])
      let new = try #require(after[TrafficHandle(1, minor)])
      return (new.packets - old.packets, new.bytes - old.bytes)
    }
    #expect(try sent(0x10) == (3, 3 * 142))
    #expect(try sent(0x11) == (5, 5 * 142))
    #expect(try sent(2).packets >= 7 && sent(2).bytes >= 7 * 142, "and whatever the kernel said for itself")
    #expect(try sent(1).bytes >= 15 * 142, "the whole")
    #expect(after[TrafficHandle(1, 0x10)]?.htb?.lends == 3)
    #expect(try pair.socketA.qdiscs(of: 7).first?.statistics.directPackets == direct)
    let shown = try Kernel.output(of: "tc -s class show dev v0 classid 1:11", in: pair.a)
    #expect(shown.contains("Sent 710 bytes 5 pkt (dropped 0, overlimits 0 requeues 0)"), "\(shown)")
  }

  @Test func `what waits and what is dropped is counted as tc counts it`() throws {
    let pair = try shaped(TrafficShape(rate: DataRate(bitsPerSecond: 8000), burst: 3000, limit: 10_000))
    try send(30, to: 5001, bytes: 1000, from: pair.a)
    let counted = try #require(try pair.socketA.qdiscs(of: 7).first).statistics
    #expect(counted.drops >= 15 && counted.drops <= 20, "\(counted)")
    #expect(counted.backlogPackets >= 5 && counted.backlogBytes <= 10_000 && counted.overlimits > 0, "\(counted)")
    let shown = try Kernel.output(of: "tc -j -s qdisc show dev v0", in: pair.a)
    #expect(shown.contains(#""drops":\#(counted.drops),"#), "\(shown)")
  }

  @Test func `a change in place keeps what waits, a class that borrows says so`() throws {
    var shape = TrafficShape(
      rate: DataRate(bitsPerSecond: 160_000), burst: 3000, limit: 90_000,
      classes: [.init("half", rate: DataRate(bitsPerSecond: 80_000))])
    let pair = try shaped(shape)
    _ = try Kernel.output(
      of: "nft 'add table inet t; add chain inet t o { type filter hook output priority 0; };"
        + " add rule inet t o udp dport 5001 meta priority set 1:10'", in: pair.a)
    try send(80, to: 5001, bytes: 1000, from: pair.a)
    let half = TrafficHandle(1, 0x10)
    var before = try #require(try statistics(pair)[half])
    while before.htb?.borrows == 0, before.backlogPackets > 0 { before = try #require(try statistics(pair)[half]) }
    #expect(before.htb.map { $0.borrows > 0 && $0.lends > 0 } == true, "its own rate is spent, the whole's is not")
    #expect(before.backlogPackets >= 20, "\(before)")
    shape.classes[0].rate = DataRate(bitsPerSecond: 120_000)
    let plan = try shape.plan(on: 7, mtu: 1400)
    let changes = plan.changes(from: try pair.socketA.trafficPlan(of: 7))
    try pair.socketA.commit { $0.apply(changes, on: 7) }
    #expect(try pair.socketA.trafficPlan(of: 7) == plan.kept)
    let after = try #require(try statistics(pair)[half])
    #expect(after.backlogPackets > 10 && after.packets >= before.packets, "\(after)")
  }

  @Test func `a plan is reached from any other and read back`() throws {
    let pair = try Pair()
    let plans =
      try [
        TrafficShapeTests.shape, TrafficShape(rate: mbit(5)), TrafficShape(rate: mbit(7), burst: 9000),
        TrafficShape(rate: mbit(100), classes: [.init("a", rate: mbit(50)), .init("b", rate: mbit(20))]),
        TrafficShape(rate: mbit(2500), classes: [.init("b", rate: mbit(20))]),
      ].map { try $0.plan(on: 7) } + [TrafficPlan(on: 7)]
    for from in plans {
      for to in plans {
        for plan in [from, to] {
          let changes = plan.changes(from: try pair.socketA.trafficPlan(of: 7))
          try pair.socketA.commit { $0.apply(changes, on: 7) }
          #expect(try pair.socketA.trafficPlan(of: 7) == plan.kept)
        }
      }
    }
  }
}
