// `netloom doctor`: what this machine can do, found out by doing it.
//
//   this process ──fork──► child: unshares (user,) network, mount and pid namespaces, tries everything, writes lines
//        ◄──────pipe─────────┘
//
// What belongs to the machine rather than to a namespace (programs, /dev/net/tun, ranges of subordinate ids) is looked
// at here.

internal import CLinux
internal import EventLoop
internal import Glibc

/// One line of the doctor.
public struct Finding: Codable, Sendable, Equatable {
  public enum Need: String, Codable, Sendable {
    /// No lab runs without it.
    case required
    /// Something works less well, or not at all, as `meaning` says.
    case optional
  }

  public let feature: String
  public let available: Bool
  public let need: Need
  /// What it is for, or what takes its place; a version or a value where there is one.
  public let meaning: String
}

public struct Doctor: Sendable {
  public let findings: [Finding]

  /// Labs can run on this machine.
  public var labsRun: Bool { findings.allSatisfy { $0.available || $0.need == .optional } }

  /// Looks at everything. Call it while the process has one thread: it forks.
  public static func examine() throws(LabError) -> Doctor {
    var findings = [permission()]
    let answers = findings[0].available ? try kernelAnswers() : []
    for feature in KernelFeature.all {
      let available = answers.contains(feature.name)
      findings.append(
        Finding(
          feature: feature.name, available: available, need: feature.need,
          meaning: available ? feature.use : feature.without))
    }
    findings += machine() + HostPrograms.findings()
    return Doctor(findings: findings)
  }

  private static func permission() -> Finding {
    if geteuid() == 0 {
      return Finding(
        feature: "permission", available: true, need: .required, meaning: "root: namespaces are free to make")
    }
    let refusal = Preflight.userNamespacesRefused()
    return Finding(
      feature: "permission", available: refusal == nil, need: .required,
      meaning: refusal ?? "labs run in a user namespace, no root is needed")
  }

  /// The names of the features that a child found present.
  private static func kernelAnswers() throws(LabError) -> Set<String> {
    var ends: [Int32] = [-1, -1]
    guard pipe2(&ends, O_CLOEXEC) == 0 else { throw LabError(.environment, "\(SystemError.last("pipe2"))") }
    let child = nl_fork()
    if child == 0 {
      close(ends[0])
      _exit(KernelFeature.examine(reportTo: ends[1]))
    }
    close(ends[1])
    let output = FileDescriptor(owning: ends[0])
    guard child > 0 else { throw LabError(.environment, "\(SystemError.last("fork"))") }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while case let count = read(output.rawValue, &chunk, chunk.count), count > 0 { bytes += chunk[0..<count] }
    var status: Int32 = 0
    waitpid(child, &status, 0)
    return Set(String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init))
  }

  private static func machine() -> [Finding] {
    let congestion = firstLine("/proc/sys/net/ipv4/tcp_congestion_control") ?? "unknown"
    let tun = access("/dev/net/tun", R_OK | W_OK) == 0
    return [
      Finding(
        feature: "/dev/net/tun", available: tun, need: .optional,
        meaning: tun ? "delay and jitter by a relay over TAP" : "delay and jitter by a relay over packet sockets"),
      Finding(
        feature: "congestion control cubic", available: available("cubic"), need: .optional,
        meaning: "labs pin it per node; the machine's default is \(congestion)"),
      controlGroups(),
      subordinateIDs(),
    ]
  }

  /// Limits of containers need groups that we may make.
  private static func controlGroups() -> Finding {
    let root = "/sys/fs/cgroup"
    let isVersion2 = firstLine(root + "/cgroup.controllers")?.split(separator: " ").contains("memory") ?? false
    let isVersion1 = access(root + "/memory/cgroup.procs", F_OK) == 0
    let may = geteuid() == 0 && access(isVersion2 ? root : root + "/memory", W_OK) == 0
    let present = may && (isVersion1 || isVersion2)
    return Finding(
      feature: "control groups", available: present, need: .optional,
      meaning: present
        ? "`limits` of nodes with an `image`, by version \(isVersion2 ? 2 : 1)"
        : "nodes with an `image` run without their `limits`\(geteuid() == 0 ? "" : ", which need root")")
  }

  private static func available(_ congestion: String) -> Bool {
    firstLine("/proc/sys/net/ipv4/tcp_available_congestion_control")?.split(separator: " ").contains {
      $0 == congestion
    }
      ?? false
  }

  private static func subordinateIDs() -> Finding {
    let name = getpwuid(geteuid()).map { String(cString: $0.pointee.pw_name) } ?? ""
    func hasRange(_ path: String) -> Bool {
      ((try? SmallFile.text(path)) ?? "").split(separator: "\n").contains {
        $0.hasPrefix("\(name):") || $0.hasPrefix("\(geteuid()):")
      }
    }
    let present =
      geteuid() == 0
      || (hasRange("/etc/subuid") && hasRange("/etc/subgid") && Programs.find("newuidmap") != nil)
    return Finding(
      feature: "users in labs", available: present, need: .optional,
      meaning: geteuid() == 0
        ? "root: daemons change to their own users"
        : present
          ? "newuidmap and a range in /etc/subuid: daemons change to their own users"
          : "one user only: frr and openbgpd need root, or newuidmap (apt-get install uidmap) and /etc/subuid ranges")
  }

  private static func firstLine(_ path: String) -> String? {
    (try? SmallFile.text(path))?.split(separator: "\n").first.map(String.init)
  }
}
