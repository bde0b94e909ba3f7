internal import ControlProtocol
internal import Intent
internal import NIOCore
internal import NetTypes
public import NorthboundAPI
internal import Topology

// Verdicts on the whole lab, without a step that says where to look.
//
//   converged? ─► tables of all kernels, RIBs of all speakers ─► walks and comparisons, off the actor
//                                                            └► traces of what they cannot tell, a few at a time
extension LabController {
  /// Routes in all tables together, beyond which nothing is read: a check is no copy of the Internet.
  private static let routeLimit = 400_000
  /// Flows of `reachability`; of what is beyond only the way there is followed.
  private static let tracedPairs = 256
  private static let tracedBothWays = 64
  /// Leaked routes whose traffic is looked for.
  private static let tracedLeaks = 16
  /// Looks at a lab that changes while it is looked at.
  private static let attempts = 3

  /// Throws `APIError`: `invalid` for a word that there is not.
  public func check(_ query: CheckQuery) async throws -> CheckReport {
    let words = try query.words.map(Self.word)
    guard !words.isEmpty else {
      throw APIError(code: "invalid", message: "no check is named; there are: \(Self.known)")
    }
    var report = CheckReport(checks: [])
    for _ in 1...Self.attempts {
      let convergence = await converged(timeoutMilliseconds: 10_000)
      guard convergence.converged else {
        let reason = "the lab has not converged: " + convergence.reasons.prefix(3).joined(separator: "; ")
        return CheckReport(checks: words.map { CheckResult(undecided: $0, reason) })
      }
      // Tables are read one after the other: of a lab that changes meanwhile they are of different times.
      let before = disturbances
      report = await look(words, query.directory)
      if disturbances == before { return report }
    }
    let reason = "the lab changed each of \(Self.attempts) times while it was looked at"
    return CheckReport(checks: words.map { CheckResult(undecided: $0, reason) })
  }

  private func look(_ words: [CheckWord], _ directory: String?) async -> CheckReport {
    let tables: LabTables
    do {
      tables = try await readTables(
        bgp: words.contains { [.valleyFree, .fibEqualsRIB, .noTransit].contains($0) })
    } catch {
      return CheckReport(checks: words.map { CheckResult(undecided: $0, Self.reason(error)) })
    }
    let captures: Captures = directory.map { .folder($0) } ?? .none
    var results: [CheckResult] = []
    for word in words { results.append(await result(of: word, tables, captures)) }
    return CheckReport(checks: results)
  }

  private static let known = CheckWord.allCases.map(\.rawValue).joined(separator: ", ")

  private static func word(_ text: String) throws -> CheckWord {
    if let word = CheckWord(rawValue: text) { return word }
    let hint = nearestName(to: text, in: CheckWord.allCases.map(\.rawValue)).map { "; did you mean \($0)?" } ?? ""
    throw APIError(code: "invalid", message: "there is no check \(text)\(hint) (there are: \(known))")
  }

  private func result(of word: CheckWord, _ tables: LabTables, _ captures: Captures) async -> CheckResult {
    let subjects = CheckSubjects(lab) { innerPID($0) != nil }
    let forwarding = ForwardingChecks(picture: tables.picture, subjects: subjects)
    switch word {
    case .noLoops: return await Self.aside { forwarding.loops() }
    case .noBlackhole: return await Self.aside { forwarding.blackholes() }
    case .fibEqualsRIB: return await Self.aside { tables.fibEqualsRIB() }
    case .valleyFree: return await valleyFree(tables, subjects, captures)
    case .noTransit: return await noTransit(tables, captures)
    case .reachability: return await reachability(forwarding, captures)
    case .symmetric: return await symmetric(subjects, captures)
    }
  }

  /// Off the actor: agents and requests go on being served.
  private static func aside<Value: Sendable>(_ work: @escaping @Sendable () -> Value) async -> Value {
    await Task.detached(operation: work).value
  }

  // MARK: tables

  private func readTables(bgp: Bool) async throws -> LabTables {
    var tables = LabTables(ForwardingPicture(book))
    var total = 0
    for node in lab.nodes where node.kind != .switch && innerPID(node.name) != nil {
      let kernel = try await routes(of: node.name, prefix: nil)
      let speaks = node.bgp != nil && agents[node.name] != nil
      let rib = bgp && speaks ? try await wholeTable(of: node.name) : nil
      total += kernel.count + (rib?.count ?? 0)
      guard total <= Self.routeLimit else {
        throw APIError(
          code: "unavailable", message: "the lab's tables have more than \(Self.routeLimit) routes together")
      }
      tables.add(node, kernel: kernel, bgp: rib)
    }
    return tables
  }

  // MARK: flows

  /// Every pair by a packet as far as they go, the others by the way there in the kernels' tables.
  private func reachability(_ forwarding: ForwardingChecks, _ captures: Captures) async -> CheckResult {
    let pairs = forwarding.subjects.pairs(limit: Int.max)
    let traced = Array(pairs.prefix(Self.tracedPairs))
    let flows = traced.map { Flow(from: $0.from, to: $0.to.address.description) }
    var verdict = Verdict()
    for (pair, result) in zip(traced, await traces(of: flows, captures)) {
      guard let trace = verdict.trace(result, "\(pair.from) to \(pair.to.address)") else { continue }
      guard !trace.reachable else {
        Self.discardCapture(of: trace)
        continue
      }
      verdict.traces.append(trace)
      verdict.violations.append(forwarding.unreachable(pair.from, pair.to, trace))
    }
    let rest = Array(pairs.dropFirst(traced.count))
    verdict.violations += await Self.aside {
      rest.compactMap { forwarding.unreachable($0.from, $0.to) }
    }
    return verdict.result(.reachability, examined: pairs.count)
  }

