/// What happened in each tenth of a second, of the last ten minutes.
struct TrafficIntervals {
  struct Interval: Equatable {
    /// Payload that arrived in it.
    var bytes: UInt64 = 0
    /// Left in it.
    var sent: UInt64 = 0
    /// Of those, arrived at any time.
    var arrived: UInt64 = 0
    /// Median of what arrived in it, ns.
    var delay: UInt64 = 0
  }

  static let length: UInt64 = 100_000_000
  static let kept = 6000

  private let start: UInt64
  private var entries: [Interval] = []
  /// How many intervals came before `entries`.
  private var forgotten = 0
  /// Delays of the interval that arrivals are in now.
  private var samples: [UInt64] = []
  private var current = 0

  private static let mostSamples = 512

  init(start: UInt64) { self.start = start }

  /// Without those that are forgotten.
  var all: [Interval] {
    var copy = self
    copy.settle()
    return Array(copy.entries.suffix(Self.kept))
  }

  mutating func left(at time: UInt64) { change(number(time)) { $0.sent += 1 } }

  mutating func arrived(sentAt: UInt64, at time: UInt64, bytes: Int) {
    change(number(sentAt)) { $0.arrived += 1 }
    let number = number(time)
    if number != current {
      settle()
      current = number
    }
    if samples.count < Self.mostSamples { samples.append(time > sentAt ? time - sentAt : 0) }
    change(number) { $0.bytes += UInt64(bytes) }
  }

  private mutating func settle() {
    guard !samples.isEmpty else { return }
    let median = samples.sorted()[samples.count / 2]
    change(current) { $0.delay = median }
    samples.removeAll(keepingCapacity: true)
  }

  private func number(_ time: UInt64) -> Int { time > start ? Int((time - start) / Self.length) : 0 }

  private mutating func change(_ number: Int, _ body: (inout Interval) -> Void) {
    // A clock that was set forward by hours makes no room for them.
    guard number >= forgotten, number - forgotten < 10 * Self.kept else { return }
    while entries.count <= number - forgotten { entries.append(Interval()) }
    body(&entries[number - forgotten])
    guard entries.count >= 2 * Self.kept else { return }
    forgotten += entries.count - Self.kept
    entries.removeFirst(entries.count - Self.kept)
  }
}
