internal import NorthboundAPI

/// What sidecars have counted of requests to one version of a service during a window.
struct VersionTraffic: Equatable, Sendable {
  var requests: UInt64 = 0
  /// Statuses from 500 on, answers cut short, none at all.
  var failures: UInt64 = 0
  var latency = MeshLatency()

  /// Per cent; nil without requests.
  var successRate: Double? {
    requests == 0 ? nil : 100 * Double(requests - min(failures, requests)) / Double(requests)
  }

  /// Milliseconds; nil without requests.
  var p99: Double? { latency.quantile(0.99).map { $0 * 1000 } }

  /// By version, from two readings of the edges. Requests that reached no version at all are held against `moving`: it is
  /// what changed.
  static func between(
    _ earlier: [MeshEdge], _ later: [MeshEdge], of service: String, moving: String
  ) -> [String: VersionTraffic] {
    var sums: [String: MeshEdge] = [:]
    for edge in later.since(earlier) where edge.to == service {
      let version = edge.version.isEmpty ? moving : edge.version
      if edge.version.isEmpty, edge.failures == 0 { continue }
      if sums[version] == nil { sums[version] = MeshEdge(from: "", to: service, version: version, reporter: "client") }
      sums[version]?.add(edge)
    }
    return sums.mapValues { VersionTraffic(requests: $0.requests, failures: $0.failures, latency: $0.latency) }
  }
}
