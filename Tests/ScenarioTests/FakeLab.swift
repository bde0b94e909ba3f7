import NorthboundAPI
import NorthboundClient
import Synchronization
import Testing
import Topology

@testable import Scenario

/// A lab that answers from a script and remembers what it was asked. What a test does not script is refused.
final class FakeLab: LabAPI {
  struct Script: Sendable {
    var status: Status?
    /// One after the other; the last one stays.
    var traces: [Trace] = []
    var convergence = [Convergence(converged: true, convergedBy: .counters, afterMs: 1, reasons: [])]
    var bgp: [BGPRoute] = []
    var routes: [KernelRoute] = []
    var exec: ExecResult?
    var noTransit: NoTransitResult?
    /// What `plan`, `apply` and `rollback` come to; a refusal goes before a result.
    var plan: ChangePlan?
    var result: ChangeResult?
    var refusal: APIError?
    /// The current version, one question after the other; the last one stays. Empty: the history is refused.
    var versions: [Int] = []
    /// One after the other, nil: it is done; none left: it is done.
    var rollbackRefusals: [APIError?] = []
    var rate: RateResult?
    /// One after the other; the last one stays.
    var translations: [NATResult] = []
    var check: CheckReport?
    /// Instead, once a fault was carried out.
    var checkOfBroken: CheckReport?
    /// What running load came to, by its number; started in this order, the last one again and again.
    var traffic: [TrafficState] = []
    var started = 0
    var events: [LabEvent] = []
    var flows: LiveFlows?
    var mesh: MeshStatus?
    var meshEdges: [MeshEdge]?
    var meshChange: MeshChange?
    var meshExplanation: MeshExplanation?
    /// By node.
    var links: [String: [LinkDetail]] = [:]
    /// Every question fails: the lab is gone.
    var isGone = false
  }

  private struct State {
    var script: Script
    var asked: [String] = []
  }

  private let state: Mutex<State>

  init(_ script: Script) { state = Mutex(State(script: script)) }

  var asked: [String] { state.withLock { $0.asked } }

  private func answer<Value>(_ question: String, _ value: (inout Script) -> Value?) throws -> Value {
    try state.withLock { state in
      state.asked.append(question)
      if state.script.isGone { throw ClientError.unreachable(socket: "api.sock", reason: "connection refused") }
      guard let value = value(&state.script) else { throw APIError(code: "not-found", message: "no \(question)") }
      return value
    }
  }

  func status() throws -> Status { try answer("status") { $0.status } }
  func progress(seen: UInt64, wait: Duration) throws -> Progress { try answer("progress") { _ in nil } }
  func topology() throws -> LabTopology { try answer("topology") { _ in nil } }

  func converged(within limit: Duration) throws -> Convergence {
    try answer("converged") { $0.convergence.count > 1 ? $0.convergence.removeFirst() : $0.convergence.first }
  }

  func events(since: UInt64) throws -> [LabEvent] { try answer("events") { $0.events.filter { $0.number > since } } }

  func routes(of node: String, prefix: String?) throws -> [KernelRoute] {
    try answer("routes \(node)") { $0.routes }
  }

  func bgp(of node: String, prefix: String?, neighbor: String?, limit: UInt32, offset: UInt32) throws -> BGPTable {
    try answer("bgp \(node)") { BGPTable(node: node, total: UInt64($0.bgp.count), routes: $0.bgp) }
  }

  func neighbors(of node: String) throws -> [NeighborDetail] { try answer("neighbors") { _ in nil } }
  func links(of node: String) throws -> [LinkDetail] { try answer("links \(node)") { $0.links[node] } }
  func explain(node: String, prefix: String) throws -> RouteExplanation { try answer("explain") { _ in nil } }

  func trace(_ query: TraceQuery) throws -> Trace {
    try answer("trace \(query.from) \(query.to)") { $0.traces.count > 1 ? $0.traces.removeFirst() : $0.traces.first }
  }

  func capturePoints(_ selection: [String]) throws -> [CapturePointInfo] { try answer("capture") { _ in nil } }
  func exec(_ command: ExecCommand, in node: String) throws -> ExecResult { try answer("exec \(node)") { $0.exec } }

  func setImage(_ request: ImageRequest, of node: String) throws -> ImageReply {
    try answer("image \(node) \(request.image)") { _ in nil }
  }

  func fault(_ command: FaultCommand) throws {
    try answer("fault \(command.kind) \(command.targets.joined(separator: " "))") { script in
      script.check = script.checkOfBroken ?? script.check
    }
  }

  func mend() throws { try answer("mend") { _ in () } }
  func noTransit(_ query: NoTransitQuery) throws -> NoTransitResult { try answer("no-transit") { $0.noTransit } }

