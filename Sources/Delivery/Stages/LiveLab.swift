// A running lab, asked through its API. What looks at packets stands in LiveLab+Observing.swift.

internal import FoundationEssentials
internal import Lab
internal import NorthboundAPI
internal import NorthboundClient
internal import Synchronization

struct LiveLab: ProductionLab {
  let api: any LabAPI
  let run: RunContext
  /// The netloom program, as nodes see it: they have the machine's files.
  let program: String
  /// Who may call a service, once that was found out.
  private let clients = KnownClients()

  init(api: any LabAPI, run: RunContext, program: String) {
    self.api = api
    self.run = run
    self.program = program
  }

  func service(_ name: String) async throws -> MeshServiceStatus {
    let mesh = try await asked { try await api.mesh() }
    guard let service = mesh.services.first(where: { $0.name == name }) else {
      let names = mesh.services.map(\.name).joined(separator: ", ")
      throw StageFailure(.stopped, "the lab has no service \(name); it has \(names.isEmpty ? "none" : names)")
    }
    return service
  }

  func images() async throws -> [String: String] { try await containers().mapValues(Self.reference) }

  /// A controller that was just restarted shows what the topology says until it has heard of the machine: it is asked again.
  private func containers() async throws -> [String: ContainerStatus] {
    let end = ContinuousClock.now + .seconds(5)
    while true {
      let status = try await asked { try await api.status() }
      let containers = Dictionary(
        status.nodes.compactMap { node in node.container.map { (node.name, $0) } }, uniquingKeysWith: { $1 })
      let isKnown = containers.values.allSatisfy { $0.digest != nil || $0.state != "stopped" }
      if isKnown || ContinuousClock.now >= end { return containers }
      try await Task.sleep(for: .milliseconds(100))
    }
  }

  func settledImages(_ pods: [String], within seconds: Double) async throws -> [String: String] {
    let end = ContinuousClock.now + .seconds(seconds)
    while true {
      let containers = try await containers()
      let changing = pods.filter { containers[$0]?.state == "changing" }
      if changing.isEmpty { return containers.mapValues(Self.reference) }
      guard ContinuousClock.now < end else {
        throw StageFailure(.stopped, "the image of \(changing.joined(separator: ", ")) is being changed all the time")
      }
      try await Task.sleep(for: .milliseconds(250))
    }
  }

  /// With its digest, so that the same image is meant tomorrow.
  private static func reference(_ container: ContainerStatus) -> String {
    guard let digest = container.digest, !container.image.contains("@") else { return container.image }
    let name = container.image.split(separator: "/").last ?? ""
    let tag = name.lastIndex(of: ":").map { name[$0...].count } ?? 0
    return "\(container.image.dropLast(tag))@\(digest)"
  }

  func shares(of service: String) async throws -> [String: Double] {
    let client = try await client(of: service, wanted: nil)
    let answer = try await asked { try await api.explainMesh(MeshExplainRequest(from: client, to: service)) }
    return answer.endpoints.reduce(into: [:]) { $0[$1.version ?? "", default: 0] += $1.share }
  }

  /// A pod that may call the service: the one that is named, or the first of another service.
  func client(of service: String, wanted: String?) async throws -> String {
    if let known = wanted ?? clients.names.withLock({ $0[service] }) { return known }
    let mesh = try await asked { try await api.mesh() }
    let own = Set(mesh.services.first { $0.name == service }?.pods.map(\.name) ?? [])
    for pod in mesh.sidecars.map(\.pod).sorted() where !own.contains(pod) {
      let answer = try await asked { try await api.explainMesh(MeshExplainRequest(from: pod, to: service)) }
      if !answer.endpoints.isEmpty {
        clients.names.withLock { $0[service] = pod }
        return pod
      }
    }
    throw StageFailure(.stopped, "no pod of the lab may call \(service); name one with `load: {rate: …, from: POD}`")
  }

