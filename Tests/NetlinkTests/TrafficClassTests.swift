import NetTypes
import Testing

@testable import Netlink

@Suite(.enabled(if: Kernel.isAllowed)) struct TrafficClassTests {
  static let root = Qdisc(on: 7, .htb(HTB(defaultClass: 2)), handle: TrafficHandle(1))

  static func htb(_ mbit: UInt64, ceil: UInt64? = nil) -> ClassDiscipline {
    .htb(
      HTBClass(
        rate: DataRate(bitsPerSecond: mbit * 1_000_000), ceil: ceil.map { DataRate(bitsPerSecond: $0 * 1_000_000) }))
  }

  @Test func `classes of any rate read back as kept`() throws {
    let pair = try Pair()
    var random = Random(seed: 3)
    var plan = TrafficPlan(on: 7, qdiscs: [Self.root])
    plan.classes = (1...500 as ClosedRange<UInt16>).map { minor in
      let rate = random.rate(upTo: 1 << 36)
      let htb = HTBClass(
        rate: rate, ceil: DataRate(bytesPerSecond: rate.bytesPerSecond + random.next() % (1 << 36)),
        burst: minor % 2 == 0 ? nil : UInt32(random.next() % 1_000_000), quantum: minor % 3 == 0 ? 60_000 : nil,
        priority: UInt32(minor % 10))
      let parent = minor > 20 ? TrafficHandle(1, 1 + minor % 20) : TrafficHandle(1)
      return TrafficClass(on: 7, .htb(htb), handle: TrafficHandle(1, minor), parent: parent)
    }
    try pair.socketA.commit { $0.apply(plan.changes(from: TrafficPlan(on: 7)), on: 7) }
    let read = try pair.socketA.trafficPlan(of: 7)
    #expect(read.classes.count == 500)
    #expect(read == plan.kept)
    #expect(plan.changes(from: read) == [])
    #expect(try pair.socketA.classes().count == 500 && pair.socketB.classes().isEmpty)
  }

  @Test func `tc shows a class as it was asked for`() throws {
    let pair = try Pair()
    let wide = HTBClass(
      rate: DataRate(bitsPerSecond: 100_000_000_000), ceil: DataRate(bitsPerSecond: 200_000_000_000), burst: 50_000_000,
      ceilBurst: 50_000_000)
    let small = HTBClass(
      rate: DataRate(bitsPerSecond: 1_000_000), ceil: DataRate(bitsPerSecond: 10_000_000), burst: 65_536,
      ceilBurst: 12_500, quantum: 3000, priority: 3)
    try pair.socketA.commit { batch in
      batch.setQdisc(Self.root)
      batch.setClass(TrafficClass(on: 7, .htb(wide), handle: TrafficHandle(1, 1), parent: TrafficHandle(1)))
      batch.setClass(TrafficClass(on: 7, .htb(small), handle: TrafficHandle(1, 0xa), parent: TrafficHandle(1, 1)))
      batch.setQdisc(Qdisc(on: 7, .pfifo(packets: 9), handle: TrafficHandle(0xa), parent: TrafficHandle(1, 0xa)))
    }
    let shown = try Kernel.output(of: "tc -d class show dev v0", in: pair.a)
    #expect(shown.contains("class htb 1:1 root rate 100Gbit ceil 200Gbit linklayer ethernet"), "\(shown)")
    #expect(shown.contains("class htb 1:a parent 1:1 leaf a: prio 3 quantum 3000 rate 1Mbit ceil 10Mbit"), "\(shown)")
    #expect(shown.contains("burst 64Kb/1 mpu 0b cburst 12500b/1 mpu 0b"), "\(shown)")
  }

  /// tc 6.1 reckons in whole microseconds both ways; what it shows for our bursts must be at least as near to what was
  /// asked as what it shows for its own.
  @Test(arguments: [1, 7, 10, 33, 100, 250, 1000]) func `bursts are no worse than tc's own`(mbit: UInt64) throws {
    let pair = try Pair()
    let asked: UInt32 = 70_001
    let class1 = HTBClass(rate: DataRate(bitsPerSecond: mbit * 1_000_000), burst: asked)
    try pair.socketA.commit { batch in
      batch.setQdisc(Self.root)
      batch.setClass(TrafficClass(on: 7, .htb(class1), handle: TrafficHandle(1, 1), parent: TrafficHandle(1)))
    }
    func burst(_ minor: Int) throws -> Int {
      let shown = try Kernel.output(
        of: "tc class show dev v0 | sed -nE 's/^class htb 1:\(minor) .* burst ([0-9]+)b .*/\\1/p'", in: pair.a)
      return try #require(Int(shown.dropLast()), "\(shown)")
    }
    let command = "tc class add dev v0 parent 1: classid 1:2 htb rate \(mbit)mbit burst \(asked)"
    _ = try Kernel.output(of: command, in: pair.a)
    let (ours, theirs) = (try burst(1), try burst(2))
    #expect(abs(ours - Int(asked)) <= abs(theirs - Int(asked)), "\(ours) \(theirs)")
  }

  @Test func `a class with classes below it stays, and a class of no qdisc is refused`() throws {
    let pair = try Pair()
    try pair.socketA.commit { batch in
      batch.setQdisc(Self.root)
      batch.setClass(TrafficClass(on: 7, Self.htb(10), handle: TrafficHandle(1, 1), parent: TrafficHandle(1)))
      batch.setClass(TrafficClass(on: 7, Self.htb(5), handle: TrafficHandle(1, 2), parent: TrafficHandle(1, 1)))
    }
    var batch = MessageBatch()
    batch.deleteClass(TrafficHandle(1, 1), on: 7)
    batch.setClass(TrafficClass(on: 7, Self.htb(5), handle: TrafficHandle(3, 1), parent: TrafficHandle(3)))
    batch.setClass(TrafficClass(on: 7, Self.htb(6), handle: TrafficHandle(1, 9), parent: TrafficHandle(1, 1)), .change)
    let refusals = try pair.socketA.commitReportingEach(&batch)
    #expect(refusals.map(\.message) == [0, 1, 2])
    #expect(refusals.map(\.call) == ["RTM_DELTCLASS", "RTM_NEWTCLASS", "RTM_NEWTCLASS"])
    #expect(refusals.first?.kernelText == "HTB class in use")
    try pair.socketA.commit { batch in
      batch.deleteClass(TrafficHandle(1, 2), on: 7)
      batch.deleteClass(TrafficHandle(1, 1), on: 7)
    }
    #expect(try pair.socketA.classes(of: 7).isEmpty)
  }

  @Test func `a tree whose parents have the larger handles is built and taken down in the right order`() throws {
    let pair = try Pair()
    var plan = TrafficPlan(on: 7, qdiscs: [Self.root])
    plan.classes = zip([1, 2, 3], [2, 3, 0] as [UInt16]).map { minor, parent in
      TrafficClass(on: 7, Self.htb(5), handle: TrafficHandle(1, minor), parent: TrafficHandle(1, parent))
    }
    try pair.socketA.commit { $0.apply(plan.changes(from: TrafficPlan(on: 7)), on: 7) }
    let read = try pair.socketA.trafficPlan(of: 7)
    #expect(read.classes.map(\.handle.minor) == [3, 2, 1] && read == plan.kept)
    plan.classes.removeFirst(2)
    try pair.socketA.commit { $0.apply(plan.changes(from: read), on: 7) }
    #expect(try pair.socketA.trafficPlan(of: 7) == plan.kept)
  }

  @Test func `foreign changes of qdiscs and classes are told, our own are not`() throws {
    let pair = try Pair()
    let monitor = try Monitor(.traffic, in: pair.a)
    try monitor.ignore(causedBy: [pair.socketA.portID])
    try pair.socketA.commit { $0.setQdisc(Self.root) }
    #expect(try monitor.read().events == [])
    let commands = [
      "tc class add dev v0 parent 1: classid 1:2 htb rate 8mbit ceil 16mbit burst 16000 cburst 16000 quantum 5000",
      "tc class change dev v0 classid 1:2 htb rate 4mbit burst 16000 cburst 16000 quantum 5000",
      "tc class del dev v0 classid 1:2", "tc qdisc del dev v0 root",
      "tc qdisc add dev v0 root handle 9: bfifo limit 5000",
    ]
    for command in commands { _ = try Kernel.output(of: command, in: pair.a) }
    func htb(_ rate: UInt64, _ ceil: UInt64) -> TrafficClass {
      let (rate, ceil) = (DataRate(bitsPerSecond: rate * 1_000_000), DataRate(bitsPerSecond: ceil * 1_000_000))
      let htb = HTBClass(rate: rate, ceil: ceil, burst: 16_000, ceilBurst: 16_000, quantum: 5000)
      return TrafficClass(on: 7, .htb(htb), handle: TrafficHandle(1, 2), parent: .root)
    }
    let events = try monitor.read().events
    #expect(
      events == [
        .trafficClass(htb(8, 16)), .trafficClass(htb(4, 4)), .trafficClassRemoved(htb(4, 4)), .qdiscRemoved(Self.root),
        .qdiscRemoved(Qdisc(on: 7, .noqueue)), .qdisc(Qdisc(on: 7, .bfifo(bytes: 5000), handle: TrafficHandle(9))),
      ])
  }
}
