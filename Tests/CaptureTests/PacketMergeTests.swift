import Foundation
import NetTypes
import Testing

@testable import Capture

@Suite struct PacketMergeTests {
  private struct Sent: Equatable {
    var time: UInt64
    var target: Int
    var wireLength: Int
    var frame: [UInt8]
  }

  /// Each interface's packets in order of time, interfaces as their rings would be visited.
  private func batches(_ random: inout SplitMix64, _ count: Int) -> [[Sent]] {
    var clock = [UInt64](repeating: 1_700_000_000_000_000_000, count: count)
    return (0..<40).map { _ in
      (0..<count).shuffled(using: &random).flatMap { target in
        (0..<Int.random(in: 0...30, using: &random)).map { _ in
          clock[target] += UInt64.random(in: 0...2_000, using: &random)
          let length = Int.random(in: 0...90, using: &random)
          return Sent(
            time: clock[target], target: target, wireLength: length + Int.random(in: 0...9, using: &random),
            frame: (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) })
        }
      }
    }
  }

  private func take(_ merge: PacketMerge, _ sent: Sent) {
    sent.frame.withUnsafeBytes {
      merge.take(
        CapturedFrame(target: sent.target, time: sent.time, wireLength: sent.wireLength, bytes: $0),
        sent.target % 2 == 0 ? .outbound : .foreign)
    }
  }

  @Test("packets of many interfaces leave whole, by time, and none before its time", arguments: 1...6)
  func merged(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let count = Int.random(in: 1...12, using: &random)
    let merge = PacketMerge(interfaces: Array(0..<count))
    var left: [Sent] = []
    var taken: [Sent] = []
    func release(_ limit: UInt64) {
      merge.release(before: limit) { target, time, block in
        left.append(Sent(time: time, target: target, wireLength: block.wireLength, frame: Array(block.frame)))
      }
    }
    for batch in batches(&random, count) {
      for sent in batch { take(merge, sent) }
      taken += batch
      // Whatever comes later is no older than the slowest interface's last packet.
      let last = (0..<count).map { target in taken.last { $0.target == target }?.time ?? 0 }
      let limit = last.min() ?? 0
      release(limit)
      #expect(left.count == taken.count { $0.time < limit })
    }
    release(.max)
    #expect(merge.waiting == 0)
    #expect(left == taken.sorted { ($0.time, $0.target) < ($1.time, $1.target) })
    #expect((0..<count).allSatisfy { run in merge.packets(run) == UInt64(taken.count { $0.target == run }) })
  }

  @Test("beyond what may wait, the oldest leave before their time")
  func bounded() {
    let merge = PacketMerge(interfaces: [0, 1])
    for number in 0..<100 {
      take(
        merge, Sent(time: UInt64(number), target: number % 2, wireLength: 60, frame: [UInt8](repeating: 1, count: 60)))
    }
    let all = merge.waiting
    var times: [UInt64] = []
    merge.release(before: 0, mostWaiting: all / 2) { _, time, _ in times.append(time) }
    #expect(times == Array(0..<50))
    #expect(merge.waiting <= all / 2)
  }

  @Test("a block is what a reader of pcapng takes it for")
  func readBack() throws {
    let merge = PacketMerge(interfaces: [1])
    let path = NSTemporaryDirectory() + "netloom-merge-\(UUID().uuidString).pcapng"
    let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
    try #require(descriptor >= 0)
    defer {
      close(descriptor)
      unlink(path)
    }
    let sent = [0, 1, 2, 3, 4, 61].map {
      Sent(
        time: 1_700_000_000_123_456_789 + UInt64($0), target: 0, wireLength: 1500,
        frame: [UInt8](repeating: 0xAB, count: $0))
    }
    for packet in sent { take(merge, packet) }
    var writer = PcapngWriter(
      descriptor, PcapngSection(application: "test"),
      [.init(name: "a:eth0", snapLength: 64), .init(name: "b:eth0", snapLength: 64)])
    merge.release(before: .max) { _, _, block in writer.append(block) }
    try writer.flush()
    let file = try PcapngFile(Array(Data(contentsOf: URL(fileURLWithPath: path))))
    #expect(file.records.map(\.time) == sent.map(\.time))
    #expect(file.records.map(\.bytes) == sent.map(\.frame))
    #expect(file.records.allSatisfy { $0.interface == 1 && $0.wireLength == 1500 && $0.direction == .outbound })
  }
}

/// Sebastiano Vigna's generator: the same numbers for the same seed.
private struct SplitMix64: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
