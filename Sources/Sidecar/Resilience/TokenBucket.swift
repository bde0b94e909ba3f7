/// Lets through so many a second, and a burst at once. Time is an argument, in nanoseconds.
struct TokenBucket {
  private let perNanosecond: Double
  private let burst: Double
  private var tokens: Double
  private var updated: UInt64

  init(perSecond: Double, burst: Int, now: UInt64) {
    perNanosecond = max(0, perSecond) / 1e9
    self.burst = Double(max(1, burst))
    tokens = self.burst
    updated = now
  }

  /// Takes one token; false where there is none.
  mutating func take(now: UInt64) -> Bool {
    if now > updated {
      tokens = min(burst, tokens + Double(now - updated) * perNanosecond)
      updated = now
    }
    guard tokens >= 1 else { return false }
    tokens -= 1
    return true
  }
}