  private func change<Value>(_ question: String, _ value: (inout Script) -> Value?) throws -> Value {
    let refusal = state.withLock { $0.script.refusal }
    guard let refusal else { return try answer(question, value) }
    let _: Void = try answer(question) { _ in () }
    throw refusal
  }

  func plan(_ request: ChangeRequest) throws -> ChangePlan { try change("plan \(request.file)") { $0.plan } }

  func apply(_ request: ChangeRequest) throws -> ChangeResult {
    let limit = request.confirmWithinMs.map { " within \($0)" } ?? ""
    return try change("apply \(request.file)\(limit) by \(request.author ?? "nobody")") { $0.result }
  }

  func confirm() throws -> VersionEntry { try answer("confirm") { _ in nil } }

  func rollback(_ request: RollbackRequest) throws -> ChangeResult {
    let refusal = try answer("rollback \(request.version.map(String.init) ?? "previous")") { script -> APIError?? in
      .some(script.rollbackRefusals.isEmpty ? nil : script.rollbackRefusals.removeFirst())
    }
    if let refusal { throw refusal }
    return changed(version: 9)
  }

  func history(limit: Int, offset: Int) throws -> [VersionEntry] {
    let version = try answer("history") { $0.versions.count > 1 ? $0.versions.removeFirst() : $0.versions.first }
    return [VersionEntry(version: version, at: "", change: "up", current: true, author: "", diff: [])]
  }

  func drift() throws -> Drift { try answer("drift") { _ in Drift(lab: "small", drift: [], foreign: [], unknown: []) } }
  func repair() throws -> Drift { try answer("repair") { _ in nil } }
  func nat(of node: String) throws -> NodeRules { try answer("nat \(node)") { _ in NodeRules(node: node, rules: []) } }
  func filter(of node: String) throws -> NodeRules { try answer("filter \(node)") { _ in nil } }

  func connections(of node: String, limit: UInt32, offset: UInt32) throws -> NodeConnections {
    try answer("conntrack \(node)") { _ in NodeConnections(node: node, connections: [], total: 0, limit: 1) }
  }

  func qos(of node: String) throws -> NodeQoS { try answer("qos \(node)") { _ in nil } }
  func flowSpecs(of node: String) throws -> NodeFlowSpecs { try answer("flowspec \(node)") { _ in nil } }

  func rate(_ query: RateQuery) throws -> RateResult {
    try answer("rate \(query.from) \(query.to) \(query.durationMs) ms") { $0.rate }
  }

  func check(_ query: CheckQuery) throws -> CheckReport {
    try answer("check \(query.words.joined(separator: " "))") { $0.check }
  }

  func startTraffic(_ query: TrafficQuery) throws -> TrafficState {
    try answer("traffic \(query.from) \(query.to) \(query.proto)") { script in
      guard let last = script.traffic.indices.last else { return nil }
      script.started += 1
      return TrafficState(id: script.traffic[min(script.started - 1, last)].id, query: query, running: true)
    }
  }

  func stopTraffic(_ id: UInt64) throws -> TrafficState {
    try answer("stop traffic \(id)") { script in script.traffic.first { $0.id == id } }
  }

  func traffic() throws -> [TrafficState] { try answer("traffic") { $0.traffic } }
  func flows(_ query: FlowsQuery) throws -> LiveFlows { try answer("flows") { $0.flows } }
  func mesh() throws -> MeshStatus { try answer("mesh") { $0.mesh } }

  func meshEdges() throws -> [MeshEdge] { try answer("mesh edges") { $0.meshEdges } }

  func splitMesh(_ request: MeshSplitRequest) throws -> MeshChange {
    try answer("split \(request.service)") { $0.meshChange }
  }

  func explainMesh(_ request: MeshExplainRequest) throws -> MeshExplanation {
    try answer("explain \(request.from) \(request.to)") { $0.meshExplanation }
  }

  func translation(_ query: NATQuery) throws -> NATResult {
    try answer("translation \(query.node) \(query.from) \(query.to) \(query.proto)") {
      $0.translations.count > 1 ? $0.translations.removeFirst() : $0.translations.first
    }
  }
}

/// What a change did that touched these nodes.
func changed(version: Int, applied: Bool = true, nodes: String...) -> ChangeResult {
  let change = ObjectChange(action: .add, section: "nat", what: "masquerade out eth1")
  let plan = ChangePlan(
    version: 1, nodes: nodes.map { NodeChanges(node: $0, changes: [change]) }, warnings: [])
  return ChangeResult(version: version, applied: applied, plan: plan, milliseconds: 1)
}

