// The lab on this machine: its nodes, what runs beside them, and the orders that reach it.
import CLinux
import Glibc
import ControlProtocol
import EventLoop
import FoundationEssentials
import NetTypes
import Netlink
import Relay
import SwiftProtobuf

final class LabMachine {
  let lab: LabContext
  let outerPid: Int32
  private let rootless: Bool
  private let ready: ReadyChannel
  private let network: NetworkBuilder
  private(set) var nodes: [Node] = []
  private(set) var byName: [String: Node] = [:]
  private(set) var routes: [String: AgentlessRoutes] = [:]
  private let controller: Supervisor
  private let probe: Supervisor
  /// nil: no link declares a delay.
  private let delayed: DelayedLinks?
  private let link: ControllerLink
  private let exec: ExecServer
  private(set) var isBuilt = false
  private var stopping = false

  init(_ lab: LabContext, outerPid: Int32, rootless: Bool, _ ready: ReadyChannel) throws {
    self.lab = lab
    self.outerPid = outerPid
    self.rootless = rootless
    self.ready = ready
    network = try NetworkBuilder(lab.plan)
    delayed = try DelayedLinks(lab, network)
    controller = Supervisor(lab, node: "", name: "controller") { _ in
      var argv = [lab.program("netloom-controller"), "--run", lab.directory.path]
      if lab.published.api >= 0 { argv += ["--api-listen", "\(lab.published.api)"] }
      var request = lab.request(argv, log: "controller")
      if lab.published.api >= 0 { request.request.keep = [lab.published.api] }
      return request
    }
    probe = Supervisor(lab, node: "", name: "probe") { _ in
      lab.request([lab.program("netloom-probe"), "--run", lab.directory.path], log: "probe")
    }
    exec = try ExecServer(lab, rootless: rootless)
    link = ControllerLink(lab)
    link.machine = self
    exec.machine = self
    lab.changed = { [unowned link] in link.stateChanged() }
  }

  // MARK: Building

  /// Makes everything, in the order that lets it happen at the same time: the controller reads the topology while the
  /// kernel makes the links.
  func build() throws(BuildError) {
    var steps = StepClock()
    controller.start()
    link.connect()
    steps.done("controller")
    if lab.plan.nodes.count(where: \.agent) >= AgentServer.worthwhile { lab.agentServer = AgentServer(lab) }
    ready.progress("\(lab.plan.nodes.count) nodes, \(lab.plan.links.count) links")
    let built = try network.makeNamespaces()
    steps.done("namespaces")
    for (place, plan) in lab.plan.nodes.enumerated() {
      let node = Node(lab, plan, place: place, built[place])
      nodes.append(node)
      byName[plan.name] = node
      node.startPause()
    }
    steps.done("pauses")
    try network.makeLinks(built, relays: delayed?.namespace)
    steps.done("links")
    try startRelays(&steps)
    try installRoutes(built)
    steps.done("routes")
    for node in nodes where node.plan.agent { node.startAgent() }
    for node in nodes { node.startRelay() }
    lab.agentServer = nil
    linkNames()
    steps.done("agents")
    isBuilt = true
    ready.built()
    MachineLog.note("built \(nodes.count) nodes, \(network.links.count) links in \(steps)")
    lab.changed()
    lab.loop.enqueue { [unowned self] in startRest() }
  }

  /// Before anything speaks: a session that opens at once must find its link passing packets.
  private func startRelays(_ steps: inout StepClock) throws(BuildError) {
    guard let delayed else { return }
    try delayed.start()
    delayed.watch(nodes)
    steps.done("relays")
  }

  private func installRoutes(_ built: [BuiltNamespace]) throws(BuildError) {
    for node in nodes where !node.plan.agent {
      let ends = network.ends[node.place].map { network.own($0) }
      let keeper = try AgentlessRoutes(node, ends: ends, loop: lab.loop) { [unowned self] in lab.changed() }
      do throws(KernelError) {
        try keeper.install(built[node.place].socket)
      } catch {
        throw BuildError(node: node.name, error)
      }
      routes[node.name] = keeper
    }
  }

