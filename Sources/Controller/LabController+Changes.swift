// From a request to the version it makes: CHANGE or old version → lab → plan → on every node or nowhere → result.
//
// One change at a time. While a version waits to be confirmed only its confirmation and rollbacks are taken, so that
// what the timer would undo is what its author has seen.

internal import ControlProtocol
internal import Foundation
internal import Intent
internal import Logging
internal import Mesh
internal import NIOCore
public import NorthboundAPI
internal import Topology

extension LabController {
  /// What is being done, from the request until its last node has answered.
  struct ChangeUnderWay: Sendable {
    /// `apply FILE`, `rollback to 3`
    var what: String
    var author: String
  }

  struct ChangeCounters: Sendable {
    var applies: UInt64 = 0
    var rollbacks: UInt64 = 0
    /// Refused by a node, given up, or interrupted.
    var refused: UInt64 = 0
  }

  /// One step from the version that stands to another.
  struct Transition: Sendable {
    var change: String
    var author: String
    var wanted: LabIntent
    var plan: ChangePlan
    /// Of the new version: those of an old one that it still needs, and what comes over them.
    var layers: [Int64]
    var adding: FileLayer?
    /// Makes a version even where nothing differs.
    var isRollback = false
    var confirmWithin: Int64?
    /// Nodes that are stopped are passed over: what they hold is gone, and they get what stands when they start.
    var passesStopped = false
  }

  /// What a CHANGE would do. Throws `APIError`: `invalid-file` with every mistake.
  public func plan(_ request: ChangeRequest) async throws -> ChangePlan {
    let resolved = try await resolve(adding: FileLayer(file: request.file, text: request.text))
    return plan(to: resolved.intent, warnings: resolved.warnings)
  }

  /// Throws `APIError`: `invalid-file`; `refused` by a node, naming it and its reason; `conflict` with what is under
  /// way. Whatever is thrown, nothing has changed on any node.
  public func apply(_ request: ChangeRequest) async throws -> ChangeResult {
    let began = Instant.now
    if let limit = request.confirmWithinMs, !(1...86_400_000).contains(limit) {
      throw APIError(code: "invalid", message: "confirmWithinMs is \(limit), expected 1 to 86400000 (a day)")
    }
    let author = request.author?.nonEmpty ?? userName()
    try beginChange(ChangeUnderWay(what: "apply \(request.file)", author: author))
    defer { endChange() }
    let layer = FileLayer(file: request.file, text: request.text)
    let resolved = try await resolve(adding: layer)
    // Of what was applied before, and of this one, only what still says something is kept and read again.
    let kept = resolved.needed.filter { $0 < current.layers.count }.map { current.layers[$0] }
    let transition = Transition(
      change: "apply \(request.file)", author: author, wanted: resolved.intent,
      plan: plan(to: resolved.intent, warnings: resolved.warnings), layers: kept,
      adding: resolved.needed.last == current.layers.count ? layer.keepingManifests(of: resolved.intent.lab) : nil,
      confirmWithin: request.confirmWithinMs)
    let done = try await carryOut(transition, dryRun: request.dryRun == true)
    if done { counters.applies += 1 }
    return result(of: transition, applied: done, began)
  }

  /// To an older version, as a new one. Throws `APIError`, like `apply`; `not-found` with the versions there are.
  public func rollback(_ request: RollbackRequest) async throws -> ChangeResult {
    let author = request.author?.nonEmpty ?? userName()
    return try await rollback(to: request.version, author: author, because: nil, passesStopped: false)
  }

  private func rollback(
    to number: Int?, author: String, because: String?, passesStopped: Bool
  ) async throws -> ChangeResult {
    let began = Instant.now
    let target = try rollbackTarget(number)
    let words = "rollback to \(target.version)"
    try beginChange(ChangeUnderWay(what: words, author: author), evenUnconfirmed: true)
    defer { endChange() }
    let resolved = try await resolve(store.layers(target.layers))
    let transition = Transition(
      change: words + (because.map { " (\($0))" } ?? ""), author: author, wanted: resolved.intent,
      plan: plan(to: resolved.intent, warnings: resolved.warnings), layers: target.layers, adding: nil,
      isRollback: true, confirmWithin: nil, passesStopped: passesStopped)
    let done = try await carryOut(transition, dryRun: false)
    if done { counters.rollbacks += 1 }
    return result(of: transition, applied: done, began)
  }

