public import NorthboundAPI

// The requests of the SDN controller: what nodes do with packets, as wanted (plan, apply, history) and as the kernels
// have it (drift, nat, filter, conntrack, qos, flowspec), and the flows that measure it (rate, nat).
extension NorthboundClient {
  /// The controller gives a node 5 s to answer each of its two phases, and takes back what one refused to commit.
  private static let changeTimeout = Duration.seconds(60)
  /// A flow is set up, watched on every interface and taken down again, beside the time it runs.
  private static let flowTimeout = Duration.seconds(60)

  public func plan(_ request: ChangeRequest) async throws -> ChangePlan {
    try await post("/v1/plan", request, timeout: Self.changeTimeout)
  }

  public func apply(_ request: ChangeRequest) async throws -> ChangeResult {
    try await post("/v1/apply", request, timeout: Self.changeTimeout)
  }

  public func confirm() async throws -> VersionEntry {
    try await post("/v1/confirm", timeout: Self.changeTimeout)
  }

  public func rollback(_ request: RollbackRequest) async throws -> ChangeResult {
    try await post("/v1/rollback", request, timeout: Self.changeTimeout)
  }

  public func history(limit: Int, offset: Int) async throws -> [VersionEntry] {
    try await get("/v1/history", ["limit": "\(limit)", "offset": "\(offset)"])
  }

  public func drift() async throws -> Drift {
    try await get("/v1/drift", timeout: Self.changeTimeout)
  }

  public func repair() async throws -> Drift {
    try await post("/v1/drift/repair", timeout: Self.changeTimeout)
  }

  public func nat(of node: String) async throws -> NodeRules {
    try await get("/v1/nodes/\(escaped(node))/nat")
  }

  public func filter(of node: String) async throws -> NodeRules {
    try await get("/v1/nodes/\(escaped(node))/filter")
  }

  public func connections(of node: String, limit: UInt32, offset: UInt32) async throws -> NodeConnections {
    try await get("/v1/nodes/\(escaped(node))/conntrack", ["limit": "\(limit)", "offset": "\(offset)"])
  }

  public func qos(of node: String) async throws -> NodeQoS {
    try await get("/v1/nodes/\(escaped(node))/qos")
  }

  public func flowSpecs(of node: String) async throws -> NodeFlowSpecs {
    try await get("/v1/nodes/\(escaped(node))/flowspec")
  }

  public func rate(_ query: RateQuery) async throws -> RateResult {
    let sending = Duration.milliseconds(max(0, min(query.durationMs, 24 * 3_600_000)))
    return try await post("/v1/rate", query, timeout: sending + Self.flowTimeout)
  }

  public func translation(_ query: NATQuery) async throws -> NATResult {
    try await post("/v1/nat", query, timeout: Self.flowTimeout)
  }

  public func mesh() async throws -> MeshStatus { try await get("/v1/mesh") }

  public func meshEdges() async throws -> [MeshEdge] { try await get("/v1/mesh/edges") }

  public func splitMesh(_ request: MeshSplitRequest) async throws -> MeshChange {
    try await post("/v1/mesh/split", request, timeout: Self.changeTimeout)
  }

  public func explainMesh(_ request: MeshExplainRequest) async throws -> MeshExplanation {
    try await post("/v1/mesh/explain", request, timeout: Self.flowTimeout)
  }
}
