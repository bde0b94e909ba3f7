internal import Glibc

/// CLOCK_REALTIME: what certificates and people go by.
enum WallClock {
  static var nanoseconds: UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return UInt64(max(time.tv_sec, 0)) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  /// Seconds since 1970.
  static var seconds: Int64 { Int64(nanoseconds / 1_000_000_000) }
}