  /// As root the namespaces get names, for `ip netns exec`.
  private func linkNames() {
    guard !rootless, outerPid > 0 else { return }
    do throws(SystemError) {
      try RunFiles.linkNamespaces(
        lab: lab.plan.lab, init: outerPid, nodes.map { ($0.name, $0.namespace.fileDescriptor) })
    } catch {
      MachineLog.warning("no names for ip netns: \(error)")
    }
  }

  private func startRest() {
    for node in nodes { node.startUserProcesses() }
    for node in nodes {
      do throws(KernelError) {
        try routes[node.name]?.watch()
      } catch {
        MachineLog.warning("\(node.name): cannot watch links: \(error)")
      }
    }
    bringUpOwnLoopback()
    lab.changed()
  }

  private func bringUpOwnLoopback() {
    do throws(KernelError) {
      try NetlinkSocket(receiveBuffer: 65536).commit { $0.setLink(.loopback, up: true) }
    } catch {
      MachineLog.warning("lo of the lab itself: \(error)")
    }
  }

  // MARK: Stopping

  /// TERM to the users' processes, a moment for them, and the end of the init, which is the end of everything.
  /// - Parameter orphaned: the outer parent is gone, so the names are removed here.
  func stop(orphaned: Bool = false) {
    guard !stopping else { return }
    stopping = true
    let finish = { [unowned self] in
      if orphaned {
        RunFiles(directory: lab.directory).remove(initPid: outerPid, cleanly: true)
      }
      ready.stopped()
      lab.loop.stop()
    }
    var waiting = false
    for node in nodes where node.askToEnd() { waiting = true }
    controller.release()
    probe.release()
    for relay in delayed?.supervisors ?? [] { relay.release() }
    guard waiting else { return finish() }
    let deadline = EventLoop.clock() + 100_000_000
    var timer: LoopTimer?
    timer = LoopTimer(lab.loop) { [unowned self] in
      if EventLoop.clock() >= deadline || !nodes.contains(where: \.hasUserProcesses) {
        timer = nil
        return finish()
      }
      timer?.arm(after: 2_000_000)
    }
    timer?.arm(after: 2_000_000)
  }

  // MARK: State

  var state: NLMachineState {
    var state = NLMachineState()
    state.initPid = outerPid
    state.built = isBuilt
    state.execDone = isBuilt && nodes.allSatisfy(\.execDone)
    state.error = nodes.lazy.compactMap(\.failure).first ?? ""
    state.processes = labProcesses.filter { $0.pid > 0 || $0.restarts > 0 }.map(\.state)
    for node in nodes {
      var entry = NLNodeState()
      entry.name = node.name
      (entry.pid, entry.outerPid) = node.pid
      entry.state = node.state
      state.nodes.append(entry)
      state.processes += node.supervisors.map(\.state)
      if let container = node.container { state.containers.append(container.report) }
      if let keeper = routes[node.name] { state.links += linkStates(node, keeper) }
    }
    return state
  }

  /// What belongs to no node.
  private var labProcesses: [Supervisor] { [controller, probe] + (delayed?.supervisors ?? []) }

  private func linkStates(_ node: Node, _ keeper: AgentlessRoutes) -> [NLAgentlessLink] {
    network.ends[node.place].map { end in
      let planned = network.own(end)
      let known = keeper.links[planned.index]
      var entry = NLAgentlessLink()
      entry.node = node.name
      entry.link.interface = planned.name.text
      entry.link.ifindex = planned.index.rawValue
      entry.link.mac = .init(planned.mac.bytes)
      entry.link.up = known?.isUp ?? true
      entry.link.carrier = known?.hasCarrier ?? true
      entry.link.mtu = known?.mtu ?? network.links[end.link].mtu
      entry.link.addresses = planned.addresses.map { address in
        .with {
          $0.address = .init(address.address.bytes)
          $0.length = UInt32(address.length)
        }
      }
      if let counters = known?.statistics { entry.link.count(counters) }
      return entry
    }
  }

