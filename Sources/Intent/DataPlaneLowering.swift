public import ControlProtocol
internal import FoundationEssentials
internal import NetTypes
internal import Topology

extension LabIntent {
  /// What every node with an agent does with packets beside routing them. Nothing in it depends on what is down: a path
  /// whose next hop is lost falls back to the main table by itself, in the kernel.
  /// - Parameter agents: nodes that have an agent although nothing in the file asks for one.
  public func dataPlanes(agents: Set<String> = []) -> [String: NLDataPlane] {
    var planes: [String: NLDataPlane] = [:]
    for node in lab.nodes where node.hasAgent || agents.contains(node.name) { planes[node.name] = dataPlane(of: node) }
    for node in lab.nodes {
      for rule in node.functions.paths { addPath(rule, from: node, to: &planes) }
    }
    return planes
  }

  private func dataPlane(of node: ResolvedNode) -> NLDataPlane {
    var plane = NLDataPlane()
    for rule in node.functions.nat {
      if case .zone(let id) = rule.translation {
        plane.zones.append(zone(rule, id, of: node))
      } else {
        plane.nat.append(NLNATRule(rule))
      }
    }
    plane.filter = node.functions.filter.map(NLFilterRule.init)
    for qos in node.functions.qos {
      if let shaper = qos.shaper { plane.shapers.append(NLShaper(shaper, on: qos.interface)) }
      plane.policers += qos.policers.map { NLPolicer($0, on: qos.interface) }
      plane.markings += qos.markings.map { NLMarking($0, on: qos.interface) }
    }
    if let congestion = node.sysctls[congestionKey] {
      plane.sysctls[congestionKey] = congestion
      if let place = node.congestionPlace {
        plane.sysctlOrigins[congestionKey] = NLOrigin(RuleOrigin(text: "congestion \(congestion)", place: place))
      }
    }
    plane.addresses = node.interfaces.map { interface in
      var own = NLInterfaceAddresses()
      own.interface = interface.name
      own.addresses = interface.addresses.map(NLPrefix.init)
      return own
    }
    if let interception = lab.interception(of: node) { plane.interception = interception }
    if let service = lab.service(of: node), let check = service.health {
      plane.health.port = UInt32(service.target)
      plane.health.path = check.path ?? ""
      plane.health.intervalMs = check.intervalMilliseconds
      plane.health.timeoutMs = check.timeoutMilliseconds
      plane.health.failures = check.failures
      plane.health.successes = check.successes
    }
    let loopbacks = node.loopbacks + lab.serviceAddresses(of: node)
    if !loopbacks.isEmpty {
      var loopback = NLInterfaceAddresses()
      loopback.interface = "lo"
      loopback.addresses = loopbacks.map(NLPrefix.init)
      plane.addresses.append(loopback)
    }
    return plane
  }

  private func zone(_ rule: NATRule, _ id: UInt16, of node: ResolvedNode) -> NLZone {
    var zone = NLZone()
    zone.origin = NLOrigin(rule.origin)
    zone.in = rule.match.incoming
    zone.id = UInt32(id)
    for interface in node.interfaces where rule.match.incoming.contains(interface.name) {
      guard let far = lab.node(interface.farNode), far.kind.forwards else { continue }
      zone.returnHops += lab.links[interface.link][interface.end.other].addresses.map { address in
        var hop = NLNextHop()
        hop.gateway = .init(address.address.bytes)
        hop.interface = interface.name
        return hop
      }
    }
    return zone
  }

  /// One policy route on the node itself, and one on every node of `via` but the last, there only for what comes in from
  /// the node before: an explicit path takes no other traffic of those nodes along.
  private func addPath(_ rule: PathRule, from node: ResolvedNode, to planes: inout [String: NLDataPlane]) {
    var arrivals: [String] = []
    for (place, hop) in zip(rule.steered(from: node.name), rule.via) {
      var route = NLPolicyRoute()
      route.origin = NLOrigin(rule.origin)
      route.match = NLPacketMatch(rule.match)
      if !arrivals.isEmpty { route.match.in = arrivals }
      route.match.out = []
      route.nextHops = hop.links.flatMap { link in link.gateways.map { pathHop($0, link) } }
      route.exceptIn = hop.links.map(\.interface)
      planes[place]?.paths.append(route)
      arrivals = hop.links.map(\.farInterface)
    }
  }

  private func pathHop(_ gateway: IPAddress, _ link: PathRule.Link) -> NLNextHop {
    var hop = NLNextHop()
    hop.gateway = .init(gateway.bytes)
    hop.interface = link.interface
    hop.weight = link.weight
    return hop
  }
}

