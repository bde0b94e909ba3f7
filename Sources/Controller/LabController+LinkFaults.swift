internal import ControlProtocol
internal import Foundation
internal import Intent
internal import Logging
internal import NIOCore
internal import NorthboundAPI
internal import Topology

// Faults of links that are more than up or down. What stands is in the ledger by the end that sends: agents get loss and
// rates with their data plane, netloom-machine's relay gets delays, and a flapping link is set up and down from here.

extension LabController {
  // MARK: loss, rate, delay, jitter

  /// Throws `APIError`: what does not fit the lab, what a node refuses; then the fault does not stand.
  func impair(_ command: FaultCommand) async throws {
    let index = try link(of: command)
    let ends = try senders(of: lab.links[index], command)
    if command.kind == "loss" { try refuseSwitches(receivers(of: ends, on: lab.links[index])) }
    let before = state.faults.directions
    for end in ends {
      var fault = before[end.name] ?? DirectionFault()
      try set(&fault, command)
      state.faults.directions[end.name] = fault.isNothing ? nil : fault
    }
    saveStateSoon()
    do {
      if command.kind == "delay" || command.kind == "jitter" {
        try await setDelay(of: index)
      } else {
        try await spread(to: command.kind == "rate" ? ends.map(\.node) : receivers(of: ends, on: lab.links[index]))
      }
    } catch {
      state.faults.directions = before
      saveStateSoon()
      recomputeDataPlanes()
      throw error
    }
  }

  private func senders(of link: ResolvedLink, _ command: FaultCommand) throws -> [LinkEnd] {
    guard let name = command.from else { return [link.a, link.b] }
    let chosen = [link.a, link.b].filter { $0.node == name || $0.name == name }
    guard !chosen.isEmpty else {
      throw APIError(
        code: "invalid", message: "from is \(name), expected an end of the link: \(link.a.node) or \(link.b.node)")
    }
    return chosen
  }

  /// Loss is the receiver's, and a switch passes frames on before any rule for packets sees them.
  private func refuseSwitches(_ names: [String]) throws {
    guard let name = names.first(where: { lab.node($0)?.kind == .switch }) else { return }
    throw APIError(
      code: "conflict",
      message: "\(name) is a switch, which loses nothing; say `from: \(name)` for what it sends")
  }

  private func receivers(of ends: [LinkEnd], on link: ResolvedLink) -> [String] {
    ends.map { $0.name == link.a.name ? link.b.node : link.a.node }
  }

  private func set(_ fault: inout DirectionFault, _ command: FaultCommand) throws {
    switch command.kind {
    case "loss":
      guard let percent = command.percent, (0...100).contains(percent) else {
        throw APIError(code: "invalid", message: "loss takes a percentage from 0 to 100")
      }
      fault.lossPPM = UInt32((percent * 10_000).rounded())
    case "rate":
      guard let rate = command.bitsPerSecond, rate == 0 || (8000...1_000_000_000_000).contains(rate) else {
        throw APIError(code: "invalid", message: "rate takes 8kbit to 1000gbit, or 0 to take it away")
      }
      fault.rate = rate
    default:
      guard let microseconds = command.microseconds, microseconds <= 60_000_000 else {
        throw APIError(code: "invalid", message: "\(command.kind) takes a time of at most 60s")
      }
      if command.kind == "delay" {
        fault.delayMicroseconds = microseconds
      } else {
        fault.jitterMicroseconds = microseconds
      }
    }
  }

  private func setDelay(of index: Int) async throws {
    let link = lab.links[index]
    guard link.impairment?.canDelay == true else {
      throw APIError(
        code: "conflict",
        message: "the link \(link.a.name) – \(link.b.name) declares no delay, so nothing on it can delay packets; "
          + "write `delay: 0ms` on it in the file")
    }
    var set = NLSetLinkDelay()
    set.link = UInt32(index)
    set.aToB = intent.delay(of: link, fault: state.faults.directions[link.a.name] ?? DirectionFault())
    set.bToA = intent.delay(of: link, fault: state.faults.directions[link.b.name] ?? DirectionFault())
    try await command(.setLinkDelay(set))
  }

