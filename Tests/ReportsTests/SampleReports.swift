import Foundation
import NorthboundAPI
import Scenario
import Testing
import Topology

/// What a run may bring back, with names and outputs that no report may take for markup.
///
///     h1 ── customer ──┬── isp1 ──┬── lan (switch) ── web
///                      └── isp2 ──┘
enum Sample {
  static let yaml = """
    name: uplinks
    topology:
      nodes:
        h1: {kind: host}
        customer: {kind: router, asn: 64500, networks: [203.0.113.0/24]}
        isp1: {kind: router, asn: 64496}
        isp2: {kind: router, asn: 64497}
        lan: {kind: switch}
        web: {kind: host}
      links:
        - {endpoints: ["h1:eth1", "customer:eth3"]}
        - {endpoints: ["customer:eth1", "isp1:eth1"], relation: customer-provider}
        - {endpoints: ["customer:eth2", "isp2:eth1"], relation: customer-provider}
        - {endpoints: ["isp1:eth2", "lan:p1"]}
        - {endpoints: ["isp2:eth2", "lan:p2"]}
        - {endpoints: ["web:eth1", "lan:p3"]}

    """

  static func lab() throws -> ResolvedLab {
    let parsed = TopologyFile.parse(text: yaml, file: "labs/uplinks.yaml", baseDirectory: "/")
    return try #require(parsed.value, "\(parsed.diagnostics)")
  }

  /// 2026-03-01 12:00:00 UTC, by `date -u -d @1772366400`.
  static let begin = 1_772_366_400_000.0
  static let hostile = #"</pre><script>document.title='taken'</script> "q" 'a' & `b` | ::error::x"#

  static func place(_ line: Int) -> Place { Place(file: "labs/uplinks.yaml", line: line, column: 9) }

  static func step(
    _ line: Int, _ summary: String, _ outcome: Outcome = .held, at seconds: Double, for length: Double,
    findings: Findings = Findings(), measured: String? = nil, fault: Bool = false
  ) -> StepReport {
    StepReport(
      place: place(line), summary: summary, outcome: outcome, measured: measured, findings: findings,
      startedAt: begin + seconds * 1000, seconds: length, isFault: fault)
  }

  static func hop(_ node: String, _ in: String?, _ out: String?, _ us: Double?, nat: TracedRewrite? = nil) -> TracedHop
  {
    TracedHop(node: node, in: `in`, out: out, us: us, nat: nat, joinedBy: nat == nil ? "seq" : "conntrack")
  }

  static func trace() -> Trace {
    let nat = TracedRewrite(source: Rewrite(from: "203.0.113.2", to: "192.0.2.1"), destination: nil)
    let there = TracedPath(
      path: ["h1", "customer", "isp1", "web"],
      hops: [
        hop("h1", nil, "eth1", nil), hop("customer", "eth3", "eth1", 12.5, nat: nat), hop("isp1", "eth1", "eth2", 7.25),
        hop("web", "eth1", nil, nil),
      ], paths: [TracedAlternative(path: ["h1", "customer", "isp1", "web"], packets: 8)], packets: 8, lost: 0,
      lastSeen: nil)
    let back = TracedPath(
      path: ["web", "isp2", "customer", "h1"],
      hops: [hop("web", nil, "eth1", nil), hop("isp2", "eth2", "eth1", 31), hop("customer", "eth2", "eth3", 3.5)],
      paths: [], packets: 7, lost: 0, lastSeen: nil)
    return Trace(
      flow: TracedFlow(from: "h1", to: "web", proto: "tcp", port: 80, source: nil, destination: nil), reachable: true,
      symmetric: false, forward: there, return: back,
      divergence: Divergence(
        node: "isp2", prefix: "203.0.113.0/24", because: "as-path-length", detail: "64500 over 64496 64500"),
      complete: true, undecided: nil, icmpErrors: [], capture: nil)
  }

