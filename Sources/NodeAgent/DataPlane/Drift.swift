// What differs between what is desired of the node's data plane and what its kernel holds. Read afresh each time; what
// belongs to others is listed apart and never touched.

internal import ControlProtocol
internal import FoundationEssentials
internal import NetTypes
internal import Netlink
internal import Nftables

extension NLDriftReport {
  mutating func add(_ kind: NLDriftItem.Kind, _ type: String, _ what: String) {
    items.append(Self.item(kind, type, what))
  }

  mutating func addForeign(_ type: String, _ what: String) { foreign.append(Self.item(.excess, type, what)) }

  private static func item(_ kind: NLDriftItem.Kind, _ type: String, _ what: String) -> NLDriftItem {
    var item = NLDriftItem()
    (item.kind, item.type, item.what) = (kind, type, what)
    return item
  }
}

extension DataPlane {
  func drift(into report: inout NLDriftReport) throws(KernelError) {
    try compareTables(&report)
    try compareTraffic(&report)
    try comparePaths(&report)
    try compareAddresses(&report)
    compareSysctls(&report)
  }

  // MARK: nftables

  private func compareTables(_ report: inout NLDriftReport) throws(KernelError) {
    let standing = try readTables()
    for wanted in program.ruleset.tables {
      if let table = standing.table(wanted.id) {
        compare(table, wanted, &report)
      } else {
        report.add(.missing, "nft", "table \(wanted.id)")
      }
    }
    for table in standing.tables where !program.ruleset.tables.contains(where: { $0.id == table.id }) {
      report.add(.excess, "nft", "table \(table.id)")
    }
    for table in standing.foreign { report.addForeign("nft", "table \(table)") }
  }

  private func compare(_ standing: StandingTable, _ wanted: Table, _ report: inout NLDriftReport) {
    let place = "table \(wanted.id)"
    if !standing.flags.isEmpty { report.add(.changed, "nft", "\(place): flags \(standing.flags)") }
    for object in standing.objects { report.add(.excess, "nft", "\(place) \(object.typeName) \(object.name)") }
    for flowtable in standing.flowtables { report.add(.excess, "nft", "\(place) flowtable \(flowtable)") }
    for chain in wanted.chains {
      guard let there = standing.chain(chain.name) else {
        report.add(.missing, "nft", "\(place) chain \(chain.name)")
        continue
      }
      if there.base != chain.base { report.add(.changed, "nft", "\(place) chain \(chain.name): hook or policy") }
      compare(there.content.rules, chain.rules.map(\.canonical), "\(place) chain \(chain.name)", &report)
    }
    for chain in standing.chains where !wanted.chains.contains(where: { $0.name == chain.name }) {
      report.add(.excess, "nft", "\(place) chain \(chain.name)")
    }
    for set in wanted.sets {
      guard let there = standing.set(set.name) else {
        report.add(.missing, "nft", "\(place) set \(set.name)")
        continue
      }
      if there.shape != set.shape { report.add(.changed, "nft", "\(place) set \(set.name)") }
    }
    for set in standing.sets where !wanted.sets.contains(where: { $0.name == set.name }) {
      report.add(.excess, "nft", "\(place) set \(set.name)")
    }
  }

  /// A rule that stands elsewhere in its chain than it should is changed, and so is one whose comment is ours and whose
  /// expressions are not.
  private func compare(
    _ standing: [Nftables.Rule], _ wanted: [Nftables.Rule], _ place: String, _ report: inout NLDriftReport
  ) {
    guard standing != wanted else { return }
    var surplus = standing.counted
    var missing: [Nftables.Rule] = []
    var common: [Nftables.Rule: Int] = [:]
    for rule in wanted {
      if surplus[rule, default: 0] > 0 {
        surplus[rule, default: 0] -= 1
        common[rule, default: 0] += 1
      } else {
        missing.append(rule)
      }
    }
    let excess = standing.filter { rule in
      guard surplus[rule, default: 0] > 0 else { return false }
      surplus[rule, default: 0] -= 1
      return true
    }
    var namesakes: [String: [Int]] = [:]
    for (place, rule) in excess.enumerated().reversed() { namesakes[rule.comment, default: []].append(place) }
    var paired: Set<Int> = []
    for rule in missing {
      if !rule.comment.isEmpty, let other = namesakes[rule.comment]?.popLast() {
        paired.insert(other)
        report.add(.changed, "nft", "\(place): \(rule.text)")
      } else {
        report.add(.missing, "nft", "\(place): \(rule.text)")
      }
    }
    for (number, rule) in excess.enumerated() where !paired.contains(number) {
      report.add(.excess, "nft", "\(place): \(rule.text)")
    }
    for rule in Self.misplaced(standing.keeping(common), wanted.keeping(common)) {
      report.add(.changed, "nft", "\(place): \(rule.text) (out of order)")
    }
  }

  /// The same rules in two orders: the fewest that would have to move.
  private static func misplaced(_ standing: [Nftables.Rule], _ wanted: [Nftables.Rule]) -> [Nftables.Rule] {
    guard standing != wanted else { return [] }
    return CommonSubsequence(of: standing, wanted).inserted.map { wanted[$0] }
  }

