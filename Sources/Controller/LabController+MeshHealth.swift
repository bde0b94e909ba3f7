// Which pods are led to. A pod of a service is well while its node runs, its programs run and its health check, where the
// file asks for one, does not fail; a damper stands between what is seen and what is believed.
//
//   MachineState (nodes, programs) ──┐
//   Sample.health (the agent asks) ──┴─► FlapDamper per pod ─► state.unwell ─┬─► EDS, without those
//                                                                            └─► Outage.pods: next hops, announcements

internal import ControlProtocol
internal import Intent
internal import NIOCore
internal import Topology

extension LabController {
  func observeHealth() {
    guard mesh != nil, !isHeld else { return }
    let now = Instant.now
    var failures: [String: String] = [:]
    for process in machine.state.processes
    where process.name.hasPrefix("cmd") && !process.running && !process.lastExit.isEmpty {
      failures[process.node] = "\(process.name) has ended (\(process.lastExit))"
    }
    var unwell: Set<String> = []
    for node in lab.nodes where node.pod?.service != nil {
      let reason = illness(of: node.name, failures)
      var damper = dampers[node.name] ?? FlapDamper(isWell: !state.unwell.contains(node.name), now: now)
      damper.observe(reason == nil, now: now)
      dampers[node.name] = damper
      if !damper.isWell { unwell.insert(node.name) }
      guard damper.isWell == state.unwell.contains(node.name) else { continue }
      record(
        node: node.name, kind: "mesh", subject: node.pod?.service ?? "",
        text: damper.isWell ? "takes requests again" : "takes no more requests: \(reason ?? "it keeps failing")")
    }
    wakeForHealth()
    guard unwell != state.unwell else { return }
    state.unwell = unwell
    saveStateSoon()
    observeOutage()
    refreshMesh()
  }

  /// nil: nothing is wrong with it.
  private func illness(of name: String, _ failures: [String: String]) -> String? {
    if state.faults.killedNodes.contains(name) || machine.nodes[name]?.state == "stopped" { return "it is stopped" }
    if lab.node(name)?.container != nil { return containerIllness(of: name) }
    if machine.nodes[name]?.state == "failed" { return "it has failed" }
    if let failure = failures[name] { return failure }
    return agents[name]?.sample?.health == .ill ? "its health check fails" : nil
  }

  private func wakeForHealth() {
    guard let at = dampers.values.compactMap(\.wakeAt).min() else { return }
    if let planned = healthWake, planned <= at, planned > .now { return }
    healthWake = at
    schedule(in: .nanoseconds(max(1_000_000, (at - .now).nanoseconds))) { controller in
      controller.healthWake = nil
      controller.observeHealth()
    }
  }
}
