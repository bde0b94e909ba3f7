// What an exchange leaves behind in the numbers of its edge.
import HTTP1

extension Exchange {
  /// The endpoint that was chosen runs this: what is counted from now on is the edge's to that version.
  func follow(_ version: String, _ cluster: ClusterRuntime) {
    guard version != edge.name.version else { return }
    edge.counts.active -= 1
    edge = worker.edge(
      service, cluster.configuration.name, source: downstream?.peerIdentity, version: version)
    edge.counts.active += 1
  }

  /// Once, at the end.
  func countOutcome(_ nanoseconds: UInt64) {
    edge.counts.responses[min(max(status / 100, 0), 5)] &+= 1
    // A client that went away before there was an answer says nothing about the server.
    guard status > 0 || failed else { return }
    edge.counts.requests += 1
    if failed || status >= 500 { edge.counts.failures += 1 }
    if status > 0 { edge.counts.latency.add(nanoseconds: nanoseconds) }
  }

  /// gRPC's status stands in the trailers, or in the head of a response without content.
  func noteGRPCStatus(_ fields: HeaderFields) {
    guard service.applicationProtocol == .grpc, let text = fields.first("grpc-status"), let code = Int(text) else {
      return
    }
    if GRPCStatus.failing.contains(code) { failed = true }
  }
}

/// Codes of gRPC that are the server's fault and not the caller's (grpc.io, status codes).
private enum GRPCStatus {
  /// UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS
  static let failing: Set<Int> = [2, 4, 12, 13, 14, 15]
}
