/// What a direction of a link does to time.
public struct LinkDelay: Equatable, Sendable {
  public var microseconds: UInt32
  /// Each packet's delay lies anywhere between delay - jitter and delay + jitter, all equally likely, never below 0.
  public var jitter: UInt32

  public init(microseconds: UInt32, jitter: UInt32 = 0) {
    self.microseconds = microseconds
    self.jitter = jitter
  }
}

/// When each packet of a direction is due. Packets never overtake each other, as on a wire: one whose jitter is small
/// waits for those before it, and a delay that is lowered lets those under way go first.
struct DelayModel {
  var delay: LinkDelay
  private var lastDue: UInt64 = 0
  private var random: SplitMix

  init(_ delay: LinkDelay, seed: UInt64) {
    self.delay = delay
    random = SplitMix(state: seed)
  }

  /// - Parameter arrival: nanoseconds of the clock that all times are of.
  mutating func due(arrival: UInt64) -> UInt64 {
    lastDue = max(lastDue, arrival + sample())
    return lastDue
  }

  private mutating func sample() -> UInt64 {
    let mean = UInt64(delay.microseconds) * 1000
    guard delay.jitter > 0 else { return mean }
    let spread = UInt64(delay.jitter) * 1000
    let sum = mean + UInt64.random(in: 0...2 * spread, using: &random)
    return sum > spread ? sum - spread : 0
  }
}

/// SplitMix64 (Steele, Lea, Flood 2014): a packet's share of the jitter must not cost a system call.
private struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
