import NorthboundAPI

/// What the mesh says, for people.
struct MeshText {
  let palette: Palette

  func lines(_ status: MeshStatus, verbose: Bool) -> [String] {
    var services = Table("SERVICE", "ADDRESS", ">PORT", "PROTOCOL", "PODS", "SPLIT")
    for service in status.services {
      let pods = service.pods.map { pod in
        pod.name + (pod.version.map { " (\($0))" } ?? "") + (pod.healthy ? "" : " down")
      }
      let split = service.split.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
      services.add(
        service.name, service.addresses.first, "\(service.port)", service.proto, pods.joined(separator: ", "),
        split.isEmpty ? nil : split.joined(separator: " "))
    }
    var sidecars = Table("POD", "SIDECAR", "STATE", "ACKNOWLEDGED", "REFUSED")
    for sidecar in status.sidecars {
      let acknowledged = sidecar.types.map { type in
        type.acknowledged == type.sent
          ? "\(type.type) \(shown(version: type.sent))"
          : "\(type.type) \(shown(version: type.acknowledged)) of \(shown(version: type.sent))"
      }
      let refusals = sidecar.types.compactMap { type in type.refusal.map { "\(type.type): \($0)" } }
      sidecars.add(
        sidecar.pod, sidecar.agent.map { verbose ? "\(sidecar.sidecar) (\($0))" : sidecar.sidecar } ?? sidecar.sidecar,
        sidecar.state, acknowledged.joined(separator: ", "),
        refusals.isEmpty ? nil : refusals.joined(separator: "; "))
    }
    sidecars.paint = { _, column, text in column == 2 ? shown(text) : text }
    let verdict =
      status.converged
      ? palette.green("every sidecar has the newest configuration")
      : palette.yellow("not every sidecar has the newest configuration")
    return ["mtls \(status.mtls)", ""] + services.lines(palette: palette) + [""] + sidecars.lines(palette: palette) + [
      "", verdict,
    ]
  }

  /// Without its digest, which tells machines apart what people count.
  private func shown(version: String) -> String { version.isEmpty ? "none" : String(version.prefix { $0 != "." }) }

  private func shown(_ state: String) -> String {
    switch state {
    case "current": palette.green(state)
    case "refused", "absent": palette.red(state)
    default: palette.yellow(state)
    }
  }

  static func lines(_ change: MeshChange) -> [String] {
    var lines = ["live on \(change.current) sidecars after \(spoken(seconds: change.ms / 1000))"]
    lines += change.refused.map { "refused by \($0)" }
    if !change.lagging.isEmpty { lines.append("no answer from: \(change.lagging.joined(separator: ", "))") }
    if !change.absent.isEmpty { lines.append("not connected: \(change.absent.joined(separator: ", "))") }
    return lines
  }

  func lines(_ explanation: MeshExplanation) -> [String] {
    var lines = explanation.steps.enumerated().map { "\($0.offset + 1). \($0.element)" }
    if !explanation.endpoints.isEmpty {
      var table = Table("ENDPOINT", "ADDRESS", "VERSION", ">SHARE", "LOCALITY", ">PRIORITY", "HEALTH", "PATH")
      for endpoint in explanation.endpoints {
        table.add(
          endpoint.pod, endpoint.address, endpoint.version, "\((endpoint.share * 10).rounded() / 10) %",
          endpoint.locality, "\(endpoint.priority)", endpoint.healthy ? "up" : "down", path(endpoint.path))
      }
      lines += [""] + table.lines(palette: palette)
    }
    lines += ["", explanation.served ? palette.green("served") : palette.red("not served")]
    return lines
  }

  private func path(_ trace: Trace?) -> String? {
    guard let trace else { return nil }
    let way = trace.forward.path.joined(separator: " → ")
    guard trace.reachable else { return way.isEmpty ? "not reachable" : "\(way): not reachable" }
    switch trace.symmetric {
    case true: return "\(way), and the same way back"
    case false: return "\(way); back by \(trace.return.path.joined(separator: " → "))"
    default: return way
    }
  }
}
