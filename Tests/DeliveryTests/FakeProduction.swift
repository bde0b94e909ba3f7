import NorthboundAPI
import Synchronization
import Topology

@testable import Delivery

/// A lab with service web, blue (web-1) that serves and green (web-2) that does not; keeps what it was asked to do.
final class FakeProduction: ProductionLab {
  struct State {
    var deeds: [String] = []
    var weights = ["blue": 100, "green": 0]
    var images = ["web-1": "web@old", "web-2": "web@older"]
    var versions = ["blue": ["web-1"], "green": ["web-2"]]
    /// By weight of green; others get those of 0.
    var views: [Int: [String: VersionView]] = [:]
    var refusedImages: Set<String> = []
    var unready: Set<String> = []
    /// Splits that fail before one succeeds again.
    var failingSplits = 0
    /// Waits there until it is told to stop.
    var blockingObservation = false
    /// Pods whose image somebody changes to this one: it is done when it is waited for.
    var changing: [String: String] = [:]
    /// Before an image is set.
    var beforeImage: (@Sendable (String) async -> Void)?
  }

  private let state = Mutex(State())
  var deeds: [String] { state.withLock { $0.deeds } }
  var weights: [String: Int] { state.withLock { $0.weights } }
  var images: [String: String] { state.withLock { $0.images } }
  func arrange(_ change: (inout sending State) -> Void) { state.withLock { change(&$0) } }

  func service(_ name: String) async throws -> MeshServiceStatus {
    state.withLock { state in
      let pods = state.versions.flatMap { version, names in
        names.map { MeshPodStatus(name: $0, addresses: [], version: version, healthy: true) }
      }
      return MeshServiceStatus(
        name: name, addresses: [], port: 80, target: 8080, proto: "http", pods: pods.sorted { $0.name < $1.name },
        split: [:])
    }
  }

  func images() async throws -> [String: String] { images }

  func settledImages(_ pods: [String], within seconds: Double) async throws -> [String: String] {
    state.withLock { state in
      for pod in pods {
        if let image = state.changing.removeValue(forKey: pod) { state.images[pod] = image }
      }
      return state.images
    }
  }

  func shares(of service: String) async throws -> [String: Double] { weights.mapValues(Double.init) }

  func split(_ service: String, _ weights: [String: Int]) async throws {
    try state.withLock { state in
      if state.failingSplits > 0 {
        state.failingSplits -= 1
        throw StageFailure(.stopped, "no sidecar answers")
      }
      state.weights = weights
      state.deeds.append(
        "split \(weights.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " "))")
    }
  }

  func setImage(_ image: String, of pod: String, within seconds: Double) async throws {
    await state.withLock { $0.beforeImage }?(pod)
    try state.withLock { state in
      if state.changing[pod] != nil { throw PodIsChanging(message: "another change of \(pod) is under way") }
      if state.refusedImages.contains(image) { throw StageFailure(.stopped, "\(pod): it ended at once (exit 1)") }
      state.images[pod] = image
      state.deeds.append("\(pod) runs \(image)")
    }
  }

  func awaitReady(_ pod: String, of service: MeshServiceStatus, _ readiness: Readiness) async throws {
    if state.withLock({ $0.unready.contains(pod) }) { throw StageFailure(.stopped, "\(pod) was not ready within 1 s") }
  }

  func observe(_ window: ObservationWindow) async throws -> [String: VersionView] {
    let (views, isBlocking) = state.withLock { state in
      (state.views[state.weights["green"] ?? 0] ?? state.views[0] ?? [:], state.blockingObservation)
    }
    if isBlocking { try await untilToldToStop() }
    return views
  }
}

extension VersionView {
  /// So many requests of which each takes less than so many milliseconds.
  static func of(_ requests: UInt64, failures: UInt64 = 0, milliseconds: Double = 10, way: [UInt32] = [1, 2])
    -> VersionView
  {
    var view = VersionView()
    view.traffic = VersionTraffic(
      requests: requests, failures: failures,
      latency: MeshLatency(buckets: [.init(le: milliseconds / 1000, count: requests)], count: requests, sum: 0))
    let systems = Dictionary(uniqueKeysWithValues: way.map { ("r\($0)", $0) })
    view.network.ways = ["to it": [ASWay(way.map { "r\($0)" }, systems: systems)]]
    view.network.packetsSent = 100
    return view
  }
}

/// A run that has come as far as its deployment, with a store of its own.
func deployable(_ scratch: Scratch, _ file: String = wholeFile, _ facts: RunFacts? = nil) throws -> RunContext {
  let store = try PipelineStore(scratch.root.folder(of: "web"))
  var known = facts ?? RunFacts()
  if known.image == nil { known.image = ImageFacts(name: "web", digest: "sha256:new", tag: "1", pushed: "web@new") }
  var record = RunRecord(
    number: 0, kind: .delivery, text: file, file: "pipeline.yaml", directory: "/tmp", ref: "main", startedBy: "ada",
    state: .running, reason: nil, exit: nil, startedAt: 1, endedAt: nil, facts: known)
  record.number = try store.begin(record)
  return RunContext(
    pipeline: try pipeline(file), run: record, folder: scratch.path, store: store, report: { _ in })
}
