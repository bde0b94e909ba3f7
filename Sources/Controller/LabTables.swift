internal import NetTypes
internal import NorthboundAPI
internal import Topology

/// All kernels' tables and, where asked for, all speakers' RIBs, as read for one check.
struct LabTables: Sendable {
  /// A route that somebody should have kept to its customers, at one who has it.
  struct Found: Sendable {
    let viewer: String
    let route: BGPRoute
    let leak: ValleyCheck.Leak
    /// The viewer's AS in front.
    let path: [UInt32]
  }

  private struct Speaker: Sendable {
    let name: String
    let asn: UInt32
    let kernel: [KernelRoute]
    let bgp: [BGPRoute]
  }

  private(set) var picture: ForwardingPicture
  private var speakers: [Speaker] = []

  init(_ picture: ForwardingPicture) { self.picture = picture }

  /// - Parameter bgp: nil: it has no speaker that tells, or nobody asked.
  mutating func add(_ node: ResolvedNode, kernel: [KernelRoute], bgp: [BGPRoute]?) {
    picture.add(
      ForwardingPicture.Node(
        name: node.name, forwards: node.kind.forwards, own: Set(node.addresses), table: RoutingTable(kernel),
        networks: node.networks))
    guard let bgp, let asn = node.asn?.rawValue else { return }
    speakers.append(Speaker(name: node.name, asn: asn, kernel: kernel, bgp: bgp))
  }

  var judgedRoutes: Int { speakers.reduce(0) { $0 + $1.bgp.count } }

  func fibEqualsRIB() -> CheckResult {
    var violations: [Violation] = []
    for speaker in speakers {
      violations += FIBCheck(node: speaker.name, bgp: speaker.bgp, kernel: speaker.kernel).violations()
    }
    return CheckResult(
      check: CheckWord.fibEqualsRIB.rawValue, holds: violations.isEmpty, undecided: nil,
      violations: Array(violations.prefix(ForwardingChecks.limit)), examined: judgedRoutes)
  }

  /// Best routes first, then what else is usable.
  func leaks(_ check: TransitCheck) -> [LeakedRoute] {
    let found = speakers.flatMap { speaker in
      speaker.bgp.filter { check.isLeak($0, seenFrom: speaker.asn) }.map { route in
        LeakedRoute(node: speaker.name, prefix: route.prefix, asPath: route.asPath, best: route.best)
      }
    }
    return found.filter(\.best) + found.filter { !$0.best }
  }

  /// Best routes first.
  func leaks(_ check: ValleyCheck) -> [Found] {
    var found: [Found] = []
    for speaker in speakers {
      for route in speaker.bgp where route.usable && !route.rejected && route.neighbor != nil {
        let path = [speaker.asn] + route.asPath
        guard let leak = check.leak(in: path) else { continue }
        found.append(Found(viewer: speaker.name, route: route, leak: leak, path: path))
      }
    }
    return found.filter(\.route.best) + found.filter { !$0.route.best }
  }

  /// An address to send to along a leaked route.
  func target(of found: Found, _ subjects: CheckSubjects) -> String {
    guard let prefix = IPPrefix(found.route.prefix) else { return found.route.prefix }
    let known =
      subjects.destinations.first { $0.prefix == prefix }
      ?? subjects.destinations.first {
        prefix.contains($0.address)
      }
    return (known?.address ?? prefix.address).description
  }
}

extension LabTables.Found {
  func violation(_ severity: Violation.Severity, router: String?) -> Violation {
    let use =
      switch (severity, route.best) {
      case (.failure, _): "and packets take it"
      case (.warning, true): "no packet was seen to take it"
      case (.warning, false): "not as its best"
      }
    return Violation(
      severity: severity, node: router ?? "AS\(leak.leaker)", prefix: route.prefix, asPath: path, because: "leak",
      detail: "AS\(leak.leaker) passed on to AS\(leak.sentTo) what it has from AS\(leak.learnedFrom); "
        + "\(viewer) has it, \(use)")
  }
}

extension ForwardingChecks {
  /// Why a packet did not arrive, or its answer: as the tables tell it, else from where it was last seen.
  func unreachable(_ from: String, _ to: CheckSubjects.Destination, _ trace: Trace) -> Violation {
    if let known = unreachable(from, to) { return known }
    let arrived = trace.forward.path.last == to.holder && to.holder != nil
    let last = trace.forward.lastSeen ?? trace.forward.path.last ?? from
    let errors = trace.icmpErrors.isEmpty ? "" : " (\(trace.icmpErrors.joined(separator: "; ")))"
    return Violation(
      severity: .failure, node: arrived ? to.holder ?? from : trace.forward.path.last ?? from,
      prefix: to.prefix.description, path: trace.forward.path, because: arrived ? "no-answer" : "lost",
      detail: arrived
        ? "\(from) reaches \(to.address), and nothing comes back" + errors
        : "what \(from) sends to \(to.address) was last seen at \(last)" + errors)
  }

  /// As the tables tell it; nil: they say that it arrives.
  func unreachable(_ from: String, _ to: CheckSubjects.Destination) -> Violation? {
    var walk = ForwardingWalk(picture, to: to.address)
    guard !walk.arrives(from: from) else { return nil }
    guard let (step, way) = walk.failures(from: from).first else {
      return Violation(
        severity: .failure, node: from, prefix: to.prefix.description, because: "loop",
        detail: "what \(from) sends to \(to.address) goes in a circle")
    }
    let end = way.last ?? from
    let reason = step.reason(at: end)
    return Violation(
      severity: .failure, node: end, prefix: to.prefix.description, path: way, because: reason.word,
      detail: "\(from) does not reach \(to.address): \(reason.sentence)")
  }
}
