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
  /// The node's container runs this image from now on; answered when it is ready, or runs the old one again.
  func setImage(_ request: ImageRequest, of node: String) async throws -> ImageReply
  func fault(_ command: FaultCommand) async throws
  /// Undoes every fault that still stands: links up and as the file has them, nodes started.
  func mend() async throws
  func noTransit(_ query: NoTransitQuery) async throws -> NoTransitResult
  /// Verdicts on the whole lab.
  func check(_ query: CheckQuery) async throws -> CheckReport

  /// What a CHANGE would do; nothing is touched.
  func plan(_ request: ChangeRequest) async throws -> ChangePlan
  /// On every node, or nowhere.
  func apply(_ request: ChangeRequest) async throws -> ChangeResult
  /// Keeps the change that waits for it.
  func confirm() async throws -> VersionEntry
  func rollback(_ request: RollbackRequest) async throws -> ChangeResult
  /// Newest first.
  func history(limit: Int, offset: Int) async throws -> [VersionEntry]
  /// Read from the kernels at the time of the question.
  func drift() async throws -> Drift
  func repair() async throws -> Drift
  func nat(of node: String) async throws -> NodeRules
  func filter(of node: String) async throws -> NodeRules
  func connections(of node: String, limit: UInt32, offset: UInt32) async throws -> NodeConnections
  func qos(of node: String) async throws -> NodeQoS
  func flowSpecs(of node: String) async throws -> NodeFlowSpecs
  func rate(_ query: RateQuery) async throws -> RateResult
  /// Sends a flow and reads the node's conntrack entry of it.
  func translation(_ query: NATQuery) async throws -> NATResult
  /// Starts background load.
  func startTraffic(_ query: TrafficQuery) async throws -> TrafficState
  /// Ends it, and says what became of it; what has ended already is said again.
  func stopTraffic(_ id: UInt64) async throws -> TrafficState
  /// What runs, and what ended lately.
  func traffic() async throws -> [TrafficState]
  /// What crosses the lab, from captures for a time.
  func mesh() async throws -> MeshStatus
  /// Counts since the lab began, per client, service and version.
  func meshEdges() async throws -> [MeshEdge]
  /// Answers when every sidecar has acknowledged it, or 10 s later.
  func splitMesh(_ request: MeshSplitRequest) async throws -> MeshChange
  func explainMesh(_ request: MeshExplainRequest) async throws -> MeshExplanation
  func flows(_ query: FlowsQuery) async throws -> LiveFlows
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

  /// The whole connection table, fetched page by page; it changes meanwhile.
  public func allConnections(of node: String) async throws -> NodeConnections {
    let page: UInt32 = 10_000
    var table = try await connections(of: node, limit: page, offset: 0)
    while UInt64(table.connections.count) < table.total {
      let more = try await connections(of: node, limit: page, offset: UInt32(table.connections.count))
      if more.connections.isEmpty { break }
      table.connections += more.connections
    }
    return table
  }
}
