// What a node with an image runs:
//
//   start ─► fetching ─► starting ─► ready          over the node's own network, by a child `netloom image pull`; the
//               ▲  │         │  ▲                    image store's locks let one child fetch for all
//               └──┘ again   ▼  │ at once, later with pauses (Supervisor)
//                          failed
//
// Its image changes in ContainerChange. Its processes live in a pid and mount namespace of their own below the node's
// others: when the first of them ends, the kernel ends the rest, and the layers are gone.
import CLinux
import ControlProtocol
import EventLoop
import Glibc
import Netlink
import SwiftProtobuf

final class Container {
  enum State: String {
    case fetching, starting, ready, changing, failed, stopped
  }

  /// One image with what it is started with.
  struct Version {
    /// As it was asked for.
    var image: String
    /// KEY=VALUE, over those of the image.
    var environment: [String]
    var fetched: FetchedImage
    var bundle: ContainerBundle
    /// Nobody removes the image while this lives.
    var use: ImageUse
  }

  unowned let node: Node
  let lab: LabContext
  let plan: NLContainerPlan
  /// What it runs, or is to run as soon as it can.
  private(set) var current: Version?
  private(set) var state = State.stopped
  /// Why it failed, or why the last change was taken back.
  private(set) var reason = ""
  private(set) var supervisor: Supervisor?
  var change: ContainerChange?
  private var probe: ReadyProbe?
  private var retry: LoopTimer?
  private var settled: LoopTimer?
  /// How often the node was switched off: an answer to a question of before is nobody's.
  private var round = 0
  private var versions = 0
  /// Children that fetch.
  private var fetches: [ObjectIdentifier: CapturedCommand] = [:]
  private var startedAt: UInt64 = 0
  private var logStart: UInt64 = 0
  private var group: ControlGroup?

  init(_ lab: LabContext, _ node: Node, _ plan: NLContainerPlan) {
    self.lab = lab
    self.node = node
    self.plan = plan
  }

  var report: NLContainerState {
    .with {
      $0.node = node.name
      $0.image = current?.image ?? plan.image
      $0.digest = current?.fetched.digest ?? ""
      $0.state = state.rawValue
      $0.reason = ([reason] + (group?.warnings ?? [])).filter { !$0.isEmpty }.joined(separator: "; ")
    }
  }

  func become(_ state: State, because reason: String = "") {
    self.state = state
    self.reason = reason
    lab.changed()
  }

  // MARK: Starting

  func start() {
    guard state == .stopped else { return }
    if let current { return launch(current) }
    become(.fetching)
    fetch(plan.image, within: 30, awaits: true) { [unowned self] result in
      // A change of the image was quicker.
      guard state == .fetching, current == nil else { return }
      switch result {
      case .success(let fetched): adopt(fetched)
      case .failure(let error): startFailed(error.description)
      }
    }
  }

  private func adopt(_ fetched: FetchedImage) {
    do {
      let version = try version(plan.image, node.plan.environment, fetched)
      current = version
      launch(version)
    } catch {
      startFailed(error.description)
    }
  }

  /// Nothing runs, and it is tried again.
  func startFailed(_ text: String) {
    MachineLog.error("\(node.name): \(text)")
    become(.failed, because: text)
    retry = lab.loop.after(2_000_000_000) { [weak self] in
      guard let self, state == .failed, current == nil, change == nil else { return }
      become(.stopped, because: reason)
      start()
    }
  }

