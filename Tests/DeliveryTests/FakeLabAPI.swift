import NorthboundAPI
import NorthboundClient
import Synchronization

/// A lab's API that answers two questions from lists; all others are refused.
final class FakeLabAPI: LabAPI {
  struct Unasked: Error {}

  private let images: Mutex<[any Error]>
  private let splits: Mutex<[MeshChange]>
  private let count = Mutex(0)

  /// - Parameters:
  ///   - images: why setting an image fails, one time after the other; then it is done.
  ///   - splits: what dividing requests comes to, one time after the other.
  init(images: [any Error] = [], splits: [MeshChange] = []) {
    self.images = Mutex(images)
    self.splits = Mutex(splits)
  }

  var asked: Int { count.withLock { $0 } }

  func setImage(_ request: ImageRequest, of node: String) async throws -> ImageReply {
    count.withLock { $0 += 1 }
    if let failure = images.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) { throw failure }
    return ImageReply(node: node, image: request.image, digest: "sha256:new", readyMs: 1, previous: nil)
  }

  func splitMesh(_ request: MeshSplitRequest) async throws -> MeshChange {
    count.withLock { $0 += 1 }
    return try splits.withLock { list in
      guard !list.isEmpty else { throw Unasked() }
      return list.removeFirst()
    }
  }

  private func refuse<Answer>() throws -> Answer { throw Unasked() }

  func status() async throws -> Status { try refuse() }
  func progress(seen: UInt64, wait: Duration) async throws -> NorthboundAPI.Progress { try refuse() }
  func topology() async throws -> LabTopology { try refuse() }
  func converged(within limit: Duration) async throws -> Convergence { try refuse() }
  func events(since: UInt64) async throws -> [LabEvent] { try refuse() }
  func routes(of node: String, prefix: String?) async throws -> [KernelRoute] { try refuse() }
  func bgp(
    of node: String, prefix: String?, neighbor: String?, limit: UInt32, offset: UInt32
  ) async throws -> BGPTable { try refuse() }
  func neighbors(of node: String) async throws -> [NeighborDetail] { try refuse() }
  func links(of node: String) async throws -> [LinkDetail] { try refuse() }
  func explain(node: String, prefix: String) async throws -> RouteExplanation { try refuse() }
  func trace(_ query: TraceQuery) async throws -> Trace { try refuse() }
  func capturePoints(_ selection: [String]) async throws -> [CapturePointInfo] { try refuse() }
  func exec(_ command: ExecCommand, in node: String) async throws -> ExecResult { try refuse() }
  func fault(_ command: FaultCommand) async throws { throw Unasked() }
  func mend() async throws { throw Unasked() }
  func noTransit(_ query: NoTransitQuery) async throws -> NoTransitResult { try refuse() }
  func check(_ query: CheckQuery) async throws -> CheckReport { try refuse() }
  func plan(_ request: ChangeRequest) async throws -> ChangePlan { try refuse() }
  func apply(_ request: ChangeRequest) async throws -> ChangeResult { try refuse() }
  func confirm() async throws -> VersionEntry { try refuse() }
  func rollback(_ request: RollbackRequest) async throws -> ChangeResult { try refuse() }
  func history(limit: Int, offset: Int) async throws -> [VersionEntry] { try refuse() }
  func drift() async throws -> Drift { try refuse() }
  func repair() async throws -> Drift { try refuse() }
  func nat(of node: String) async throws -> NodeRules { try refuse() }
  func filter(of node: String) async throws -> NodeRules { try refuse() }
  func connections(of node: String, limit: UInt32, offset: UInt32) async throws -> NodeConnections { try refuse() }
  func qos(of node: String) async throws -> NodeQoS { try refuse() }
  func flowSpecs(of node: String) async throws -> NodeFlowSpecs { try refuse() }
  func rate(_ query: RateQuery) async throws -> RateResult { try refuse() }
  func translation(_ query: NATQuery) async throws -> NATResult { try refuse() }
  func startTraffic(_ query: TrafficQuery) async throws -> TrafficState { try refuse() }
  func stopTraffic(_ id: UInt64) async throws -> TrafficState { try refuse() }
  func traffic() async throws -> [TrafficState] { try refuse() }
  func mesh() async throws -> MeshStatus { try refuse() }
  func meshEdges() async throws -> [MeshEdge] { try refuse() }
  func explainMesh(_ request: MeshExplainRequest) async throws -> MeshExplanation { try refuse() }
  func flows(_ query: FlowsQuery) async throws -> LiveFlows { try refuse() }
}
