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
    case .nat(let step):
      let port = step.port.map { "/\($0)" } ?? ""
      return "nat at \(step.node): \(step.from) → \(step.to) \(step.transport.rawValue)\(port)"
    case .rate(let step):
      let offered = step.offered.map { " at \(decimal(Double($0) / 1e6, places: 2)) Mbit/s" } ?? ""
      let length = duration(Double(step.milliseconds) / 1000)
      return "rate \(step.from) → \(step.to) \(step.transport.rawValue)/\(step.port)\(offered) for \(length)"
    case .plan(let step): return "plan \(name(step))"
    case .apply(let step):
      let limit = step.confirmWithinMilliseconds.map { ", to be confirmed within \(duration(Double($0) / 1000))" }
      return "apply \(name(step))" + (limit ?? "")
    case .traffic(let step): return "traffic \(step.from) → \(step.to) \(step.transport.rawValue)"
    case .check(let step): return "check \(step.words.joined(separator: ", "))"
    case .parallel(let lists): return "\(lists.count) lists of steps at the same time"
    case .rollback(let step): return "rollback to " + (step.version.map { "version \($0)" } ?? "the version before")
    }
  }

  /// A change that stands in the step itself has the topology's name.
  private func name(_ step: ChangeStep) -> String { step.file == place.file ? "a change" : step.file }

  /// Tried again while `within:` lasts. A change once made, or a rate once measured, is what it is.
  var isRepeatable: Bool {
    switch action {
    case .trace, .noTransit, .route, .session, .exec, .nat, .check: true
    case .fault, .rate, .traffic, .parallel, .plan, .apply, .rollback: false
    }
  }

  /// May leave the lab in another version than it found.
  var changesVersion: Bool {
    switch action {
    case .apply, .rollback: true
    default: false
    }
  }

  var measuresRate: Bool {
    if case .rate = action { true } else { false }
  }

  var isFault: Bool {
    if case .fault = action { true } else { false }
  }
}
