import CLinux
import Glibc
import ControlProtocol
import EventLoop

/// TCP congestion control of the lab. The machine's default decides otherwise, and bbr, often that default, starves
/// under a small shaped class. A namespace may only choose among the algorithms that the machine allows
/// (`tcp_allowed_congestion_control`), so root adds the wanted ones there; without root the default has to do.
enum Congestion {
  static let sysctl = "net.ipv4.tcp_congestion_control"
  static let standard = "cubic"
  private static let allowed = "/proc/sys/net/ipv4/tcp_allowed_congestion_control"

  /// Called in the machine's own network namespace. Nothing is taken away, and what cannot be added stays out.
  static func allow(_ plan: NLMachinePlan) {
    guard let text = try? SmallFile.text(allowed) else { return }
    let before = text.split(whereSeparator: \.isWhitespace).map(String.init)
    let wanted = Set(plan.nodes.compactMap { $0.sysctls[sysctl] } + [standard])
    var now = before
    for name in wanted.subtracting(before).sorted() {
      do throws(SystemError) {
        try SmallFile.overwrite(allowed, (now + [name]).joined(separator: " "))
        now.append(name)
        MachineLog.note("\(name) added to the machine's tcp_allowed_congestion_control")
      } catch {
        MachineLog.warning("congestion control \(name): \(error)")
      }
    }
  }
}
