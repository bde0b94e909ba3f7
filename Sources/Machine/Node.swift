// One node of the lab: its namespaces and its processes.
//
//   agent      netloom-node, in the lab's mount namespace and the node's network namespace, with the open listeners
//   publish    netloom-node as a relay from ports of the machine's loopback, where the file publishes some
//   pause      where there is no agent at the start: a forked child that only stands in the namespace, so that the node has a pid
//   daemon     bird, frr, gobgp, openbgpd with the user's own file
//   exec       the user's lines, once, in order
//   cmd1, …    the user's servers, after exec; where the file names an image, its container is cmd1
//
// Everything but agent and pause runs in the node's own mount and uts namespace, which is made when first needed.
import CLinux
import EventLoop
import Glibc
import ControlProtocol
import EventLoop
import Netlink

final class Node {
  let plan: NLNodePlan
  let place: Int
  let namespace: Namespace
  private let lab: LabContext
  private let listeners: [Int32]
  private var mounts: NodeMounts?

  private(set) var supervisors: [Supervisor] = []
  private var agent: Supervisor?
  /// An agent is started with the node: the plan's, or the controller's later wish.
  private var wantsAgent = false
  private var exec: ExecLines?
  /// nil: it runs no image.
  private(set) var container: Container?
  private(set) var pausePid: Int32 = 0
  private var pauseOuterPid: Int32 = 0
  /// Off by a fault: its processes have ended and its links are down.
  private(set) var isOn = true
  /// Its sidecar has served once since the node was started.
  private var isReady = false
  /// Every line of `exec` has run, or one has failed.
  var execDone: Bool { exec?.isDone ?? plan.exec.isEmpty }
  /// Why the node is not as the plan wants it; the first reason counts.
  private(set) var failure: String?

  init(_ lab: LabContext, _ plan: NLNodePlan, place: Int, _ built: BuiltNamespace) {
    self.lab = lab
    self.plan = plan
    self.place = place
    namespace = built.namespace
    listeners = built.listeners
    if plan.hasContainer { container = Container(lab, self, plan.container) }
  }

  var name: String { plan.name }

  /// The process that stands for the node: the same one for as long as it lives, also where an agent came later.
  var pid: (inner: Int32, outer: Int32) {
    if let agent, pausePid == 0 { return (agent.pid, agent.outerPid) }
    return (pausePid, pauseOuterPid)
  }

  var state: String {
    if !isOn { return "stopped" }
    if failure != nil || container?.state == .failed { return "failed" }
    return supervisors.contains(where: \.isFailing) ? "failed" : "running"
  }

  // MARK: Starting

  /// Forks the process that stands for a node without an agent. Early, while the init is small: a fork copies its
  /// page tables.
  func startPause() {
    guard !plan.agent, pausePid == 0 else { return }
    let pid = nl_fork_paused(namespace.fileDescriptor, name)
    guard pid > 0 else { return fail("\(SystemError.last("fork"))") }
    pausePid = pid
    pauseOuterPid = lab.table.outerPid(of: pid)
    lab.table.watch(pid) { [weak self] _ in self?.pauseEnded() }
  }

  private func pauseEnded() {
    pausePid = 0
    pauseOuterPid = 0
    if isOn { startPause() }
    lab.changed()
  }

  func startAgent() {
    guard agent == nil else { return }
    wantsAgent = true
    let supervisor = Supervisor(lab, node: name, name: "agent") { [unowned self] starts in agentRequest(starts) }
    agent = supervisor
    supervisors.append(supervisor)
    supervisor.start()
  }

  func startRelay() {
    guard let ports = lab.published.ports[name] else { return }
    let supervisor = Supervisor(lab, node: name, name: "publish") { [unowned self] _ in
      let pairs = ports.flatMap { port in port.listeners.map { "\($0):\(port.inner)" } }
      var logged = lab.request([lab.program("netloom-node"), "--publish", pairs.joined(separator: ",")], log: name)
      logged.request.network = namespace.fileDescriptor
      logged.request.keep = ports.flatMap(\.listeners)
      return logged
    }
    supervisors.append(supervisor)
    supervisor.start()
  }

