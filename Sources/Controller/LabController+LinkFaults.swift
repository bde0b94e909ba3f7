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
    let before = ends.map { (name: $0.name, fault: state.faults.directions[$0.name]) }
    for end in ends {
      var fault = state.faults.directions[end.name] ?? DirectionFault()
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
      // Of these ends only: others may have got faults meanwhile.
      for (name, fault) in before { state.faults.directions[name] = fault }
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
      guard let rate = command.bitsPerSecond, rate == 0 || FaultLimits.rate.contains(rate) else {
        throw APIError(code: "invalid", message: "rate takes 8kbit to 1000gbit, or 0 to take it away")
      }
      fault.rate = rate
    default:
      guard let microseconds = command.microseconds, FaultLimits.delayMicroseconds.contains(microseconds) else {
        throw APIError(
          code: "invalid",
          message: "\(command.kind) takes a time of at most \(FaultLimits.delayMicroseconds.upperBound / 1_000_000)s")
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
    let (down, up, times) = (command.downMs ?? 1000, command.upMs ?? 1000, command.times)
    let limits = Int64(FaultLimits.flapMilliseconds.lowerBound)...Int64(FaultLimits.flapMilliseconds.upperBound)
    guard limits.contains(down), limits.contains(up), times.map(FaultLimits.flapTimes.contains) ?? true else {
      throw APIError(
        code: "invalid",
        message: "flap takes \(limits.lowerBound)ms to \(limits.upperBound / 60_000)m down and up, and from "
          + "\(FaultLimits.flapTimes.lowerBound) to \(FaultLimits.flapTimes.upperBound) times")
    }
    await endFlap(index)
    guard flaps[index] == nil else {
      throw APIError(code: "conflict", message: "another command has just set this link flapping")
    }
    // Taken before anything is awaited, so that whoever ends it finds it.
    try await withCheckedThrowingContinuation { (begun: CheckedContinuation<Void, any Error>) in
      flaps[index] = Task { [weak self] in
        await self?.flap(index, times: times ?? Int.max, down: down, up: up, begun)
      }
    }
  }

  private func flap(
    _ index: Int, times: Int, down: Int64, up: Int64, _ begun: CheckedContinuation<Void, any Error>
  ) async {
    defer { if !Task.isCancelled { flaps[index] = nil } }
    do {
      try await setLink(index, up: false)
      begun.resume()
    } catch {
      return begun.resume(throwing: error)
    }
    do {
      for round in 1...times {
        guard await pause(down) else { return }
        try await setLink(index, up: true)
        guard round < times, await pause(up) else { return }
        try await setLink(index, up: false)
      }
    } catch {
      let link = lab.links[index]
      logger.error("the flapping link \(link.a.name) \(link.b.name) stays as it is: \(error)")
      record(
        node: link.a.node, kind: "fault", subject: "\(link.a.name) \(link.b.name)", text: "no longer flaps: \(error)")
    }
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
    let between = lab.links.indices.filter { index in
      let link = lab.links[index]
      return group[link.a.node, default: 0] != group[link.b.node, default: 0]
    }
    // One that flaps may be down at this moment, and would come up again.
    for index in between { await endFlap(index) }
    let cut = between.filter { !state.faults.downLinks.contains($0) }
    for (place, index) in cut.enumerated() {
      do {
        try await setLink(index, up: false)
      } catch {
        // All of it or nothing. What cannot be undone stays in the ledger, for `mend`.
        for other in cut[...place] {
          do { try await setLink(other, up: true) } catch { logger.error("a partition is undone in part: \(error)") }
        }
        throw error
      }
    }
  }

  // MARK: mend

  /// Takes every fault of a link away. What cannot be undone stays in the ledger; the answer says why.
  func mendLinks() async -> [String] {
    var failures: [String] = []
    for index in Array(flaps.keys) { await endFlap(index) }
    for index in state.faults.downLinks.sorted() {
      do { try await setLink(index, up: true) } catch { failures.append(Self.reason(error)) }
    }
    for (index, link) in lab.links.enumerated() {
      let ends = [link.a.name, link.b.name]
      let before = ends.map { (name: $0, fault: state.faults.directions[$0]) }
      guard before.contains(where: { $0.fault.map { $0.delayMicroseconds > 0 || $0.jitterMicroseconds > 0 } ?? false })
      else { continue }
      for end in ends { change(end) { ($0.delayMicroseconds, $0.jitterMicroseconds) = (0, 0) } }
      do {
        try await setDelay(of: index)
      } catch {
        for (name, fault) in before { state.faults.directions[name] = fault }
        failures.append(Self.reason(error))
      }
    }
    failures += await mendImpairments()
    saveStateSoon()
    return failures
  }

  /// Loss and rates, all in one go: they are parts of what nodes should have.
  private func mendImpairments() async -> [String] {
    let before = state.faults.directions.filter { $0.value.lossPPM > 0 || $0.value.rate > 0 }
    guard !before.isEmpty else { return [] }
    let concerned = lab.nodes.filter { node in
      agents[node.name] != nil && !outage.nodes.contains(node.name)
        && node.interfaces.contains {
          before["\($0.farNode):\($0.farInterface)"] != nil || before["\(node.name):\($0.name)"] != nil
        }
    }
    for end in before.keys { change(end) { ($0.lossPPM, $0.rate) = (0, 0) } }
    do {
      try await spread(to: concerned.map(\.name))
      return []
    } catch {
      for (end, fault) in before { change(end) { ($0.lossPPM, $0.rate) = (fault.lossPPM, fault.rate) } }
      recomputeDataPlanes()
      return [Self.reason(error)]
    }
  }

  private func change(_ end: String, _ edit: (inout DirectionFault) -> Void) {
    var fault = state.faults.directions[end] ?? DirectionFault()
    edit(&fault)
    state.faults.directions[end] = fault.isNothing ? nil : fault
  }

  static func reason(_ error: any Error) -> String { (error as? APIError)?.message ?? "\(error)" }
}
