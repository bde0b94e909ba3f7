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
    case .fault(let step): return "fault \(step.summary)"
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
    case .traffic(let step): return step.summary
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

  /// Leaves captures that are thrown away when it holds.
  var capturesPackets: Bool {
    switch action {
    case .rate, .check: true
    default: false
    }
  }

  var isFault: Bool {
    if case .fault = action { true } else { false }
  }

  /// The step, and those within it.
  var all: [TestStep] {
    guard case .parallel(let lists) = action else { return [self] }
    return [self] + lists.joined()
  }

  /// The nodes that it names: whose state tells why it did not hold.
  var nodes: Set<String> {
    switch action {
    case .trace(let step): Set([step.from, Self.node(step.to)] + (step.forward ?? []) + (step.back ?? []))
    case .noTransit(let step): [step.node]
    case .route(let step): [step.node]
    case .session(let step): [step.node, step.neighbor]
    case .exec(let step): [step.node]
    case .fault(let step): Set(step.targets.map(Self.node))
    case .nat(let step): [step.node, step.from, Self.node(step.to)]
    case .rate(let step): [step.from, Self.node(step.to)]
    case .traffic(let step): [step.from, Self.node(step.to)]
    case .check, .plan, .apply, .rollback: []
    case .parallel(let lists): lists.joined().reduce(into: []) { $0.formUnion($1.nodes) }
    }
  }

  /// Of `NODE` or `NODE:IFACE`.
  private static func node(_ name: String) -> String { String(name.prefix { $0 != ":" }) }
}

extension FaultStep {
  /// `loss customer:eth1 isp1:eth1 10 % from customer`
  fileprivate var summary: String {
    var words = [kind.rawValue] + targets
    if let groups { words.append(groups.map { $0.joined(separator: ", ") }.joined(separator: " | ")) }
    if let percent { words.append("\(decimal(percent, places: percent == percent.rounded() ? 0 : 4)) %") }
    if let microseconds {
      words.append("\(decimal(Double(microseconds) / 1000, places: microseconds % 1000 == 0 ? 0 : 3)) ms")
    }
    if let bitsPerSecond { words.append("\(decimal(Double(bitsPerSecond) / 1e6, places: 3)) Mbit/s") }
    if let downMilliseconds, let upMilliseconds {
      words.append("\(duration(Double(downMilliseconds) / 1000)) down, \(duration(Double(upMilliseconds) / 1000)) up")
    }
    if let times { words.append("\(times) times") }
    if let from { words.append("from \(from)") }
    return words.joined(separator: " ")
  }
}

extension TrafficStep {
  /// `traffic h1 → web udp/5202 at 5.00 Mbit/s for 10.00 s`
  fileprivate var summary: String {
    let port = port.map { "/\($0)" } ?? ""
    let family = family.map { " \($0 == .ipv4 ? "IPv4" : "IPv6")" } ?? ""
    let rate = rate.map { " at \(decimal(Double($0) / 1e6, places: 2)) Mbit/s" } ?? ""
    let packets = packetsPerSecond.map { " at \($0) packets/s" } ?? ""
    let length = milliseconds.map { " for \(duration(Double($0) / 1000))" } ?? ""
    return "traffic \(from) → \(to) \(transport.rawValue)\(port)\(family)\(rate)\(packets)\(length)"
  }
}
