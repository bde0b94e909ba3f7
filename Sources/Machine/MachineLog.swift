import CLinux
import Glibc
import EventLoop

/// Lines of `logs/machine.log`: standard error is that file once the process has daemonized.
enum MachineLog {
  static func note(_ text: String) { line("", text) }
  static func warning(_ text: String) { line("warning: ", text) }
  static func error(_ text: String) { line("error: ", text) }

  private static func line(_ level: String, _ text: String) {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    var parts = tm()
    localtime_r(&time.tv_sec, &parts)
    let clock = [parts.tm_hour, parts.tm_min, parts.tm_sec].map { two(Int($0)) }.joined(separator: ":")
    let milliseconds = String(1000 + time.tv_nsec / 1_000_000).dropFirst()
    let bytes = Array("\(clock).\(milliseconds) \(level)\(text)\n".utf8)
    _ = write(2, bytes, bytes.count)  // a full disk must not stop a lab
  }

  private static func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
