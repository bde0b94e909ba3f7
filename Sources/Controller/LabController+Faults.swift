internal import ControlProtocol
internal import Foundation
internal import Intent
internal import Logging
internal import NIOCore
public import NorthboundAPI
internal import Topology

/// Faults, their undoing, and commands in nodes. All go through netloom-machine; what stands is kept in the ledger, so
/// that `mend` undoes everything a test broke, also after a restart of the controller.
extension LabController {
  /// Throws `APIError`: `invalid` for words and names that do not fit, `conflict` for what the machine refuses.
  public func fault(_ command: FaultCommand) async throws {
    switch command.kind {
    case "link-down":
      let index = try link(of: command)
      await endFlap(index)
      try await setLink(index, up: false)
    case "link-up":
      let index = try link(of: command)
      await endFlap(index)
      try await setLink(index, up: true)
    case "flap": try await flap(command)
    case "loss", "rate", "delay", "jitter": try await impair(command)
    case "partition": try await partition(command)
    case "kill": try await power(node(of: command), on: false)
    case "start": try await power(node(of: command), on: true)
    case "kill-speaker": try await killSpeaker(node(of: command))
    case "reset-session": try await resetSession(command.targets)
    case "kill-controller": killSelfSoon()
    default:
      let known = [
        "link-down", "link-up", "flap", "loss", "delay", "jitter", "rate", "kill", "start", "kill-speaker",
        "kill-controller", "reset-session", "partition",
      ]
      let hint = nearestName(to: command.kind, in: known).map { "; did you mean \($0)?" } ?? ""
      throw APIError(
        code: "invalid", message: "no fault \(command.kind)\(hint) (known: \(known.joined(separator: ", ")))")
    }
    logger.info("fault \(command.kind) \(command.targets.joined(separator: " "))")
  }

  /// Undoes every fault that stands: nodes first, so that their links can come up.
  public func mend() async throws {
    var failures: [String] = []
    for name in state.faults.killedNodes.sorted() {
      do { try await power(find(name), on: true) } catch { failures.append(Self.reason(error)) }
    }
    failures += await mendLinks()
    guard failures.isEmpty else {
      throw APIError(code: "conflict", message: "not all is mended: " + failures.joined(separator: "; "))
    }
  }

  public func exec(_ command: ExecCommand, in name: String) async throws -> ExecResult {
    _ = try find(name)
    guard !command.argv.isEmpty else { throw APIError(code: "invalid", message: "argv is empty") }
    var run = NLRunCommand()
    run.node = name
    run.argv = command.argv
    run.timeoutMs = command.timeoutMs
    let patience = command.timeoutMs == 0 ? 3_600_000 : Int64(command.timeoutMs) + 5000
    let reply = try await self.command(.run(run), timeout: .milliseconds(patience))
    return ExecResult(
      exit: reply.exit, output: String(decoding: reply.output, as: UTF8.self),
      errorOutput: String(decoding: reply.errorOutput, as: UTF8.self), timedOut: reply.timedOut)
  }

  /// Takes the lab down, this controller with it.
  public func stop() async throws { try await command(.stop(NLStopLab())) }

  // MARK: links

  func link(of command: FaultCommand) throws -> Int {
    guard let first = command.targets.first, command.targets.count <= 2 else {
      throw APIError(code: "invalid", message: "\(command.kind) takes the two ends of a link, NODE:IFACE")
    }
    guard let index = lab.links.firstIndex(where: { $0.a.name == first || $0.b.name == first }) else {
      let ends = lab.links.flatMap { [$0.a.name, $0.b.name] }
      let hint = nearestName(to: first, in: ends).map { "; did you mean \($0)?" } ?? ""
      throw APIError(code: "not-found", message: "no link ends at \(first)\(hint)")
    }
    let ends = [lab.links[index].a.name, lab.links[index].b.name]
    guard command.targets.allSatisfy(ends.contains), Set(command.targets).count == command.targets.count else {
      let other = ends[0] == first ? ends[1] : ends[0]
      throw APIError(code: "invalid", message: "the other end of \(first) is \(other)")
    }
    return index
  }

