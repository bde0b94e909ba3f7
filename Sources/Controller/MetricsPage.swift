// Prometheus' text exposition format, version 0.0.4: families in the order of this table, each with its help and type
// once, its samples under it.

/// One row per metric: name, type, help.
enum MetricFamily: String, CaseIterable {
  case build = "netloom_build_info"
  case version = "netloom_lab_version"
  case unconfirmed = "netloom_lab_version_unconfirmed"
  case converged = "netloom_converged"
  case convergenceSeconds = "netloom_convergence_seconds"
  case changes = "netloom_changes_total"
  case events = "netloom_events_total"
  case linksDown = "netloom_links_down"
  case nodeUp = "netloom_node_up"
  case agentConnected = "netloom_agent_connected"
  case agentVersion = "netloom_agent_applied_version"
  case desiredVersion = "netloom_agent_desired_version"
  case drift = "netloom_drift_objects"
  case sessions = "netloom_bgp_sessions"
  case flaps = "netloom_bgp_session_flaps_total"
  case ribRoutes = "netloom_rib_routes"
  case fibRoutes = "netloom_fib_routes"
  case scraped = "netloom_node_scraped"
  case connections = "netloom_conntrack_entries"
  case connectionLimit = "netloom_conntrack_entries_limit"
  case classBytes = "netloom_class_bytes_total"
  case classPackets = "netloom_class_packets_total"
  case classDrops = "netloom_class_drops_total"
  case classBacklog = "netloom_class_backlog_bytes"
  case policerPackets = "netloom_policer_packets_total"
  case policerBytes = "netloom_policer_bytes_total"
  case meshRequests = "netloom_mesh_requests_total"
  case meshFailures = "netloom_mesh_failures_total"
  case meshCodes = "netloom_mesh_responses_total"
  case meshRetries = "netloom_mesh_retries_total"
  case meshEjections = "netloom_mesh_ejections_total"
  case meshBytes = "netloom_mesh_bytes_total"
  case meshLatency = "netloom_mesh_request_duration_seconds"

  var type: String {
    self == .meshLatency ? "histogram" : rawValue.hasSuffix("_total") ? "counter" : "gauge"
  }

  var help: String {
    switch self {
    case .build: "The lab and the version of its API"
    case .version: "Version of the lab that stands"
    case .unconfirmed: "1 while that version waits to be confirmed"
    case .converged: "1 when every session, route and counter agrees"
    case .convergenceSeconds: "Time from the last disturbance, or the start, until it was converged"
    case .changes: "Changes since the controller started"
    case .events: "Events since the controller started"
    case .linksDown: "Links with an end that is down"
    case .nodeUp: "1 when the node runs"
    case .agentConnected: "1 when the node's agent is connected"
    case .agentVersion: "Newest version that the agent has applied, by resource type"
    case .desiredVersion: "Newest version that the agent should have, by resource type"
    case .drift: "Objects in the kernel that are missing, changed or too much"
    case .sessions: "BGP sessions by state"
    case .flaps: "How often the session went down"
    case .ribRoutes: "Best routes of the speaker"
    case .fibRoutes: "Routes of the speaker that the kernel has acknowledged"
    case .scraped: "1 when the node's kernel counters were read in time for this page"
    case .connections: "Entries of the node's connection table"
    case .connectionLimit: "Entries that the node's connection table may hold"
    case .classBytes: "Bytes sent by the class"
    case .classPackets: "Packets sent by the class"
    case .classDrops: "Packets dropped by the class"
    case .classBacklog: "Bytes that wait in the class"
    case .policerPackets: "Packets that a rule of a policer or marking has counted"
    case .policerBytes: "Bytes that a rule of a policer or marking has counted"
    case .meshRequests: "Requests of one service to a version of another that came to an outcome"
    case .meshFailures: "Of these: statuses from 500 on, responses cut short, failing gRPC statuses, refusals"
    case .meshCodes: "Answers by class of their status"
    case .meshRetries: "Requests that were sent again"
    case .meshEjections: "Endpoints that were taken out after errors"
    case .meshBytes: "Bytes of bodies, by the end that got them"
    case .meshLatency: "Time from a request to the end of its response"
    }
  }
}

struct MetricsPage {
  private var samples: [MetricFamily: [String]] = [:]

  /// - Parameter suffix: of a histogram's series.
  mutating func add(
    _ family: MetricFamily, _ value: Double, _ labels: [String: String] = [:], suffix: String = ""
  ) {
    let written = labels.sorted { $0.key < $1.key }.map { "\($0.key)=\"\(Self.escaped($0.value))\"" }
    let braces = written.isEmpty ? "" : "{\(written.joined(separator: ","))}"
    samples[family, default: []].append("\(family.rawValue)\(suffix)\(braces) \(Self.number(value))")
  }

  var text: String {
    var lines: [String] = []
    for family in MetricFamily.allCases {
      guard let own = samples[family] else { continue }
      lines.append("# HELP \(family.rawValue) \(family.help)")
      lines.append("# TYPE \(family.rawValue) \(family.type)")
      // The buckets of a histogram stay in the order of their limits.
      lines += family == .meshLatency ? own : own.sorted()
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func escaped(_ value: String) -> String {
    value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
  }

  /// Whole numbers without a fraction, as counters are read.
  private static func number(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
  }
}
