import EventLoop
import Glibc
import Testing

@testable import Relay

@Suite struct DelayQueueTests {
  /// What an ordinary array would hold.
  private struct Model {
    var frames: [(due: UInt64, bytes: [UInt8])] = []
  }

  private static func contents(_ queue: borrowing DelayQueue) -> [(due: UInt64, bytes: [UInt8])] {
    var cursor = queue.start
    var found: [(due: UInt64, bytes: [UInt8])] = []
    while let record = queue.next(&cursor) { found.append((record.due, Array(record.frame))) }
    return found
  }

  @Test(arguments: [1, 2, 3, 4, 5] as [UInt64])
  func theRingHoldsWhatAnArrayHoldsThroughThousandsOfTurns(_ seed: UInt64) throws {
    var queue = try DelayQueue(capacity: 8192)
    var model = Model()
    var random = Sequence(state: seed)
    var refused = 0
    for turn in 0..<4000 {
      if random.next() % 5 < 3 {
        let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: turn), count: Int(random.next() % 1600))
        let taken = queue.append(due: UInt64(turn), length: bytes.count) { $0.copyBytes(from: bytes) }
        if taken { model.frames.append((UInt64(turn), bytes)) } else { refused += 1 }
      } else {
        let number = min(Int(random.next() % 4), model.frames.count)
        queue.removeFirst(number)
        model.frames.removeFirst(number)
      }
      #expect(queue.count == model.frames.count)
      #expect(queue.bytes == model.frames.reduce(0) { $0 + $1.bytes.count })
      #expect(queue.firstDue == model.frames.first?.due)
      let found = Self.contents(queue)
      try #require(found.elementsEqual(model.frames) { $0.due == $1.due && $0.bytes == $1.bytes }, "turn \(turn)")
    }
    #expect(refused > 100)
  }

  @Test func whatFindsNoRoomIsRefusedAndWhatWaitsStaysWhole() throws {
    var queue = try DelayQueue(capacity: 4096)
    var taken = 0
    while queue.append(due: 1, length: 100, { $0.copyBytes(from: [UInt8](repeating: UInt8(taken), count: 100)) }) {
      taken += 1
    }
    #expect(taken == 4096 / 128)  // 16 + 112 bytes each
    #expect(Self.contents(queue).map(\.bytes) == (0..<taken).map { [UInt8](repeating: UInt8($0), count: 100) })
    // Head and tail never meet in a ring that is not empty, so one place is not enough for the next.
    queue.removeFirst()
    #expect(!queue.append(due: 2, length: 100) { _ in })
    queue.removeFirst()
    #expect(queue.append(due: 2, length: 100) { _ in })
  }

  @Test func aFrameLargerThanTheRingIsRefused() throws {
    var queue = try DelayQueue(capacity: 4096)
    #expect(!queue.append(due: 1, length: 4096) { _ in })
    #expect(queue.count == 0)
  }

  @Test func anEmptiedRingGivesItsPagesBack() throws {
    var queue = try DelayQueue(capacity: 64 << 20)
    while queue.append(due: 1, length: 60_000, { $0.initializeMemory(as: UInt8.self, repeating: 7) }) {}
    let full = Self.resident
    queue.removeFirst(queue.count)
    queue.trim()
    #expect(full - Self.resident > 32 << 20)
    #expect(queue.append(due: 2, length: 100) { _ in })
    #expect(queue.firstDue == 2)
  }

  /// Bytes of memory of this process (proc(5), statm).
  private static var resident: Int {
    let words = ((try? SmallFile.text("/proc/self/statm")) ?? "").split(separator: " ")
    return words.count > 1 ? (Int(words[1]) ?? 0) * 4096 : 0
  }
}

/// Numbers that are the same in every run (Knuth's MMIX generator).
struct Sequence {
  var state: UInt64

  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return state >> 33
  }
}
