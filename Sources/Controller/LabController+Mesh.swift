internal import ControlProtocol
internal import Foundation
internal import Intent
internal import Logging
internal import Mesh
internal import MeshControl
internal import NetTypes
public import NorthboundAPI
internal import Topology

/// The service mesh: the same idea one layer up. Every sidecar is data plane; what they all are to do follows from the
/// file, from what is seen of the nodes, and from the paths that BGP has chosen.
extension LabController {
  func startMesh() throws {
    guard let (model, problems) = lab.meshModel() else { return }
    for problem in problems { logger.error("\(problem)") }
    let plane = try MeshPlane(model, run, splits: state.splits)
    mesh = plane
  }

  /// A pod's programs wait until its sidecar works: nobody's first connections are lost.
  private func awaitSidecar(of pod: String, _ server: XDSServer) {
    Task {
      while true {
        // Its time is long and may pass: a pod that is stopped has no sidecar until it is started.
        guard let outcome = try? await server.ready([pod], timeout: 600_000_000_000) else { return }
        guard !outcome.absent.contains(pod), !outcome.lagging.contains(pod) else { continue }
        var order = NLPodReady()
        order.node = pod
        do {
          try await command(.podReady(order))
        } catch {
          // netloom-machine asks for it again when it is back.
          logger.warning("\(pod) is ready, and its machine cannot be told: \(error)")
        }
        return
      }
    }
  }

  /// netloom-machine is there, or has started a node again.
  func podsStarted(_ names: [String]? = nil) {
    guard let mesh else { return }
    for pod in mesh.declared.pods where pod.sidecar != .none && names?.contains(pod.name) != false {
      awaitSidecar(of: pod.name, mesh.server)
    }
  }

  /// Nodes came or went, or BGP has settled on other paths.
  func meshObserved() {
    guard var plane = mesh else { return }
    var model = plane.declared
    model.splits = state.splits
    model.pathCosts = plane.applied.pathCosts
    for index in model.pods.indices {
      let node = machine.nodes[model.pods[index].name]
      let stopped = outage.nodes.contains(model.pods[index].name)
      model.pods[index].health = stopped || node?.state == "failed" ? .unhealthy : .healthy
    }
    guard model != plane.applied else { return }
    plane.applied = model
    mesh = plane
    let server = plane.server
    Task { _ = try? await server.apply(model) }
  }

  /// What it costs to reach each autonomous system from each pod: the length of the AS path that its router has chosen.
  func measurePathCosts() {
    guard let mesh, !measuringPaths else { return }
    measuringPaths = true
    Task {
      let costs = await pathCosts(mesh.declared)
      measuringPaths = false
      guard var plane = self.mesh, plane.applied.pathCosts != costs else { return }
      var model = plane.applied
      model.pathCosts = costs
      plane.applied = model
      self.mesh = plane
      _ = try? await plane.server.apply(model)
    }
  }

  private func pathCosts(_ model: MeshModel) async -> PathCosts {
    var costs = PathCosts()
    let targets = Dictionary(
      model.pods.compactMap { pod in pod.autonomousSystem.flatMap { system in pod.addresses.first.map { (system, $0) } }
      },
      uniquingKeysWith: { first, _ in first })
    var rows: [String: [ASNumber: UInt32]] = [:]
    for pod in model.pods {
      guard let node = lab.node(pod.name), let router = lab.entrance(of: node), router.bgp != nil else { continue }
      if rows[router.name] == nil { rows[router.name] = await row(of: router, targets) }
      for (system, cost) in rows[router.name] ?? [:] { costs[pod.name, system] = cost }
    }
    return costs
  }

  private func row(of router: ResolvedNode, _ targets: [ASNumber: IPAddress]) async -> [ASNumber: UInt32] {
    var row: [ASNumber: UInt32] = [:]
    for (system, address) in targets {
      if system == router.asn {
        row[system] = 0
      } else if let explanation = try? await explain(node: router.name, prefix: address.description),
        let best = explanation.candidates.first(where: \.best)
      {
        row[system] = UInt32(clamping: best.asPath.count)
      }
    }
    return row
  }
}

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
    let services = model.services.map { service in
      MeshServiceStatus(
        name: service.name, addresses: service.addresses.map(\.description), port: service.port,
        target: service.targetPort, proto: service.protocol.rawValue,
        pods: model.pods.filter { $0.service == service.name }.map { pod in
          MeshPodStatus(
            name: pod.name, addresses: pod.addresses.map(\.description), version: pod.version,
            healthy: pod.health == .healthy)
        }, split: model.splits[service.name] ?? [:])
    }
    let sidecars = model.pods.map { pod in SidecarStatus(pod, clients[pod.name]) }
    let converged = sidecars.allSatisfy { $0.state == "current" || $0.sidecar == "none" && $0.state == "absent" }
    return MeshStatus(
      mtls: model.mutualTLS.rawValue, services: services, sidecars: sidecars, converged: converged)
  }

  public func meshSplit(_ request: MeshSplitRequest) async throws -> MeshChange {
    let server = try plane().server
    let outcome: ChangeOutcome
    do {
      outcome = try await server.split(request.service, request.weights)
    } catch let error as MeshControlError {
      throw APIError(code: "invalid", message: error.text)
    }
    state.splits[request.service] = request.weights
    saveStateSoon()
    if var plane = mesh {
      plane.applied.splits[request.service] = request.weights
      mesh = plane
    }
    let shares = request.weights.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
    record(node: "", kind: "mesh", subject: request.service, text: "split \(shares)")
    return MeshChange(outcome)
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
