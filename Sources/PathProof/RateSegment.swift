/// The way of a transmission from one place to the next, and what became of its units there.
///
/// A queue is seen from outside: packets of a flow stay in order, so a unit that stays longer than the fastest one did has
/// waited. A copy is lost where it was seen last; one that a capture missed was seen further on, and is not lost.
struct RateSegment {
  enum Kind {
    /// From the sending program to its interface.
    case sender
    case link
    case node
    /// From the receiver's interface to its program.
    case receiver
  }

  struct Sample {
    var entered: UInt64
    var left: UInt64
  }

  var kind: Kind
  /// Nil at the ends, inside the programs.
  var entry: RatePlace?
  var exit: RatePlace?
  /// In order of entering.
  var samples: [Sample] = []
  /// When units came that never left; in order of time.
  var losses: [UInt64] = []
  /// Copies that came.
  var entered = 0
  /// The shortest stay, ns.
  var base: UInt64 = 0

  init(_ kind: Kind, entry: RatePlace?, exit: RatePlace?) {
    self.kind = kind
    self.entry = entry
    self.exit = exit
  }
}

extension RateSegment {
  /// What its packets say about a stretch of time.
  struct Reading {
    /// The part of the time in which packets waited.
    var busy = 0.0
    /// How long they waited, ns; the median of those that came in the time.
    var wait = 0.0
    /// Lost although nothing waited, over the whole transmission, and all that came.
    var policed = 0
    var policedShare = 0.0
    /// Of `policed` those in the stretch of time.
    var policedLate = 0
    /// Lost while others waited.
    var overflowed = 0
    var overflowedShare = 0.0
    /// Units that left in the time.
    var passed = 0
  }

  /// Shorter waits are the processor's, ns: what a busy machine's softirq takes.
  static let shortestWait: UInt64 = 1_000_000

  func read(_ window: Range<UInt64>, resolution: UInt64) -> Reading {
    var reading = Reading()
    let threshold = max(Self.shortestWait, base / 4, 3 * resolution)
    reading.busy = busyTime(window, threshold) / Double(max(1, window.upperBound - window.lowerBound))
    let inside = samples.filter { window.contains($0.entered) }.map { wait($0) }.sorted()
    if !inside.isEmpty { reading.wait = Double(inside[inside.count / 2]) }
    reading.passed = samples.count { window.contains($0.left) }
    let waits = samples.map { wait($0) }.sorted()
    let long = waits.isEmpty ? 0 : waits[waits.count * 9 / 10]
    let full = max(threshold, long / 4)
    for loss in losses {
      if waitAround(loss) >= full {
        reading.overflowed += 1
      } else {
        reading.policed += 1
        if window.contains(loss) { reading.policedLate += 1 }
      }
    }
    reading.policedShare = Double(reading.policed) / Double(max(1, entered))
    reading.overflowedShare = Double(reading.overflowed) / Double(max(1, entered))
    return reading
  }

  private func wait(_ sample: Sample) -> UInt64 { sample.left - sample.entered - base }

  /// How long packets waited in the window, overlaps counted once, ns.
  private func busyTime(_ window: Range<UInt64>, _ threshold: UInt64) -> Double {
    var total: UInt64 = 0
    var end = window.lowerBound
    for sample in samples where wait(sample) >= threshold {
      let from = max(sample.entered, end)
      let until = min(sample.left - base, window.upperBound)
      guard until > from else { continue }
      total += until - from
      end = until
    }
    return Double(total)
  }

  /// The shorter wait of the packets that came just before and just after: a full queue makes both wait.
  private func waitAround(_ time: UInt64) -> UInt64 {
    guard !samples.isEmpty else { return 0 }
    var low = 0
    var high = samples.count
    while low < high {
      let middle = (low + high) / 2
      if samples[middle].entered <= time { low = middle + 1 } else { high = middle }
    }
    let before = low > 0 ? wait(samples[low - 1]) : nil
    let after = low < samples.count ? wait(samples[low]) : nil
    return min(before ?? .max, after ?? .max)
  }
}
