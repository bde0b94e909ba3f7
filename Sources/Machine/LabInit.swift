// PID 1 of the lab: builds it, keeps it running, takes it down.
//
//   enter namespaces ─► start controller ─► namespaces, links ─► agents ─► ready ─► exec, cmd, daemons ─► events …
//
// Everything after the start happens on one event loop: SIGCHLD, the controller's commands, the CLI's exec requests,
// link events of agentless nodes. When the init ends, however it ends, the kernel ends every process of the lab, and
// with the last descriptor of each namespace goes the namespace: nothing needs to be taken down one by one.
import CLinux
import ControlProtocol
import EventLoop
import Glibc
import Netlink
import SwiftProtobuf

final class LabInit {
  private let directory: RunDirectory
  private let ready: ReadyChannel
  private let control: Int32
  private let rootless: Bool
  private let hasUsers: Bool
  private let published: PublishedPorts
  private var machine: LabMachine?

  init(
    _ directory: RunDirectory, ready: Int32, control: Int32, rootless: Bool, hasUsers: Bool, published: PublishedPorts
  ) {
    self.directory = directory
    self.ready = ReadyChannel(ready: ready, control: control)
    self.control = control
    self.rootless = rootless
    self.hasUsers = hasUsers
    self.published = published
  }

  /// Runs the lab until it is stopped; the exit code of the init.
  func run() -> Int32 {
    do {
      let plan = try Launcher.readPlan(directory)
      if !rootless { Congestion.allow(plan) }
      let proc = try enterNamespaces()
      try Self.checkKernel(plan)
      let files = Self.raiseOpenFiles()
      _ = sethostname(plan.lab, plan.lab.utf8.count)
      let loop = try EventLoop()
      let table = ProcessTable(outerProc: proc)
      let lab = LabContext(
        directory, plan, loop, table, hasUsers: hasUsers, openFiles: files, published: published)
      try listen(to: loop, table)
      let machine = try LabMachine(lab, outerPid: Self.ownPid(proc), rootless: rootless, ready)
      self.machine = machine
      try machine.build()
      try loop.run()
      return 0
    } catch {
      ready.failed("\(error)")
      return 1
    }
  }

  /// - Returns: the procfs of the outside, open.
  private func enterNamespaces() throws(SystemError) -> Int32 {
    signal(SIGPIPE, SIG_IGN)
    let proc = try FileDescriptor.open("/proc", O_PATH | O_DIRECTORY).release()
    try systemCall("unshare", "mount, uts, ipc and network namespaces") {
      unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET)
    }
    try systemCall("mount", "/ private") { mount(nil, "/", nil, UInt(MS_REC | MS_PRIVATE), nil) }
    if mount("proc", "/proc", "proc", UInt(MS_NOSUID | MS_NODEV | MS_NOEXEC), nil) != 0 {
      // In a container whose own /proc is partly covered the kernel refuses a full one. The outer one serves.
      MachineLog.warning("no /proc of its own: \(SystemError.last("mount").text); pids in the lab are those outside")
    }
    return proc
  }

  /// A lab that this kernel cannot make is refused before any of it is made.
  private static func checkKernel(_ plan: NLMachinePlan) throws {
    guard !plan.needs.isEmpty else { return }
    let missing = try QdiscSupport.probe(Set(plan.needs.map(\.qdisc))).missing
    guard let need = plan.needs.first(where: { missing.contains($0.qdisc) }) else { return }
    throw BuildError(
      "\(need.origin.place): \(need.node): \(need.origin.text) needs the qdisc \(need.qdisc), which this kernel lacks")
  }

  /// The soft limit that was in force.
  private static func raiseOpenFiles() -> UInt64 {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 0 }
    let before = limit.rlim_cur
    limit.rlim_cur = limit.rlim_max
    _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return UInt64(before)
  }

  private static func ownPid(_ proc: Int32) -> Int32 {
    let descriptor = nl_pidfd_open(getpid())
    guard descriptor >= 0 else { return 0 }
    defer { close(descriptor) }
    return nl_pid_seen_from(proc, descriptor)
  }

  /// Children, the end of the outer parent, and being asked to stop.
  private func listen(to loop: EventLoop, _ table: ProcessTable) throws(SystemError) {
    try loop.onSignals([SIGCHLD, SIGTERM, SIGINT, SIGHUP]) { [unowned self] signal in
      switch signal {
      case SIGCHLD: table.reap()
      case SIGHUP: break
      default: machine?.stop()
      }
    }
    try loop.register(control, .read) { [unowned self] _ in
      loop.unregister(control)  // the outer parent never writes: this is its end
      machine?.stop(orphaned: true)
    }
  }
}
