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

  /// A call's outcome is its own status, not that of the response that carries it.
  var outcomeStatus: Int { status == 200 ? grpcStatus.map(GRPCStatus.httpStatus) ?? status : status }

  /// Once, at the end.
  func countOutcome(_ nanoseconds: UInt64) {
    let meaning = outcomeStatus
    edge.counts.responses[min(max(meaning / 100, 0), 5)] &+= 1
    // A client that went away before there was an answer says nothing about the server.
    guard status > 0 || failed else { return }
    edge.counts.requests += 1
    if failed || meaning >= 500 { edge.counts.failures += 1 }
    if status > 0 { edge.counts.latency.add(nanoseconds: nanoseconds) }
  }
}