  private func rollbackTarget(_ number: Int?) throws -> StoredVersion {
    let past = try stored { try store.past() }
    guard let wanted = number ?? past.first(where: { $0 < current.version }) else {
      throw APIError(code: "not-found", message: "version \(current.version) is the first: there is none before it")
    }
    if wanted == current.version {
      throw APIError(code: "conflict", message: "version \(wanted) is the current one")
    }
    guard past.contains(wanted), let found = try stored({ try store.version(wanted) }) else {
      let listed = past.isEmpty ? "there is only \(current.version)" : "there are \(Self.listed(past.reversed()))"
      throw APIError(code: "not-found", message: "no version \(wanted) to go back to: \(listed)")
    }
    return found
  }

  /// "1, 2, 5", long lists shortened.
  private static func listed(_ versions: [Int]) -> String {
    guard versions.count > 20 else { return versions.map(String.init).joined(separator: ", ") }
    return "\(versions.prefix(3).map(String.init).joined(separator: ", ")), … "
      + versions.suffix(10).map(String.init).joined(separator: ", ")
  }

  private func result(of transition: Transition, applied: Bool, _ began: Instant) -> ChangeResult {
    ChangeResult(
      version: current.version, applied: applied, plan: transition.plan,
      confirmBy: applied ? current.confirmBy.map(rfc3339(milliseconds:)) : nil,
      milliseconds: Double((Instant.now - began).nanoseconds) / 1_000_000)
  }

  // MARK: one at a time

  private func beginChange(_ new: ChangeUnderWay, evenUnconfirmed: Bool = false) throws {
    if let change {
      throw APIError(
        code: "conflict", message: "\(change.what) by \(change.author) is under way; try again when it has ended")
    }
    if let deadline = current.confirmBy, !evenUnconfirmed {
      throw APIError(
        code: "conflict",
        message: "version \(current.version) (\(current.change) by \(current.author)) waits to be confirmed until "
          + "\(rfc3339(milliseconds: deadline)); confirm it or roll it back first")
    }
    if adopting {
      throw APIError(code: "conflict", message: "the controller was restarted and is adopting the nodes; try again")
    }
    change = new
  }

  /// What was seen meanwhile counts now.
  private func endChange() {
    change = nil
    isHeld = false
    observeOutage()
    observeHealth()
    refreshMesh()
    for name in agents.keys.sorted() { reconcile(name) }
    forgetUnrepaired()
    repairWhatDrifted()
    look()
  }

  // MARK: labs and plans

  struct Resolved: Sendable {
    var intent: LabIntent
    var warnings: [String]
    /// Of the layers it was read from.
    var needed: [Int]
  }

  private func resolve(adding layer: FileLayer) async throws -> Resolved {
    let layers = try stored { try store.layers(current.layers) } + [layer]
    return try await resolve(layers)
  }

  /// Reading a large file takes its time; agents are heard meanwhile.
  private func resolve(_ layers: [FileLayer]) async throws -> Resolved {
    let directory = plan.baseDirectory
    let (parsed, needed) = await Task.detached { TopologyFile.read(layers, baseDirectory: directory) }.value
    let file = layers.last?.file ?? ""
    guard var wanted = parsed.value else {
      let errors = parsed.errors.map(\.description)
      let mistakes = errors.count == 1 ? "a mistake" : "\(errors.count) mistakes"
      throw APIError(
        code: "invalid-file", message: "\(file) has \(mistakes); nothing was touched", diagnostics: errors)
    }
    wanted.name = lab.name
    guard wanted.hasSkeleton(of: lab) else {
      throw APIError(
        code: "invalid-file", message: "\(file) changes what a running lab keeps; nothing was touched",
        diagnostics: ["\(file):1:1: error: nodes, kinds, links, addresses and AS numbers stay as `up` made them"])
    }
    return Resolved(intent: LabIntent(wanted), warnings: parsed.warnings.map(\.description), needed: needed)
  }

  private func plan(to wanted: LabIntent, warnings: [String]) -> ChangePlan {
    let nodes = intent.changes(to: wanted).map { node, changes in
      NodeChanges(node: node, changes: changes.map(ObjectChange.init))
    }
    return ChangePlan(
      version: current.version, nodes: nodes, warnings: warnings,
      mesh: intent.lab.meshChanges(to: wanted.lab).map(ObjectChange.init))
  }

  /// Errors of the version store as the API tells them.
  func stored<Result>(_ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch {
      logger.error("\(error)")
      throw APIError(code: "internal", message: "the versions of the lab cannot be kept: \(error)")
    }
  }

  // MARK: history and confirmation

