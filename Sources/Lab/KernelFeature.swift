internal import CLinux
internal import EventLoop
internal import Glibc

/// The features that the doctor tries in namespaces of their own: a row each.
struct KernelFeature: Sendable {
  let name: String
  let need: Finding.Need
  let use: String
  let without: String

  private init(_ name: String, _ need: Finding.Need = .optional, use: String, without: String) {
    (self.name, self.need, self.use, self.without) = (name, need, use, without)
  }

  static let namespaces = KernelFeature(
    "namespaces", .required, use: "network, pid, mount and uts namespaces can be made",
    without: "labs need network, pid, mount and uts namespaces")

  static let all: [KernelFeature] = [
    namespaces,
    KernelFeature("veth", .required, use: "links", without: "links need it: CONFIG_VETH"),
    KernelFeature(
      "bridge", use: "kind switch", without: "labs with a switch cannot run: CONFIG_BRIDGE"),
    KernelFeature(
      "nexthop objects", .required, use: "routes through groups, fast failover",
      without: "routes are written through them: Linux 5.3"),
    KernelFeature(
      "sysctls", .required, use: "forwarding and the rest are set per node",
      without: "forwarding cannot be set: /proc/sys/net is read-only here"),
    KernelFeature(
      "packet capture", use: "trace, capture, tests", without: "trace and capture cannot run: CONFIG_PACKET"),
    KernelFeature("nftables", use: "NAT and filters", without: "NAT and filters cannot be used: CONFIG_NF_TABLES"),
    KernelFeature("htb", use: "shaping by class", without: "shaping cannot be used: CONFIG_NET_SCH_HTB"),
    KernelFeature("tbf", use: "shaping of a plain rate", without: "it needs a class: CONFIG_NET_SCH_TBF"),
    KernelFeature("codel", use: "ecn of shapers", without: "ecn cannot be used: CONFIG_NET_SCH_CODEL"),
    KernelFeature("netem", use: "delay, jitter and loss of links", without: "delay by a relay, loss by nftables"),
    KernelFeature("fq", use: "pacing", without: "not needed: nothing is paced"),
    KernelFeature("vrf", use: "not used", without: "not needed: a node is a namespace"),
    KernelFeature("dummy", use: "not used", without: "not needed: loopback addresses stand on lo"),
    KernelFeature("802.1q", use: "not used", without: "VLANs are links of their own"),
    KernelFeature("wireguard", use: "not used", without: "not needed"),
    KernelFeature(
      "overlay mounts", use: "layers of nodes with an `image`",
      without: "nodes with an `image` cannot run: CONFIG_OVERLAY_FS, without root Linux 5.11"),
    KernelFeature("TCP-MD5", use: "md5 of BGP sessions", without: "sessions with md5 stay down: CONFIG_TCP_MD5SIG"),
    KernelFeature("TCP-AO", use: "not used yet", without: "BGP sessions are protected by md5"),
    KernelFeature("GTSM", use: "ttl-security of BGP sessions", without: "ttl-security cannot be used"),
  ]

  /// In the child: enters namespaces of its own and writes the name of each feature that is there on a line.
  static func examine(reportTo output: Int32) -> Int32 {
    let (own, ownGroup) = (geteuid(), getegid())
    let user = own == 0 ? 0 : CLONE_NEWUSER
    guard unshare(user | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID | CLONE_NEWIPC) == 0 else { return 1 }
    var present: [String] = [namespaces.name]
    if var kernel = try? KernelQuestion(Int32(NETLINK_ROUTE)) {
      for (kind, name) in [
        ("veth", "veth"), ("bridge", "bridge"), ("vrf", "vrf"), ("dummy", "dummy"),
        ("vlan", "802.1q"), ("wireguard", "wireguard"),
      ] where kernel.hasLink(kind) { present.append(name) }
      for kind in ["htb", "tbf", "codel", "netem", "fq"] where kernel.hasQueueingDiscipline(kind) {
        present.append(kind)
      }
      if kernel.hasNexthopObjects() { present.append("nexthop objects") }
    }
    if NftablesQuestion.works() { present.append("nftables") }
    if SocketQuestion.hasMD5() { present.append("TCP-MD5") }
    if SocketQuestion.hasAO() { present.append("TCP-AO") }
    if SocketQuestion.hasGTSM() { present.append("GTSM") }
    if SocketQuestion.mayCapture() { present.append("packet capture") }
    if canSetForwarding() { present.append("sysctls") }
    if user != 0 { mapUser(own, ownGroup) }
    if canOverlay(inUserNamespace: user != 0) { present.append("overlay mounts") }
    let text = present.joined(separator: "\n") + "\n"
    return (try? SmallFile.writeAll(output, Array(text.utf8))) == nil ? 1 : 0
  }

  private static func canSetForwarding() -> Bool {
    ["ipv4/ip_forward", "ipv6/conf/all/forwarding"].allSatisfy { name in
      let descriptor = open("/proc/sys/net/" + name, O_WRONLY | O_CLOEXEC)
      if descriptor >= 0 { close(descriptor) }
      return descriptor >= 0
    }
  }

  /// Files can be made only by users whom the namespace knows.
  private static func mapUser(_ user: uid_t, _ group: gid_t) {
    for (file, text) in [("setgroups", "deny"), ("uid_map", "0 \(user) 1"), ("gid_map", "0 \(group) 1")] {
      guard let opened = try? FileDescriptor.open("/proc/self/" + file, O_WRONLY) else { continue }
      try? SmallFile.writeAll(opened.rawValue, Array(text.utf8))
    }
  }

  /// Over a memory file system that goes with this process's mounts.
  private static func canOverlay(inUserNamespace: Bool) -> Bool {
    guard mount(nil, "/", nil, UInt(MS_REC | MS_PRIVATE), nil) == 0, mount("none", "/tmp", "tmpfs", 0, nil) == 0 else {
      return false
    }
    for name in ["lower", "upper", "work", "root"] where mkdir("/tmp/" + name, 0o755) != 0 { return false }
    let options =
      "lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work" + (inUserNamespace ? ",userxattr" : "")
    return mount("overlay", "/tmp/root", "overlay", 0, options) == 0
  }
}
