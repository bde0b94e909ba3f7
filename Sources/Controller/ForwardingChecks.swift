internal import NetTypes
internal import NorthboundAPI

/// The checks that follow the kernels' tables: they come back nowhere, and send nothing into nothing.
struct ForwardingChecks: Sendable {
  let picture: ForwardingPicture
  let subjects: CheckSubjects

  /// Told of one check at most; a lab that is broken is broken in many places.
  static let limit = 100

  /// Over every originated prefix and every address of a node, from every node.
  func loops() -> CheckResult {
    var found: [Violation] = []
    var cycles: Set<[String]> = []
    let addresses = Set(subjects.destinations.map(\.address) + picture.nodes.values.flatMap(\.own)).sorted()
    for address in addresses {
      var walk = ForwardingWalk(picture, to: address)
      var known: Set<String> = []
      for start in picture.nodes.keys.sorted() where !known.contains(start) {
        guard let way = walk.loop(from: start, known: &known), let last = way.last, let first = way.firstIndex(of: last)
        else { continue }
        known.formUnion(way)
        let cycle = Array(way[first...].dropLast())
        if cycles.insert(cycle.sorted()).inserted, found.count < Self.limit { found.append(loop(cycle, address)) }
      }
    }
    return result(.noLoops, found, examined: addresses.count * picture.nodes.count)
  }

  private func loop(_ cycle: [String], _ address: IPAddress) -> Violation {
    let routes = cycle.map { ($0, picture.nodes[$0]?.table.longestMatch(address)) }
    // What was written by hand decided; BGP's and the shortest paths follow from others.
    let decider = routes.first { !["bgp", "igp"].contains($0.1?.proto) } ?? routes.first
    let reasons = routes.map { "\($0.0) by \($0.1.map { "\($0.proto) \($0.prefix)" } ?? "nothing")" }
    let way = (cycle + cycle.prefix(1)).joined(separator: " → ")
    return Violation(
      severity: .failure, node: decider?.0 ?? "", prefix: decider?.1?.prefix, path: cycle + cycle.prefix(1),
      because: decider?.1?.proto ?? "no-route",
      detail: "what goes to \(address) comes back: \(way) (\(reasons.joined(separator: ", ")))")
  }

  /// Over every originated prefix, from every node that forwards and has a route to it.
  func blackholes() -> CheckResult {
    var found: [Violation] = []
    let routers = picture.nodes.values.filter(\.forwards).sorted { $0.name < $1.name }
    for destination in subjects.destinations {
      var walk = ForwardingWalk(picture, to: destination.address)
      guard picture.nodes.keys.contains(where: { walk.arrives(from: $0) }) else { continue }
      var told: Set<String> = []
      for router in routers where router.table.longestMatch(destination.address)?.kind == "unicast" {
        for (step, way) in walk.failures(from: router.name) {
          guard let end = way.last, told.insert(end).inserted, found.count < Self.limit else { continue }
          found.append(blackhole(destination, step, way))
        }
      }
    }
    return result(.noBlackhole, found, examined: subjects.destinations.count * routers.count)
  }

  private func blackhole(
    _ destination: CheckSubjects.Destination, _ step: ForwardingPicture.Step, _ way: [String]
  ) -> Violation {
    let end = way.last ?? ""
    let reason = step.reason(at: end)
    return Violation(
      severity: .failure, node: end, prefix: destination.prefix.description, path: way, because: reason.word,
      detail: "what \(way.first ?? end) sends to \(destination.prefix) ends at \(end): \(reason.sentence)")
  }

  private func result(_ word: CheckWord, _ violations: [Violation], examined: Int) -> CheckResult {
    CheckResult(
      check: word.rawValue, holds: violations.isEmpty, undecided: nil, violations: violations, examined: examined)
  }
}

extension ForwardingPicture.Step {
  /// Why a way ended there.
  func reason(at node: String) -> (word: String, sentence: String) {
    switch self {
    case .noRoute: ("no-route", "\(node) has no route to it")
    case .discarded(let kind, let prefix): (kind, "\(node) has an \(kind) route to \(prefix)")
    case .nobody(let interface): ("no-neighbor", "nobody behind \(node):\(interface) has the address")
    case .notForwarded: ("not-forwarded", "\(node) passes nothing on")
    case .delivered, .originator, .next: ("delivered", "it arrives")
    }
  }
}