  private func agentRequest(_ starts: Int) -> LoggedRequest {
    var argv = [lab.program("netloom-node"), "--run", lab.directory.path, "--node", name]
    if !listeners.isEmpty { argv += ["--listen", listeners.map { "\($0)" }.joined(separator: ",")] }
    if starts > 0 { argv.append("--restarted") }
    if !plan.sidecar.isEmpty { argv.append("--xds") }
    var logged = lab.request(argv, log: name)
    logged.request.environment += plan.environment
    logged.request.network = namespace.fileDescriptor
    logged.request.keep = listeners
    logged.isAgent = true
    return logged
  }

  /// Daemons and sidecars at once, `exec`, and after that the servers; those of a pod not before its sidecar serves.
  func startUserProcesses() {
    if plan.hasDaemon { startDaemon() }
    if Sidecar.isProgram(plan.sidecar) { startSidecar() }
    guard !plan.exec.isEmpty else {
      endSetUp()
      return startServers()
    }
    exec = ExecLines(lab, self) { [unowned self] failure in
      endSetUp()
      if let failure { fail(failure) } else { startServers() }
      lab.changed()
    }
    exec?.start()
  }

  /// The controller says so once; a sidecar that is started again later finds its programs running.
  func sidecarIsReady() {
    guard !isReady else { return }
    isReady = true
    if execDone, failure == nil { startServers() }
  }

  private func startSidecar() {
    do throws(BuildError) {
      let argv = try Sidecar(plan, lab).argv()
      let supervisor = Supervisor(lab, node: name, name: "sidecar") { [unowned self] _ in
        try userRequest(argv, log: "\(name).sidecar")
      }
      supervisors.append(supervisor)
      supervisor.start()
    } catch {
      fail(error.description)
    }
  }

  /// What stands now belongs to the node: the agent, or one that is started later, is told by a mark in the run
  /// directory. The signal says no more than that it may be there, and is ignored by a process that does not know it.
  private func endSetUp() {
    do throws(SystemError) {
      try makeDirectory(lab.directory.path + "/nodes", mode: 0o755)
      try makeDirectory(lab.directory.node(name), mode: 0o755)
      try SmallFile.write(lab.directory.setUpMark(name), "")
    } catch {
      return MachineLog.warning("\(name): the end of its set-up cannot be told: \(error)")
    }
    if let agent, agent.pid > 0 { agent.signal(SIGURG) }
  }

  private func startServers() {
    guard isReady || !Sidecar.isProgram(plan.sidecar) else { return }
    container?.start()
    for (index, command) in plan.commands.enumerated() {
      let label = "cmd\(index + 1)"
      let supervisor = Supervisor(lab, node: name, name: label) { [unowned self] _ in
        try userRequest(["/bin/sh", "-c", command], log: "\(name).\(label)")
      }
      supervisors.append(supervisor)
      supervisor.start()
    }
  }

  private func startDaemon() {
    do throws(BuildError) {
      for program in try Daemon(plan, lab).programs() {
        let supervisor = Supervisor(
          lab, node: name, name: program.name, started: { [unowned self] in configure(program, attempt: 0) },
          request: { [unowned self] _ in
            if let socket = program.configure?.socket { _ = unlink(socket) }
            return try userRequest(program.argv, log: "\(name).daemon")
          })
        supervisors.append(supervisor)
        supervisor.start()
      }
    } catch {
      fail(error.description)
    }
  }

  /// Waits for the daemon's socket (5 s at most), then runs what gives it its configuration.
  private func configure(_ program: Daemon.Program, attempt: Int) {
    guard let step = program.configure, isOn else { return }
    guard access(step.socket, F_OK) == 0 else {
      if attempt == 250 { return fail("\(program.name) does not answer; see logs/\(name).daemon.log") }
      lab.loop.after(EventLoop.milliseconds(20)) { [weak self] in self?.configure(program, attempt: attempt + 1) }
      return
    }
    do {
      _ = try lab.start(try userRequest(step.argv, log: "\(name).daemon")) { [weak self] status in
        if status != .exited(0) { self?.fail("\(program.name) did not take its configuration (\(status))") }
      }
    } catch {
      fail("\(error)")
    }
  }

  /// A program of the user's: in the node's own namespaces, with the environment of `up` and of the node.
  func userRequest(_ argv: [String], log: String) throws(BuildError) -> LoggedRequest {
    var logged = lab.request(argv, log: log)
    try placeInside(&logged.request)
    if !lab.plan.baseDirectory.isEmpty { logged.request.directory = lab.plan.baseDirectory }
    return logged
  }

