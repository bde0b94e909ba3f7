import EventLoop

/// How long each step of the building took, for one line of the log.
struct StepClock: CustomStringConvertible {
  private let start = EventLoop.clock()
  private var last = EventLoop.clock()
  private var steps: [(name: String, nanoseconds: UInt64)] = []

  mutating func done(_ name: String) {
    let now = EventLoop.clock()
    steps.append((name, now - last))
    last = now
  }

  var description: String {
    let parts = steps.map { "\($0.name) \($0.nanoseconds / 1_000_000)" }.joined(separator: ", ")
    return "\((last - start) / 1_000_000) ms (\(parts))"
  }
}
