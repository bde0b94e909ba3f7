internal import ControlProtocol
internal import Intent
internal import Mesh
internal import MeshControl
internal import NetTypes
public import NorthboundAPI

// MARK: - Questions

extension LabController {
  private func plane() throws -> MeshPlane {
    guard let mesh else { throw APIError(code: "invalid", message: "the topology has no `mesh`") }
    return mesh
  }

  public func meshStatus() async throws -> MeshStatus {
    let plane = try plane()
    let clients = Dictionary(await plane.server.status().map { ($0.pod, $0) }, uniquingKeysWith: { first, _ in first })
    let model = plane.applied
    let sidecars = model.pods.map { pod in SidecarStatus(pod, clients[pod.name]) }
    let converged = sidecars.allSatisfy { sidecar in
      sidecar.state == "current"
        || sidecar.state == "absent" && (sidecar.sidecar == "none" || outage.nodes.contains(sidecar.pod))
    }
    return MeshStatus(
      mtls: model.mutualTLS.rawValue, services: serviceStatuses(model), sidecars: sidecars, converged: converged)
  }

  public func meshSplit(_ request: MeshSplitRequest) async throws -> MeshChange {
    let plane = try plane()
    if let change {
      throw APIError(
        code: "conflict", message: "\(change.what) by \(change.author) is under way; try again when it has ended")
    }
    do throws(MeshControlError) {
      _ = try plane.applied.splitting(request.service, request.weights)
    } catch {
      throw APIError(code: "invalid", message: error.text)
    }
    state.splits[request.service] = request.weights
    saveStateSoon()
    let shares = request.weights.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
    record(node: "", kind: "mesh", subject: request.service, text: "split \(shares)")
    let model = overlaid(plane.declared, splits: state.splits)
    var outcome = await withCheckedContinuation { continuation in
      applyMesh(model) { continuation.resume(returning: $0) }
    }
    // The weights that stand already: who has them?
    if outcome == nil { outcome = try? await plane.server.settled() }
    guard let outcome else { throw APIError(code: "unavailable", message: MeshControlError.stopped.text) }
    return MeshChange(outcome)
  }

  /// For `status`: no question to anybody.
  var meshSummary: MeshSummary? {
    guard let mesh else { return nil }
    let sidecars = mesh.declared.pods.filter { $0.sidecar != .none }
    let lag = meshLag
    return MeshSummary(
      mtls: mesh.applied.mutualTLS.rawValue, converged: isMeshSettled, sidecars: sidecars.count,
      current: sidecars.count { fleet[$0.name] == .current }, lagging: lag, services: serviceStatuses(mesh.applied))
  }

  private func serviceStatuses(_ model: MeshModel) -> [MeshServiceStatus] {
    model.services.map { service in
      MeshServiceStatus(
        name: service.name, addresses: service.addresses.map(\.description), port: service.port,
        target: service.targetPort, proto: service.protocol.rawValue,
        pods: model.pods.filter { $0.service == service.name }.map { pod in
          MeshPodStatus(
            name: pod.name, addresses: pod.addresses.map(\.description), version: pod.version,
            healthy: pod.health == .healthy)
        }, split: model.split(of: service.name) ?? [:])
    }
  }
}

extension MeshControlError {
  fileprivate var text: String {
    switch self {
    case .stopped: "the control plane of the mesh has ended"
    case .unknownService(let name): "unknown service \(name)"
    case .unknownVersion(let service, let version): "no pod of \(service) runs version \(version)"
    case .invalidWeights(let service):
      "weights of \(service): expected 0 to 1000000 for each version, and one above 0"
    }
  }
}

extension MeshChange {
  init(_ outcome: ChangeOutcome) {
    self.init(
      current: outcome.current,
      refused: outcome.refused.map { "\($0.pod): \($0.type.shortName): \($0.reason)" },
      lagging: outcome.lagging, absent: outcome.absent, ms: Double(outcome.duration) / 1_000_000)
  }
}

extension SidecarStatus {
  fileprivate init(_ pod: MeshPod, _ client: ClientStatus?) {
    let state =
      switch client?.state {
      case .current: "current"
      case .pending: "pending"
      case .refused: "refused"
      case nil: "absent"
      }
    let types = (client?.types ?? []).map { type in
      SidecarType(
        type: type.type.shortName, sent: type.sent, acknowledged: type.acknowledged, sentAt: type.sentAt,
        acknowledgedAt: type.acknowledgedAt, refusal: type.refusal, refusals: type.refusals, resources: type.resources)
    }
    self.init(
      pod: pod.name, sidecar: pod.sidecar.rawValue, agent: client.map(\.agent), state: state, types: types)
  }
}