  /// Gets an image to the machine; what runs goes on.
  /// - Parameter awaits: also while the registry does not have it yet.
  func fetch(
    _ image: String, within seconds: UInt64, awaits: Bool, done: @escaping (Result<FetchedImage, BuildError>) -> Void
  ) {
    let own = round
    var spawn = SpawnRequest(argv: [
      lab.program("netloom"), "image", "pull", image, "--within", "\(seconds)s", "-o", "json",
    ])
    if awaits { spawn.argv.append("--await") }
    spawn.environment = lab.plan.environment
    do {
      try node.placeInside(&spawn)
    } catch {
      return done(.failure(error))
    }
    let command = CapturedCommand(lab, spawn, timeout: (seconds + 10) * 1000) { [weak self] command, reply in
      self?.fetches[ObjectIdentifier(command)] = nil
      guard self?.round == own else { return }
      done(Self.result(of: reply, image))
    }
    fetches[ObjectIdentifier(command)] = command
    command.start()
  }

  func version(_ image: String, _ environment: [String], _ fetched: FetchedImage) throws(BuildError) -> Version {
    versions += 1
    let base = lab.directory.node(node.name)
    do throws(SystemError) {
      for path in [lab.directory.path + "/nodes", base, base + "/container"] { try makeDirectory(path, mode: 0o755) }
      let use = try ImageUse(fetched)
      let bundle = ContainerBundle(directory: "\(base)/container/\(versions)", image: fetched)
      return Version(image: image, environment: environment, fetched: fetched, bundle: bundle, use: use)
    } catch {
      throw BuildError(error)
    }
  }

  /// Starts it and says so when it is ready; what runs must have ended.
  func launch(_ version: Version) {
    if change == nil { become(.starting) }
    do throws(BuildError) {
      let files = ContainerFiles(lab, node)
      try version.bundle.write(
        plan, environment: version.environment + ["NETLOOM_LAB=\(lab.plan.lab)", "NETLOOM_NODE=\(node.name)"],
        extra: files.mounts)
      let limits = ControlGroup.Limits(memory: plan.memory, milliCPUs: plan.milliCpus)
      let group = ControlGroup(lab: lab.plan.lab, node: node.name, limits)
      for warning in group.warnings { MachineLog.warning("\(node.name): \(warning)") }
      self.group = group
      let runtime = try ContainerRuntime(lab)
      // Notes of a runtime that was killed with its node.
      Folder.remove(version.bundle.directory + "/state")
      let supervisor = Supervisor(
        lab, node: node.name, name: "cmd1", started: { [unowned self] in started(version) },
        ended: { [unowned self] in ended($0, version) },
        request: { [unowned self] starts in
          try runtime.request(version.bundle, node, group, start: starts)
        })
      self.supervisor = supervisor
      node.add(supervisor)
      supervisor.start()
    } catch {
      startFailed(error.description)
      change?.ended(because: error.description)
    }
  }

  private func started(_ version: Version) {
    startedAt = EventLoop.clock()
    logStart = SmallFile.size(lab.directory.log("\(node.name).cmd1"))
    if change == nil { become(.starting, because: reason) }
    guard plan.readyPort > 0 else {
      // Nobody said how to tell: it is up when it has not ended after a moment.
      settled = lab.loop.after(300_000_000) { [weak self] in self?.isReady() }
      return
    }
    let probe = ReadyProbe(
      lab.loop, network: node.namespace.fileDescriptor, port: UInt16(clamping: plan.readyPort),
      path: plan.readyPath.isEmpty ? nil : plan.readyPath
    ) { [unowned self] in isReady() }
    self.probe = probe
    probe.start()
  }

  private func isReady() {
    guard let supervisor, supervisor.pid > 0 else { return }
    if let change { return change.ready() }
    become(.ready)
  }

  /// What the probe still waits for.
  var obstacle: String { probe?.obstacle ?? "it has not run for long enough" }

  private func ended(_ status: String, _ version: Version) {
    probe?.cancel()
    probe = nil
    settled?.cancel()
    killLeftovers(version.bundle)
    guard state != .stopped else { return }
    let text = self.text(ofEnd: status)
    if let change { return change.ended(because: text) }
    MachineLog.warning("\(node.name): \(version.image): \(text)")
    become(.failed, because: text)
  }