extension PathRule {
  /// The nodes that send on by it: the one it was written for, and every one of `via` but the last.
  func steered(from node: String) -> [String] { [node] + via.dropLast().map(\.node) }
}

/// `congestion:` of a node as Topology keeps it.
let congestionKey = "net.ipv4.tcp_congestion_control"

extension NLOrigin {
  init(_ origin: RuleOrigin) {
    self.init()
    text = origin.text
    place = origin.place.description
  }
}

extension NLPacketMatch {
  init(_ match: PacketMatch) {
    self.init()
    `in` = match.incoming
    out = match.outgoing
    from = match.from.map(NLPrefix.init)
    to = match.to.map(NLPrefix.init)
    `protocol` = UInt32(match.transport?.number ?? 0)
    ports = match.ports.map(NLPortRange.init)
    sourcePorts = match.sourcePorts.map(NLPortRange.init)
    states = match.states.map { state in
      switch state {
      case .new: .new
      case .established: .connectionEstablished
      case .related: .related
      case .invalid: .invalid
      case .untracked: .untracked
      }
    }
    connectionsOver = match.connectionsOver ?? 0
    dscp = match.dscp.map(UInt32.init)
  }
}

extension NLPortRange {
  init(_ range: ClosedRange<UInt16>) {
    self.init()
    first = UInt32(range.lowerBound)
    last = UInt32(range.upperBound)
  }
}

extension NLAddressRange {
  init(_ range: ClosedRange<IPAddress>) {
    self.init()
    first = .init(range.lowerBound.bytes)
    last = .init(range.upperBound.bytes)
  }
}

extension NLNATRule {
  init(_ rule: NATRule) {
    self.init()
    origin = NLOrigin(rule.origin)
    match = NLPacketMatch(rule.match)
    switch rule.translation {
    case .masquerade(let ports, let random):
      masquerade.random = random
      if let ports { masquerade.ports = NLPortRange(ports) }
    case .source(let addresses, let ports, let persistent, let random):
      snat.addresses = NLAddressRange(addresses)
      if let ports { snat.ports = NLPortRange(ports) }
      snat.persistent = persistent
      snat.random = random
    case .destination(let addresses, let ports, let hairpin, let inside):
      dnat.addresses = NLAddressRange(addresses)
      if let ports { dnat.ports = NLPortRange(ports) }
      dnat.hairpin = hairpin
      dnat.inside = inside.map(NLPrefix.init)
    case .prefix(let inside, let outside):
      map.inside = NLPrefix(inside)
      map.outside = NLPrefix(outside)
    case .zone: break  // stands in `DataPlane.zones`
    }
  }
}

extension NLFilterRule {
  init(_ rule: FilterRule) {
    self.init()
    origin = NLOrigin(rule.origin)
    if let match = rule.match { self.match = NLPacketMatch(match) }
    then =
      switch rule.then {
      case .accept: .accept
      case .drop: .drop
      case .reject: .reject
      }
  }
}

extension NLShaper {
  init(_ shaper: Shaper, on interface: String) {
    self.init()
    origin = NLOrigin(shaper.origin)
    self.interface = interface
    rate = shaper.rate
    burst = shaper.burst ?? 0
    limit = shaper.limit ?? 0
    ecn = shaper.ecn
    classes = shaper.classes.map { own in
      var lowered = NLShaperClass()
      lowered.origin = NLOrigin(own.origin)
      lowered.name = own.name
      lowered.match = NLPacketMatch(own.match)
      lowered.rate = own.rate
      lowered.ceil = own.ceil ?? 0
      lowered.priority = own.priority
      lowered.limit = own.limit ?? 0
      return lowered
    }
  }
}

extension NLPolicer {
  init(_ policer: Policer, on interface: String) {
    self.init()
    origin = NLOrigin(policer.origin)
    self.interface = interface
    match = NLPacketMatch(policer.match)
    switch policer.limit {
    case .rate(let rate): self.rate = rate
    case .packets(let packets): self.packets = packets
    }
    burst = policer.burst ?? 0
    per =
      switch policer.per {
      case .all: .all
      case .source: .source
      case .flow: .flow
      }
  }
}

extension NLMarking {
  init(_ marking: Marking, on interface: String) {
    self.init()
    origin = NLOrigin(marking.origin)
    self.interface = interface
    match = NLPacketMatch(marking.match)
    dscp = UInt32(marking.dscp)
  }
}
