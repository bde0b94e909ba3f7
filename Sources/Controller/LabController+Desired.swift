internal import ControlProtocol
internal import Foundation
internal import Intent
internal import NetTypes
internal import Topology

/// What every node should have.
extension LabController {
  /// What every node should have while `outage` lasts, and which sessions must stand.
  func computeDesired() {
    desired = desiredNodes(of: intent, keeping: desired)
    expectSessions()
  }

  /// For a change, which has an intent of its own; nothing is altered.
  func desiredNodes(of intent: LabIntent, keeping known: [String: DesiredNode] = [:]) -> [String: DesiredNode] {
    let nodes = intent.lab.nodes.filter { agents[$0.name] != nil || $0.hasAgent }
    let routes = intent.routeSets(during: outage, agents: Set(agents.keys))
    let planes = nodes.allSatisfy { known[$0.name] != nil } ? [:] : intent.dataPlanes(agents: Set(agents.keys))
    var all: [String: DesiredNode] = [:]
    for node in nodes {
      // But for announced services neither BGP nor the rest of the data plane depends on what is down or impaired.
      var wanted =
        known[node.name]
        ?? DesiredNode(
          speaker: intent.speakerConfig(of: node.name, during: outage), dataPlane: planes[node.name] ?? NLDataPlane())
      if known[node.name] != nil, intent.announcesServices(node.name) {
        wanted.set(intent.speakerConfig(of: node.name, during: outage))
      }
      wanted.set(intent.impairments(of: node, faults: state.faults.directions))
      // A stopped node has none for now: it gets what is due when it starts.
      if let own = routes[node.name] ?? desired[node.name]?.routes { wanted.set(own) }
      all[node.name] = wanted
    }
    return all
  }

  private func expectSessions() {
    let expected = intent.expectedSessions(during: outage)
    judge.sessions = Dictionary(grouping: expected, by: \.node)
    judge.broken = Dictionary(grouping: intent.brokenSessions(during: outage), by: \.node)
    hasDaemonSessions = expected.contains(where: \.isDaemon)
    warnings = intent.warnings(during: outage)
    for name in agents.keys { refreshReadiness(name) }
  }
}

extension LabController.DesiredNode {
  init(speaker: NLSpeakerConfig?, dataPlane: NLDataPlane) {
    self.speaker = speaker
    self.dataPlane = dataPlane
    routes = NLRouteSet()
    digests = ["routes": SentResource.digest(routes), "data-plane": SentResource.digest(dataPlane.withoutPlaces)]
    if let speaker { digests["speaker"] = SentResource.digest(speaker.withoutPlaces) }
  }

  /// Links and the faults of links: the one part of the data plane that no change alters.
  mutating func set(_ impairments: [NLImpairment]) {
    guard impairments != dataPlane.impairments else { return }
    dataPlane.impairments = impairments
    digests["data-plane"] = SentResource.digest(dataPlane.withoutPlaces)
  }

  mutating func set(_ speaker: NLSpeakerConfig?) {
    self.speaker = speaker
    digests["speaker"] = speaker.map { SentResource.digest($0.withoutPlaces) }
  }

  mutating func set(_ routes: NLRouteSet) {
    self.routes = routes
    digests["routes"] = SentResource.digest(routes)
  }

  /// nil: the node has no such resource.
  func resource(_ type: String, version: UInt64) -> NLDesired? {
    var message = NLDesired()
    message.version = version
    switch type {
    case "speaker":
      guard let speaker else { return nil }
      message.speaker = speaker
    case "routes": message.routes = routes
    case "data-plane": message.dataPlane = dataPlane
    default: return nil
    }
    return message
  }
}

// Where a rule is written is for messages only: one that moved to another line is the same rule.

extension NLDataPlane {
  var withoutPlaces: NLDataPlane {
    var plane = self
    for index in plane.nat.indices { plane.nat[index].origin.place = "" }
    for index in plane.filter.indices { plane.filter[index].origin.place = "" }
    for index in plane.shapers.indices {
      plane.shapers[index].origin.place = ""
      for row in plane.shapers[index].classes.indices { plane.shapers[index].classes[row].origin.place = "" }
    }
    for index in plane.policers.indices { plane.policers[index].origin.place = "" }
    for index in plane.markings.indices { plane.markings[index].origin.place = "" }
    for index in plane.paths.indices { plane.paths[index].origin.place = "" }
    for index in plane.zones.indices { plane.zones[index].origin.place = "" }
    for index in plane.impairments.indices { plane.impairments[index].origin.place = "" }
    if plane.hasInterception { plane.interception.origin.place = "" }
    plane.sysctlOrigins = [:]
    return plane
  }
}

extension NLSpeakerConfig {
  var withoutPlaces: NLSpeakerConfig {
    var config = self
    for index in config.flowRules.indices { config.flowRules[index].origin.place = "" }
    return config
  }
}
