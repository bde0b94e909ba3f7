internal import NorthboundAPI
internal import Synchronization
internal import Topology

/// The load that a test has started and that nobody has stopped yet: traffic steps, and the probe streams of traces that
/// follow a fault. Nothing of it outlives the test.
final class TestLoad<Instant: InstantProtocol>: Sendable where Instant.Duration == Duration {
  struct Entry: Sendable {
    /// The controller's.
    var id: UInt64
    var step: TrafficStep
    var place: Place
    var summary: String
    /// In the journal.
    var number: Int
    var started: Instant
    /// Milliseconds since 1970.
    var startedAt: Double

    /// When its `for:` is over; nil: with the test.
    var end: Instant? { step.milliseconds.map { started.advanced(by: .milliseconds(Int64($0))) } }
  }

  private struct State {
    var steps: [Entry] = []
    var streams: Set<UInt64> = []
  }

  private let state = Mutex(State())

  func add(_ entry: Entry) { state.withLock { $0.steps.append(entry) } }
  func addStream(_ id: UInt64) { _ = state.withLock { $0.streams.insert(id) } }

  /// Whoever gets it stops it.
  func takeStream(_ id: UInt64) -> Bool { state.withLock { $0.streams.remove(id) != nil } }

  func takeStreams() -> Set<UInt64> {
    state.withLock { state in
      defer { state.streams = [] }
      return state.streams
    }
  }

  /// Steps whose time is over, in the order of their start.
  func takeDue(_ now: Instant) -> [Entry] { take { $0.end.map { $0 <= now } ?? false } }

  /// The step that ends next; those that end with the test come last.
  func takeNext() -> Entry? {
    state.withLock { state in
      let timed = state.steps.indices.filter { state.steps[$0].end != nil }
      let next = timed.min { a, b in
        guard let first = state.steps[a].end, let second = state.steps[b].end else { return false }
        return first < second
      }
      guard let index = next ?? state.steps.indices.first else { return nil }
      return state.steps.remove(at: index)
    }
  }

  func takeAll() -> [Entry] { take { _ in true } }

  private func take(_ which: (Entry) -> Bool) -> [Entry] {
    state.withLock { state in
      let taken = state.steps.filter(which)
      state.steps.removeAll(where: which)
      return taken
    }
  }
}
