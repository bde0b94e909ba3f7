import CLinux
import EventLoop
import Glibc
import NetTypes
import Synchronization

/// Lifts the kernel's limit on ICMP errors, which is one a second for each receiver after the first few: from the second
/// trace on, the reason `no route` would be missing. Once for each namespace that is captured, and only where the
/// kernel's default stands: what a user has set stays.
enum ErrorLimits {
  private static let lifted = Mutex<Set<String>>([])

  /// In the calling thread's network namespace, whose path is `namespace`.
  static func lift(_ namespace: String, _ family: AddressFamily) {
    guard lifted.withLock({ $0.insert("\(family) \(namespace)").inserted }) else { return }
    let path = family == .ipv4 ? "/proc/sys/net/ipv4/icmp_ratelimit" : "/proc/sys/net/ipv6/icmp/ratelimit"
    let file = open(path, O_RDWR | O_CLOEXEC)
    guard file >= 0 else { return }
    defer { _ = close(file) }
    var text = [UInt8](repeating: 0, count: 16)
    let count = read(file, &text, text.count)
    guard count > 0, text[0..<count].elementsEqual("1000\n".utf8) else { return }
    _ = pwrite(file, "0\n", 2, 0)
  }
}
