public import BGPWire
import NetTypes

/// A rule that the speaker originates (RFC 8955), beside obeying it.
public struct OriginatedFlowRule: Hashable, Sendable {
  public var rule: FlowRule
  public var actions: FlowActions

  public init(_ rule: FlowRule, _ actions: FlowActions) {
    self.rule = rule
    self.actions = actions
  }
}

/// A rule that is to be obeyed.
public struct ActiveFlowRule: Hashable, Sendable {
  public var rule: FlowRule
  public var actions: FlowActions

  public init(_ rule: FlowRule, _ actions: FlowActions) {
    self.rule = rule
    self.actions = actions
  }
}

/// One route of one rule as people see it. Built for questions, never kept.
public struct FlowRuleView: Sendable, Equatable {
  public var rule: FlowRule
  /// nil: they do not decode.
  public var actions: FlowActions?
  /// `PeerIndex.local`: originated here.
  public var peer: PeerIndex
  /// `PeerSettings.name` and `.session`; empty: originated here.
  public var neighbor = ""
  public var session = ""
  /// Valid, and the best of the rule.
  public var isActive = false
  public var inactiveBecause: String?
  public var isStale = false
  /// After import policy.
  public var attributes: PathAttributes
}

extension RoutingTable {
  /// The rules to obey, in the order in which packets are asked of them (RFC 8955 section 5.1).
  public mutating func activeFlowRules() -> [ActiveFlowRule] {
    var active: [ActiveFlowRule] = []
    for id in flows.live where flows[id].best != 0 {
      guard let actions = actions(of: paths[flows[id].best].attributes) else { continue }
      active.append(ActiveFlowRule(flows[id].rule, actions))
    }
    return active.sorted { $0.rule < $1.rule }
  }

  /// Every route of every rule, in the same order, the active one of a rule first.
  /// - Parameter wanted: only what these neighbors sent; empty: all.
  public mutating func flowRules(of wanted: [PeerIndex] = []) -> [FlowRuleView] {
    var views: [FlowRuleView] = []
    for id in flows.live.sorted(by: { flows[$0].rule < flows[$1].rule }) {
      let routes = flows[id].routes.filter {
        wanted.isEmpty || wanted.contains(PeerIndex(rawValue: $0.peer))
      }
      let best = flows[id].best
      views += routes.sorted { ($0.path == best ? 0 : 1, $0.peer) < ($1.path == best ? 0 : 1, $1.peer) }.map {
        view($0, flows[id].rule, best)
      }
    }
    return views
  }

  private mutating func view(_ route: FlowTable.Route, _ rule: FlowRule, _ best: UInt32) -> FlowRuleView {
    let record = paths[route.path]
    var list = PathAttributes(canonical: attributes.bytes(record.attributes))
    list.largeCommunities.removeAll { RelationTag.isTag($0, of: settings.asn.rawValue) }
    list.localPref = record.localPref
    var view = FlowRuleView(rule: rule, peer: PeerIndex(rawValue: route.peer), attributes: list)
    view.actions = actions(of: record.attributes)
    view.neighbor = peers[Int(route.peer)].settings.name
    view.session = peers[Int(route.peer)].settings.session
    view.isStale = route.isStale
    view.isActive = route.path == best
    if !view.isActive { view.inactiveBecause = reason(route, best) }
    return view
  }

  private func reason(_ route: FlowTable.Route, _ best: UInt32) -> String {
    let fault = paths[route.path].fault
    if fault != .none { return fault.text ?? "rejected by policy" }
    if let infeasible = route.infeasible { return infeasible.text }
    guard best != 0 else { return "not decided yet" }
    return "another route of the rule is better: \(difference(best, route.path).reason.rawValue)"
  }
}