  // MARK: Orders

  /// Gives a node that had none an agent, which keeps its routes from then on.
  func startAgent(of node: Node) {
    guard node.isOn else { return }
    routes[node.name] = nil
    node.startAgent()
    lab.changed()
  }

  func startProbe() {
    if probe.pid == 0 { probe.start() }
  }

  /// Sends a signal to one supervised process; false when there is none of that name.
  func signal(node: String, process: String, _ number: Int32) -> Bool {
    let candidates = node.isEmpty ? labProcesses : byName[node]?.supervisors ?? []
    guard let found = candidates.first(where: { $0.name == process && $0.pid > 0 }) else { return false }
    found.signal(number)
    return true
  }

  /// Sets one end of a link up or down. Addresses survive; what the kernel forgets with it is put back.
  func setLink(_ node: Node, _ interface: String, up: Bool) throws(BuildError) {
    guard let end = network.ends[node.place].first(where: { network.own($0).name.text == interface }) else {
      throw BuildError("node \(node.name) has no interface \(interface)")
    }
    do throws(KernelError) {
      try setLinks([end], of: node, up: up)
    } catch {
      throw BuildError(node: node.name, error)
    }
  }

  private func setLinks(_ ends: [(link: Int, isA: Bool)], of node: Node, up: Bool) throws(KernelError) {
    let socket = try NetlinkSocket(in: node.namespace)
    var batch = MessageBatch(capacity: 1024)
    for end in ends {
      batch.setLink(network.own(end).index, up: up)
      if up { network.addNeighbours(end, &batch) }
    }
    try socket.commit(&batch)
    // The far end loses or gets its carrier before the order is answered.
    delayed?.reread(node)
    if up { try routes[node.name]?.install(socket) }
  }

  /// Changes the delay of a link that declares one. Packets under way keep their time.
  func setDelay(_ order: NLSetLinkDelay, done: @escaping () -> Void) throws(BuildError) {
    let number = Int(order.link)
    guard let delayed else { throw network.declaresNoDelay(number) }
    try delayed.set(
      link: number, aToB: order.hasAToB ? LinkDelay(order.aToB) : nil,
      bToA: order.hasBToA ? LinkDelay(order.bToA) : nil, done: done)
  }

  /// What links that declare a delay have carried.
  func count(_ order: NLCountLinks, done: @escaping ([NLLinkCounters]) -> Void) {
    guard let delayed else { return done([]) }
    delayed.count(order.links, done: done)
  }

  /// The node loses its links first: its neighbours are to see a dead node, not a polite farewell.
  func power(_ node: Node, on: Bool) throws(BuildError) {
    do throws(KernelError) {
      if on {
        guard !node.isOn else { return }
        try setLinks(network.ends[node.place], of: node, up: true)
        node.powerOn()
      } else {
        guard node.isOn else { return }
        try setLinks(network.ends[node.place], of: node, up: false)
        node.powerOff()
      }
    } catch {
      throw BuildError(node: node.name, error)
    }
  }
}

extension Supervisor {
  var state: NLProcessState {
    .with {
      $0.node = node
      $0.name = name
      $0.pid = pid
      $0.outerPid = outerPid
      $0.running = pid > 0
      $0.restarts = UInt32(clamping: restarts)
      $0.lastExit = lastExit
    }
  }
}

extension NLLinkState {
  fileprivate mutating func count(_ counters: LinkStatistics) {
    (rxPackets, txPackets) = (counters.receivedPackets, counters.sentPackets)
    (rxBytes, txBytes) = (counters.receivedBytes, counters.sentBytes)
    (rxDropped, txDropped) = (counters.receivedDropped, counters.sentDropped)
  }
}
