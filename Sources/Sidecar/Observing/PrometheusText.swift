/// The text format that Prometheus scrapes (version 0.0.4).
enum PrometheusText {
  private static let classes = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"]

  static func render(pod: String, version: String, workers: Int, edges: [EdgeName: EdgeCounts]) -> String {
    var text = "# TYPE netloom_sidecar_info gauge\n"
    text += "netloom_sidecar_info{pod=\"\(escape(pod))\",version=\"\(escape(version))\",workers=\"\(workers)\"} 1\n"
    let sorted = edges.sorted {
      ($0.key.direction.rawValue, $0.key.service, $0.key.cluster)
        < ($1.key.direction.rawValue, $1.key.service, $1.key.cluster)
    }
    text += "# TYPE netloom_requests_total counter\n"
    for (name, counts) in sorted {
      for (index, count) in counts.responses.enumerated() where count > 0 {
        text += "netloom_requests_total{\(labels(name)),code=\"\(classes[index])\"} \(count)\n"
      }
    }
    text += "# TYPE netloom_refusals_total counter\n"
    for (name, counts) in sorted {
      for (reason, count) in counts.refusals.sorted(by: { $0.key < $1.key }) {
        text += "netloom_refusals_total{\(labels(name)),reason=\"\(escape(reason))\"} \(count)\n"
      }
    }
    text += "# TYPE netloom_request_duration_seconds histogram\n"
    for (name, counts) in sorted where counts.latency.total > 0 { text += histogram(name, counts.latency) }
    for (metric, kind, value) in plain {
      text += "# TYPE netloom_\(metric) \(kind)\n"
      for (name, counts) in sorted { text += "netloom_\(metric){\(labels(name))} \(value(counts))\n" }
    }
    return text
  }

  private static let plain: [(String, String, @Sendable (EdgeCounts) -> String)] = [
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

  private static func histogram(_ name: EdgeName, _ latency: LatencyHistogram) -> String {
    var text = ""
    var below: UInt64 = 0
    for (index, limit) in LatencyHistogram.limits.enumerated() {
      below += latency.counts[index]
      text += "netloom_request_duration_seconds_bucket{\(labels(name)),le=\"\(Double(limit) / 1e6)\"} \(below)\n"
    }
    text += "netloom_request_duration_seconds_bucket{\(labels(name)),le=\"+Inf\"} \(latency.total)\n"
    text += "netloom_request_duration_seconds_sum{\(labels(name))} \(Double(latency.sumMicroseconds) / 1e6)\n"
    text += "netloom_request_duration_seconds_count{\(labels(name))} \(latency.total)\n"
    return text
  }

  private static func labels(_ name: EdgeName) -> String {
    "direction=\"\(name.direction.rawValue)\",service=\"\(escape(name.service))\",cluster=\"\(escape(name.cluster))\""
  }

  private static func escape(_ text: String) -> String {
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
