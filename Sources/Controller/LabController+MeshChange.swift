// The mesh in a change. xDS has no PREPARE: a sidecar says what it thinks of a configuration when it has it. So the new
// one goes to all of them between the nodes' PREPARE and COMMIT, and back from all when one refuses it or is silent.
//
//   nodes PREPARE ─► store: prepared ─► step ─► every sidecar acknowledged ─► … ─► nodes COMMIT ─► store: current
//                                        └── a NACK, silence, absence: the old model, UNDO on the nodes
//
// Several steps only where `mtls` changes (MutualTLSTransition). Pods that are stopped get it when they start. No
// established connection is touched: sidecars put configurations in force for requests to come.

internal import Intent
internal import Mesh
internal import MeshControl
internal import NorthboundAPI

extension LabController {
  /// The mesh of a change, before and after.
  struct MeshStep: Sendable {
    var declared: MeshModel
    var splits: [String: [String: Int]]
    var before: MeshModel
    var after: MeshModel
  }

  /// nil: the mesh stays what it is.
  func meshStep(to wanted: LabIntent) -> MeshStep? {
    guard let mesh, let declared = wanted.lab.meshModel(), declared != mesh.declared else { return nil }
    // What the file says anew of a service goes before what `mesh split` said of it earlier.
    let splits = state.splits.filter { service, _ in
      declared.service(service)?.split == mesh.declared.service(service)?.split
        && declared.routes.filter { $0.services.contains(service) }
          == mesh.declared.routes.filter { $0.services.contains(service) }
    }
    return MeshStep(
      declared: declared, splits: splits, before: mesh.applied, after: overlaid(declared, splits: splits))
  }

  /// Puts it in force on every sidecar. Answers why it could not be; then what stood before is on its way back to all.
  func carryOutMesh(_ step: MeshStep) async -> [String] {
    guard let server = mesh?.server else { return ["the control plane of the mesh has ended"] }
    var reached = step.before
    for model in MutualTLSTransition.steps(from: step.before, to: step.after) {
      let failures: [String]
      do {
        failures = self.failures(of: try await server.apply(model, timeout: UInt64(limits.step.nanoseconds)))
      } catch {
        failures = ["the control plane of the mesh has ended"]
      }
      reached = model
      if failures.isEmpty { continue }
      await takeBackMesh(step, from: reached)
      return failures
    }
    return []
  }

  /// From the model that was reached, or from the end, to what stood before.
  func takeBackMesh(_ step: MeshStep, from reached: MeshModel? = nil) async {
    guard let server = mesh?.server else { return }
    for model in MutualTLSTransition.steps(from: reached ?? step.after, to: step.before) {
      _ = try? await server.apply(model, timeout: UInt64(limits.undo.nanoseconds))
    }
  }

  /// From here on it stands.
  func adoptMesh(_ step: MeshStep) {
    mesh?.declared = step.declared
    mesh?.applied = step.after
    state.splits = step.splits
  }

  private func failures(of outcome: ChangeOutcome) -> [String] {
    outcome.refused.map { "the sidecar of \($0.pod) refuses \($0.type.shortName): \($0.reason)" }
      + outcome.lagging.map { "the sidecar of \($0) did not answer within \(limits.step.words)" }
      + outcome.absent.filter { !outage.nodes.contains($0) }.map { "the sidecar of \($0) is not connected" }
  }
}
