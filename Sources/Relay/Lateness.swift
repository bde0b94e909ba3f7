/// How much later than due packets went out, counted in buckets of an eighth of their size: two thousand packets or two
/// billion, the same few kilobytes.
struct Lateness {
  private var buckets = [UInt64](repeating: 0, count: 8 * 62)
  private(set) var count: UInt64 = 0
  private(set) var largest: UInt64 = 0

  mutating func record(_ nanoseconds: UInt64) {
    buckets[Self.bucket(nanoseconds)] += 1
    count += 1
    largest = max(largest, nanoseconds)
  }

  /// The lower bound of the bucket that holds this share of the packets; 0 when there were none.
  func quantile(_ share: Double) -> UInt64 {
    let wanted = UInt64(share * Double(count))
    var seen: UInt64 = 0
    for (place, number) in buckets.enumerated() where number > 0 {
      seen += number
      if seen > wanted { return Self.lowerBound(place) }
    }
    return largest
  }

  /// 0 to 7 are buckets of their own; from there on eight to each power of two.
  private static func bucket(_ value: UInt64) -> Int {
    guard value >= 8 else { return Int(value) }
    let power = 63 - value.leadingZeroBitCount
    return 8 * (power - 2) + Int((value >> UInt64(power - 3)) & 7)
  }

  private static func lowerBound(_ bucket: Int) -> UInt64 {
    guard bucket >= 8 else { return UInt64(bucket) }
    return UInt64(8 + bucket & 7) << UInt64(bucket / 8 - 1)
  }
}