  /// The ledger knows of it before the first end is touched, and until both are up again.
  func setLink(_ index: Int, up: Bool) async throws {
    let link = lab.links[index]
    let wasDown = !up && !state.faults.downLinks.insert(index).inserted
    do {
      try await order(link, up: up)
    } catch {
      if !up, !wasDown, (try? await order(link, up: true)) != nil { state.faults.downLinks.remove(index) }
      saveStateSoon()
      throw error
    }
    if up { state.faults.downLinks.remove(index) }
    saveStateSoon()
    disturb(fault: true)
    // The kernel has changed, agents (and netloom-machine, for nodes without one) may not have read it yet: no proof
    // before they say so.
    for end in [link.a, link.b] where !outage.nodes.contains(end.node) {
      judge.awaitedLinks[end.node, default: [:]][end.interface] = up
      if up == false { downEnds[end.node, default: []].insert(end.interface) }
    }
    observeOutage()
    for end in [link.a, link.b] {
      ask(forSampleOf: end.node)
      refreshReadiness(end.node)
    }
    look()
  }

  /// Ends at a killed node stay down with it; `start` brings them up.
  private func order(_ link: ResolvedLink, up: Bool) async throws {
    for end in [link.a, link.b] where !(up && state.faults.killedNodes.contains(end.node)) {
      var admin = NLLinkAdmin()
      admin.node = end.node
      admin.interface = end.interface
      admin.up = up
      try await command(.linkAdmin(admin))
    }
  }

  private func ask(forSampleOf name: String) {
    guard let id = agents[name]?.connection else { return }
    connections[id]?.send(.sampleRequest(NLSampleRequest()), request: unawaited())
  }

  // MARK: nodes

  private func node(of command: FaultCommand) throws -> ResolvedNode {
    guard let name = command.targets.first, command.targets.count == 1 else {
      throw APIError(code: "invalid", message: "\(command.kind) takes one node")
    }
    return try find(name)
  }

  private func power(_ node: ResolvedNode, on: Bool) async throws {
    var power = NLNodePower()
    power.node = node.name
    power.on = on
    try await command(.power(power), timeout: .seconds(30))
    if on { state.faults.killedNodes.remove(node.name) } else { state.faults.killedNodes.insert(node.name) }
    if on {
      // What was seen of it before it was stopped says nothing now.
      machine.ran.remove(node.name)
      downEnds[node.name] = nil
      podsStarted([node.name])
    }
    judge.awaitedLinks[node.name] = nil
    for interface in node.interfaces where canTell(interface.farNode) {
      let isUp = on && !state.faults.downLinks.contains(interface.link)
      judge.awaitedLinks[interface.farNode, default: [:]][interface.farInterface] = isUp
      ask(forSampleOf: interface.farNode)
    }
    saveStateSoon()
    disturb(fault: true)
    observeOutage()
    for name in Set(node.interfaces.map(\.farNode) + [node.name]) { refreshReadiness(name) }
    look()
  }

  /// Somebody who watches this node's links is there: its agent, or netloom-machine where it has none.
  private func canTell(_ name: String) -> Bool {
    if let agent = agents[name] { return agent.connection != nil }
    return machine.nodes[name]?.state == "running"
  }

  private func killSpeaker(_ node: ResolvedNode) async throws {
    guard node.kind.forwards else {
      throw APIError(code: "invalid", message: "\(node.name) is a \(node.kind.rawValue): it runs no speaker")
    }
    var kill = NLKillProcess()
    kill.node = node.name
    kill.process = node.kind.isDaemon ? "daemon" : "agent"
    kill.signal = SIGKILL
    try await command(.kill(kill))
    disturb(fault: true)
    look()
  }

  private func resetSession(_ targets: [String]) async throws {
    guard targets.count == 2, let name = targets.first, let neighbor = targets.last else {
      throw APIError(code: "invalid", message: "reset-session takes a node and its neighbor")
    }
    _ = try find(name)
    let own = lab.sessions.flatMap { [($0.a, $0.b), ($0.b, $0.a)] }.filter { $0.0.node == name }
    let matching = own.filter { $0.1.node == neighbor || $0.0.key.hasPrefix(neighbor + "/") }
    guard let end = matching.first, let id = agents[name]?.connection else {
      throw APIError(code: "not-found", message: "\(name) has no session with \(neighbor)")
    }
    var reset = NLSpeakerCommand()
    reset.reset.neighbor = end.1.node == neighbor ? neighbor : end.0.key
    let answer = try await ask(id, .speakerCommand(reset), timeout: .seconds(5), whom: name)
    if case .ack(let ack) = answer, !ack.error.isEmpty { throw APIError(code: "conflict", message: ack.error) }
    disturb(fault: true)
    look()
  }

  /// After the answer has left. SIGKILL, so that nothing is put in order first: that is the point.
  private func killSelfSoon() {
    schedule(in: .milliseconds(50)) { _ in _ = kill(getpid(), SIGKILL) }
  }
}
