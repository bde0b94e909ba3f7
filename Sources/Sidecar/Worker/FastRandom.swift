/// A fast generator for balancing, jitter and sampling (Steele et al., SplitMix64), started from the system's; nothing
/// that must not be guessed comes from it.
struct FastRandom: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64? = nil) { state = seed ?? UInt64.random(in: 0...UInt64.max) }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
  }

  /// True in so many of a hundred cases.
  mutating func chance(percent: Double) -> Bool { percent > 0 && Double.random(in: 0..<100, using: &self) < percent }
}