  /// Puts a request into the node: namespaces and environment.
  func placeInside(_ request: inout SpawnRequest) throws(BuildError) {
    request.network = namespace.fileDescriptor
    request.mounts = try ownMounts()
    request.environment += plan.environment + ["NETLOOM_NODE=\(name)"]
    request.environment.append(Self.path(in: request.environment, own: lab.plan.programs))
  }

  /// As `placeInside` without the node's own mounts and environment: its network and its host name.
  func placeBeside(_ request: inout SpawnRequest) throws(BuildError) {
    request.network = namespace.fileDescriptor
    request.names = try ownMounts().names
  }

  func add(_ supervisor: Supervisor) { supervisors.append(supervisor) }

  func drop(_ supervisor: Supervisor) { supervisors.removeAll { $0 === supervisor } }

  /// PATH with the folders of the system's programs, which an ordinary user's may lack, and of netloom itself: birdc,
  /// bgpctl, vtysh, tcpdump or `netloom image` is what people run in a node.
  static func path(in environment: [String], own programs: String = "") -> String {
    let own = environment.last { $0.hasPrefix("PATH=") } ?? "PATH=/usr/local/bin:/usr/bin:/bin"
    let folders = Set(own.dropFirst(5).split(separator: ":"))
    return own
      + (["/usr/local/sbin", "/usr/sbin", "/sbin"] + (programs.isEmpty ? [] : [programs])).filter {
        !folders.contains($0[...])
      }.map { ":" + $0 }.joined()
  }

  private func ownMounts() throws(BuildError) -> NodeMounts {
    if let mounts { return mounts }
    do throws(SystemError) {
      let made = try NodeMounts.make(
        NodeMounts.Contents(
          hostname: name, network: namespace.fileDescriptor, hosts: lab.plan.hosts, directory: lab.directory,
          files: try Daemon.files(plan, lab)),
        warn: { MachineLog.warning("\(name): \($0)") })
      mounts = made
      return made
    } catch {
      throw BuildError("node \(name): its own mounts: \(error)")
    }
  }

  private func fail(_ reason: String) {
    let text = reason.hasPrefix("node ") ? reason : "node \(name): \(reason)"
    MachineLog.error(text)
    if failure == nil { failure = text }
    lab.changed()
  }

  // MARK: Ending

  /// TERM to what may want to say goodbye. Agents are not asked: their sessions end with the lab.
  func askToEnd() -> Bool {
    var asked = false
    for supervisor in supervisors {
      supervisor.release()
      if supervisor === container?.supervisor { continue }
      if supervisor !== agent, supervisor.name != "publish", supervisor.pid > 0 {
        supervisor.signal(SIGTERM)
        asked = true
      }
    }
    if container?.askToEnd() == true { asked = true }
    exec?.cancel()
    return asked
  }

  var hasUserProcesses: Bool {
    supervisors.contains { $0 !== agent && $0.name != "publish" && $0.pid > 0 }
  }

  /// Ends every process in the node's namespace, whoever started it. The links are set down by the caller.
  func powerOff() {
    isOn = false
    exec?.cancel()
    exec = nil
    for supervisor in supervisors { supervisor.release() }
    container?.powerOff()
    for pid in Self.processes(in: namespace.inode) { kill(pid, SIGKILL) }
    for path in [lab.directory.setUpMark(name), lab.directory.baseline(name)] { _ = unlink(path) }
    (agent, supervisors, isReady) = (nil, [], false)
    failure = nil
    lab.changed()
  }

  /// Starts everything again, as at the beginning.
  func powerOn() {
    guard !isOn else { return }
    isOn = true
    startPause()
    if wantsAgent { startAgent() }
    startRelay()
    startUserProcesses()
    lab.changed()
  }

  /// Pids whose network namespace has this inode, this process left out.
  private static func processes(in inode: UInt64) -> [Int32] {
    Folder.entries(of: "/proc").compactMap { entry in
      Int32(entry).flatMap { $0 > 1 && isProcess($0, in: inode) ? $0 : nil }
    }
  }

  static func isProcess(_ pid: Int32, in inode: UInt64) -> Bool {
    var status = stat()
    return stat("/proc/\(pid)/ns/net", &status) == 0 && UInt64(status.st_ino) == inode
  }
}
