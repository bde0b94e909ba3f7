// From what agents read in their kernels to the JSON types of the northbound API.

internal import ControlProtocol
internal import NorthboundAPI

extension RuleEntry {
  init(_ state: NLRuleState) {
    self.init(
      chain: state.chain, rule: state.text, packets: state.packets, bytes: state.bytes, handle: state.handle,
      place: state.place.nonEmpty)
  }
}

extension InterfaceQoS {
  init(_ state: NLInterfaceQoS) {
    self.init(
      interface: state.interface,
      qdiscs: state.qdiscs.map { qdisc in
        QdiscEntry(
          kind: qdisc.kind, handle: qdisc.handle, parent: qdisc.parent, options: qdisc.text,
          counters: QueueCounters(qdisc.counters))
      },
      classes: state.classes.map { own in
        ClassEntry(
          handle: own.handle, parent: own.parent, name: own.name.nonEmpty, rate: own.rate, ceil: own.ceil,
          burst: own.burst, priority: own.priority, counters: QueueCounters(own.counters), lends: own.lends,
          borrows: own.borrows)
      }, rules: state.policers.map(RuleEntry.init))
  }
}

extension QueueCounters {
  init(_ counters: NLCounters) {
    self.init(
      bytes: counters.bytes, packets: counters.packets, drops: counters.drops, overlimits: counters.overlimits,
      backlogBytes: counters.backlogBytes, backlogPackets: counters.backlogPackets)
  }
}

extension FlowSpecEntry {
  init(_ route: NLFlowSpecRoute) {
    self.init(
      family: route.family == .ipv6Flowspec || route.family == .ipv6Unicast ? "ipv6" : "ipv4", rule: route.text,
      actions: route.actions, neighbor: route.neighbor.nonEmpty, active: route.active,
      inactiveBecause: route.inactiveBecause.nonEmpty,
      asPath: route.asPath.filter { $0.type == 2 }.flatMap(\.asns), packets: route.packets, bytes: route.bytes)
  }
}

extension ConnectionEntry {
  init(_ connection: NLConnection) {
    let (original, reply) = (connection.original, connection.reply)
    let hasPorts = !connection.isICMP
    self.init(
      proto: connection.protocolWord, state: connection.state.nonEmpty, status: connection.status,
      original: ConnectionTuple(
        original, hasPorts: hasPorts, packets: connection.originalPackets, bytes: connection.originalBytes),
      reply: ConnectionTuple(
        reply, hasPorts: hasPorts, packets: connection.replyPackets, bytes: connection.replyBytes),
      nat: connection.rewrite(withPorts: hasPorts), timeout: connection.timeout,
      zone: connection.zone == 0 ? nil : connection.zone, mark: connection.mark == 0 ? nil : connection.mark)
  }
}

extension ConnectionTuple {
  init(_ tuple: NLTuple, hasPorts: Bool, packets: UInt64, bytes: UInt64) {
    self.init(
      source: addressText(tuple.source) ?? "", destination: addressText(tuple.destination) ?? "",
      sourcePort: hasPorts ? tuple.portSource : nil, destinationPort: hasPorts ? tuple.portDestination : nil,
      packets: packets, bytes: bytes)
  }
}

extension NLConnection {
  /// IANA protocol numbers; ICMP has no ports.
  var isICMP: Bool { self.protocol == 1 || self.protocol == 58 }

  var protocolWord: String {
    switch self.protocol {
    case 1: "icmp"
    case 6: "tcp"
    case 17: "udp"
    case 58: "icmpv6"
    default: "\(self.protocol)"
    }
  }

  /// What the node wrote into packets of the original direction. Answers are sent to what stands there now: the reply
  /// tuple is the original with its ends exchanged, unless one was rewritten.
  func rewrite(withPorts: Bool) -> TracedRewrite? {
    func end(_ address: [UInt8], _ port: UInt32) -> String {
      let text = addressText(address) ?? ""
      guard withPorts, port != 0 else { return text }
      return address.count == 16 ? "[\(text)]:\(port)" : "\(text):\(port)"
    }
    func change(_ from: (address: [UInt8], port: UInt32), _ to: (address: [UInt8], port: UInt32)) -> Rewrite? {
      let portChanged = !isICMP && from.port != to.port
      guard from.address != to.address || portChanged else { return nil }
      return Rewrite(
        from: end(from.address, portChanged ? from.port : 0), to: end(to.address, portChanged ? to.port : 0))
    }
    let source = change(
      (Array(original.source), original.portSource), (Array(reply.destination), reply.portDestination))
    let destination = change(
      (Array(original.destination), original.portDestination), (Array(reply.source), reply.portSource))
    return source == nil && destination == nil ? nil : TracedRewrite(source: source, destination: destination)
  }
}