  static func lostTrace() -> Trace {
    var there = TracedPath(
      path: ["h1", "customer"], hops: [hop("h1", nil, "eth1", nil)], paths: [], packets: 3, lost: 3,
      lastSeen: "customer:eth1")
    there.drops = [
      TracedDrop(
        node: "customer", interface: "eth1", sent: true, packets: 3, reason: "link-down", detail: Sample.hostile)
    ]
    let back = TracedPath(path: [], hops: [], paths: [], packets: 0, lost: 0, lastSeen: nil)
    return Trace(
      flow: TracedFlow(from: "h1", to: "web", proto: "icmp", port: nil, source: nil, destination: nil),
      reachable: false, symmetric: nil, forward: there, return: back, divergence: nil, complete: true, undecided: nil,
      icmpErrors: ["network unreachable from customer"], capture: nil)
  }

  /// A link is lost at 0.5 s; for 287.4 ms nothing arrives.
  static func load() -> TrafficState {
    let intervals = (0..<30).map { index in
      (5...7).contains(index)
        ? RateInterval(bytes: 0, lost: 96, delayMs: 0) : RateInterval(bytes: 12_500, lost: 0, delayMs: 0.4)
    }
    let result = TrafficResult(
      reachable: true, packetsSent: 3000, packetsReceived: 2713, lost: 287, duplicates: 0, reordered: 1,
      bytes: 339_125, mbit: 0.9, seconds: 3, delay: DelaySummary(min: 0.3, median: 0.4, p99: 1.1),
      outages: [TrafficOutage(startedAt: begin + 512, ms: 287.4, lost: 287)], intervals: intervals, startedAt: begin)
    let query = TrafficQuery(from: "h1", to: "web", port: 5202, packetsPerSecond: 1000)
    return TrafficState(id: 1, query: query, running: false, result: result)
  }

  static func rate(_ limit: RateResult.LimitedBy) -> RateResult {
    let shaped = limit == .shaping
    let smooth = (0..<50).map { index in
      RateInterval(bytes: index == 0 ? 160_000 : 120_000, lost: 0, delayMs: min(42, Double(index) * 4))
    }
    let clipped = (0..<50).map { index -> RateInterval in
      let bytes = UInt64(95_000 + index * 7_919 % 60_000)
      return RateInterval(bytes: bytes, lost: index % 4 == 3 ? 9 : 0, delayMs: 0.4)
    }
    return RateResult(
      reachable: true, mbit: 9.61, bytes: 6_006_250, seconds: 5, packetsSent: 4200, packetsReceived: 4150,
      retransmits: 50, limitedBy: limit,
      because: shaped ? "the queue at customer:eth1 grew to 42 ms" : "packets went missing at customer:eth1",
      place: "customer:eth1", intervals: shaped ? smooth : clipped, delay: DelaySummary(min: 0.4, median: 40, p99: 44),
      complete: true,
      undecided: nil, capture: nil)
  }

  static func checks() -> [CheckResult] {
    [
      CheckResult(
        check: "valley-free", holds: false, undecided: nil,
        violations: [
          Violation(
            severity: .failure, node: "customer", prefix: "198.51.100.0/24", path: ["isp1", "customer", "isp2"],
            asPath: [64500, 64497], because: "local-pref", detail: "exports a provider's route to a provider"),
          Violation(
            severity: .warning, node: "isp2", prefix: "192.0.2.0/24", because: "as-path-length",
            detail: "holds a leaked route that attracts no traffic"),
        ], examined: 12),
      CheckResult(check: "no-loops", holds: true, undecided: nil, violations: [], examined: 30),
    ]
  }

  static func events() -> [LabEvent] {
    func event(_ number: UInt64, _ at: String, _ node: String, _ kind: String, _ subject: String, _ text: String)
      -> LabEvent
    { LabEvent(number: number, at: at, node: node, kind: kind, subject: subject, text: text) }
    return [
      event(1, "2026-03-01T12:00:00.505123456Z", "customer", "link", "customer:eth1 isp1:eth1", "down"),
      event(2, "2026-03-01T12:00:00.530Z", "customer", "session", "isp1", "idle"),
      event(3, "2026-03-01T13:00:00.9+01:00", "", "converged", "lab", "after 395 ms"),
    ]
  }

