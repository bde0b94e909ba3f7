// Where a kernel is not what it should be. Agents compare by themselves whenever their kernel announces a change, and
// push the whole list when it is another one; a question asks all of them afresh.

internal import ControlProtocol
internal import Intent
internal import NIOCore
public import NorthboundAPI
internal import Topology

extension LabController {
  private static let driftLimit = TimeAmount.seconds(5)

  /// Nodes that nobody watched so far get an agent for it, which also puts right what is missing there.
  public func drift() async -> Drift {
    let unwatched = await watchAll()
    var found = await summary(of: askForDrift(of: agents.keys.sorted()))
    found.unknown += unwatched
    return found
  }

  private func watchAll() async -> [String] {
    guard change == nil, !adopting else { return [] }
    return await startAgents(on: lab.nodes.map(\.name)).values.sorted()
  }

  /// Throws `APIError` `conflict` while a change is under way: what is missing may just be on its way.
  public func repair() async throws -> Drift {
    if let change {
      throw APIError(code: "conflict", message: "\(change.what) by \(change.author) is under way")
    }
    let unwatched = await watchAll()
    let before = await askForDrift(of: agents.keys.sorted())
    let drifted = before.compactMap { name, answer in
      if case .success(let report) = answer, !report.items.isEmpty { name } else { nil }
    }
    var after = before
    for (name, answer) in await askForRepair(of: drifted) { after[name] = answer }
    var left = summary(of: after)
    let remaining = Set(left.drift)
    // Of a node that has not answered nobody knows.
    left.repaired = summary(of: before).drift.filter { entry in
      guard case .success = after[entry.node] else { return false }
      return !remaining.contains(entry)
    }
    left.unknown += unwatched
    tell(repaired: left.repaired ?? [])
    return left
  }

  // MARK: what agents push

  func drifted(_ report: NLDriftReport, on name: String) {
    let known = Set(agents[name]?.drift?.items ?? [])
    agents[name]?.drift = report
    for item in report.items where !known.contains(item) {
      record(node: name, kind: "drift", subject: item.type, text: "\(item.kind.word): \(item.what)")
    }
    progressed()
    repairWhatDrifted()
  }

  /// What an agent answers is kept in the order of its stream: what it pushes afterwards is newer.
  func noteDrift(in answer: NLToController.OneOf_Body, of name: String) {
    switch answer {
    case .drift(let report) where report.error.isEmpty: agents[name]?.drift = report
    case .queryReply(let reply) where reply.hasDrift && reply.error.isEmpty && reply.drift.error.isEmpty:
      agents[name]?.drift = reply.drift
    default: break
    }
  }

  /// `drift: repair` in the file. Agents tell each report once, so whatever keeps one from being repaired at once (a change
  /// under way, adoption, another repair, a node that does not answer) comes back here when it is over.
  func repairWhatDrifted() {
    guard lab.repairsDrift, change == nil, !adopting else { return }
    for name in agents.keys.sorted() {
      guard let agent = agents[name], let connection = agent.connection, agent.needsRepair else { continue }
      agents[name]?.repair = .underWay
      Task { await self.repairUnasked(name, connection) }
    }
  }

  private func repairUnasked(_ name: String, _ connection: Connection.ID) async {
    let before = agents[name]?.drift?.items ?? []
    let answer = await askForRepair(of: [name])[name]
    // One that came back has told afresh what it finds.
    guard agents[name]?.connection == connection else { return }
    switch answer {
    case .success(let report):
      agents[name]?.failedRepairs = 0
      agents[name]?.repair = .done(leaving: report.items)
      let left = Set(report.items)
      tell(repaired: before.filter { !left.contains($0) }.map { DriftEntry(node: name, $0) })
      for item in report.items {
        record(node: name, kind: "error", subject: "drift", text: "not repaired: \(item.kind.word) \(item.what)")
      }
      repairWhatDrifted()
    case .failure(let error):
      record(node: name, kind: "error", subject: "drift", text: "not repaired: \(error.message)")
      repairAgain(name, connection)
    case nil: agents[name]?.repair = .idle
    }
  }

