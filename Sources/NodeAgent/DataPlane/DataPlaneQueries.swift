// Answers about the data plane: read from the kernel when asked, never from what was desired.

internal import ControlProtocol
internal import FoundationEssentials
internal import NetTypes
internal import Netlink
internal import Nftables

extension DataPlane {
  private static let natChains: [BaseChainName] = [.zones, .dstnat, .localDstnat, .srcnat]
  private static let filterChains: [BaseChainName] = [.input, .forward, .output, .filter, .filterOut]

  func answerNAT(_ reply: inout NLQueryReply) throws(KernelError) {
    let table = try readTables().table(BaseTable.id)
    reply.rules = Self.natChains.flatMap { rules(of: $0.rawValue, in: table) }
    reply.total = UInt64(reply.rules.count)
  }

  func answerFilter(_ reply: inout NLQueryReply) throws(KernelError) {
    let table = try readTables().table(BaseTable.id)
    let branches = (table?.chains ?? []).map(\.name).filter {
      $0.hasPrefix("filter-") && $0 != BaseChainName.filterOut.rawValue
    }
    reply.rules = (Self.filterChains.map(\.rawValue) + branches).flatMap { rules(of: $0, in: table) }
    reply.total = UInt64(reply.rules.count)
  }

  /// Without what stands in the chain whatever is desired.
  private func rules(of chain: String, in table: StandingTable?) -> [NLRuleState] {
    let fixed = BaseChainName(rawValue: chain)?.fixedRules.map(\.canonical) ?? []
    return (table?.chain(chain)?.rules ?? []).filter { !fixed.contains($0.rule.canonical) }
      .map { state($0, chain) }
  }

  private func state(_ standing: StandingRule, _ chain: String) -> NLRuleState {
    var state = NLRuleState()
    let origin = program.origin(ofRule: standing.rule.comment, in: chain)
    state.chain = chain
    state.text = origin?.text ?? standing.rule.text
    state.place = origin?.place ?? ""
    state.handle = standing.handle.rawValue
    state.packets = standing.rule.counter?.packets ?? 0
    state.bytes = standing.rule.counter?.bytes ?? 0
    return state
  }

  // MARK: Connections

  func answerConntrack(_ query: NLQuery, limit: Int, _ reply: inout NLQueryReply) throws(KernelError) {
    let entries = try ConntrackSocket(in: namespace).entries(from: Int(query.offset), atMost: limit)
    reply.total = UInt64(entries.total)
    reply.connectionLimit = (try? readSysctl("net.netfilter.nf_conntrack_max")).flatMap(UInt64.init) ?? 0
    reply.connections = entries.page.map(NLConnection.init)
  }

  // MARK: Traffic control

  func answerQoS(_ reply: inout NLQueryReply) throws(KernelError) {
    let qdiscs = try view.socket.qdiscs()
    let table = try readTables().table(BaseTable.id)
    for link in view.links.values.sorted(by: { $0.index < $1.index }) where !link.isLoopback {
      var state = NLInterfaceQoS()
      state.interface = link.name
      state.qdiscs = qdiscs.filter { $0.subject.link == link.index && $0.subject.handle != .none }
        .map(NLQdiscState.init)
      let shaper = program.shapers.first { $0.link == link.index }
      if state.qdiscs.contains(where: { $0.kind == "htb" }) {
        state.classes = try view.socket.classes(of: link.index).compactMap { NLClassState($0, shaper) }
      }
      state.policers = policers(of: link.name, table) + markings(of: link.name, table)
      reply.qos.append(state)
    }
    reply.total = UInt64(reply.qos.count)
  }

  /// Of each policer what it was about, and, under the same words with an ending, what it dropped.
  private func policers(of interface: String, _ table: StandingTable?) -> [NLRuleState] {
    (table?.chains ?? []).filter { $0.name.hasPrefix("police-\(interface)-") }.flatMap { chain -> [NLRuleState] in
      guard let first = chain.rules.first else { return [] }
      var matched = state(first, chain.name)
      var dropped = matched
      dropped.text += RuleBook.overRate
      (dropped.packets, dropped.bytes) = (0, 0)
      for rule in chain.rules.dropFirst() {
        guard let counter = rule.rule.counters.last else { continue }
        dropped.handle = rule.handle.rawValue
        dropped.packets += counter.packets
        dropped.bytes += counter.bytes
      }
      matched.chain = chain.name
      return [matched, dropped]
    }
  }

  private func markings(of interface: String, _ table: StandingTable?) -> [NLRuleState] {
    guard let name = InterfaceName(interface) else { return [] }
    let leavesBy = Nftables.Rule([.interfaceOut(name)], []).expressions
    return (table?.chain(BaseChainName.mark.rawValue)?.rules ?? []).filter { standing in
      let expressions = standing.rule.expressions
      let asksInterface = expressions.contains { expression in
        if case .meta(let meta) = expression { meta.key == .outputInterfaceName } else { false }
      }
      return !asksInterface || Array(expressions.prefix(leavesBy.count)) == leavesBy
    }.map { state($0, BaseChainName.mark.rawValue) }
  }
}

