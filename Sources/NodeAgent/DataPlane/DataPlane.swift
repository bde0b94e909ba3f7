// The data plane of one node: what is desired of it, and how the kernel is made to hold that.
//
//   message ──► DataPlaneProgram ──► check (asks the kernel, changes nothing)
//                              └──► apply: nftables, qdiscs, policy rules, sysctls, in this order
//
// Everything is compared with what the kernel holds before it is written, so that what stands is not touched: a reconcile
// after a restart and an apply are the same thing. nftables is one transaction, and the first, since it refuses most;
// what stood before is put back where a later part is refused.

internal import ControlProtocol
internal import NetTypes
internal import Netlink
internal import Nftables

final class DataPlane {
  let view: KernelView
  let namespace: Namespace?
  let nftables: NftablesSocket
  private let monitor: NftablesMonitor
  /// What should stand.
  private(set) var program = DataPlaneProgram.empty
  /// nil: nobody has said what is desired.
  private(set) var message: NLDataPlane?
  /// The table of an earlier agent stands, and nobody has said what is desired.
  private(set) var isAdopted = false
  /// Of the chain `flowspec`.
  private(set) var flowSpecs = FlowSpecContents()
  /// What parameters were before they were first written here.
  private var sysctlsBefore: [String: String] = [:]
  /// Tables of policy routing that may have routes.
  private var usedTables: Set<RouteTable> = []
  /// Addresses that stood when the node was set up, `exec` lines of its file included: nil until that is over.
  private(set) var addressBaseline: Set<PlacedAddress>?
  /// Since the last `reconcile`.
  private(set) var addressRefusals: [String] = []
  /// An earlier agent has written here: what is there may be its doing.
  private var followsAnother = false
  /// Qdiscs that this kernel was found to have.
  private var presentQdiscs: Set<String> = ["noqueue"]
  private var routesByCodePoint: Bool?

  init(_ view: KernelView, in namespace: Namespace?) throws(KernelError) {
    self.view = view
    self.namespace = namespace
    nftables = try NftablesSocket(in: namespace)
    monitor = try NftablesMonitor(in: namespace, receiveBuffer: 1 << 20)
    try monitor.ignore(causedBy: [nftables.portID])
  }

  /// These belong to the node, planned or not.
  func setAddressBaseline(_ addresses: Set<PlacedAddress>) { addressBaseline = addresses }

  var monitorDescriptor: Int32 { monitor.fileDescriptor }

  /// Whether somebody else changed the tables since it was asked last.
  func tablesChanged() throws(KernelError) -> Bool {
    var changed = false
    var reading: NftablesMonitor.Reading
    repeat {
      reading = try monitor.read()
      changed = changed || reading.hasChanges(notBy: [nftables.portID])
    } while reading.mayHaveMore
    return changed
  }

  /// Makes the base table, unless one of an earlier agent stands: that waits for what is desired.
  func standUp() throws(Refusal) {
    do throws(KernelError) {
      if let standing = try readTables().table(BaseTable.id) { return try adopt(standing) }
    } catch {
      throw Refusal("table \(BaseTable.id)", error.description)
    }
    try write(ruleset: program, asDryRun: false)
    // Counts of connections; a kernel without them shows none.
    try? writeSysctl("net.netfilter.nf_conntrack_acct", "1")
  }
}

// MARK: - Desired state

extension DataPlane {
  /// Of an earlier agent. Its flow rules stay in force until the speaker has decided anew.
  private func adopt(_ standing: StandingTable) throws(KernelError) {
    (isAdopted, followsAnother) = (true, true)
    let chain = BaseChainName.flowspec.rawValue
    flowSpecs.rules = standing.chain(chain)?.content.rules ?? []
    flowSpecs.chains = standing.chains.filter { $0.name.hasPrefix(FlowSpecRules.namePrefix) }.map(\.content)
    for rule in try standingRules().ours {
      guard let number = PolicyPaths.redirectNumber(rule) else { continue }
      let hops = try view.socket.routes(.init(family: rule.family, table: rule.table)).flatMap(\.hops)
      flowSpecs.redirects.insert(FlowRedirect(number: number, family: rule.family, hops: hops))
    }
  }

  func compile(_ message: NLDataPlane) throws(Refusal) -> DataPlaneProgram {
    try DataPlaneProgram(message, links: view.links.values, flowSpecs: flowSpecs)
  }

