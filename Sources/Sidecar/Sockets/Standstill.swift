/// Finds output that stands still, by a look now and then.
struct Standstill {
  /// How many bytes had gone out at the last look, where something waited then.
  private var goneAtLook: UInt64?

  /// Whether something waits of which nothing has gone out since this was asked last. The first look never says so: what
  /// waits may have come a moment ago.
  mutating func look(waiting: Int, gone: UInt64) -> Bool {
    guard waiting > 0 else {
      goneAtLook = nil
      return false
    }
    defer { goneAtLook = gone }
    return goneAtLook == gone
  }
}
