internal import FoundationEssentials
internal import NorthboundAPI
internal import NorthboundClient

extension LiveLab {
  /// Pods of a version whose packets are looked at; more say nothing new.
  private static let watched = 2

  func observe(_ window: ObservationWindow) async throws -> [String: VersionView] {
    let client = try await client(of: window.service, wanted: window.load?.from)
    let service = try await service(window.service)
    let before = try await asked { try await api.meshEdges() }
    async let network = window.network ? packets(window, client, service) : [:]
    async let load: Void = send(window, from: client, service)
    try await Task.sleep(for: .seconds(window.seconds))
    try await load
    let after = try await asked { try await api.meshEdges() }
    let traffic = VersionTraffic.between(before, after, of: window.service, moving: window.moving)
    let seen = try await network
    return window.pods.keys.reduce(into: [:]) {
      $0[$1] = VersionView(traffic: traffic[$1] ?? VersionTraffic(), network: seen[$1] ?? NetworkView())
    }
  }

  /// Requests of the pipeline's own, for as long as the window is open.
  private func send(_ window: ObservationWindow, from client: String, _ service: MeshServiceStatus) async throws {
    guard let load = window.load else { return }
    guard service.proto == "http" else {
      return run.note("no load is sent: \(service.name) speaks \(service.proto), and `load` speaks http")
    }
    let command = [
      program, "pipeline", "load", "http://\(service.name):\(service.port)\(load.path)", "--rate", "\(load.rate)",
      "--for", "\(Int(window.seconds * 1000))ms",
    ]
    let answer = try await asked(about: client) {
      try await api.exec(ExecCommand(argv: command, timeoutMs: UInt32((window.seconds + 30) * 1000)), in: client)
    }
    let output = answer.output.split(separator: "\n").joined(separator: " ")
    run.note("load from \(client): \(output.isEmpty ? answer.errorOutput : output)")
  }

  // MARK: packets

  private func packets(
    _ window: ObservationWindow, _ client: String, _ service: MeshServiceStatus
  ) async throws -> [String: NetworkView] {
    let topology = try await asked { try await api.topology() }
    let systems = Dictionary(
      topology.nodes.compactMap { node in node.asn.map { (node.name, $0) } }, uniquingKeysWith: { $1 })
    let pods = window.pods.mapValues { Array($0.prefix(Self.watched)) }
    let segmentsBefore = await segments(pods)
    let milliseconds = Int64(window.seconds * 1000)
    async let flows = asked { try await api.flows(FlowsQuery(durationMs: milliseconds)) }
    var views: [String: NetworkView] = [:]
    for (version, names) in pods {
      views[version] = await pings(from: client, to: names, milliseconds)
    }
    for (version, names) in pods {
      for pod in names {
        await trace(from: client, to: pod, systems, &views[version, default: NetworkView()])
      }
    }
    let live: LiveFlows
    do {
      live = try await flows
    } catch let failure as StageFailure {
      for version in pods.keys { views[version]?.undecided = "live flows: \(failure.reason)" }
      return views
    }
    let ignored = Set(topology.nodes.filter { $0.kind == "registry" }.map(\.name))
    for (version, names) in pods {
      views[version, default: NetworkView()].crossed = Self.crossed(
        live, Set(window.pods[version] ?? names), ignored, systems, answering: service.target)
    }
    try await finish(&views, pods)
    let segmentsAfter = await segments(pods)
    for (version, after) in segmentsAfter {
      guard let before = segmentsBefore[version], after.sent >= before.sent else { continue }
      views[version]?.segmentsSent = after.sent - before.sent
      views[version]?.segmentsRepeated = after.repeated >= before.repeated ? after.repeated - before.repeated : 0
    }
    return views
  }