extension NLConnection {
  init(_ entry: ConntrackEntry) {
    self.init()
    self.protocol = UInt32(entry.original.transport.rawValue)
    state = entry.tcpState?.text ?? ""
    status = entry.status.words
    original = NLTuple(entry.original)
    reply = NLTuple(entry.reply)
    originalPackets = entry.originalCount?.packets ?? 0
    originalBytes = entry.originalCount?.bytes ?? 0
    replyPackets = entry.replyCount?.packets ?? 0
    replyBytes = entry.replyCount?.bytes ?? 0
    timeout = entry.timeout ?? 0
    zone = UInt32(entry.zone != 0 ? entry.zone : entry.originalZone)
    mark = entry.mark
    id = entry.id ?? 0
  }
}

extension NLTuple {
  init(_ tuple: ConntrackTuple) {
    self.init()
    source = tuple.source.data
    destination = tuple.destination.data
    switch tuple.detail {
    case .ports(let from, let to): (portSource, portDestination) = (UInt32(from), UInt32(to))
    case .icmp(let id, let type, let code):
      (portSource, portDestination) = (UInt32(id), UInt32(type) << 8 | UInt32(code))
    case .none: break
    }
  }
}

extension ConntrackTCPState {
  /// As conntrack(8) writes it.
  fileprivate var text: String {
    switch self {
    case .none: "NONE"
    case .synSent: "SYN_SENT"
    case .synReceived: "SYN_RECV"
    case .established: "ESTABLISHED"
    case .finWait: "FIN_WAIT"
    case .closeWait: "CLOSE_WAIT"
    case .lastAcknowledge: "LAST_ACK"
    case .timeWait: "TIME_WAIT"
    case .close: "CLOSE"
    case .synSentToo: "SYN_SENT2"
    }
  }
}

extension ConntrackStatus {
  fileprivate var words: [String] {
    let all: [(ConntrackStatus, String)] = [
      (.expected, "expected"), (.seenReply, "seen-reply"), (.assured, "assured"), (.confirmed, "confirmed"),
      (.sourceTranslated, "snat"), (.destinationTranslated, "dnat"), (.dying, "dying"),
    ]
    return all.compactMap { contains($0) ? $1 : nil }
  }
}

extension NLQdiscState {
  init(_ counted: Counted<Qdisc>) {
    self.init()
    let qdisc = counted.subject
    kind = qdisc.discipline.kind
    handle = qdisc.handle.description
    parent = qdisc.parent == .ingress ? "ingress" : qdisc.parent.description
    text = qdisc.discipline.text
    counters = NLCounters(counted.statistics)
  }
}

extension Discipline {
  /// The options as tc writes them.
  fileprivate var text: String {
    switch self {
    case .tbf(let bucket):
      "rate \(bucket.rate.tc) burst \(bucket.burst)b limit \(bucket.limit)b"
        + (bucket.peak.map { " peakrate \($0.rate.tc) minburst \($0.burst)b" } ?? "")
    case .htb(let htb): "default 0x\(String(htb.defaultClass, radix: 16)) r2q \(htb.rateToQuantum)"
    case .pfifo(let packets): "limit \(packets)p"
    case .bfifo(let bytes): "limit \(bytes)b"
    case .codel(let codel):
      "limit \(codel.limit)p target \(codel.target.tc) interval \(codel.interval.tc)" + (codel.marks ? " ecn" : "")
    default: ""
    }
  }
}

extension Duration {
  /// `5000us`
  fileprivate var tc: String {
    "\(components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000)us"
  }
}

extension DataRate {
  /// `10Mbit`
  fileprivate var tc: String {
    description.replacing(" ", with: "").replacing("/s", with: "")
  }
}

extension NLClassState {
  /// nil: a class that is no more than the inside of a qdisc.
  init?(_ counted: Counted<TrafficClass>, _ shaper: InterfaceShaper?) {
    guard case .htb(let htb) = counted.subject.discipline else { return nil }
    self.init()
    handle = counted.subject.handle.description
    parent = counted.subject.parent.description
    name = shaper?.name(of: counted.subject.handle) ?? ""
    rate = htb.rate.bytesPerSecond.multipliedReportingOverflow(by: 8).partialValue
    ceil = htb.ceil.bytesPerSecond.multipliedReportingOverflow(by: 8).partialValue
    burst = htb.burst
    priority = htb.priority
    counters = NLCounters(counted.statistics)
    lends = UInt64(counted.statistics.htb?.lends ?? 0)
    borrows = UInt64(counted.statistics.htb?.borrows ?? 0)
  }
}

extension NLCounters {
  init(_ statistics: TrafficStatistics) {
    self.init()
    bytes = statistics.bytes
    packets = statistics.packets
    drops = UInt64(statistics.drops)
    overlimits = UInt64(statistics.overlimits)
    backlogBytes = UInt64(statistics.backlogBytes)
    backlogPackets = UInt64(statistics.backlogPackets)
    requeues = UInt64(statistics.requeues)
  }
}
