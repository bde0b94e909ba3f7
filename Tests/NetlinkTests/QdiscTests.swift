import NetTypes
import Testing

@testable import Netlink

@Suite(.enabled(if: Kernel.isAllowed)) struct QdiscTests {
  static let handle = TrafficHandle(1)

  /// Each discipline as asked, and the words that `tc qdisc show` must have for it, as JSON or as text.
  static let cases: [(Qdisc, [String])] = {
    let rate = DataRate(bitsPerSecond: 10_000_000)
    let peak = TokenBucket.Peak(rate: DataRate(bitsPerSecond: 20_000_000), burst: 1600)
    return [
      (
        Qdisc(on: 7, .htb(HTB(defaultClass: 0x1f, rateToQuantum: 20, directQueueLength: 77)), handle: handle),
        [#""kind":"htb","handle":"1:","root":true"#, #""r2q":20,"default":"0x1f""#, #""direct_qlen":77"#]
      ),
      (
        Qdisc(on: 7, .tbf(TokenBucket(rate: rate, burst: 12_500, limit: 75_000)), handle: handle),
        [#""kind":"tbf","handle":"1:""#, #""rate":1250000,"burst":"12500b/1""#, #""lat":50000"#, #""ethernet""#]
      ),
      (
        Qdisc(on: 7, .tbf(TokenBucket(rate: rate, burst: 12_500, limit: 75_000, peak: peak)), handle: handle),
        [#""rate":1250000,"burst":"12500b/1""#, "peakrate 20Mbit", #""mtu":"1600b/1""#]
      ),
      (
        Qdisc(on: 7, .pfifo(packets: 123), handle: TrafficHandle(0xab)),
        [#""kind":"pfifo","handle":"ab:","root":true"#, #""limit":123"#]
      ),
      (Qdisc(on: 7, .bfifo(bytes: 65_000), handle: handle), [#""kind":"bfifo""#, #""limit":65000"#]),
      (Qdisc(on: 7, .noqueue), [#""kind":"noqueue""#]),
      (
        Qdisc(on: 7, .clsact, handle: TrafficHandle(0xffff), parent: .ingress),
        [#""kind":"clsact","handle":"ffff:","parent":"ffff:fff1""#]
      ),
      (
        Qdisc(on: 7, .ingress, handle: TrafficHandle(0xffff), parent: .ingress),
        [#""kind":"ingress","handle":"ffff:","parent":"ffff:fff1""#]
      ),
    ]
  }()

  @Test(arguments: 0..<8) func `a qdisc reads back as written, and as tc shows it`(index: Int) throws {
    let (qdisc, words) = Self.cases[index]
    let pair = try Pair()
    try pair.socketA.commit { $0.setQdisc(qdisc, .add) }
    let shown = try Kernel.output(of: "tc -j -s -d qdisc show dev v0; tc qdisc show dev v0", in: pair.a)
    for word in words { #expect(shown.contains(word), "\(shown)") }
    var read = try #require(try pair.socketA.qdiscs(of: 7).first { $0.subject.parent == qdisc.parent }).subject
    if qdisc.handle == .none {
      #expect(read.handle.minor == 0 && read.handle != .none, "the kernel's choice")
      read.handle = .none
    }
    #expect(read == qdisc.kept)
    #expect(try pair.socketB.qdiscs(of: 7).allSatisfy { $0.subject.handle == .none }, "the other end is untouched")
    try pair.socketA.commit { $0.deleteQdisc(on: 7, parent: qdisc.parent) }
    #expect(try pair.socketA.qdiscs(of: 7).allSatisfy { $0.subject.handle == .none })
  }

  @Test func `a qdisc that this module does not know is data`() throws {
    let pair = try Pair()
    _ = try Kernel.output(of: "tc qdisc add dev v0 root handle 5: pfifo_head_drop limit 9", in: pair.a)
    let read = try pair.socketA.qdiscs(of: 7).map(\.subject)
    #expect(read == [Qdisc(on: 7, .other(kind: "pfifo_head_drop"), handle: TrafficHandle(5))])
  }

  @Test func `the kernel's own default is listed under handle 0, for all interfaces`() throws {
    let pair = try Pair()
    let defaults = try pair.socketA.qdiscs().map(\.subject)
    #expect(Set(defaults) == [Qdisc(on: .loopback, .noqueue), Qdisc(on: 7, .noqueue)])
  }

  @Test func `add, change and replace refuse what they must`() throws {
    let pair = try Pair()
    func attempt(_ qdisc: Qdisc, _ mode: MessageBatch.TrafficMode) -> KernelError? {
      do throws(KernelError) {
        try pair.socketA.commit { $0.setQdisc(qdisc, mode) }
        return nil
      } catch {
        return error
      }
    }
    let (small, large) = (
      Qdisc(on: 7, .bfifo(bytes: 5000), handle: Self.handle), Qdisc(on: 7, .bfifo(bytes: 6000), handle: Self.handle)
    )
    let htb = Qdisc(on: 7, .htb(HTB(defaultClass: 2)), handle: Self.handle)
    #expect(attempt(small, .change)?.isNotThere == true)
    #expect(attempt(small, .add) == nil)
    #expect(attempt(small, .add)?.isAlreadyThere == true)
    #expect(attempt(large, .change) == nil)
    #expect(try pair.socketA.trafficPlan(of: 7).qdiscs == [large])
    #expect(attempt(htb, .replace)?.kernelText == "Invalid qdisc name: must match existing qdisc")
    #expect(attempt(Qdisc(on: 7, .noqueue), .replace) == nil)
    #expect(attempt(htb, .replace) == nil)
    #expect(attempt(htb, .replace)?.kernelText == "Change operation not supported by specified qdisc")
    #expect(attempt(htb, .replace)?.call == "RTM_NEWQDISC")
  }

  @Test func `a bucket of any rate reads back as kept, and tc shows its rate`() throws {
    let pair = try Pair()
    var random = Random(seed: 2)
    for round in 0..<300 {
      let rate = random.rate(upTo: 1 << 37)
      var bucket = TokenBucket(rate: rate, burst: 1600 + UInt32(random.next() % 1_000_000), limit: 100_000)
      if round % 3 == 0 {
        bucket.peak = .init(rate: DataRate(bytesPerSecond: rate.bytesPerSecond * 2), burst: 1600)
      }
      let qdisc = Qdisc(on: 7, .tbf(bucket), handle: Self.handle)
      try pair.socketA.commit { $0.setQdisc(qdisc) }
      #expect(try pair.socketA.trafficPlan(of: 7).qdiscs == [qdisc.kept], "\(rate)")
      guard round % 10 == 0 else { continue }
      let shown = try Kernel.output(of: "tc -j qdisc show dev v0", in: pair.a)
      #expect(shown.contains(#""rate":\#(rate.bytesPerSecond),"#), "\(shown)")
    }
  }

  @Test func `a bucket of minutes at a tiny rate still lets whole packets pass`() throws {
    let pair = try Pair()
    // 65,536 bytes at 2 kbit/s are 262 s: in ticks alone the kernel would let packets of 1,073 bytes pass at most.
    let bucket = TokenBucket(rate: DataRate(bitsPerSecond: 2_000), burst: 65_536, limit: 100_000)
    try pair.socketA.commit { $0.setQdisc(Qdisc(on: 7, .tbf(bucket), handle: Self.handle)) }
    #expect(try pair.socketA.trafficPlan(of: 7).qdiscs.first?.discipline == .tbf(bucket))
    let answer = try Kernel.output(of: "ping -c 1 -W 2 -s 1300 10.7.0.2", in: pair.a)
    #expect(answer.contains("1 received"), "\(answer)")
  }

  @Test func `a tick is what the kernel says it is`() throws {
    // The kernel's psched_show: nanoseconds of a microsecond and of a tick, hexadecimal.
    let shown = try Kernel.output(of: "cut -d' ' -f1,2 /proc/net/psched", in: Namespace.create())
    #expect(shown == "000003e8 00000040\n")
    #expect(DataRate.nanosecondsPerTick == 0x40)
  }

  @Test func `the probe says what tc says`() throws {
    let kinds: Set<String> = ["htb", "tbf", "pfifo", "clsact", "netem", "fq_codel", "codel", "sfq", "nosuch"]
    let namespace = try Namespace.create()
    let missing = try kinds.filter { kind in
      let place = kind == "clsact" ? "" : "root"
      return try Kernel.output(of: "tc qdisc add dev lo \(place) \(kind) 2>&1; true", in: namespace)
        .contains("Specified qdisc kind is unknown")
    }
    let support = try QdiscSupport.probe(kinds)
    #expect(support.missing == missing.union(["nosuch"]))  // tc has no parser for it and never asks
    #expect(support.present == kinds.subtracting(support.missing))
    #expect(support.present.isSuperset(of: ["htb", "tbf", "pfifo", "clsact"]))
  }
}
