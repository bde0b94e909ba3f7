internal import ControlProtocol
internal import Foundation
internal import Intent
internal import NetTypes
public import NorthboundAPI
internal import Topology

/// The lab as a whole: `status`, `topology`, `progress`, `events`.
extension LabController {
  public func status() -> Status {
    let controller = machine.state.processes.first { $0.node.isEmpty && $0.name == "controller" }
    return Status(
      lab: lab.name, pid: machine.state.initPid,
      controller: ControllerStatus(
        pid: controller?.outerPid ?? ProcessInfo.processInfo.processIdentifier, state: "running"),
      converged: isConverged, convergedBy: isConverged ? tracker.convergedBy : nil, convergedAfterMs: convergedAfterMs,
      notConverged: notConverged(limit: 100), version: UInt64(current.version), nodes: lab.nodes.map(nodeStatus),
      sessions: sessionStatuses(), links: lab.links.enumerated().map(linkStatus), warnings: warnings,
      mesh: meshSummary)
  }

  var convergedAfterMs: Double? {
    guard isConverged else { return nil }
    let after = announced == tracker.disturbedAt ? settledAfter : tracker.convergedAfter
    return after.map { Double($0.nanoseconds) / 1_000_000 }
  }

  private func nodeStatus(_ node: ResolvedNode) -> NodeStatus {
    let observed = machine.nodes[node.name]
    let state = observed.flatMap(\.state.nonEmpty) ?? "starting"
    return NodeStatus(
      name: node.name, kind: node.kind.rawValue, pid: observed?.outerPid ?? 0, asn: node.asn?.rawValue,
      state: outage.nodes.contains(node.name) ? "stopped" : state, container: containerStatus(of: node.name))
  }

  private func linkStatus(_ index: Int, _ link: ResolvedLink) -> LinkStatus {
    LinkStatus(endpoints: [link.a.name, link.b.name], state: outage.links.contains(index) ? "down" : "up")
  }

  /// One entry per netloom speaker and session of the file, also of those that cannot stand now.
  private func sessionStatuses() -> [SessionStatus] {
    lab.sessions.flatMap { session in
      [(session.a, session.b), (session.b, session.a)].compactMap { near, far in
        near.daemon ? nil : sessionStatus(near, far)
      }
    }
  }

  private func sessionStatus(_ near: SessionEnd, _ far: SessionEnd) -> SessionStatus {
    let sample = agents[near.node]?.sample?.sessions.first { $0.key == near.key }
    return SessionStatus(
      node: near.node, neighbor: far.node, state: sample?.state.word ?? "idle",
      prefixesReceived: sample?.families.reduce(0) { $0 + $1.prefixesReceived } ?? 0,
      prefixesSent: sample?.families.reduce(0) { $0 + $1.prefixesSent } ?? 0, interface: near.interface,
      neighborAddress: far.address.description, lastError: sample?.lastError.nonEmpty)
  }

  public func topology() -> LabTopology {
    LabTopology(
      lab: lab.name,
      nodes: lab.nodes.map { node in
        TopologyNode(
          name: node.name, kind: node.kind.rawValue, asn: node.asn?.rawValue,
          loopbacks: node.loopbacks.map(\.description), networks: node.networks.map(\.description),
          interfaces: node.interfaces.map {
            TopologyInterface(
              name: $0.name, addresses: $0.addresses.map(\.description), peer: "\($0.farNode):\($0.farInterface)")
          }, labels: node.labels)
      },
      links: lab.links.map {
        TopologyLink(endpoints: [$0.a.name, $0.b.name], relation: $0.relation?.rawValue, cost: $0.cost)
      })
  }

  /// Waits until `revision` is past `seen`, at most `waitMilliseconds`.
  public func progress(seen: UInt64, waitMilliseconds: Int64) async -> NorthboundAPI.Progress {
    let deadline = Instant.now + .milliseconds(waitMilliseconds)
    while revision <= seen, Instant.now < deadline { await wait(for: .progress, until: deadline) }
    return progressNow()
  }

  private func progressNow() -> NorthboundAPI.Progress {
    let expected = judge.sessions.values.flatMap { $0 }
    let up = expected.count { session in
      agents[session.node]?.sample?.sessions.contains { $0.key == session.key && $0.state == .established } ?? false
    }
    return NorthboundAPI.Progress(
      revision: revision, built: machine.state.built, execDone: machine.state.execDone,
      error: machine.state.error.nonEmpty, nodesUp: lab.nodes.count(where: isUp), nodes: lab.nodes.count,
      sessionsUp: up, sessions: expected.count, converged: isConverged,
      convergedBy: isConverged ? tracker.convergedBy : nil, convergedAfterMs: convergedAfterMs,
      reasons: notConverged(limit: 20))
  }

  private func isUp(_ node: ResolvedNode) -> Bool {
    guard machine.nodes[node.name]?.state == "running" else { return false }
    return agents[node.name].map { $0.connection != nil } ?? true
  }

  // MARK: events

  /// Events after number `since`, oldest first; waits for one at most `waitMilliseconds` when there is none.
  public func events(since: UInt64, waitMilliseconds: Int64) async -> [LabEvent] {
    let deadline = Instant.now + .milliseconds(waitMilliseconds)
    // A number from before a restart of the controller would wait for ever.
    let since = since > events.newest ? 0 : since
    while events.newest <= since, Instant.now < deadline { await wait(for: .events, until: deadline) }
    return events.after(since)
  }

  func record(node: String, kind: String, subject: String, text: String) {
    events.append(node: node, kind: kind, subject: subject, text: text)
    wakeAll(.events)
  }

  func record(_ event: NLEvent, from node: String) {
    events.append(event, from: node)
    wakeAll(.events)
  }
}
