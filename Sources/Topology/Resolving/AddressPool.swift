import NetTypes

/// Gives out subnets of one pool, in order, around what is already taken. What it gives depends on the pool, the
/// taken ranges and the order of requests only.
struct AddressPool {
  let pool: IPPrefix
  /// Inclusive ranges inside the pool, sorted, not overlapping and not touching.
  private var taken: [ClosedRange<UInt128>] = []
  /// Where the search goes on, per length asked for.
  private var cursors: [Int: UInt128] = [:]

  init(_ pool: IPPrefix) { self.pool = pool }

  /// Keeps a prefix out of what is given. One that holds the whole pool leaves nothing, unless `wholePoolCounts` is
  /// false: a default route is announced over addresses, not instead of them.
  mutating func exclude(_ prefix: IPPrefix, wholePoolCounts: Bool = true) {
    guard prefix.family == pool.family, prefix.overlaps(pool) else { return }
    if prefix.contains(pool) {
      if wholePoolCounts { take(pool.range) }
    } else {
      take(prefix.range)
    }
  }

  /// The next free subnet of that length; nil: none is left.
  mutating func next(length: Int) -> IPPrefix? {
    guard length >= Int(pool.length) else { return nil }
    // A size of 2^128 does not fit and wraps to zero; one less is then all ones, as it should be.
    let mask = (UInt128(1) << UInt128(pool.family.bits - length)) &- 1
    let end = pool.range.upperBound
    var start = cursors[length] ?? pool.range.lowerBound
    while start <= end, end - start >= mask {
      let wanted = start...(start + mask)
      let blocker = firstTaken(overlapping: wanted)
      // The next boundary of the size; the pool starts on one.
      let (following, overflow) = ((blocker ?? wanted).upperBound | mask).addingReportingOverflow(1)
      if blocker == nil {
        take(wanted)
        cursors[length] = overflow ? end : following
        return IPPrefix(IPAddress(number: start, family: pool.family), length: length)
      }
      if overflow { return nil }
      start = following
    }
    return nil
  }

  private func firstTaken(overlapping range: ClosedRange<UInt128>) -> ClosedRange<UInt128>? {
    let index = firstIndex(endingAtOrAfter: range.lowerBound)
    return index < taken.count && taken[index].overlaps(range) ? taken[index] : nil
  }

  private func firstIndex(endingAtOrAfter value: UInt128) -> Int {
    var low = 0
    var high = taken.count
    while low < high {
      let middle = (low + high) / 2
      if taken[middle].upperBound < value { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// Ranges that touch become one, so that a run of allocations is one entry.
  private mutating func take(_ range: ClosedRange<UInt128>) {
    var lower = range.lowerBound
    var upper = range.upperBound
    let first = firstIndex(endingAtOrAfter: lower == 0 ? 0 : lower - 1)
    var last = first
    while last < taken.count, taken[last].lowerBound <= (upper == .max ? upper : upper + 1) {
      lower = min(lower, taken[last].lowerBound)
      upper = max(upper, taken[last].upperBound)
      last += 1
    }
    taken.replaceSubrange(first..<last, with: [lower...upper])
  }
}

extension IPAddress {
  /// As a number, whatever the family.
  var number: UInt128 {
    switch self {
    case .v4(let address): UInt128(address.rawValue)
    case .v6(let address): UInt128(address.high) << 64 | UInt128(address.low)
    }
  }

  init(number: UInt128, family: AddressFamily) {
    switch family {
    case .ipv4: self = .v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: number)))
    case .ipv6:
      self = .v6(
        IPv6Address(high: UInt64(truncatingIfNeeded: number >> 64), low: UInt64(truncatingIfNeeded: number)))
    }
  }

  func advanced(by count: Int) -> IPAddress { IPAddress(number: number &+ UInt128(count), family: family) }
}

extension IPPrefix {
  /// First and last address, as numbers.
  var range: ClosedRange<UInt128> {
    let size = UInt128(1) << UInt128(family.bits - Int(length))
    let first = address.number
    // A size of 2^128 does not fit and wraps to zero; one less is then all ones, as it should be.
    return first...(first &+ (size &- 1))
  }
}
