internal import ControlProtocol
internal import NorthboundAPI

/// What netloom-machine reports: processes, nodes, links of nodes without an agent.
extension LabController {
  func machineReported(_ state: NLMachineState) {
    noteProcesses(state)
    if !state.error.isEmpty, state.error != machine.state.error {
      record(node: "", kind: "error", subject: "machine", text: state.error)
    }
    machine.state = state
    machine.nodes = Dictionary(state.nodes.map { ($0.name, $0) }) { $1 }
    let containers = Dictionary(state.containers.map { ($0.node, $0) }) { $1 }
    let drains = changesDrains(containers)
    machine.containers = containers
    machine.ran.formUnion(state.nodes.filter { $0.state == "running" }.map(\.name))
    for (name, links) in Dictionary(grouping: state.links, by: \.node) {
      _ = noteLinks(links.map(\.link), of: name)
    }
    observeOutage()
    if drains { refreshMesh() }
    observeHealth()
    tracker.hint()
    look()
    progressed()
  }

  private func noteProcesses(_ state: NLMachineState) {
    struct Key: Hashable {
      var node: String
      var name: String
    }
    let before = Dictionary(machine.state.processes.map { (Key(node: $0.node, name: $0.name), $0) }) { $1 }
    for process in state.processes {
      guard let old = before[Key(node: process.node, name: process.name)] else { continue }
      if old.running, !process.running {
        let exit = process.lastExit.isEmpty ? "ended" : "ended: \(process.lastExit)"
        record(node: process.node, kind: "process", subject: process.name, text: exit)
      } else if process.restarts > old.restarts {
        let times = process.restarts == 1 ? "once" : "\(process.restarts) times"
        record(node: process.node, kind: "process", subject: process.name, text: "restarted (\(times) so far)")
      }
    }
  }

  /// The lab stands: a proof of convergence makes sense.
  var isBuilt: Bool { machine.state.built && machine.state.error.isEmpty }

  /// The node's process in the lab's pid namespace, which holds its network namespace; nil: it does not run.
  func innerPID(_ name: String) -> Int32? {
    guard let node = machine.nodes[name], node.pid > 0, node.state != "stopped" else { return nil }
    return node.pid
  }
}