  /// Where packets between the client and the pod pass, there and back.
  private func trace(from client: String, to pod: String, _ systems: [String: UInt32], _ view: inout NetworkView) async
  {
    do {
      let trace = try await api.trace(TraceQuery(from: client, to: pod, count: 3))
      if let undecided = trace.undecided {
        view.undecided = "\(client) to \(pod): \(undecided)"
        return
      }
      for (direction, path) in [("to it", trace.forward), ("back from it", trace.return)] {
        let ways = (path.paths.isEmpty ? [path.path] : path.paths.map(\.path)).filter { !$0.isEmpty }
        view.ways[direction, default: []].formUnion(ways.map { ASWay($0, systems: systems) })
      }
    } catch {
      view.undecided = "\(client) to \(pod): \(error)"
    }
  }

  /// ASes that the pods' own connections crossed. One from the port where the service answers is a client's: it stood before
  /// the capture began, and the answer was seen first.
  static func crossed(
    _ flows: LiveFlows, _ pods: Set<String>, _ ignored: Set<String>, _ systems: [String: UInt32], answering port: UInt16
  ) -> [String: Set<UInt32>] {
    var result: [String: Set<UInt32>] = [:]
    for flow in flows.flows where flow.undecided == nil && flow.proto != "icmp" && flow.client.port != port {
      guard let client = flow.client.node, pods.contains(client), !ignored.contains(flow.server.node ?? "") else {
        continue
      }
      let there = flow.forward.path.compactMap { systems[$0] }
      let back = flow.return.path.compactMap { systems[$0] }
      if !there.isEmpty { result["its own connections", default: []].formUnion(there) }
      if !back.isEmpty { result["answers to its own connections", default: []].formUnion(back) }
    }
    return result
  }

  // MARK: loss and queueing

  private static let packetsPerSecond: UInt32 = 50

  private func pings(from client: String, to pods: [String], _ milliseconds: Int64) async -> NetworkView {
    var view = NetworkView()
    for pod in pods {
      let query = TrafficQuery(
        from: client, to: pod, proto: "icmp", packetsPerSecond: Self.packetsPerSecond,
        durationMs: max(500, milliseconds - 500))
      if let started = try? await api.startTraffic(query) { view.pending.append(started.id) }
    }
    return view
  }

  private func finish(_ views: inout [String: NetworkView], _ pods: [String: [String]]) async throws {
    for version in pods.keys {
      for id in views[version]?.pending ?? [] {
        guard let result = try? await api.stopTraffic(id).result else { continue }
        views[version]?.packetsSent += result.packetsSent
        views[version]?.packetsLost += result.lost
        if let delay = result.delay {
          let known = views[version]?.queueing ?? 0
          views[version]?.queueing = max(known, delay.p99 - delay.min)
        }
      }
      views[version]?.pending = []
    }
  }

  // MARK: TCP

  /// `Tcp: OutSegs RetransSegs` of /proc/net/snmp in the pods' namespaces.
  private func segments(_ pods: [String: [String]]) async -> [String: (sent: UInt64, repeated: UInt64)] {
    var result: [String: (sent: UInt64, repeated: UInt64)] = [:]
    for (version, names) in pods {
      for pod in names {
        let command = ExecCommand(argv: ["cat", "/proc/net/snmp"], timeoutMs: 5000)
        guard let answer = try? await api.exec(command, in: pod), let counts = Self.segments(answer.output) else {
          continue
        }
        let sum = result[version] ?? (0, 0)
        result[version] = (sum.sent + counts.sent, sum.repeated + counts.repeated)
      }
    }
    return result
  }

  static func segments(_ text: String) -> (sent: UInt64, repeated: UInt64)? {
    let lines = text.split(separator: "\n").filter { $0.hasPrefix("Tcp:") }.map { $0.split(separator: " ") }
    guard lines.count == 2, let sent = lines[0].firstIndex(of: "OutSegs"),
      let repeated = lines[0].firstIndex(of: "RetransSegs"), lines[1].count == lines[0].count,
      let first = UInt64(lines[1][sent]), let second = UInt64(lines[1][repeated])
    else { return nil }
    return (first, second)
  }
}
