internal import ControlProtocol
internal import Foundation
internal import Intent
internal import Logging
internal import Mesh
internal import MeshControl
internal import NIOCore
internal import NetTypes
internal import NorthboundAPI
internal import Topology

/// The service mesh: the same idea one layer up. Every sidecar is data plane; what they all are to do follows from the
/// file, from what is seen of the nodes, and from the paths that BGP has chosen.
extension LabController {
  func startMesh() throws {
    guard let model = lab.meshModel() else { return }
    let loop = loop
    mesh = try MeshPlane(model, overlaid(model, splits: state.splits), run) { conditions in
      loop.execute { self.assumeIsolated { $0.fleetChanged(conditions) } }
    }
    outage.pods = state.unwell
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

  // MARK: the model

  /// What the file says with what is observed, and with what was asked for meanwhile.
  func overlaid(_ declared: MeshModel, splits: [String: [String: Int]]) -> MeshModel {
    var model = declared
    model.splits = splits
    for (pod, row) in state.pathCosts {
      for (system, cost) in row { model.pathCosts[pod, ASNumber(system)] = cost }
    }
    for index in model.pods.indices {
      let name = model.pods[index].name
      model.pods[index].health = isDraining(name) ? .draining : state.unwell.contains(name) ? .unhealthy : .healthy
    }
    return model
  }

  /// Pods came or went, or BGP has settled on other paths.
  func refreshMesh() {
    // A change under way applies what it makes of it; `endChange` looks again.
    guard let mesh, !isHeld else { return }
    applyMesh(overlaid(mesh.declared, splits: state.splits)) { _ in }
  }

  /// Hands a model to the control plane, in the order of the calls. `done` is called on the loop, with nil when the
  /// control plane has ended or nothing was to do.
  func applyMesh(_ model: MeshModel, done: @escaping @Sendable (ChangeOutcome?) -> Void) {
    guard var plane = mesh, model != plane.applied else { return done(nil) }
    plane.applied = model
    plane.underWay += 1
    mesh = plane
    let loop = loop
    plane.server.apply(model) { result in
      loop.execute {
        self.assumeIsolated { controller in
          controller.mesh?.underWay -= 1
          done(try? result.get())
          controller.settleConvergence()
        }
      }
    }
  }

  // MARK: convergence

  private func fleetChanged(_ conditions: [String: ClientCondition]) {
    fleet = conditions
    settleConvergence()
    progressed()
  }

  /// Which sidecars do not work with the newest configuration, and why; empty: all of those that should run do.
  var meshLag: [String] {
    guard let mesh else { return [] }
    return mesh.declared.pods.filter { $0.sidecar != .none && !outage.nodes.contains($0.name) }.compactMap { pod in
      switch fleet[pod.name] {
      case nil: "\(pod.name): its sidecar is not connected"
      case .pending: "\(pod.name): its sidecar has not acknowledged the newest configuration"
      case .refused(let reason): "\(pod.name): its sidecar refused \(reason)"
      case .current: nil
      }
    }
  }

  /// Every sidecar has what it should, and that is what BGP's paths call for.
  var isMeshSettled: Bool {
    guard let mesh else { return true }
    return mesh.underWay == 0 && mesh.measuredFor == tracker.disturbedAt && meshLag.isEmpty
  }

  // MARK: path costs

  /// What it costs to reach each autonomous system from each pod: the length of the AS path that its router has chosen.
  func measurePathCosts() {
    guard let declared = mesh?.declared, !measuringPaths else { return }
    measuringPaths = true
    let disturbance = tracker.disturbedAt
    Task {
      let costs = await pathCosts(declared)
      measuringPaths = false
      mesh?.measuredFor = disturbance
      if costs != state.pathCosts {
        state.pathCosts = costs
        saveStateSoon()
        refreshMesh()
      }
      settleConvergence()
    }
  }

  private func pathCosts(_ model: MeshModel) async -> [String: [UInt32: UInt32]] {
    var costs: [String: [UInt32: UInt32]] = [:]
    let targets = Dictionary(
      model.pods.compactMap { pod in pod.autonomousSystem.flatMap { system in pod.addresses.first.map { (system, $0) } }
      },
      uniquingKeysWith: { first, _ in first })
    var rows: [String: [UInt32: UInt32]] = [:]
    for pod in model.pods {
      guard let node = lab.node(pod.name), let router = lab.entrance(of: node), router.bgp != nil else { continue }
      if rows[router.name] == nil { rows[router.name] = await row(of: router, targets) }
      costs[pod.name] = rows[router.name]
    }
    return costs
  }

  private func row(of router: ResolvedNode, _ targets: [ASNumber: IPAddress]) async -> [UInt32: UInt32] {
    var row: [UInt32: UInt32] = [:]
    for (system, address) in targets {
      if system == router.asn {
        row[system.rawValue] = 0
      } else if let explanation = try? await explain(node: router.name, prefix: address.description),
        let best = explanation.candidates.first(where: \.best)
      {
        row[system.rawValue] = UInt32(clamping: best.asPath.count)
      }
    }
    return row
  }
}