  /// Whether the kernel would take it. Changes nothing.
  func check(_ program: DataPlaneProgram) throws(Refusal) {
    try checkQdiscs(program)
    if program.paths.rules.contains(where: { $0.codePoint != nil }) { try checkCodePoints(program) }
    for (name, value) in program.sysctls.sorted(by: { $0.key < $1.key }) {
      do throws(KernelError) {
        if !Self.same(try readSysctl(name), value) { try Self.tryOut(name, value) }
      } catch {
        throw program.refusal(ofSysctl: name, error)
      }
    }
    try write(ruleset: program, asDryRun: true)
  }

  private func checkQdiscs(_ program: DataPlaneProgram) throws(Refusal) {
    for shaper in program.shapers {
      let unknown = shaper.plan.kinds.subtracting(presentQdiscs)
      guard !unknown.isEmpty else { continue }
      let support: QdiscSupport
      do throws(KernelError) {
        support = try QdiscSupport.probe(unknown)
      } catch {
        throw Refusal(shaper.origin.text, error.description, place: shaper.origin.place)
      }
      presentQdiscs.formUnion(support.present)
      guard !support.missing.isEmpty else { continue }
      let names = support.missing.sorted().joined(separator: ", ")
      let reason =
        support.missing == ["codel"]
        ? "ecn needs the codel qdisc, which this kernel lacks" : "this kernel lacks the qdisc \(names)"
      throw Refusal(shaper.origin.text, reason, place: shaper.origin.place)
    }
  }

  private func checkCodePoints(_ program: DataPlaneProgram) throws(Refusal) {
    let origin = program.paths.rules.first { $0.codePoint != nil }.flatMap(program.paths.origin) ?? NLOrigin()
    do throws(KernelError) {
      if routesByCodePoint == nil { routesByCodePoint = try NetlinkSocket.canRouteByCodePoint() }
    } catch {
      throw Refusal(origin.text, error.description, place: origin.place)
    }
    guard routesByCodePoint == true else {
      throw Refusal(origin.text, "this kernel's rules of routing cannot ask for a DSCP", place: origin.place)
    }
  }

  /// Makes it so; on a refusal what stood before stands again.
  func apply(_ message: NLDataPlane) throws(Refusal) {
    let next = try compile(message)
    try checkQdiscs(next)
    if next.paths.rules.contains(where: { $0.codePoint != nil }) { try checkCodePoints(next) }
    try replace(with: next)
    self.message = message
    isAdopted = false
  }

  /// Rules of the chain `flowspec` change by themselves, as neighbors speak. A refusal of one of them has its name
  /// (`FlowSpecRules.name`) for an offender.
  func setFlowSpecs(_ contents: FlowSpecContents) throws(Refusal) {
    guard contents != flowSpecs else { return }
    let before = flowSpecs
    flowSpecs = contents
    // What stands of an earlier agent is somebody's desire, not known here yet.
    guard message != nil || !isAdopted else { return }
    do throws(Refusal) {
      let next = try compile(message ?? NLDataPlane())
      do throws(Refusal) {
        // Nothing else depends on them, and nothing else that cannot be written now is their fault.
        try write(ruleset: next, asDryRun: false)
        try write(paths: next)
      } catch {
        try? write(ruleset: program, asDryRun: false)
        try? write(paths: program)
        throw error
      }
      program = next
    } catch {
      flowSpecs = before
      throw error
    }
  }

  private func replace(with next: DataPlaneProgram) throws(Refusal) {
    do throws(Refusal) {
      try write(next)
    } catch {
      // What cannot be put back either is drift: the comparison that follows every change tells it.
      try? write(program)
      throw error
    }
    program = next
  }

  /// Writes what differs from the program.
  /// - Parameter takesStrangers: also qdiscs that this agent never made give way.
  func reconcile(takesStrangers: Bool) throws(Refusal) { try write(program, takesStrangers: takesStrangers) }

  private func write(_ program: DataPlaneProgram, takesStrangers: Bool = false) throws(Refusal) {
    try write(ruleset: program, asDryRun: false)
    addressRefusals = try write(addresses: program)
    try write(traffic: program, takesStrangers)
    try write(paths: program)
    try write(sysctls: program)
  }
}

// MARK: - nftables

extension DataPlane {
  /// How often a transaction is made anew because others changed the tables meanwhile.
  private static let attempts = 16

