internal import NetTypes
internal import Topology

extension TestStep {
  /// What the step does, in one line.
  var summary: String {
    switch action {
    case .trace(let step):
      let port = step.port.map { "/\($0)" } ?? ""
      let family = step.family.map { " \($0 == .ipv4 ? "IPv4" : "IPv6")" } ?? ""
      return "trace \(step.from) → \(step.to) \(step.transport.rawValue)\(port)\(family)"
    case .noTransit(let step): return "no-transit \(step.node)"
    case .route(let step): return "route \(step.prefix) at \(step.node)"
    case .session(let step):
      return "session \(step.node) – \(step.neighbor)" + (step.neighborInterface.map { ":\($0)" } ?? "")
    case .exec(let step): return "exec in \(step.node): \(step.command.prefix(80))"
    case .fault(let step):
      return (["fault", step.kind.rawValue] + step.targets).joined(separator: " ")
    }
  }

  var isFault: Bool {
    if case .fault = action { true } else { false }
  }
}