  /// A sidecar that is not connected may come back: a controller that was restarted knows them all again within a second.
  func split(_ service: String, _ weights: [String: Int]) async throws {
    let end = ContinuousClock.now + .seconds(10)
    while true {
      let change = try await asked { try await api.splitMesh(MeshSplitRequest(service: service, weights: weights)) }
      let problems =
        change.refused + change.lagging.map { "\($0) has not acknowledged it" }
        + change.absent.map { "\($0) is not connected" }
      if problems.isEmpty { return }
      guard change.refused.isEmpty, ContinuousClock.now < end else {
        throw StageFailure(.stopped, "not every sidecar divides requests as asked: \(problems.joined(separator: "; "))")
      }
      run.note("again: \(problems.joined(separator: "; "))")
      try await Task.sleep(for: .milliseconds(250))
    }
  }

  func setImage(_ image: String, of pod: String, within seconds: Double) async throws {
    let reply = try await asked(about: pod) {
      do {
        return try await api.setImage(ImageRequest(image: image, within: seconds), of: pod)
      } catch let error as APIError where Self.isClash(error) {
        throw PodIsChanging(message: "\(pod): \(error.message)")
      }
    }
    run.note("\(pod) runs \(reply.digest) after \(decimal(reply.readyMs, 0)) ms")
  }

  /// A controller that was restarted hears of the change from the machine, whose refusals have another code.
  private static func isClash(_ error: APIError) -> Bool {
    error.code == "conflict" || error.message.contains("another change of the image")
  }

  func awaitReady(_ pod: String, of service: MeshServiceStatus, _ readiness: Readiness) async throws {
    let end = ContinuousClock.now + .seconds(readiness.seconds)
    let isHTTP = service.proto == "http"
    let command =
      isHTTP
      ? [program, "pipeline", "load", "http://127.0.0.1:\(service.target)\(readiness.path)", "--count", "1"]
      : ["/bin/true"]
    var last = "it does not answer"
    repeat {
      let answer = try await asked(about: pod) {
        try await api.exec(ExecCommand(argv: command, timeoutMs: 10_000), in: pod)
      }
      let isHealthy = try await self.service(service.name).pods.first { $0.name == pod }?.healthy ?? false
      if answer.exit == 0, isHealthy { return }
      last = answer.exit == 0 ? "its sidecar is not connected" : Self.reason(answer)
      try await Task.sleep(for: .milliseconds(100))
    } while ContinuousClock.now < end
    throw StageFailure(
      .stopped, "\(pod) was not ready within \(decimal(readiness.seconds, 0)) s: GET \(readiness.path): \(last)")
  }

  private static func reason(_ answer: ExecResult) -> String {
    if let result = try? JSONDecoder().decode(LoadResult.self, from: Data(answer.output.utf8)) {
      return result.errors.keys.sorted().first ?? result.statuses.keys.sorted().first.map { "status \($0)" }
        ?? "no answer"
    }
    let line = answer.errorOutput.split(separator: "\n").last.map(String.init) ?? ""
    return line.isEmpty ? "exit \(answer.exit)" : line
  }

  /// The lab's refusals in the words of a stage. A controller that dies over a question is asked again: nothing that is asked
  /// here does more the second time.
  func asked<Answer>(about pod: String? = nil, _ ask: () async throws -> Answer) async throws -> Answer {
    let prefix = pod.map { "\($0): " } ?? ""
    var left = 3
    while true {
      do {
        return try await ask()
      } catch let error as APIError {
        throw StageFailure(.stopped, prefix + error.message)
      } catch let error as ClientError {
        guard left > 0, error.mayPass else { throw StageFailure(.environment, prefix + "\(error)") }
        left -= 1
        run.note("again: \(prefix)\(error)")
        try await Task.sleep(for: .milliseconds(500))
      }
    }
  }
}

private final class KnownClients: Sendable {
  let names = Mutex<[String: String]>([:])
}

extension ClientError {
  /// The controller is being restarted.
  fileprivate var mayPass: Bool {
    switch self {
    case .unreachable, .interrupted: true
    case .timedOut, .malformed: false
    }
  }
}