/// A clock that only sleeping moves.
final class SleepClock: Clock {
  struct Instant: InstantProtocol {
    var offset: Duration
    func advanced(by duration: Duration) -> Instant { Instant(offset: offset + duration) }
    func duration(to other: Instant) -> Duration { other.offset - offset }
    static func < (a: Instant, b: Instant) -> Bool { a.offset < b.offset }
  }

  private let time = Mutex(Instant(offset: .zero))
  var now: Instant { time.withLock { $0 } }
  var minimumResolution: Duration { .nanoseconds(1) }
  func sleep(until deadline: Instant, tolerance: Duration?) {
    time.withLock { $0 = max($0, deadline) }
  }
}

/// The lab of the pictures in these tests, with whatever tests are given.
///
///     h1 ── customer ──┬── isp1
///                      └── isp2
func lab(tests: String = "tests: []") throws -> ResolvedLab {
  let text = """
    name: small
    topology:
      nodes:
        h1: {kind: host}
        customer: {kind: router, asn: 64500, networks: [203.0.113.0/24]}
        isp1: {kind: router, asn: 64496}
        isp2: {kind: router, asn: 64497}
        plain: {kind: router}
      links:
        - {endpoints: ["h1:eth1", "customer:eth3"]}
        - {endpoints: ["customer:eth1", "isp1:eth7"], relation: customer-provider}
        - {endpoints: ["customer:eth2", "isp2:eth1"], relation: customer-provider}
        - {endpoints: ["isp1:eth2", "plain:eth1"]}
    \(tests)
    """
  let parsed = TopologyFile.parse(text: text, file: "small.yaml", baseDirectory: "/")
  return try #require(parsed.value, "\(parsed.diagnostics)")
}

/// The only step of the only test.
func step(_ text: String) throws -> TestStep {
  let lines = text.split(separator: "\n").map { "      \($0)" }.joined(separator: "\n")
  let lab = try lab(tests: "tests:\n  - name: t\n    steps:\n\(lines)")
  return try #require(lab.tests.first?.steps.first)
}

func trace(
  forward: [String], back: [String] = [], reachable: Bool = true, symmetric: Bool? = nil, complete: Bool = true,
  undecided: String? = nil
) -> Trace {
  func path(_ nodes: [String]) -> TracedPath {
    TracedPath(path: nodes, hops: [], paths: [], packets: 1, lost: 0, lastSeen: nil)
  }
  return Trace(
    flow: TracedFlow(from: "h1", to: "isp1", proto: "icmp", port: nil, source: nil, destination: nil),
    reachable: reachable, symmetric: symmetric, forward: path(forward), return: path(back), divergence: nil,
    complete: complete, undecided: undecided, icmpErrors: [], capture: nil)
}

func path(
  _ prefix: String, best: Bool = true, multipath: Bool = false, via node: String? = nil, address: String? = nil,
  asPath: [UInt32] = [], because: String? = nil, unusable: String? = nil
) -> BGPRoute {
  BGPRoute(
    prefix: prefix, best: best, multipath: multipath, usable: unusable == nil, unusableBecause: unusable,
    neighbor: node, nextHop: address, nextHopNode: node, asPath: asPath,
    asPathText: asPath.map(String.init).joined(separator: " "), origin: "igp", med: nil, localPref: 100, weight: 0,
    communities: [], largeCommunities: [], otc: nil, because: because, igpCost: nil, stale: false, rejected: false,
    originatorID: nil, clusterList: [])
}

func kernelRoute(_ prefix: String, via nodes: String...) -> KernelRoute {
  KernelRoute(
    prefix: prefix, kind: "unicast",
    nextHops: nodes.map { RouteNextHop(address: "10.0.0.1", interface: "eth1", node: $0, weight: 1) }, proto: "bgp",
    metric: 0)
}

func load(
  _ id: UInt64 = 7, sent: UInt64 = 1000, lost: UInt64 = 0, outages: [TrafficOutage] = [], mbit: Double = 1,
  delay: Double? = nil
) -> TrafficState {
  let result = TrafficResult(
    reachable: lost < sent, packetsSent: sent, packetsReceived: sent - lost, lost: lost, duplicates: 0, reordered: 0,
    bytes: (sent - lost) * 64, mbit: mbit, seconds: 1, delay: delay.map { DelaySummary(min: $0, median: $0, p99: $0) },
    outages: outages, intervals: [], startedAt: 0)
  return TrafficState(id: id, query: TrafficQuery(from: "h1", to: "isp1"), running: false, result: result)
}

func verdict(_ word: String, _ violations: Violation..., examined: Int = 3, undecided: String? = nil) -> CheckResult {
  CheckResult(
    check: word, holds: undecided == nil && !violations.contains { $0.severity == .failure }, undecided: undecided,
    violations: violations, examined: examined)
}
