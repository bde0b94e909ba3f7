// Lines that come into being on workers' threads and go to whoever reads them on the admin's: taps and TLS key logs.
// Nothing is made while nobody reads; a reader that does not keep up loses lines, and is told how many.
import EventLoop
import Synchronization

/// What one reader has not taken yet.
final class LineFeed: Sendable {
  private struct State {
    var bytes: [UInt8] = []
    var dropped: UInt64 = 0
  }

  /// Bytes that wait at most.
  static let limit = 1 << 18

  let filter: TapFilter
  private let state = Mutex(State())
  private let waker: Waker

  init(_ filter: TapFilter, _ waker: Waker) {
    self.filter = filter
    self.waker = waker
  }

  func add(_ line: String) {
    let isFirst = state.withLock { state in
      guard state.bytes.count + line.utf8.count < Self.limit else {
        state.dropped += 1
        return false
      }
      defer { state.bytes.append(contentsOf: line.utf8) }
      return state.bytes.isEmpty
    }
    if isFirst { waker.wake() }
  }

  /// What waits, and how many lines were lost since the last time.
  func take() -> (bytes: [UInt8], dropped: UInt64) {
    state.withLock { state in
      defer { state = State() }
      return (state.bytes, state.dropped)
    }
  }
}

/// The readers of one kind of lines.
final class FeedHub: Sendable {
  private let count = Atomic<Int>(0)
  private let feeds = Mutex<[LineFeed]>([])

  /// One relaxed load: what a request costs while nobody reads.
  @inline(__always)
  var isActive: Bool { count.load(ordering: .relaxed) > 0 }

  func add(_ feed: LineFeed) {
    feeds.withLock { feeds in
      feeds.append(feed)
      count.store(feeds.count, ordering: .relaxed)
    }
  }

  func remove(_ feed: LineFeed) {
    feeds.withLock { feeds in
      feeds.removeAll { $0 === feed }
      count.store(feeds.count, ordering: .relaxed)
    }
  }

  func offer(_ line: String, where isWanted: (TapFilter) -> Bool = { _ in true }) {
    for feed in feeds.withLock({ $0 }) where isWanted(feed.filter) { feed.add(line) }
  }
}

/// What workers tell beside what they count.
final class Observation: Sendable {
  let taps = FeedHub()
  let keys = FeedHub()
  /// Nil: no collector was named.
  let tracing: Tracing?

  /// Whether a request's end is told to anybody.
  var isWatching: Bool { tracing != nil || taps.isActive }

  init(_ tracing: Tracing? = nil) { self.tracing = tracing }
}
