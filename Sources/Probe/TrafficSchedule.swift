/// When the units of a stream are due: at a steady pace from its start on. What a busy machine made late is made up for,
/// a few at a time; what is later than a second (the machine slept) is not.
struct TrafficSchedule {
  /// Between two units, ns.
  private let interval: Double
  /// When slot 0 is due, ns.
  private var start: UInt64
  private var taken: UInt64 = 0
  /// Not before this: units that are behind leave in groups.
  private var rest: UInt64 = 0

  /// Most that leave at once: what is due in 20 ms, within reason.
  let burst: Int

  private static let burstTime = 20_000_000.0
  private static let bursts = 8...64
  private static let patience: UInt64 = 1_000_000_000

  /// - Parameter pace: units a second.
  init(pace: Double, start: UInt64) {
    interval = 1e9 / pace
    self.start = start
    burst = min(max(Int(Self.burstTime / interval), Self.bursts.lowerBound), Self.bursts.upperBound)
  }

  /// When the next unit may leave.
  var next: UInt64 { max(rest, due(taken)) }

  private func due(_ slot: UInt64) -> UInt64 { start + UInt64(Double(slot) * interval) }

  /// How many units may leave now.
  func allowance(_ now: UInt64) -> Int {
    guard now >= next else { return 0 }
    return min(burst, Int(Double(now - start) / interval) + 1 - Int(taken))
  }

  /// That many have left.
  mutating func take(_ count: Int, _ now: UInt64) {
    taken += UInt64(count)
    // Twice the pace until it is made up for.
    rest = count == burst ? now + UInt64(min(1e6, Double(burst) * interval / 2)) : 0
    guard now > due(taken) + Self.patience else { return }
    postpone(now)
  }

  /// Sends what is due.
  /// - Parameter attempt: sends one unit; false: there is no room for it now.
  mutating func run(_ now: UInt64, _ attempt: () -> Bool) {
    let allowed = max(0, allowance(now))
    for count in 0..<allowed where !attempt() {
      take(count, now)
      return postpone(now + Self.fullQueue)
    }
    take(allowed, now)
  }

  /// How long a full queue of the sending node is waited for, ns: as any program would be made to.
  private static let fullQueue: UInt64 = 1_000_000

  /// The next unit is due then, whatever should have been before.
  private mutating func postpone(_ time: UInt64) {
    start = time
    taken = 0
  }
}
