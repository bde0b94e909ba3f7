// What became of the numbered units of one stream: each was received once, twice, late or never.
//
// Units arrive with their number and the time they were sent. Whatever is missing below the highest number that arrived is
// a gap, with the times at which the units on both sides of it were sent: that is the outage. One that arrives late
// shortens its gap or cuts it in two; one that is in no gap is a duplicate. Pure: no clock, no socket.
struct TrafficLedger {
  struct Outage: Equatable {
    /// When the last unit before it was sent, and the first one after it; ns.
    var start: UInt64
    var end: UInt64
    var lost: UInt64

    /// Also where the clock was set back meanwhile.
    var length: UInt64 { end > start ? end - start : 0 }
  }

  private struct Gap {
    var numbers: ClosedRange<UInt32>
    /// When the units on both sides were sent.
    var before: UInt64
    var after: UInt64

    var outage: Outage { Outage(start: before, end: after, lost: UInt64(numbers.count)) }
  }

  private(set) var sent: UInt32 = 0
  /// When the first and the last one left.
  private(set) var firstSent: UInt64 = 0
  private(set) var lastSent: UInt64 = 0
  private(set) var received: UInt64 = 0
  private(set) var duplicates: UInt64 = 0
  private(set) var reordered: UInt64 = 0
  /// Payload received, duplicates left out.
  private(set) var bytes: UInt64 = 0
  private(set) var delays = TrafficDelays()
  private(set) var intervals = TrafficIntervals(start: 0)
  private var highest: (number: UInt32, sentAt: UInt64)?
  private var gaps: [Gap] = []
  /// The longest of those that are too many to be kept.
  private var settled: [Outage] = []

  /// Random loss of one in a hundred makes so many in an hour at 1,000 a second.
  private static let mostGaps = 40_000
  static let mostOutages = 100

  /// A unit leaves: its number is what `sent` was.
  mutating func left(at time: UInt64) {
    if sent == 0 {
      firstSent = time
      intervals = TrafficIntervals(start: time)
    }
    lastSent = max(lastSent, time)
    sent += 1
    intervals.left(at: time)
  }

  mutating func arrived(_ number: UInt32, sentAt: UInt64, at time: UInt64, bytes count: Int) {
    guard number < sent else { return }  // none of ours
    guard isNew(number, sentAt) else {
      duplicates += 1
      return
    }
    received += 1
    bytes += UInt64(count)
    delays.add(time > sentAt ? time - sentAt : 0)
    intervals.arrived(sentAt: sentAt, at: time, bytes: count)
  }

  private mutating func isNew(_ number: UInt32, _ sentAt: UInt64) -> Bool {
    guard let last = highest else {
      if number > 0 { open(Gap(numbers: 0...number - 1, before: firstSent, after: sentAt)) }
      highest = (number, sentAt)
      return true
    }
    if number > last.number {
      if number > last.number + 1 {
        open(Gap(numbers: last.number + 1...number - 1, before: last.sentAt, after: sentAt))
      }
      highest = (number, sentAt)
      return true
    }
    guard let place = gap(of: number) else { return false }
    reordered += 1
    close(place, number, sentAt)
    return true
  }

  // MARK: Gaps

  private mutating func open(_ gap: Gap) {
    gaps.append(gap)
    guard gaps.count > Self.mostGaps else { return }
    settled = Self.longest(settled + gaps.prefix(Self.mostGaps / 2).map(\.outage))
    gaps.removeFirst(Self.mostGaps / 2)
  }

  /// The gap that the number is missing from.
  private func gap(of number: UInt32) -> Int? {
    var (low, high) = (0, gaps.count)
    while low < high {
      let middle = (low + high) / 2
      if gaps[middle].numbers.upperBound < number { low = middle + 1 } else { high = middle }
    }
    return low < gaps.count && gaps[low].numbers.contains(number) ? low : nil
  }

  /// The number came after all.
  private mutating func close(_ place: Int, _ number: UInt32, _ sentAt: UInt64) {
    let gap = gaps[place]
    var parts: [Gap] = []
    if number > gap.numbers.lowerBound {
      parts.append(Gap(numbers: gap.numbers.lowerBound...number - 1, before: gap.before, after: sentAt))
    }
    if number < gap.numbers.upperBound {
      parts.append(Gap(numbers: number + 1...gap.numbers.upperBound, before: sentAt, after: gap.after))
    }
    gaps.replaceSubrange(place...place, with: parts)
  }

  // MARK: Outages

  /// Longest first. Of a stream that has ended, what was never followed by an arrival lasts until its last unit was sent.
  func outages(ended: Bool) -> [Outage] {
    var outages = settled + gaps.map(\.outage)
    let missing = UInt64(sent) - UInt64(highest.map { $0.number + 1 } ?? 0)
    if ended, missing > 0 {
      outages.append(Outage(start: highest?.sentAt ?? firstSent, end: lastSent, lost: missing))
    }
    return Self.longest(outages)
  }

  private static func longest(_ outages: [Outage]) -> [Outage] {
    Array(outages.sorted { ($1.length, $0.start) < ($0.length, $1.start) }.prefix(mostOutages))
  }
}