  /// After 1 s, 2 s, 4 s, … a minute: a node that is busy or stuck is not asked without pause.
  private func repairAgain(_ name: String, _ connection: Connection.ID) {
    let failures = agents[name]?.failedRepairs ?? 0
    agents[name]?.failedRepairs = failures + 1
    schedule(in: .seconds(failures < 6 ? 1 << Int64(failures) : 60)) { controller in
      guard controller.agents[name]?.connection == connection else { return }
      controller.agents[name]?.repair = .idle
      controller.repairWhatDrifted()
    }
  }

  /// What could not be repaired may be possible now.
  func forgetUnrepaired() {
    for name in agents.keys {
      if case .done = agents[name]?.repair { agents[name]?.repair = .idle }
    }
  }

  private func tell(repaired: [DriftEntry]) {
    for entry in repaired {
      record(node: entry.node, kind: "drift", subject: entry.type, text: "repaired, was \(entry.kind): \(entry.what)")
    }
  }

  // MARK: asking

  private typealias Reports = [String: Result<NLDriftReport, APIError>]

  private func askForDrift(of names: [String]) async -> Reports {
    var query = NLQuery()
    query.kind = .drift
    return await reports(of: names, .query(query))
  }

  private func askForRepair(of names: [String]) async -> Reports {
    await reports(of: names, .repair(NLRepair()))
  }

  private func reports(of names: [String], _ message: NLFromController.OneOf_Body) async -> Reports {
    await withTaskGroup(of: (String, Result<NLDriftReport, APIError>).self) { group in
      for name in names { group.addTask { (name, await self.report(of: name, message)) } }
      var reports: Reports = [:]
      for await (name, report) in group { reports[name] = report }
      return reports
    }
  }

  private func report(
    of name: String, _ message: NLFromController.OneOf_Body
  ) async -> Result<NLDriftReport, APIError> {
    if outage.nodes.contains(name) { return .failure(APIError(code: "unavailable", message: "\(name) is stopped")) }
    guard let id = agents[name]?.connection else {
      return .failure(APIError(code: "unavailable", message: "\(name): its agent is not connected"))
    }
    do {
      let report: NLDriftReport
      switch try await ask(id, message, timeout: Self.driftLimit, whom: name) {
      case .drift(let pushed): report = pushed
      case .queryReply(let reply) where reply.error.isEmpty: report = reply.drift
      case .queryReply(let reply): throw APIError(code: "internal", message: "\(name): \(reply.error)")
      default: throw APIError(code: "internal", message: "\(name) answered something else")
      }
      if !report.error.isEmpty { throw APIError(code: "internal", message: "\(name): \(report.error)") }
      return .success(report)
    } catch {
      return .failure(error as? APIError ?? APIError(code: "internal", message: "\(name): \(error)"))
    }
  }

  private func summary(of reports: Reports) -> Drift {
    var drift = Drift(lab: lab.name, drift: [], foreign: [], unknown: [])
    // In the order of the file, as everything is listed.
    for node in lab.nodes {
      switch reports[node.name] {
      case .success(let report):
        drift.drift += report.items.map { DriftEntry(node: node.name, $0) }
        drift.foreign += report.foreign.map { item in
          DriftEntry(node: node.name, kind: .foreign, type: item.type, what: item.what)
        }
      case .failure(let error): drift.unknown.append(error.message)
      case nil: break
      }
    }
    return drift
  }
}

extension DriftEntry {
  init(node: String, _ item: NLDriftItem) {
    let kind: Kind =
      switch item.kind {
      case .missing: .missing
      case .excess: .excess
      case .changed, .UNRECOGNIZED: .changed
      }
    self.init(node: node, kind: kind, type: item.type, what: item.what)
  }
}

extension NLDriftItem.Kind {
  var word: String {
    switch self {
    case .missing: "missing"
    case .excess: "excess"
    case .changed, .UNRECOGNIZED: "changed"
    }
  }
}
