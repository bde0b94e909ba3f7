/// The text format that Prometheus scrapes (version 0.0.4).
enum PrometheusText {
  private static let classes = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"]

  /// - Parameter identity: what this pod is called as a client.
  static func render(
    pod: String, identity: String, version: String, workers: Int, edges: [EdgeName: EdgeCounts],
    spans: (sent: UInt64, dropped: UInt64)? = nil
  ) -> String {
    var text = "# TYPE netloom_sidecar_info gauge\n"
    text += "netloom_sidecar_info{pod=\"\(escape(pod))\",version=\"\(escape(version))\",workers=\"\(workers)\"} 1\n"
    if let spans {
      text += "# TYPE netloom_spans_total counter\nnetloom_spans_total{outcome=\"sent\"} \(spans.sent)\n"
      text += "netloom_spans_total{outcome=\"dropped\"} \(spans.dropped)\n"
    }
    let sorted = edges.map { (Labels($0.key, identity), $0.value) }.sorted { $0.0.text < $1.0.text }
    text += "# TYPE netloom_requests_total counter\n"
    for (name, counts) in sorted {
      for (index, count) in counts.responses.enumerated() where count > 0 {
        text += "netloom_requests_total{\(name.text),code=\"\(classes[index])\"} \(count)\n"
      }
    }
    text += "# TYPE netloom_refusals_total counter\n"
    for (name, counts) in sorted {
      for (reason, count) in counts.refusals.sorted(by: { $0.key < $1.key }) {
        text += "netloom_refusals_total{\(name.text),reason=\"\(escape(reason))\"} \(count)\n"
      }
    }
    text += "# TYPE netloom_request_duration_seconds histogram\n"
    for (name, counts) in sorted where counts.latency.total > 0 { text += histogram(name, counts.latency) }
    for (metric, kind, value) in plain {
      text += "# TYPE netloom_\(metric) \(kind)\n"
      for (name, counts) in sorted { text += "netloom_\(metric){\(name.text)} \(value(counts))\n" }
    }
    return text
  }

  private static let plain: [(String, String, @Sendable (EdgeCounts) -> String)] = [
    ("outcomes_total", "counter", { "\($0.requests)" }),
    ("failures_total", "counter", { "\($0.failures)" }),
    ("retries_total", "counter", { "\($0.retries)" }),
    ("ejections_total", "counter", { "\($0.ejections)" }),
    ("connections_opened_total", "counter", { "\($0.connectionsOpened)" }),
    ("connections_failed_total", "counter", { "\($0.connectionsFailed)" }),
    ("tls_handshakes_total", "counter", { "\($0.handshakes)" }),
    ("tls_handshakes_resumed_total", "counter", { "\($0.handshakesResumed)" }),
    ("bytes_to_server_total", "counter", { "\($0.bytesToServer)" }),
    ("bytes_to_client_total", "counter", { "\($0.bytesToClient)" }),
    ("active", "gauge", { "\($0.active)" }),
  ]

  private static func histogram(_ name: Labels, _ latency: LatencyHistogram) -> String {
    var text = ""
    var below: UInt64 = 0
    for (index, limit) in LatencyHistogram.limits.enumerated() {
      below += latency.counts[index]
      text += "netloom_request_duration_seconds_bucket{\(name.text),le=\"\(Double(limit) / 1e6)\"} \(below)\n"
    }
    text += "netloom_request_duration_seconds_bucket{\(name.text),le=\"+Inf\"} \(latency.total)\n"
    text += "netloom_request_duration_seconds_sum{\(name.text)} \(Double(latency.sumMicroseconds) / 1e6)\n"
    text += "netloom_request_duration_seconds_count{\(name.text)} \(latency.total)\n"
    return text
  }

  /// An edge's labels, between the braces.
  private struct Labels {
    let text: String

    init(_ name: EdgeName, _ identity: String) {
      let source = name.direction == .outbound ? identity : name.source
      let pairs = [
        ("direction", name.direction.rawValue), ("source", source), ("service", name.service),
        ("version", name.version), ("cluster", name.cluster),
      ]
      text = pairs.map { "\($0)=\"\(PrometheusText.escape($1))\"" }.joined(separator: ",")
    }
  }

  fileprivate static func escape(_ text: String) -> String {
    var result = ""
    for character in text {
      switch character {
      case "\\": result += "\\\\"
      case "\"": result += "\\\""
      case "\n": result += "\\n"
      default: result.append(character)
      }
    }
    return result
  }
}
