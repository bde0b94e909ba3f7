internal import CLinux
import Glibc

/// Lines on stderr, with time and level: `2026-11-23T08:00:00.123Z info controller: connected`.
public struct Log: Sendable {
  public enum Level: String, Sendable { case error, warning, info }

  public init() {}

  public func error(_ text: @autoclosure () -> String) { write(.error, text()) }
  public func warning(_ text: @autoclosure () -> String) { write(.warning, text()) }
  public func info(_ text: @autoclosure () -> String) { write(.info, text()) }

  private func write(_ level: Level, _ text: String) {
    var line = Array("\(Self.timestamp()) \(level.rawValue) \(text)\n".utf8)
    // One write: lines of several processes in one file stay whole. A full disk must not stop a router.
    _ = CLinux.write(2, &line, line.count)
  }

  private static func timestamp() -> String {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    var parts = tm()
    gmtime_r(&now.tv_sec, &parts)
    func pad(_ number: some BinaryInteger, _ width: Int) -> String {
      let digits = String(number)
      return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
    let date = "\(pad(parts.tm_year + 1900, 4))-\(pad(parts.tm_mon + 1, 2))-\(pad(parts.tm_mday, 2))"
    let time = "\(pad(parts.tm_hour, 2)):\(pad(parts.tm_min, 2)):\(pad(parts.tm_sec, 2))"
    return "\(date)T\(time).\(pad(now.tv_nsec / 1_000_000, 3))Z"
  }
}
