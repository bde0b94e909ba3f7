/// Whether a pod counts as well, from observations that may go up and down: ill at once, well again only when it has been
/// so for a while, longer each time it falls back. So a pod that flaps costs the mesh a bounded number of pushes.
///
///   well ──bad──► ill ──good──► recovering ──good for `hold`──► well
///                  ▲────────bad───────┘
///
/// The first recovery is believed at once. A pure value: time is an argument.
struct FlapDamper: Sendable {
  typealias Instant = ContinuousClock.Instant

  static let firstHold = Duration.seconds(1)
  static let lastHold = Duration.seconds(30)
  /// Well for so long, and what was before is forgotten.
  static let memory = Duration.seconds(60)

  private enum State: Sendable {
    case well(since: Instant)
    case ill
    case recovering(since: Instant)
  }

  private var state: State
  private(set) var falls = 0

  init(isWell: Bool = true, now: Instant) { state = isWell ? .well(since: now) : .ill }

  var isWell: Bool { if case .well = state { true } else { false } }

  /// How long the next recovery has to last.
  private var hold: Duration {
    falls < 2 ? .zero : min(Self.firstHold * (1 << min(falls - 2, 10)), Self.lastHold)
  }

  /// When to look again although nothing was observed; nil: not before something is.
  var wakeAt: Instant? { if case .recovering(let since) = state { since + hold } else { nil } }

  mutating func observe(_ isGood: Bool, now: Instant) {
    switch (state, isGood) {
    case (.well(let since), false):
      if now - since >= Self.memory { falls = 0 }
      falls += 1
      state = .ill
    case (.recovering, false): state = .ill
    case (.ill, true): state = hold == .zero ? .well(since: now) : .recovering(since: now)
    case (.recovering(let since), true) where now - since >= hold: state = .well(since: now)
    case (.well, true), (.ill, false), (.recovering, true): break
    }
  }
}
