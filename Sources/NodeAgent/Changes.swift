internal import ControlProtocol

/// A change of several resources that is made on all nodes or on none, as this node takes part in it: prepared,
/// committed, and then settled or undone. It lives in memory: an agent that was restarted knows of none, and gets what is
/// desired from the controller.
struct PendingChange {
  var id: UInt64
  /// In the order in which they are made so.
  var resources: [NLDesired]
  /// What stood before: by type, with the version; nil until it is committed. A type that is missing had nothing.
  var before: [String: NLDesired]?

  /// The data plane first: the kernel refuses it more often than anything else, and routes do not depend on it.
  private static let order = ["data-plane", "routes", "speaker"]

  init(id: UInt64, _ resources: [NLDesired]) {
    self.id = id
    self.resources = resources.sorted { a, b in
      (Self.order.firstIndex(of: a.type) ?? 0) < (Self.order.firstIndex(of: b.type) ?? 0)
    }
  }
}

extension NLDesired {
  /// The name of its resource type; empty: none that this agent knows.
  var type: String {
    switch resource {
    case .speaker: "speaker"
    case .routes: "routes"
    case .dataPlane: "data-plane"
    case nil: ""
    }
  }

  /// Nothing desired of a type: what stands where the controller never spoke of it. nil: it cannot be taken back.
  static func nothing(of type: String) -> NLDesired? {
    var desired = NLDesired()
    switch type {
    case "routes": desired.routes = NLRouteSet()
    case "data-plane": desired.dataPlane = NLDataPlane()
    default: return nil
    }
    return desired
  }
}

extension Node {
  func check(_ desired: NLDesired) throws(Refusal) {
    switch desired.resource {
    case .speaker(let message): try check(message)
    case .routes(let message): try check(message)
    case .dataPlane(let message): try check(message)
    case nil: throw Refusal("", "nothing this agent knows")
    }
  }

  func apply(_ desired: NLDesired) throws(Refusal) {
    switch desired.resource {
    case .speaker(let message): try apply(message)
    case .routes(let message): try apply(message)
    case .dataPlane(let message): try apply(message)
    case nil: throw Refusal("", "nothing this agent knows")
    }
  }
}

/// What was applied last of each type, and the change that is under way. The agent asks it to do each step.
struct DesiredState {
  private(set) var applied: [String: NLDesired] = [:]
  private(set) var failed: [String: UInt64] = [:]
  private(set) var change: PendingChange?
  /// A change that was committed and cannot be undone any more.
  private var lastStanding: UInt64?

  var versions: [String: UInt64] { applied.mapValues(\.version) }

  /// Outside of a change: the controller has decided, whatever was prepared.
  mutating func apply(_ desired: NLDesired, to node: Node) throws(Refusal) {
    endChange()
    do throws(Refusal) {
      try node.apply(desired)
    } catch {
      failed[desired.type] = desired.version
      throw error
    }
    applied[desired.type] = desired
    failed[desired.type] = nil
  }

  /// What was prepared is forgotten, what was committed stands. Whoever began it is gone, or has decided.
  mutating func endChange() {
    if let change, change.before != nil { lastStanding = change.id }
    change = nil
  }

  mutating func take(_ step: NLChange, _ node: Node) throws(Refusal) {
    switch step.step {
    case .prepare: try prepare(step, node)
    case .commit: try commit(step.id, node)
    case .undo: try undo(step.id, node)
    case .settle: if change?.id == step.id { endChange() }
    case .UNRECOGNIZED: throw Refusal("", "no such step")
    }
  }

  /// A change that was never settled is: the controller would not begin another otherwise.
  private mutating func prepare(_ step: NLChange, _ node: Node) throws(Refusal) {
    endChange()
    let next = PendingChange(id: step.id, step.resources)
    guard Set(next.resources.map(\.type)).count == next.resources.count else {
      throw Refusal("", "a resource type stands twice in one change")
    }
    for resource in next.resources { try node.check(resource) }
    change = next
  }

  private mutating func commit(_ id: UInt64, _ node: Node) throws(Refusal) {
    guard var pending = change, pending.id == id else { throw Refusal("", "change \(id) was not prepared here") }
    guard pending.before == nil else { return }
    let before = applied
    for (place, resource) in pending.resources.enumerated() {
      do throws(Refusal) {
        try node.apply(resource)
      } catch {
        let reason = putBack(pending.resources[...place].reversed().map(\.type), before, node)
        change = nil
        guard let reason else { throw error }
        throw Refusal(error.offender, "\(error.reason); and what stood before: \(reason)", place: error.place)
      }
    }
    pending.before = before
    change = pending
    for resource in pending.resources {
      applied[resource.type] = resource
      failed[resource.type] = nil
    }
  }

  /// Of a change that was never heard of nothing is to be undone.
  private mutating func undo(_ id: UInt64, _ node: Node) throws(Refusal) {
    guard let pending = change, pending.id == id else {
      guard id != lastStanding else { throw Refusal("", "change \(id) is settled here, and stands") }
      return
    }
    change = nil
    guard let before = pending.before else { return }
    let types = pending.resources.reversed().map(\.type)
    let reason = putBack(types, before, node)
    for type in types { applied[type] = before[type] }
    if let reason { throw Refusal("", reason) }
  }

  /// - Returns: why it could not, for what could not.
  private func putBack(_ types: [String], _ before: [String: NLDesired], _ node: Node) -> String? {
    var reasons: [String] = []
    for type in types {
      guard let old = before[type] ?? NLDesired.nothing(of: type) else { continue }
      do throws(Refusal) {
        try node.apply(old)
      } catch {
        reasons.append("\(type): \(error)")
      }
    }
    return reasons.isEmpty ? nil : reasons.joined(separator: "; ")
  }
}
