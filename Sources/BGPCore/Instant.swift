/// A point on a clock that never goes back, in nanoseconds. The core never reads a clock: it is handed these.
public struct Instant: Sendable, Hashable, Comparable {
  public var nanoseconds: UInt64

  @inlinable public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

  @inlinable public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }

  /// Saturates: a time-out of `UInt64.max` nanoseconds is never.
  @inlinable public func adding(nanoseconds more: UInt64) -> Instant {
    let (sum, overflow) = nanoseconds.addingReportingOverflow(more)
    return Instant(nanoseconds: overflow ? .max : sum)
  }

  @inlinable public func adding(seconds: some BinaryInteger) -> Instant {
    adding(nanoseconds: UInt64(seconds) * 1_000_000_000)
  }

  @inlinable public func adding(milliseconds: some BinaryInteger) -> Instant {
    adding(nanoseconds: UInt64(milliseconds) * 1_000_000)
  }
}