  /// To the agents of these nodes; returns when each has it in its kernel.
  private func spread(to names: [String]) async throws {
    guard !isHeld else { throw APIError(code: "conflict", message: "a change is under way; try again when it is over") }
    let stopped = names.filter { outage.nodes.contains($0) }
    guard stopped.isEmpty else { throw APIError(code: "conflict", message: "\(stopped[0]) is stopped") }
    let failures = await startAgents(on: names)
    if let reason = failures.values.sorted().first { throw APIError(code: "conflict", message: reason) }
    recomputeDataPlanes()
    let deadline = Instant.now + .seconds(5)
    for name in names {
      while let version = state.nodes[name]?["data-plane"]?.version, agents[name]?.applied["data-plane"] != version {
        if let refusal = agents[name]?.refused["data-plane"] {
          throw APIError(code: "conflict", message: "\(name): \(refusal)")
        }
        guard Instant.now < deadline else {
          throw APIError(code: "unavailable", message: "\(name) has not done it within 5 s")
        }
        await wait(for: .agent, until: .now + .milliseconds(5))
      }
    }
  }

  func recomputeDataPlanes() {
    computeDesired()
    for name in agents.keys.sorted() { reconcile(name) }
  }

  // MARK: flap

  /// Down and up again, in the background: `times` rounds, or until it is mended or a link-up says so.
  func flap(_ command: FaultCommand) async throws {
    let index = try link(of: command)
    let (down, up) = (command.downMs ?? 1000, command.upMs ?? 1000)
    guard (10...3_600_000).contains(down), (10...3_600_000).contains(up), command.times.map({ $0 > 0 }) ?? true else {
      throw APIError(code: "invalid", message: "flap takes 10ms to 1h down and up, and a number of times from 1")
    }
    await endFlap(index)
    try await setLink(index, up: false)
    flaps[index] = Task { [weak self] in
      await self?.flap(index, times: command.times ?? Int.max, down: down, up: up)
    }
  }

  /// From a link that is down on.
  private func flap(_ index: Int, times: Int, down: Int64, up: Int64) async {
    for round in 1...times {
      guard await pause(down), (try? await setLink(index, up: true)) != nil else { break }
      guard round < times else { break }
      guard await pause(up), (try? await setLink(index, up: false)) != nil else { break }
    }
    if !Task.isCancelled { flaps[index] = nil }
  }

  /// False: somebody has ended it.
  private func pause(_ milliseconds: Int64) async -> Bool {
    (try? await Task.sleep(for: .milliseconds(milliseconds))) != nil && !Task.isCancelled
  }

  /// Returns when it does nothing more.
  func endFlap(_ index: Int) async {
    guard let flap = flaps.removeValue(forKey: index) else { return }
    flap.cancel()
    await flap.value
  }

  // MARK: partition

  /// Every link between nodes of different groups goes down; nodes in none belong to the first.
  func partition(_ command: FaultCommand) async throws {
    guard let groups = command.groups, groups.count > 1, groups.allSatisfy({ !$0.isEmpty }) else {
      throw APIError(code: "invalid", message: "partition takes two groups of nodes or more")
    }
    var group: [String: Int] = [:]
    for (index, names) in groups.enumerated() {
      for name in names {
        let node = try find(name).name
        guard group.updateValue(index, forKey: node) == nil else {
          throw APIError(code: "invalid", message: "\(node) stands twice in the groups")
        }
      }
    }
    let cut = lab.links.indices.filter { index in
      let link = lab.links[index]
      return group[link.a.node, default: 0] != group[link.b.node, default: 0]
        && !state.faults.downLinks.contains(index)
    }
    var done: [Int] = []
    do {
      for index in cut {
        await endFlap(index)
        try await setLink(index, up: false)
        done.append(index)
      }
    } catch {
      // All of it or nothing.
      for index in done { try? await setLink(index, up: true) }
      throw error
    }
  }

  // MARK: mend

  /// Takes every fault of a link away; those who cannot be told keep it in the ledger, and are named.
  func mendLinks() async throws {
    for index in Array(flaps.keys) { await endFlap(index) }
    for index in state.faults.downLinks.sorted() { try await setLink(index, up: true) }
    let faults = state.faults.directions
    guard !faults.isEmpty else { return }
    state.faults.directions = [:]
    saveStateSoon()
    recomputeDataPlanes()
    for (index, link) in lab.links.enumerated() {
      let ends = [link.a.name, link.b.name].compactMap { faults[$0] }
      guard ends.contains(where: { $0.delayMicroseconds > 0 || $0.jitterMicroseconds > 0 }) else { continue }
      try await setDelay(of: index)
    }
    let restored = lab.nodes.filter { node in
      agents[node.name]?.connection != nil
        && node.interfaces.contains {
          faults["\($0.farNode):\($0.farInterface)"] != nil || faults["\(node.name):\($0.name)"] != nil
        }
    }
    try await spread(to: restored.map(\.name).filter { !outage.nodes.contains($0) })
  }
}
