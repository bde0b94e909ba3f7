public import ControlProtocol
internal import FoundationEssentials
internal import NetTypes
public import Topology

extension LabIntent {
  /// The BGP of one router; nil for nodes without a netloom speaker. A service's address is originated while one of the
  /// pods that it would be led to can be reached and is well.
  public func speakerConfig(of name: String, during outage: Outage = .none) -> NLSpeakerConfig? {
    guard let node = lab.node(name), let asn = node.asn, let bgp = node.bgp, !node.kind.isDaemon else { return nil }
    var config = NLSpeakerConfig()
    config.asn = asn.rawValue
    config.routerID = node.routerID?.rawValue ?? 0
    config.networks = node.networks.filter { isServed($0, by: node, outage) }.map(NLPrefix.init)
    config.multipath = bgp.multipath
    config.fib = true
    config.routeReflector = bgp.routeReflector
    config.clusterID = bgp.clusterID?.rawValue ?? 0
    config.preferCustomer = bgp.preferCustomer
    config.ipv4 = lab.ipv4
    config.ipv6 = lab.ipv6
    config.restartTime = bgp.restartTime
    config.flowRules = node.functions.flowSpecs.map(NLFlowRule.init)
    for index in sessionsByNode[name] ?? [] {
      let session = lab.sessions[index]
      for (near, far) in [(session.a, session.b), (session.b, session.a)] where near.node == name {
        config.neighbors.append(neighbor(near, far, session))
      }
    }
    config.policies = policies(lab.policies, usedBy: config.neighbors)
    return config
  }

  private func neighbor(_ near: SessionEnd, _ far: SessionEnd, _ session: ResolvedSession) -> NLNeighbor {
    var neighbor = NLNeighbor(near.settings)
    neighbor.name = far.node
    neighbor.address = .init(far.address.bytes)
    neighbor.asn = far.asn.rawValue
    neighbor.localAddress = .init(near.address.bytes)
    neighbor.interface = near.interface ?? ""
    neighbor.families = session.families.map { NLFamily($0) }
    // Two netloom speakers agree on it unasked: a rule that is applied later must not cost the session its connection.
    if near.settings.flowSpec ?? !far.daemon { neighbor.families += session.families.map { NLFamily(flowSpecOf: $0) } }
    neighbor.nextHopIpv4 = .init(near.nextHopIPv4?.bytes ?? [])
    neighbor.nextHopIpv6 = .init(near.nextHopIPv6?.bytes ?? [])
    neighbor.session = near.key
    neighbor.daemon = far.daemon
    return neighbor
  }
}

/// The file of `netloom speaker`, for `netloom-node --standalone`.
public func speakerConfig(of speaker: ResolvedSpeaker) -> NLSpeakerConfig {
  var config = NLSpeakerConfig()
  config.asn = speaker.asn.rawValue
  config.routerID = speaker.routerID.rawValue
  config.networks = speaker.networks.map(NLPrefix.init)
  config.multipath = speaker.multipath
  config.fib = speaker.fib
  config.routeReflector = speaker.routeReflector
  config.clusterID = speaker.clusterID?.rawValue ?? 0
  config.ipv4 = true
  config.ipv6 = true
  config.restartTime = speaker.restartTime
  config.listenPort = UInt32(speaker.listenPort)
  config.openListener = true
  config.neighbors = speaker.neighbors.map(standaloneNeighbor)
  config.policies = policies(speaker.policies, usedBy: config.neighbors)
  return config
}

private func standaloneNeighbor(_ written: SpeakerNeighbor) -> NLNeighbor {
  var neighbor = NLNeighbor(written.settings)
  neighbor.name = written.name
  neighbor.address = .init(written.address.bytes)
  neighbor.asn = written.asn.rawValue
  neighbor.localAddress = .init(written.localAddress?.bytes ?? [])
  neighbor.families = written.families.map { NLFamily($0) }
  if written.settings.flowSpec == true { neighbor.families += written.families.map { NLFamily(flowSpecOf: $0) } }
  neighbor.session = "\(written.name)/\(written.address.family == .ipv4 ? "ipv4" : "ipv6")"
  return neighbor
}

/// Only what a neighbor names: a policy costs its readers nothing where it is not used. By name: their order in the file
/// says nothing, and is another one when a CHANGE that came in between is left out.
private func policies(_ all: [Policy], usedBy neighbors: [NLNeighbor]) -> [NLPolicy] {
  let used = Set(neighbors.flatMap { [$0.importPolicy, $0.exportPolicy] })
  return all.filter { used.contains($0.name) }.sorted { $0.name < $1.name }.map(NLPolicy.init)
}

extension NLNeighbor {
  init(_ settings: NeighborSettings) {
    self.init()
    importPolicy = settings.importPolicy.word
    exportPolicy = settings.exportPolicy.word
    relation = NLRelation(settings.role)
    roles = settings.roles
    nextHopSelf = settings.nextHopSelf
    client = settings.client
    md5 = settings.md5 ?? ""
    ttlSecurity = settings.ttlSecurity
    maxPrefix = settings.maxPrefix
    gracefulRestart = settings.gracefulRestart
    removePrivateAs = NLRemovePrivate(settings.removePrivateAS)
    allowOwnAs = settings.allowOwnAS
    sendCommunities = settings.sendCommunities
    passive = settings.passive
    multihop = settings.multihop
    port = UInt32(settings.port)
    hold = settings.timers.hold
    keepalive = settings.timers.keepalive
    connectRetryMs = settings.timers.connectMilliseconds
  }
}

extension PolicyChoice {
  /// As `NLNeighbor.importPolicy` spells it.
  var word: String {
    switch self {
    case .unset: ""
    case .accept: "accept"
    case .reject: "reject"
    case .policy(let name): name
    }
  }
}

extension NLRelation {
  init(_ role: Role?) {
    self =
      switch role {
      case nil: .none
      case .provider: .provider
      case .customer: .customer
      case .peer: .peer
      case .routeServer: .rs
      case .routeServerClient: .rsClient
      case .sibling: .sibling
      case .open: .openRelation
      }
  }
}

extension NLRemovePrivate {
  init(_ choice: RemovePrivateAS) {
    self =
      switch choice {
      case .keep: .keep
      case .remove: .remove
      case .all: .all
      case .replace: .replace
      }
  }
}

extension NLFamily {
  init(_ family: AddressFamily) { self = family == .ipv4 ? .ipv4Unicast : .ipv6Unicast }
  init(flowSpecOf family: AddressFamily) { self = family == .ipv4 ? .ipv4Flowspec : .ipv6Flowspec }
}
