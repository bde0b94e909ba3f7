// Real routing daemons in a node, each with the user's own file, nothing rewritten:
//
//   bird      bird -f -c FILE
//   frr       zebra, staticd, bgpd with empty configurations; then `vtysh -b` reads the integrated file, which is
//             mounted on /etc/frr/frr.conf, into them (each time one of them was started)
//   gobgp     gobgpd -f FILE
//   registry  docker-registry serve FILE: a registry of images on port 5000, its file made here
//   openbgpd  bgpd -d -f COPY: it refuses a file that others may read, so it gets a private copy
//
// Their sockets lie in the node's private /run, so their command line tools work in `netloom exec NODE` as they do on
// a machine of its own.
import CLinux
import ControlProtocol
import EventLoop
import Glibc

struct Daemon {
  /// One supervised program of it.
  struct Program {
    let name: String
    let argv: [String]
    /// To be run after each start, once the program has made that file (removed before).
    var configure: (socket: String, argv: [String])?
  }

  private let plan: NLNodePlan
  private let lab: LabContext
  private var config: String { plan.daemon.config }

  init(_ plan: NLNodePlan, _ lab: LabContext) {
    self.plan = plan
    self.lab = lab
  }

  /// What to start, in order. Errors: the program is not installed, the file cannot be read, the lab has no users for
  /// a daemon that changes its own.
  func programs() throws(BuildError) -> [Program] {
    if plan.kind == "registry" { return [try registry()] }
    guard access(config, R_OK) == 0 else {
      throw BuildError("node \(plan.name): \(config): \(SystemError.last("access").text)")
    }
    switch plan.kind {
    case "bird":
      return [
        Program(name: "daemon", argv: [try find("bird", "bird2"), "-f", "-c", config, "-s", "/run/bird/bird.ctl"])
      ]
    case "gobgp":
      return [Program(name: "daemon", argv: [try find("gobgpd", "gobgpd"), "-t", "toml", "-f", config])]
    case "frr": return try frr()
    case "openbgpd":
      try needsUsers("bgpd", user: "_openbgpd or _bgpd")
      let program = try find("bgpd", "openbgpd", in: ["/usr/sbin", "/usr/local/sbin"])
      return [Program(name: "daemon", argv: [program, "-d", "-f", Self.privateCopy(plan, lab)])]
    default: throw BuildError("node \(plan.name): no daemon is known for kind \(plan.kind)")
    }
  }

  private func registry() throws(BuildError) -> Program {
    let home = lab.directory.node(plan.name)
    let storage = config.isEmpty ? home + "/registry" : config
    let file = home + "/registry.yml"
    do throws(SystemError) {
      for path in [lab.directory.path + "/nodes", home, storage] { try makeDirectory(path, mode: 0o755) }
      try SmallFile.write(
        file,
        """
        version: 0.1
        log: {level: warn, accesslog: {disabled: true}}
        storage:
          filesystem: {rootdirectory: "\(storage)"}
          delete: {enabled: true}
        http: {addr: ":5000"}

        """)
    } catch {
      throw BuildError("node \(plan.name): \(error)")
    }
    return Program(name: "daemon", argv: [try find("docker-registry", "docker-registry"), "serve", file])
  }

  private func frr() throws(BuildError) -> [Program] {
    try needsUsers("FRR", user: "frr")
    let folders = ["/usr/lib/frr", "/usr/libexec/frr", "/usr/local/lib/frr"]
    let load = [try find("vtysh", "frr"), "-b"]
    return try ["zebra", "staticd", "bgpd"].map { (name) throws(BuildError) in
      Program(
        name: name, argv: [try find(name, "frr", in: folders)],
        configure: (socket: "\(lab.directory.node(plan.name))/run/frr/\(name).vty", argv: load + ["-d", name]))
    }
  }

  private func needsUsers(_ program: String, user: String) throws(BuildError) {
    if lab.hasUsers { return }
    throw BuildError(
      "node \(plan.name): \(program) must change to user \(user), which does not exist without root here: "
        + "run as root, or give yourself a range in /etc/subuid and /etc/subgid (and install uidmap)")
  }

  private func find(_ name: String, _ package: String, in folders: [String]? = nil) throws(BuildError) -> String {
    if let path = lab.find(name, in: folders) { return path }
    throw BuildError("node \(plan.name): \(name) is not installed (Debian: apt-get install \(package))")
  }
}

// MARK: - Files

extension Daemon {
  private static func privateCopy(_ plan: NLNodePlan, _ lab: LabContext) -> String {
    lab.directory.node(plan.name) + "/bgpd.conf"
  }

  /// What the node's mount namespace must hold for its daemon.
  static func files(_ plan: NLNodePlan, _ lab: LabContext) throws(SystemError) -> NodeMounts.Files {
    var files = NodeMounts.Files()
    switch plan.kind {
    case "bird": files.runDirectories = [(name: "bird", user: nil)]
    case "frr":
      files.runDirectories = [(name: "frr", user: user("frr"))]
      files.frrConfig = plan.daemon.config
    case "openbgpd":
      files.runDirectories = [(name: "openbgpd", user: nil)]
      files.privateCopy = (from: plan.daemon.config, to: privateCopy(plan, lab))
    default: break
    }
    return files
  }

  private static func user(_ name: String) -> DaemonUser? {
    getpwnam(name).map { DaemonUser(uid: $0.pointee.pw_uid, gid: $0.pointee.pw_gid) }
  }
}