  // MARK: Qdiscs and classes

  private func compareTraffic(_ report: inout NLDriftReport) throws(KernelError) {
    let qdiscs = try view.socket.qdiscs().map(\.subject)
    for link in view.links.values.sorted(by: { $0.index < $1.index }) where !link.isLoopback {
      for qdisc in qdiscs where qdisc.link == link.index && qdisc.parent == .ingress {
        report.add(.excess, "tc", "qdisc \(qdisc.discipline.kind) of \(link.name)")
      }
      let wanted = program.shapers.first { $0.link == link.index }?.plan.kept ?? TrafficPlan(on: link.index)
      let isShaped = qdiscs.contains { $0.link == link.index && $0.handle != .none && $0.discipline != .noqueue }
      guard isShaped || !wanted.isEmpty else { continue }
      let current = try view.socket.trafficPlan(of: link.index)
      compare(current, wanted, link.name, &report)
    }
    for filter in try excessFilters() {
      let name = view.links[filter.link]?.name ?? "?"
      report.add(.excess, "tc", "filter \(filter.kind) pref \(filter.priority) of \(filter.parent) of \(name)")
    }
  }

  /// Below qdiscs of ours: packets are classified by nftables, so every filter there leads them elsewhere.
  func excessFilters() throws(KernelError) -> [TrafficFilter] {
    var found: [TrafficFilter] = []
    for shaper in program.shapers {
      for parent in shaper.plan.qdiscs.map(\.handle) + shaper.plan.classes.map(\.handle) {
        found += try view.socket.filters(of: shaper.link, under: parent)
      }
    }
    return found
  }

  private func compare(
    _ current: TrafficPlan, _ wanted: TrafficPlan, _ name: String, _ report: inout NLDriftReport
  ) {
    func text(_ qdisc: Qdisc) -> String { "qdisc \(qdisc.discipline.kind) \(qdisc.handle) of \(name)" }
    func text(_ one: TrafficClass) -> String { "class \(one.discipline.kind) \(one.handle) of \(name)" }
    for qdisc in wanted.qdiscs where !current.qdiscs.contains(qdisc) {
      let isThere = current.qdiscs.contains { $0.parent == qdisc.parent && $0.handle == qdisc.handle }
      report.add(isThere ? .changed : .missing, "tc", text(qdisc))
    }
    for qdisc in current.qdiscs
    where !wanted.qdiscs.contains(where: { $0.parent == qdisc.parent && $0.handle == qdisc.handle }) {
      report.add(.excess, "tc", text(qdisc))
    }
    for one in wanted.classes where !current.classes.contains(one) {
      let isThere = current.classes.contains { $0.handle == one.handle }
      report.add(isThere ? .changed : .missing, "tc", text(one))
    }
    for one in current.classes where !wanted.classes.contains(where: { $0.handle == one.handle }) {
      report.add(.excess, "tc", text(one))
    }
  }

  // MARK: Policy routing

  private func comparePaths(_ report: inout NLDriftReport) throws(KernelError) {
    let (standing, others) = try standingRules()
    let wanted = program.paths.rules
    for rule in wanted.subtracting(standing).sorted(by: { $0.text < $1.text }) {
      report.add(.missing, "rule", rule.text)
    }
    for rule in standing.subtracting(wanted).sorted(by: { $0.text < $1.text }) {
      report.add(.excess, "rule", rule.text)
    }
    for rule in others { report.addForeign("rule", rule.text) }
    let routes = try standingPathRoutes(
      Set((program.paths.paths.map(\.table) + standing.map(\.table)).filter(PolicyPaths.isOurs)))
    let desired = program.paths.routes(view.links)
    for route in desired where !routes.contains(where: { Self.same($0, route) }) {
      let isThere = routes.contains { $0.table == route.table && $0.destination == route.destination }
      report.add(isThere ? .changed : .missing, "route", Self.text(route))
    }
    for route in routes
    where !desired.contains(where: { $0.table == route.table && $0.destination == route.destination }) {
      report.add(.excess, "route", Self.text(route))
    }
  }

  private static func text(_ route: Route) -> String { "\(route.destination) of table \(route.table.rawValue)" }

  // MARK: Kernel parameters

  private func compareSysctls(_ report: inout NLDriftReport) {
    for (name, value) in program.sysctls.sorted(by: { $0.key < $1.key }) {
      do throws(KernelError) {
        let current = try readSysctl(name)
        if !Self.same(current, value) { report.add(.changed, "sysctl", "\(name) is \(current), not \(value)") }
      } catch {
        report.add(.missing, "sysctl", name)
      }
    }
  }
}

extension [Nftables.Rule] {
  fileprivate var counted: [Nftables.Rule: Int] { reduce(into: [:]) { $0[$1, default: 0] += 1 } }

  /// Only so many of each.
  fileprivate func keeping(_ counts: [Nftables.Rule: Int]) -> [Nftables.Rule] {
    var left = counts
    return filter { rule in
      guard left[rule, default: 0] > 0 else { return false }
      left[rule, default: 0] -= 1
      return true
    }
  }
}
