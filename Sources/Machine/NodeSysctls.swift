import ControlProtocol
import Netlink

/// The kernel parameters of a node's namespace.
enum NodeSysctls {
  /// What every node gets unless its plan says otherwise. A fresh namespace takes the IPv4 values of the machine, so
  /// whatever matters is written even where it is the kernel's default.
  private static let everywhere: [(String, String)] = [
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    // A fresh IPv6 address would be held back 1.5 s by duplicate address detection; both have to be 0 to stop it.
    ("net.ipv6.conf.all.accept_dad", "0"),
    ("net.ipv6.conf.default.accept_dad", "0"),
    ("net.ipv6.conf.default.accept_ra", "0"),
    // Otherwise `ip link set down` takes IPv6 addresses away and leaves IPv4 ones.
    ("net.ipv6.conf.all.keep_addr_on_down", "1"),
    // Chains of more than 64 routers are ordinary here.
    ("net.ipv4.ip_default_ttl", "255"),
    ("net.ipv6.conf.all.hop_limit", "255"),
    ("net.ipv6.conf.default.hop_limit", "255"),
    (Congestion.sysctl, Congestion.standard),
    // Servers that drop root, and users without it, listen on 80 all the same.
    ("net.ipv4.ip_unprivileged_port_start", "0"),
  ]

  /// The values of a fresh namespace of this machine, read once: only what differs is written. A write costs as much
  /// as half a link, and every namespace starts out alike.
  struct Fresh {
    private var values: [String: String] = [:]

    /// Reads in the calling thread's namespace, which nobody has touched yet.
    init() {
      for name in NodeSysctls.everywhere.map(\.0) + NodeSysctls.forwarding {
        if let value = try? Sysctl.read(name) { values[name] = value }
      }
    }

    func holds(_ name: String, _ value: String) -> Bool { values[name] == value }
    func knows(_ name: String) -> Bool { values[name] != nil }
  }

  private static let forwarding = ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]

  /// Writes them in the calling thread's namespace. What only the topology names must be taken by the kernel; a default
  /// that this kernel lacks, and a congestion control that it does not allow, are passed over.
  /// - Parameter missing: gains what was passed over, `NAME=VALUE`.
  static func apply(_ plan: NLNodePlan, _ fresh: Fresh, _ missing: inout Set<String>) throws(KernelError) {
    var planned = plan.sysctls
    // Turning forwarding on rewrites parameters of every interface, so it comes first.
    for (name, value) in forwarding.map({ ($0, plan.forwarding ? "1" : "0") }) + everywhere {
      let value = planned.removeValue(forKey: name) ?? value
      if fresh.holds(name, value) || !fresh.knows(name) { continue }
      do {
        try Sysctl.write(Sysctl.Setting(name, value))
      } catch  where name == Congestion.sysctl && (error.isDenied || error.isNotThere) {
        missing.insert("\(name)=\(value)")
      }
    }
    // Sorted: `all` before `default` before single interfaces, and the same order every time.
    for (name, value) in planned.sorted(by: { $0.key < $1.key }) {
      do {
        try Sysctl.write(Sysctl.Setting(name, value))
      } catch  where name.hasSuffix(".fib_multipath_hash_policy") && error.isNotThere {
        missing.insert("\(name)=\(value)")  // a kernel without multipath routes
      }
    }
  }
}