  private func write(ruleset program: DataPlaneProgram, asDryRun: Bool) throws(Refusal) {
    for _ in 0..<Self.attempts {
      var transaction: Transaction
      do throws(KernelError) {
        transaction = Transaction(from: try readTables(), to: program.ruleset, keepingOrder: true)
      } catch {
        throw Refusal("table \(BaseTable.id)", error.description)
      }
      do throws(KernelError) {
        if asDryRun { try nftables.check(&transaction) } else { try nftables.commit(&transaction) }
        return
      } catch {
        guard !error.isOutdated else { continue }
        let subject = error.message.flatMap {
          transaction.subjects.indices.contains($0) ? transaction.subjects[$0] : nil
        }
        throw Self.refusal(error, subject, program)
      }
    }
    throw Refusal("table \(BaseTable.id)", "others kept changing the tables")
  }

  /// Our tables, desired or not, and the names of all others.
  func readTables() throws(KernelError) -> StandingRuleset {
    let ours = try nftables.tables().filter(BaseTable.isOurs)
    return try nftables.read(Set(ours + [BaseTable.id]))
  }

  /// The kernel's words, with the user's rule.
  private static func refusal(
    _ error: KernelError, _ subject: Transaction.Subject?, _ program: DataPlaneProgram
  ) -> Refusal {
    switch subject {
    case .rule(let chain, _, let comment)? where chain.name == FlowSpecRules.chain:
      return Refusal(FlowSpecRules.name(comment), error.description)
    case .rule(let chain, _, _)? where chain.name.hasPrefix(FlowSpecRules.namePrefix),
      .chain(let chain)? where chain.name.hasPrefix(FlowSpecRules.namePrefix):
      return Refusal(chain.name, error.description)
    case .rule(let chain, _, let comment)?:
      let origin = program.origin(ofRule: comment, in: chain.name)
      return Refusal(origin?.text ?? "chain \(chain.name)", error.description, place: origin?.place ?? "")
    case let subject?: return Refusal("\(subject)", error.description)
    case nil: return Refusal("table \(BaseTable.id)", error.description)
    }
  }
}

// MARK: - Qdiscs and classes

extension DataPlane {
  private func write(traffic program: DataPlaneProgram, _ takesStrangers: Bool) throws(Refusal) {
    for link in view.links.values.sorted(by: { $0.index < $1.index }) where !link.isLoopback {
      let shaper = program.shapers.first { $0.link == link.index }
      do throws(KernelError) {
        let wanted = shaper?.plan ?? TrafficPlan(on: link.index)
        let current = try view.socket.trafficPlan(of: link.index)
        guard shaper != nil || takesStrangers || Self.isOurs(current) else { continue }
        let changes = wanted.changes(from: current)
        guard !changes.isEmpty else { continue }
        var batch = MessageBatch()
        batch.apply(changes, on: link.index)
        try view.socket.commit(&batch)
      } catch {
        guard let shaper else { throw Refusal("qdisc of \(link.name)", error.description) }
        throw Refusal(shaper.origin.text, error.description, place: shaper.origin.place)
      }
    }
  }

  /// Such as this agent makes; another's may have been asked for by an `exec` line of the file.
  private static func isOurs(_ plan: TrafficPlan) -> Bool {
    guard let root = plan.qdiscs.first, root.handle == TrafficShape.qdisc else { return false }
    switch root.discipline {
    case .tbf: return plan.classes.isEmpty
    case .htb: return plan.classes.contains { $0.handle == TrafficShape.whole }
    default: return false
    }
  }
}

// MARK: - Policy routing

extension DataPlane {
  /// The rules of ours that stand, and others' beside the kernel's own three.
  func standingRules() throws(KernelError) -> (ours: Set<Netlink.Rule>, others: [Netlink.Rule]) {
    let all = try view.socket.rules(.ipv4) + view.socket.rules(.ipv6)
    let kernels: Set<UInt32> = [0, 32_766, 32_767]
    return (
      Set(all.filter(PolicyPaths.isOurs)), all.filter { !PolicyPaths.isOurs($0) && !kernels.contains($0.priority) }
    )
  }

  func standingPathRoutes(_ tables: Set<RouteTable>) throws(KernelError) -> [Route] {
    var found: [Route] = []
    for table in tables.sorted(by: { $0.rawValue < $1.rawValue }) {
      found += try view.socket.routes(.init(table: table))
    }
    return found
  }

