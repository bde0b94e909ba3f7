import NetTypes
import Testing

@testable import Netlink

/// What needs no kernel: units, bytes, handles.
@Suite struct QdiscCodingTests {
  @Test func `a handle reads as tc writes it`() throws {
    for (text, number) in [("1:", 0x1_0000), ("1:a", 0x1_000a), ("ffff:fff1", 0xffff_fff1), ("root", 0xffff_ffff)] {
      let handle = try #require(TrafficHandle(text))
      #expect(handle.rawValue == UInt32(number) && handle.description == text)
    }
    #expect(TrafficHandle("1:0") == TrafficHandle(1))
    for wrong in ["", "1", ":", "1:2:3", "10000:", "1:g", "1:10000"] { #expect(TrafficHandle(wrong) == nil) }
  }

  @Test func `a burst comes back to the byte while a tick is less than one, and to the tick above`() {
    var random = Random(seed: 1)
    for _ in 0..<20_000 {
      let rate = random.rate(upTo: 1 << 37)
      let bytes = UInt32(truncatingIfNeeded: random.next() % 4_000_000)
      let kept = rate.kept(bytes)
      if rate.ticks(for: bytes) == .max { continue }
      let bytesPerTick = Double(rate.bytesPerSecond) * 64e-9
      if bytesPerTick < 1 {
        #expect(kept == bytes, "\(rate) \(bytes)")
      } else {
        #expect(kept >= bytes && Double(kept - bytes) <= bytesPerTick, "\(rate) \(bytes)")
      }
      #expect(rate.kept(kept) == kept, "\(rate) \(bytes)")
    }
    #expect(DataRate(bytesPerSecond: 1).ticks(for: 1 << 20) == .max)
    #expect(DataRate(bytesPerSecond: .max).bytes(inTicks: .max) == .max)
    #expect(DataRate(bitsPerSecond: 10_000_000).ticks(for: 1250) == 15_625, "1 ms")
  }

  /// TCA_OPTIONS as iproute2 6.1 sends it (strace of `tc qdisc add dev v0 root handle 1: ...`).
  static let recorded: [(Discipline, [UInt8])] = {
    var codel = CoDel()
    (codel.limit, codel.target, codel.interval) = (500, .milliseconds(20), .milliseconds(200))
    (codel.marks, codel.markThreshold) = (true, .milliseconds(2))
    var fair = FairCoDel()
    (fair.limit, fair.flows, fair.quantum, fair.marks) = (2000, 256, 3000, false)
    (fair.target, fair.interval, fair.memoryLimit) = (.milliseconds(10), .milliseconds(150), 4 << 20)
    return [
      (
        .codel(codel),  // codel limit 500 target 20ms interval 200ms ecn ce_threshold 2ms
        [
          44, 0, 2, 0,
          8, 0, 2, 0, 0xf4, 0x01, 0, 0,  // limit
          8, 0, 3, 0, 0x40, 0x0d, 3, 0,  // interval
          8, 0, 1, 0, 0x20, 0x4e, 0, 0,  // target
          8, 0, 4, 0, 1, 0, 0, 0,  // ecn
          8, 0, 5, 0, 0xd0, 0x07, 0, 0,  // ce_threshold
        ]
      ),
      (
        .fqCoDel(fair),  // limit 2000 flows 256 target 10ms interval 150ms quantum 3000 memory_limit 4mb noecn
        [
          60, 0, 2, 0,
          8, 0, 2, 0, 0xd0, 0x07, 0, 0,  // limit
          8, 0, 5, 0, 0, 1, 0, 0,  // flows
          8, 0, 6, 0, 0xb8, 0x0b, 0, 0,  // quantum
          8, 0, 3, 0, 0xf0, 0x49, 2, 0,  // interval
          8, 0, 1, 0, 0x10, 0x27, 0, 0,  // target
          8, 0, 4, 0, 0, 0, 0, 0,  // ecn
          8, 0, 9, 0, 0, 0, 0x40, 0,  // memory
        ]
      ),
      (
        .htb(HTB(defaultClass: 0x20, rateToQuantum: 5, directQueueLength: 50)),  // default 20 r2q 5 direct_qlen 50
        [
          36, 0, 2, 0,
          24, 0, 2, 0, 3, 0, 0, 0, 5, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  // version, r2q, default
          8, 0, 5, 0, 50, 0, 0, 0,
        ]
      ),
    ]
  }()

  @Test(arguments: 0..<3) func `options are the bytes that tc sends, and decode to what was asked`(index: Int)
    throws
  {
    let (discipline, bytes) = Self.recorded[index]
    let asked = Qdisc(on: 7, discipline, handle: TrafficHandle(1))
    var batch = MessageBatch()
    batch.setQdisc(asked, .add)
    #expect(Array(batch.bytes.suffix(bytes.count)) == bytes)
    let read = try batch.bytes.withUnsafeBytes { try #require(Message($0).flatMap { Qdisc($0) }) }
    #expect(read == asked)
  }

  @Test func `CoDel's clock of 1024 ns makes 4.999 of 5 ms`() {
    #expect(CoDel().kept.target == .microseconds(4999))
    #expect(CoDel().kept.interval == .microseconds(99_999))
    var fair = FairCoDel()
    fair.limit = 99
    let plan = TrafficPlan(on: 7, qdiscs: [Qdisc(on: 7, .fqCoDel(FairCoDel()), handle: TrafficHandle(1))])
    #expect(plan.changes(from: plan.kept) == [], "4.999 ms is what was wanted")
    let other = TrafficPlan(on: 7, qdiscs: [Qdisc(on: 7, .fqCoDel(fair), handle: TrafficHandle(1))])
    #expect(plan.changes(from: other.kept) == [.setQdisc(plan.qdiscs[0])], "and 5 ms is what is sent")
  }

  @Test func `latency and limit of a bucket are one as tc reckons it`() {
    // tc qdisc add ... tbf rate 10mbit burst 64k latency 50ms: 1,250,000 × 0.05 + 65,536.
    let rate = DataRate(bitsPerSecond: 10_000_000)
    #expect(TokenBucket(rate: rate, burst: 65_536, latencyMilliseconds: 50).limit == 128_036)
    let peak = TokenBucket.Peak(rate: DataRate(bitsPerSecond: 12_000_000), burst: 1514)
    #expect(TokenBucket(rate: rate, burst: 65_536, latencyMilliseconds: 50, peak: peak).limit == 76_514)
  }

  @Test func `a bucket holds a tick's worth and a packet, at low rates 80 ms' worth, or two packets`() {
    func burst(_ mbit: UInt64) -> UInt32 { ShapingDefaults.burst(rate: DataRate(bitsPerSecond: mbit * 1_000_000)) }
    #expect([1, 10, 100, 1000].map(burst) == [10_000, 10_000, 51_514, 501_514])
    #expect(ShapingDefaults.burst(rate: DataRate(bitsPerSecond: 500_000)) == 5000)
    #expect(ShapingDefaults.burst(rate: DataRate(bitsPerSecond: 64_000)) == 3028)
    #expect(ShapingDefaults.burst(rate: DataRate(bytesPerSecond: 1), mtu: 9000) == 18_028)
    #expect(ShapingDefaults.burst(rate: DataRate(bytesPerSecond: .max)) == .max)
    // 47 segments of 1400 bytes: Ethernet 14, IPv6 40, TCP with options 60 each.
    let policing = ShapingDefaults.policingBurst(rate: DataRate(bitsPerSecond: 1_000_000))
    #expect(policing == 65_536 + 47 * 114)
  }

  @Test func `a queue is 50 ms long, of a class that borrows up to 128 KiB of its ceil`() {
    func limit(_ rate: UInt64, _ ceil: UInt64) -> UInt32 {
      ShapingDefaults.queueLimit(
        rate: DataRate(bitsPerSecond: rate * 1_000_000), ceil: DataRate(bitsPerSecond: ceil * 1_000_000))
    }
    #expect(limit(100, 100) == 625_000)
    #expect(limit(1, 1) == 49_152)
    #expect(ShapingDefaults.queueLimit(rate: DataRate(bitsPerSecond: 500_000)) == 25_000)
    #expect(ShapingDefaults.queueLimit(rate: DataRate(bitsPerSecond: 64_000)) == 15_140)
    #expect(limit(1, 10) == 62_500)
    #expect(limit(1, 100) == 131_072)
  }
}

/// SplitMix64: the same numbers in every run.
struct Random: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = (state ^ state >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return mixed ^ mixed >> 31
  }

  /// As often of each size, from 125 bytes a second.
  mutating func rate(upTo most: UInt64) -> DataRate {
    let bits = UInt64.random(in: 7...UInt64(most.bitWidth - most.leadingZeroBitCount), using: &self)
    return DataRate(bytesPerSecond: min(most, max(125, next() >> (64 - bits))))
  }
}
