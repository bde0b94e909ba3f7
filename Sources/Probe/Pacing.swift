/// When the next probes of a trace may leave. One in a while until the first answer shows that the way is open: a probe in
/// a loop passes each interface up to 255 times, and the captures hold some 500 packets. Then a few at once. Probes that
/// are not answered hold the others up for a moment only.
struct Pacing {
  private static let window = 16
  private static let pause: UInt64 = 5_000_000
  private var last: UInt64 = 0

  /// - Parameters:
  ///   - pending: probes under way.
  ///   - isOpen: one has been answered.
  /// - Returns: how many may start now.
  mutating func allowance(pending: Int, isOpen: Bool, _ now: UInt64) -> Int {
    let isPaused = now < last + Self.pause
    let free: Int
    if isOpen {
      free = pending < Self.window ? Self.window - pending : isPaused ? 0 : Self.window
    } else {
      free = isPaused ? 0 : 1
    }
    if free > 0 { last = now }
    return free
  }
}