  /// New ways first, then what leads to them, then what led elsewhere, then the ways that nothing leads to any more: a
  /// packet never meets a rule whose table is not filled.
  private func write(paths program: DataPlaneProgram) throws(Refusal) {
    let paths = program.paths
    var culprit: NLOrigin?
    do throws(KernelError) {
      let standing = try standingRules().ours
      usedTables.formUnion(standing.map(\.table).filter(PolicyPaths.isOurs))
      let tables = usedTables.union(paths.paths.map(\.table))
      guard !tables.isEmpty else { return }
      let routes = try standingPathRoutes(tables)
      let wanted = paths.routes(view.links)
      let newRoutes = wanted.filter { route in !routes.contains { Self.same($0, route) } }
      let newRules = paths.rules.subtracting(standing)
        .sorted { ($0.priority, "\($0)") < ($1.priority, "\($1)") }  // of one priority: always in the same order
      var batch = MessageBatch()
      for route in newRoutes { batch.setRoute(route, .replace) }
      for rule in newRules { batch.addRule(rule) }
      for refusal in try view.socket.commitReportingEach(&batch) where !refusal.isAlreadyThere {
        culprit = refusal.message.flatMap { place in
          place < newRoutes.count
            ? paths.origin(of: newRoutes[place].table) : paths.origin(of: newRules[place - newRoutes.count])
        }
        throw refusal
      }
      var removal = MessageBatch()
      for rule in standing.subtracting(paths.rules) { removal.deleteRule(rule) }
      for route in routes where !wanted.contains(where: { Self.isReplaced(route, by: $0) }) {
        removal.deleteRoute(route)
      }
      for refusal in try view.socket.commitReportingEach(&removal) where !refusal.isNotThere { throw refusal }
      usedTables = Set(paths.paths.map(\.table))
    } catch {
      throw Refusal(culprit?.text ?? "path", error.description, place: culprit?.place ?? "")
    }
  }

  static func same(_ a: Route, _ b: Route) -> Bool {
    isReplaced(a, by: b) && a.kind == b.kind
      && Set(a.hops.map { Route.Hop($0.gateway, link: $0.link, weight: $0.weight) })
        == Set(b.hops.map { Route.Hop($0.gateway, link: $0.link, weight: $0.weight) })
  }

  private static func isReplaced(_ route: Route, by other: Route) -> Bool {
    route.destination == other.destination && route.table == other.table && route.metric == other.metric
  }

  /// After links changed: ways over what is down go, and come back with it.
  func linksChanged() throws(Refusal) {
    guard !program.paths.paths.isEmpty else { return }
    try write(paths: program)
  }
}

// MARK: - Kernel parameters

extension DataPlane {
  private func write(sysctls program: DataPlaneProgram) throws(Refusal) {
    let wanted = program.sysctls.merging(sysctlsBefore.filter { program.sysctls[$0.key] == nil }) { own, _ in own }
    for (name, value) in wanted.sorted(by: { $0.key < $1.key }) {
      do throws(KernelError) {
        let current = try readSysctl(name)
        if sysctlsBefore[name] == nil {
          // An earlier agent's doing, perhaps: what was there before it, only the kernel's default can stand for.
          let isOwn = followsAnother && Self.same(current, value)
          sysctlsBefore[name] = isOwn ? Self.fresh(name) ?? current : current
        }
        if !Self.same(current, value) { try writeSysctl(name, value) }
      } catch {
        throw program.refusal(ofSysctl: name, error)
      }
    }
    sysctlsBefore = sysctlsBefore.filter { program.sysctls[$0.key] != nil }
  }

  /// Whether the kernel takes the value: written in a namespace that is thrown away.
  private static func tryOut(_ name: String, _ value: String) throws(KernelError) {
    try Sysctl.write([Sysctl.Setting(name, value)], in: try Namespace.create())
  }

  /// What a new namespace has; nil: it has no such parameter.
  private static func fresh(_ name: String) -> String? {
    try? Namespace.create().run { () throws(KernelError) in try Sysctl.read(name) }
  }

  /// The kernel separates several numbers by tabs.
  static func same(_ a: String, _ b: String) -> Bool {
    a.split(whereSeparator: \.isWhitespace) == b.split(whereSeparator: \.isWhitespace)
  }

  func readSysctl(_ name: String) throws(KernelError) -> String {
    try Sysctl.read(name, in: namespace)
  }

  private func writeSysctl(_ name: String, _ value: String) throws(KernelError) {
    guard let namespace else { return try Sysctl.write(Sysctl.Setting(name, value)) }
    try Sysctl.write([Sysctl.Setting(name, value)], in: namespace)
  }
}
