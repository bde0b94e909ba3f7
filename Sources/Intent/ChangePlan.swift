// What a change does, node by node and rule by rule, in the words of the file. Lists whose order counts are compared as
// such; where a thing has a name (a neighbor, a network, an interface's shaper) what stays under it is a change of it.

internal import ControlProtocol
internal import NetTypes
internal import Topology

/// One line of a plan.
public struct PlannedChange: Sendable, Equatable {
  public enum Action: Sendable { case add, remove, change }

  public var action: Action
  /// nat, filter, qos, path, flowspec, routes, networks, bgp, policies, congestion
  public var section: String
  public var what: String
  /// Of `change`: how it was.
  public var was: String?
  /// FILE:LINE:COL of what is added or changed.
  public var place: String?
}

extension LabIntent {
  /// What differs on each node between this lab and the `wanted` one, in the order of the topology; nodes where nothing
  /// does are left out. Both have the same nodes and links: a change cannot touch those.
  public func changes(to wanted: LabIntent) -> [(node: String, changes: [PlannedChange])] {
    let (paths, wantedPaths) = (pathOrigins, wanted.pathOrigins)
    return zip(lab.nodes, wanted.lab.nodes).compactMap { old, new in
      var comparison = Comparison()
      comparison.compare("nat", old.functions.nat.map(\.origin), new.functions.nat.map(\.origin))
      comparison.compare("filter", old.functions.filter.map(\.origin), new.functions.filter.map(\.origin))
      comparison.compare("qos", old.functions.qos.flatMap(\.origins), new.functions.qos.flatMap(\.origins))
      comparison.compare("path", paths[old.name] ?? [], wantedPaths[new.name] ?? [])
      comparison.compare("flowspec", old.functions.flowSpecs.map(\.origin), new.functions.flowSpecs.map(\.origin))
      comparison.compare("routes", named: routes(old), routes(new))
      comparison.compare("networks", named: networks(old), networks(new))
      comparison.compare("congestion", named: congestion(old), congestion(new))
      let (before, after) = (speakerConfig(of: old.name), wanted.speakerConfig(of: new.name))
      comparison.compare("bgp", named: bgp(before), bgp(after))
      comparison.compare("policies", named: policies(before), policies(after))
      return comparison.changes.isEmpty ? nil : (new.name, comparison.changes)
    }
  }

  /// By node: a path is also a matter of the nodes it passes, which get rules and tables of their own for it.
  private var pathOrigins: [String: [RuleOrigin]] {
    var origins: [String: [RuleOrigin]] = [:]
    for node in lab.nodes {
      for rule in node.functions.paths {
        for (place, name) in rule.steered(from: node.name).enumerated() {
          var origin = rule.origin
          if place > 0 { origin.text += " (a path of \(node.name))" }
          origins[name, default: []].append(origin)
        }
      }
    }
    return origins
  }

  private func routes(_ node: ResolvedNode) -> [(String, String)] {
    node.routes.filter { !$0.derived }.map { route in
      let hops = route.hops.map { hop in
        "via \(hop.gateway) dev \(hop.interface)" + (route.others.isEmpty ? "" : " weight \(hop.weight)")
      }
      return ("\(route.to)", "\(route.to) \(hops.joined(separator: " "))")
    }
  }

  private func networks(_ node: ResolvedNode) -> [(String, String)] { node.networks.map { ("\($0)", "\($0)") } }

  private func congestion(_ node: ResolvedNode) -> [(String, String)] {
    node.sysctls[congestionKey].map { [("", $0)] } ?? []
  }

  private func bgp(_ config: NLSpeakerConfig?) -> [(String, String)] {
    guard let config else { return [] }
    return [("", "speaker: \(config.words)")]
      + config.neighbors.map { ($0.session, "neighbor \($0.session): \($0.words)") }
  }

  private func policies(_ config: NLSpeakerConfig?) -> [(String, String)] {
    (config?.policies ?? []).map { ($0.name, "\($0.name): \($0.words)") }
  }
}

extension InterfaceQoS {
  fileprivate var origins: [RuleOrigin] {
    var all: [RuleOrigin] = []
    if let shaper { all += [shaper.origin] + shaper.classes.map(\.origin) }
    return all + policers.map(\.origin) + markings.map(\.origin)
  }
}

private struct Comparison {
  var changes: [PlannedChange] = []

  /// Lists whose order counts.
  mutating func compare(_ section: String, _ old: [RuleOrigin], _ new: [RuleOrigin]) {
    let common = CommonSubsequence(of: old.map(\.text), new.map(\.text))
    changes += common.removed.map { PlannedChange(action: .remove, section: section, what: old[$0].text) }
    changes += common.inserted.map { place in
      PlannedChange(action: .add, section: section, what: new[place].text, place: new[place].place.description)
    }
  }

  /// Things with a name; their order does not count.
  mutating func compare(_ section: String, named old: [(String, String)], _ new: [(String, String)]) {
    let before = Dictionary(old, uniquingKeysWith: { first, _ in first })
    let after = Dictionary(new, uniquingKeysWith: { first, _ in first })
    for (name, text) in old where after[name] == nil {
      changes.append(PlannedChange(action: .remove, section: section, what: text))
    }
    for (name, text) in new {
      guard let was = before[name] else {
        changes.append(PlannedChange(action: .add, section: section, what: text))
        continue
      }
      if was != text { changes.append(PlannedChange(action: .change, section: section, what: text, was: was)) }
    }
  }
}
