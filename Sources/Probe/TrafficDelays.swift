/// Delays in classes of less than a hundredth of their size: hours of them in a few kilobytes.
struct TrafficDelays {
  private(set) var least: UInt64?
  private var counts = [UInt64](repeating: 0, count: (UInt64.bitWidth - Self.bits) << Self.bits + 1 << Self.bits)
  private var total: UInt64 = 0

  /// A power of two is divided into 2 to this many classes.
  private static let bits = 7

  mutating func add(_ delay: UInt64) {
    counts[Self.index(delay)] += 1
    total += 1
    least = min(least ?? delay, delay)
  }

  /// The delay that this part of all does not exceed; nil without any.
  func quantile(_ part: Double) -> UInt64? {
    guard let least else { return nil }
    let wanted = min(UInt64(Double(total) * part), total - 1)
    var seen: UInt64 = 0
    for (index, count) in counts.enumerated() where count > 0 {
      seen += count
      if seen > wanted { return max(least, Self.value(index)) }
    }
    return least
  }

  /// Values below 2^bits have a class each; of the others the highest `bits` + 1 bits count.
  private static func index(_ delay: UInt64) -> Int {
    let shift = max(0, UInt64.bitWidth - delay.leadingZeroBitCount - bits - 1)
    return shift << bits + Int(delay >> UInt64(shift))
  }

  /// The middle of a class.
  private static func value(_ index: Int) -> UInt64 {
    let shift = max(0, index >> bits - 1)
    let start = UInt64(index - shift << bits) << UInt64(shift)
    return start + (1 << UInt64(shift)) / 2
  }
}
