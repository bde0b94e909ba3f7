// The lab in Prometheus' text format. What samples tell is told from the newest sample; what only kernels know is asked
// of the nodes that have rules or classes, all at once and for a short time: a node that is late is left out of this
// scrape, and counted.

internal import ControlProtocol
internal import Foundation
internal import Intent
internal import NIOCore
internal import NorthboundAPI
internal import Topology

extension LabController {
  private static let scrapeLimit = TimeAmount.seconds(1)

  /// Text format 0.0.4.
  public func metrics() async -> String {
    var page = MetricsPage()
    labMetrics(&page)
    for node in lab.nodes { nodeMetrics(node.name, &page) }
    let asked = lab.nodes.map(\.name).filter { hasCounters($0) }
    let answers = await counters(of: asked)
    for name in asked { kernelMetrics(name, answers[name] ?? KernelCounters(), &page) }
    if mesh != nil { meshMetrics(&page, (try? await meshEdges()) ?? []) }
    return page.text
  }

  private func labMetrics(_ page: inout MetricsPage) {
    page.add(.build, 1, ["lab": lab.name, "api": "v1"])
    page.add(.version, Double(current.version))
    page.add(.unconfirmed, current.confirmBy == nil ? 0 : 1)
    page.add(.converged, isConverged ? 1 : 0)
    if let after = convergedAfterMs { page.add(.convergenceSeconds, after / 1000) }
    page.add(.changes, Double(counters.applies), ["kind": "apply", "result": "done"])
    page.add(.changes, Double(counters.rollbacks), ["kind": "rollback", "result": "done"])
    page.add(.changes, Double(counters.refused), ["kind": "any", "result": "refused"])
    page.add(.events, Double(events.newest))
    page.add(.linksDown, Double(outage.links.count))
  }

  private func nodeMetrics(_ name: String, _ page: inout MetricsPage) {
    page.add(.nodeUp, machine.nodes[name]?.state == "running" && !outage.nodes.contains(name) ? 1 : 0, ["node": name])
    guard let agent = agents[name] else { return }
    page.add(.agentConnected, agent.connection == nil ? 0 : 1, ["node": name])
    for (type, version) in agent.applied { page.add(.agentVersion, Double(version), ["node": name, "type": type]) }
    for (type, last) in state.nodes[name] ?? [:] {
      page.add(.desiredVersion, Double(last.version), ["node": name, "type": type])
    }
    if let drift = agent.drift { page.add(.drift, Double(drift.items.count), ["node": name]) }
    guard let sample = agent.sample else { return }
    page.add(.ribRoutes, Double(sample.ribRoutes), ["node": name])
    page.add(.fibRoutes, Double(sample.fibRoutes), ["node": name])
    for (state, sessions) in Dictionary(grouping: sample.sessions, by: \.state.word) {
      page.add(.sessions, Double(sessions.count), ["node": name, "state": state])
    }
    for session in sample.sessions {
      page.add(.flaps, Double(session.flaps), ["node": name, "session": session.key])
    }
  }

  // MARK: what kernels know

  struct KernelCounters: Sendable {
    var connections: NLQueryReply?
    var qos: NLQueryReply?
  }

  private func hasCounters(_ name: String) -> Bool {
    guard agents[name]?.connection != nil, let plane = desired[name]?.dataPlane else { return false }
    return !plane.nat.isEmpty || !plane.filter.isEmpty || !plane.shapers.isEmpty || !plane.policers.isEmpty
  }

  private func counters(of names: [String]) async -> [String: KernelCounters] {
    await withTaskGroup(of: (String, KernelCounters).self) { group in
      for name in names {
        group.addTask {
          async let connections = self.scraped(name, .conntrack)
          async let qos = self.scraped(name, .qos)
          return (name, KernelCounters(connections: await connections, qos: await qos))
        }
      }
      var all: [String: KernelCounters] = [:]
      for await (name, counters) in group { all[name] = counters }
      return all
    }
  }

  /// nil: no answer in time.
  private func scraped(_ name: String, _ kind: NLQuery.Kind) async -> NLQueryReply? {
    guard let id = agents[name]?.connection else { return nil }
    var query = NLQuery()
    query.kind = kind
    // Of connections the total is enough.
    query.limit = kind == .conntrack ? 1 : 5000
    guard case .queryReply(let reply) = try? await ask(id, .query(query), timeout: Self.scrapeLimit, whom: name),
      reply.error.isEmpty
    else { return nil }
    return reply
  }

  private func kernelMetrics(_ name: String, _ counters: KernelCounters, _ page: inout MetricsPage) {
    page.add(.scraped, counters.connections == nil || counters.qos == nil ? 0 : 1, ["node": name])
    if let reply = counters.connections {
      page.add(.connections, Double(reply.total), ["node": name])
      page.add(.connectionLimit, Double(reply.connectionLimit), ["node": name])
    }
    for interface in counters.qos?.qos ?? [] {
      for own in interface.classes {
        let labels = [
          "node": name, "interface": interface.interface, "class": own.name.isEmpty ? own.handle : own.name,
        ]
        page.add(.classBytes, Double(own.counters.bytes), labels)
        page.add(.classPackets, Double(own.counters.packets), labels)
        page.add(.classDrops, Double(own.counters.drops), labels)
        page.add(.classBacklog, Double(own.counters.backlogBytes), labels)
      }
      for (index, rule) in interface.policers.enumerated() {
        let labels = ["node": name, "interface": interface.interface, "index": "\(index)", "rule": rule.text]
        page.add(.policerPackets, Double(rule.packets), labels)
        page.add(.policerBytes, Double(rule.bytes), labels)
      }
    }
  }
}
