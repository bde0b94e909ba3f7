public import NorthboundAPI

/// What a lab can be asked for: one method per endpoint of the northbound API. `NorthboundClient` asks a running lab;
/// the scenario runner is tested against recorded answers.
///
/// Every method throws `APIError` for what the controller refuses and `ClientError` for a lab that cannot be asked.
public protocol LabAPI: Sendable {
  func status() async throws -> Status
  /// How far the lab has come; waits for news beyond revision `seen`, at most `wait`.
  func progress(seen: UInt64, wait: Duration) async throws -> Progress
  /// The lab as resolved.
  func topology() async throws -> LabTopology
  /// Waits until the lab has converged or the time is up; the answer says which, and why not.
  func converged(within limit: Duration) async throws -> Convergence
  /// The lab's events after the one with number `since`, oldest first; 0: all that are kept.
  func events(since: UInt64) async throws -> [LabEvent]
  /// Kernel routes, read at the time of the question; `prefix` limits them to it and what is more specific.
  func routes(of node: String, prefix: String?) async throws -> [KernelRoute]
  func bgp(of node: String, prefix: String?, neighbor: String?, limit: UInt32, offset: UInt32) async throws -> BGPTable
  func neighbors(of node: String) async throws -> [NeighborDetail]
  func links(of node: String) async throws -> [LinkDetail]
  func explain(node: String, prefix: String) async throws -> RouteExplanation
  func trace(_ query: TraceQuery) async throws -> Trace
  /// `selection`: "NODE" or "NODE:IFACE"; empty: every interface of the lab but `lo`.
  func capturePoints(_ selection: [String]) async throws -> [CapturePointInfo]
  func exec(_ command: ExecCommand, in node: String) async throws -> ExecResult
  func fault(_ command: FaultCommand) async throws
  /// Undoes every fault that still stands: links up, nodes started.
  func mend() async throws
  func noTransit(_ query: NoTransitQuery) async throws -> NoTransitResult
}

extension LabAPI {
  /// The whole table, fetched page by page.
  public func allBGP(of node: String, prefix: String? = nil, neighbor: String? = nil) async throws -> BGPTable {
    let page: UInt32 = 10_000
    var table = try await bgp(of: node, prefix: prefix, neighbor: neighbor, limit: page, offset: 0)
    while UInt64(table.routes.count) < table.total {
      let more = try await bgp(
        of: node, prefix: prefix, neighbor: neighbor, limit: page, offset: UInt32(table.routes.count))
      if more.routes.isEmpty { break }
      table.routes += more.routes
    }
    return table
  }
}