  private func symmetric(_ subjects: CheckSubjects, _ captures: Captures) async -> CheckResult {
    let pairs = subjects.senderPairs(limit: Self.tracedBothWays)
    var verdict = Verdict()
    let results = await traces(of: pairs.map { Flow(from: $0.from, to: $0.to) }, captures)
    for (pair, result) in zip(pairs, results) {
      guard let trace = verdict.trace(result, "\(pair.from) to \(pair.to)") else { continue }
      guard trace.symmetric == false else {
        Self.discardCapture(of: trace)
        continue
      }
      verdict.traces.append(trace)
      let parting = trace.divergence
      verdict.violations.append(
        Violation(
          severity: .failure, node: parting?.node ?? trace.return.path.first ?? pair.to, prefix: parting?.prefix,
          path: trace.return.path, because: parting?.because ?? "unknown",
          detail: "\(pair.from) to \(pair.to) goes \(arrows(trace.forward.path)) and comes back "
            + arrows(trace.return.path)))
    }
    return verdict.result(.symmetric, examined: pairs.count)
  }

  /// For every AS that is nobody's provider: packets that cross it are failures, routes that would are warnings.
  private func noTransit(_ tables: LabTables, _ captures: Captures) async -> CheckResult {
    var verdict = Verdict()
    var traced = 0
    for stub in ValleyCheck(lab).stubs(lab) {
      let found: NoTransitResult
      do {
        found = try await noTransit(NoTransitQuery(node: stub.node), captures, tables: tables)
      } catch {
        verdict.undecided.append("AS\(stub.asn): \(LabController.reason(error))")
        continue
      }
      traced += found.traced
      if let reason = found.undecided { verdict.undecided.append("AS\(stub.asn): \(reason)") }
      verdict.traces += found.transits
      for trace in found.transits {
        let back = trace.return.path
        verdict.violations.append(
          Violation(
            severity: .failure, node: stub.node, path: trace.forward.path, because: "transit",
            detail: "AS\(stub.asn) carries what goes \(arrows(trace.forward.path)) and comes back \(arrows(back))"))
      }
      for leak in found.leaks.prefix(ForwardingChecks.limit) {
        verdict.violations.append(
          Violation(
            severity: .warning, node: stub.node, prefix: leak.prefix, asPath: leak.asPath, because: "transit",
            detail: "\(leak.node) has a route through AS\(stub.asn)" + (leak.best ? ", its best" : "")))
      }
    }
    return verdict.result(.noTransit, examined: traced)
  }

  private func valleyFree(_ tables: LabTables, _ subjects: CheckSubjects, _ captures: Captures) async -> CheckResult {
    let check = ValleyCheck(lab)
    let found = await Self.aside { tables.leaks(check) }
    var verdict = Verdict()
    // One viewer's flow tells for a leak: whoever has the route as its best sends that way or does not.
    var shown: [ValleyCheck.Leak: Trace] = [:]
    let transit = TransitCheck(asn: 0, exceptCustomers: false, lab: lab, book: book)
    let suspects = found.filter(\.route.best).prefix(Self.tracedLeaks)
    let flows = suspects.map { Flow(from: $0.viewer, to: tables.target(of: $0, subjects)) }
    for (suspect, result) in zip(suspects, await traces(of: flows, captures)) {
      guard let trace = verdict.trace(result, "\(suspect.viewer) to \(suspect.route.prefix)") else { continue }
      let ases = trace.forward.path.compactMap { transit.homes[$0] }
      if ases.contains(suspect.leak.leaker), ases.last != suspect.leak.leaker || !trace.reachable {
        shown[suspect.leak] = trace
      } else {
        Self.discardCapture(of: trace)
      }
    }
    if found.filter(\.route.best).count > Self.tracedLeaks, shown.isEmpty {
      verdict.undecided.append("traffic was looked for along \(Self.tracedLeaks) leaked routes only")
    }
    for item in found.prefix(ForwardingChecks.limit) {
      let severity: Violation.Severity = item.route.best && shown[item.leak] != nil ? .failure : .warning
      verdict.violations.append(item.violation(severity, router: check.router(of: item.leak)))
    }
    verdict.traces = Array(shown.values)
    return verdict.result(.valleyFree, examined: tables.judgedRoutes)
  }
}

/// What a check with flows comes to.
private struct Verdict {
  var violations: [Violation] = []
  var undecided: [String] = []
  var traces: [Trace] = []

  /// Nil: it says nothing, and why is noted.
  mutating func trace(_ result: Result<Trace, any Error>, _ what: String) -> Trace? {
    switch result {
    case .success(let trace):
      guard let reason = trace.undecided else { return trace }
      undecided.append("\(what): \(reason)")
    case .failure(let error):
      undecided.append("\(what): \(LabController.reason(error))")
    }
    return nil
  }

  func result(_ word: CheckWord, examined: Int) -> CheckResult {
    let reason = undecided.isEmpty ? nil : undecided.prefix(5).joined(separator: "; ")
    let order = violations.filter { $0.severity == .failure } + violations.filter { $0.severity == .warning }
    return CheckResult(
      check: word.rawValue, holds: reason == nil && order.first?.severity != .failure, undecided: reason,
      violations: Array(order.prefix(ForwardingChecks.limit)), examined: examined, traces: traces)
  }
}

private func arrows(_ path: [String]) -> String { path.isEmpty ? "nowhere" : path.joined(separator: " → ") }

extension CheckResult {
  init(undecided word: CheckWord, _ reason: String) {
    self.init(check: word.rawValue, holds: false, undecided: reason, violations: [], examined: 0)
  }
}