  /// Newest first.
  public func history(limit: Int, offset: Int) throws -> [VersionEntry] {
    try stored { try store.history(limit: limit, offset: offset) }.map(VersionEntry.init)
  }

  /// Throws `APIError` `conflict` where nothing waits.
  public func confirm() throws -> VersionEntry {
    if let change {
      throw APIError(code: "conflict", message: "\(change.what) by \(change.author) is under way")
    }
    guard current.confirmBy != nil else {
      throw APIError(code: "conflict", message: "nothing waits to be confirmed: version \(current.version) is final")
    }
    current = try stored { try store.confirm(current) }
    confirmation?.cancel()
    confirmation = nil
    record(node: "", kind: "change", subject: "version \(current.version)", text: "confirmed")
    return VersionEntry(current)
  }

  /// Sets the timer of a version that waits to be confirmed; one whose time is up, at once.
  func awaitConfirmation() {
    confirmation?.cancel()
    confirmation = nil
    guard let deadline = current.confirmBy else { return }
    rollBackUnconfirmed(in: max(0, deadline - wallClockMilliseconds()))
  }

  private func rollBackUnconfirmed(in milliseconds: Int64) {
    let version = current.version
    confirmation = loop.scheduleTask(in: .milliseconds(milliseconds)) {
      Task { await self.notConfirmed(version) }
    }
  }

  /// Tries again until it holds: the promise was made when the version was applied.
  private func notConfirmed(_ version: Int) async {
    guard current.version == version, let deadline = current.confirmBy else { return }
    guard change == nil, !adopting else { return rollBackUnconfirmed(in: 50) }
    let within = Duration.milliseconds(max(0, deadline - current.at))
    do {
      _ = try await rollback(
        to: nil, author: current.author, because: "not confirmed within \(within.words)", passesStopped: true)
    } catch {
      let text = "not confirmed, but not rolled back yet: \((error as? APIError)?.message ?? "\(error)")"
      record(node: "", kind: "error", subject: "version \(version)", text: text)
      rollBackUnconfirmed(in: 1000)
    }
  }
}

extension ResolvedLab {
  /// Everything that netloom-machine built.
  func hasSkeleton(of other: ResolvedLab) -> Bool {
    ipv4 == other.ipv4 && ipv6 == other.ipv6 && links == other.links && nodes.count == other.nodes.count
      && zip(nodes, other.nodes).allSatisfy { new, old in
        new.name == old.name && new.kind == old.kind && new.asn == old.asn && new.loopbacks == old.loopbacks
          && new.interfaces == old.interfaces && new.pod == old.pod
      } && mesh?.services.map(\.skeleton) == other.mesh?.services.map(\.skeleton)
  }
}

extension Topology.MeshService {
  /// What pods' kernels and routers' BGP were made for.
  fileprivate var skeleton: Topology.MeshService {
    var service = self
    service.place = Place(file: "", line: 0, column: 0)
    service.policy = .init()
    service.split = [:]
    service.health = nil
    return service
  }
}

extension FileLayer {
  /// With the manifests of its `mesh.routes` as they were read: what becomes of the files later changes no version.
  func keepingManifests(of lab: ResolvedLab) -> FileLayer {
    FileLayer(file: file, text: text, manifests: lab.mesh?.manifests ?? [:])
  }
}

extension ObjectChange {
  init(_ change: PlannedChange) {
    let action: Action =
      switch change.action {
      case .add: .add
      case .remove: .remove
      case .change: .change
      }
    self.init(action: action, section: change.section, what: change.what, was: change.was, place: change.place)
  }
}

extension ChangePlan {
  /// One line per change: `edge: + nat masquerade out eth1`, `edge: - …`, `edge: ~ bgp … (was …)`.
  var lines: [String] {
    nodes.flatMap { node in node.changes.map { "\(node.node): \($0.line)" } } + mesh.map { "mesh: \($0.line)" }
  }
}

extension VersionEntry {
  init(_ stored: StoredVersion) {
    self.init(
      version: stored.version, at: rfc3339(milliseconds: stored.at), change: stored.change,
      current: stored.state == .current, author: stored.author, diff: stored.diff,
      confirmBy: stored.confirmBy.map(rfc3339(milliseconds:)))
  }
}

extension ObjectChange {
  fileprivate var line: String {
    switch action {
    case .add: "+ \(section) \(what)"
    case .remove: "- \(section) \(what)"
    case .change: "~ \(section) \(what)" + (was.map { " (was \($0))" } ?? "")
    }
  }
}