  static func tests() -> [TestReport] {
    var failover = TestReport(
      name: "the uplink fails <b>", seconds: 3.1,
      steps: [
        step(40, "traffic h1 → web udp", at: 0, for: 3, findings: Findings(traffic: [load()])),
        step(41, "fault link-down customer:eth1 isp1:eth1", at: 0.5, for: 0.012, fault: true),
        step(
          42, "trace h1 → web icmp",
          .failed([
            Mismatch("forward path", expected: "h1 → customer → isp2 → web", found: "h1 → customer"),
            Mismatch("output", expected: "ok", found: hostile),
          ]), at: 0.52, for: 2.4, findings: Findings(traces: [lostTrace()])),
      ], evidence: "evidence/uplinks/the-uplink-fails-b/")
    failover.startedAt = begin
    failover.events = events()
    var rates = TestReport(
      name: "shaping and policing", seconds: 10.4,
      steps: [
        step(
          50, "rate h1 → web tcp", at: 5, for: 5, findings: Findings(rates: [rate(.shaping)]), measured: "9.61 Mbit/s"),
        step(51, "rate h1 → web udp", at: 10, for: 5, findings: Findings(rates: [rate(.policing)])),
      ])
    rates.startedAt = begin + 5000
    return [
      TestReport(
        name: "the way back is the other ISP", seconds: 0.6,
        steps: [step(30, "trace h1 → web tcp/80", at: -1, for: 0.6, findings: Findings(traces: [trace()]))]),
      failover, rates,
      TestReport(
        name: "nobody leaks", seconds: 0.4,
        steps: [
          step(
            60, "check valley-free, no-loops",
            .failed([Mismatch("valley-free", expected: "holds", found: "violated by customer")]), at: 20, for: 0.4,
            findings: Findings(checks: checks()))
        ], evidence: "evidence/uplinks/nobody-leaks/"),
      TestReport(
        name: "customer is no transit", seconds: 0.2,
        steps: [step(70, "no-transit customer", .failed([Mismatch("r", expected: "a", found: "b")]), at: 21, for: 0.2)]),
      TestReport(
        name: "not seen whole", seconds: 0.2,
        steps: [step(80, "trace h1 → web icmp", .undecided("3 packets dropped by the kernel"), at: 22, for: 0.2)]),
      TestReport(name: "gone", seconds: 0, steps: [], error: "the controller cannot be reached"),
    ]
  }

  static func files() throws -> [FileReport] {
    let topology = try lab()
    return [
      FileReport(
        file: "labs/uplinks.yaml", lab: "uplinks", tests: tests(), seconds: 24, topology: topology),
      FileReport(
        file: "labs/bad.yaml", lab: "", tests: [], seconds: 0,
        problem: (2, "labs/bad.yaml:3:5: error: unknown key \"nodse\"; did you mean nodes?")),
    ]
  }
}

/// Another program reads what the module wrote.
enum Reader {
  struct Failure: Error, CustomStringConvertible { let description: String }

  static let python = "/usr/bin/python3"
  static let hasPython = FileManager.default.isExecutableFile(atPath: python)

  /// stdout of the program; a code other than 0 is an error with stderr.
  static func run(_ program: String, _ arguments: [String], input: String = "") throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    let folder = try Folder()
    let (input, output, error) = (try folder.file("in", input), folder.path("out"), folder.path("err"))
    for name in ["out", "err"] { _ = try folder.file(name, "") }
    process.standardInput = FileHandle(forReadingAtPath: input)
    process.standardOutput = FileHandle(forWritingAtPath: output)
    process.standardError = FileHandle(forWritingAtPath: error)
    try process.run()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw Failure(description: try String(contentsOfFile: error, encoding: .utf8))
    }
    return try String(contentsOfFile: output, encoding: .utf8)
  }
}

/// Goes away with its last reference.
final class Folder {
  private let url: URL

  init() throws {
    url = FileManager.default.temporaryDirectory.appendingPathComponent("netloom-reports-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  func path(_ name: String) -> String { url.appendingPathComponent(name).path }

  func file(_ name: String, _ text: String) throws -> String {
    try text.write(toFile: path(name), atomically: true, encoding: .utf8)
    return path(name)
  }
}