  /// `ended after 12 ms: exit code 3; its last lines: …`
  private func text(ofEnd status: String) -> String {
    let ms = startedAt == 0 ? 0 : (EventLoop.clock() - startedAt) / 1_000_000
    var text = "it ended after \(ms) ms: \(status)"
    if let group, group.memoryKills > 0 { text += ", its memory was used up (\(plan.memory >> 20) MiB)" }
    let lines = SmallFile.tail(lab.directory.log("\(node.name).cmd1"), from: logStart, lines: 3)
    if !lines.isEmpty { text += "; its last lines: " + lines.joined(separator: " | ") }
    return text
  }

  // MARK: Ending

  /// Pid of the container's first process in the lab; 0: it has none.
  private func firstProcess(_ bundle: ContainerBundle) -> Int32 {
    guard let text = try? SmallFile.text(bundle.pidFile), let pid = Int32(text.filter(\.isNumber)), pid > 1,
      Node.isProcess(pid, in: node.namespace.inode)
    else { return 0 }
    return pid
  }

  private func killLeftovers(_ bundle: ContainerBundle) {
    let pid = firstProcess(bundle)
    if pid > 0 { kill(pid, SIGKILL) }
    _ = unlink(bundle.pidFile)
  }

  /// Signals it to end; false: nothing runs. The first process of a pid namespace is not touched by a signal that it
  /// does not handle: such a program is ended at once.
  func askToEnd() -> Bool {
    supervisor?.release()
    guard let supervisor, supervisor.pid > 0, let current = running else { return false }
    let pid = firstProcess(current.bundle)
    let signal = (try? current.bundle.runtime().stopSignal) ?? SIGTERM
    if pid > 0, Self.handles(pid, signal) {
      kill(pid, signal)
    } else {
      endAtOnce()
    }
    return true
  }

  func endAtOnce() {
    guard let supervisor, let running else { return }
    let pid = firstProcess(running.bundle)
    if pid > 0 { kill(pid, SIGKILL) } else { supervisor.signal(SIGKILL) }
  }

  /// The version whose program the supervisor holds.
  private var running: Version? { change?.launched ?? current }

  static func handles(_ pid: Int32, _ signal: Int32) -> Bool {
    guard let text = try? SmallFile.text("/proc/\(pid)/status"),
      let line = text.split(separator: "\n").first(where: { $0.hasPrefix("SigCgt:") }),
      let caught = UInt64(line.dropFirst("SigCgt:".count).trimmingBlanks, radix: 16), (1...64).contains(signal)
    else { return false }
    return caught & (1 << UInt64(signal - 1)) != 0
  }

  /// Ends it within `grace`, and says when it has ended.
  func stop(grace: UInt64, then done: @escaping () -> Void) {
    guard askToEnd(), let supervisor else { return done() }
    probe?.cancel()
    let deadline = EventLoop.clock() + grace
    var timer: LoopTimer?
    var isKilled = false
    timer = LoopTimer(lab.loop) { [weak self] in
      guard let self, supervisor.pid > 0 else {
        timer = nil
        return done()
      }
      if !isKilled, EventLoop.clock() >= deadline {
        isKilled = true
        endAtOnce()
      }
      timer?.arm(after: 2_000_000)
    }
    timer?.arm(after: 1_000_000)
  }

  /// Takes the supervisor away, whose program has ended.
  func dropSupervisor() {
    if let supervisor { node.drop(supervisor) }
    supervisor = nil
  }

  /// It is the node's from now on.
  func settle(on version: Version, _ state: State, because reason: String = "") {
    if let current, current.bundle.directory != version.bundle.directory {
      Folder.remove(current.bundle.directory)
    }
    current = version
    become(state, because: reason)
  }

  /// The node is switched off: its processes are being killed.
  func powerOff() {
    round += 1
    retry?.cancel()
    settled?.cancel()
    probe?.cancel()
    become(.stopped)
    let change = change
    self.change = nil
    change?.abandon()
    supervisor = nil
  }
}
