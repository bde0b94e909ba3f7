internal import NorthboundAPI

/// What deploying and releasing ask of the lab that serves. `LiveLab` asks a running one.
protocol ProductionLab: Sendable {
  /// The service as its mesh has it now.
  func service(_ name: String) async throws -> MeshServiceStatus
  /// Image reference by node, of those that run one.
  func images() async throws -> [String: String]
  /// The same, once the image of none of these pods is being changed any more; at most for so long.
  func settledImages(_ pods: [String], within seconds: Double) async throws -> [String: String]
  /// Per cent of the service's requests by version; what is not there gets none.
  func shares(of service: String) async throws -> [String: Double]
  /// Returns when every sidecar works with it.
  func split(_ service: String, _ weights: [String: Int]) async throws
  /// Returns when the pod runs it and is ready; where it throws, the pod runs what it ran before. `PodIsChanging`: somebody
  /// changes it already, and brings that to an end.
  func setImage(_ image: String, of pod: String, within seconds: Double) async throws
  /// Returns when the pod answers; throws when it has not in time.
  func awaitReady(_ pod: String, of service: MeshServiceStatus, _ readiness: Readiness) async throws
  /// Looks for so long, sending `load` meanwhile, and says what it has seen of each version.
  func observe(_ window: ObservationWindow) async throws -> [String: VersionView]
}

struct PodIsChanging: Error {
  var message: String
}

struct Readiness: Sendable {
  var path: String
  var seconds: Double
}

struct ObservationWindow: Sendable {
  var service: String
  /// The version that gets more requests from step to step.
  var moving: String
  var seconds: Double
  /// Version to pods.
  var pods: [String: [String]]
  /// Requests per second, by whom, and for what; nil: none are sent.
  var load: Load?
  /// Look at packets too.
  var network: Bool

  struct Load: Sendable {
    var rate: Int
    var from: String?
    var path: String
  }
}
