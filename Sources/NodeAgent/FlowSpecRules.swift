// Flow rules of BGP (RFC 8955, RFC 8956) → nftables.
//
//   ActiveFlowRule ─► FlowSpecConditions: matches, in one or more ways that exclude each other ─► rules of the chain
//                 └─► actions ──────────────────────────────────────────────────────────────────► `flowspec`
//
// The rules stand in the order of RFC 8955 section 5.1, and the first that holds ends the chain by a verdict, unless its
// traffic-action asks to go on. What limits a rate takes two rules: what is over is dropped, what is under is marked or
// accepted.
//
// A pure function of the rules: who writes them into the kernel, and reads their counters, is the agent. The chain wants
// to see packets before conntrack puts fragments together (priority below -400, NF_IP_PRI_CONNTRACK_DEFRAG): behind that
// no packet is a fragment any more.

internal import BGPCore
internal import BGPWire
internal import NetTypes
internal import Nftables

struct FlowSpecRules: Sendable, Equatable {
  /// Where the rules go: prerouting, before conntrack.
  static let chain = "flowspec"
  static let priority: ChainPriority = -450

  /// For the chain, in order.
  private(set) var rules: [Nftables.Rule] = []
  /// What some of them jump to.
  private(set) var chains: [Chain] = []
  /// Rules that are not obeyed, and why.
  private(set) var refused: [FlowRule: String] = [:]

  /// - Parameters:
  ///   - active: in order of precedence, as `Speaker.activeFlowSpecs` has them.
  ///   - mark: the packet mark that the agent routes to this next hop by a policy rule; nil: it cannot.
  init(_ active: [ActiveFlowRule], mark: (IPAddress) -> UInt32? = { _ in nil }) {
    for rule in active {
      switch FlowSpecActions(rule.actions, rule.rule.family, mark) {
      case .refused(let reason): refused[rule.rule] = reason
      case .steps(let steps): add(rule, steps)
      }
    }
  }

  /// Elements of sets that the rules may need together. Neighbors decide how many rules there are and how long each
  /// one's lists, and all of them are one transaction.
  static let mostElements = 50_000
  private var elementCount = 0

  private mutating func add(_ active: ActiveFlowRule, _ steps: [[Action]]) {
    let ways = FlowSpecConditions.ways(active.rule)
    guard !ways.isEmpty else {
      refused[active.rule] = "no packet matches it"
      return
    }
    // Where there are several steps and ways, the rules that match are one a way.
    let times = ways.count == 1 ? steps.count : 1
    let elements = times * ways.reduce(0) { sum, way in sum + Nftables.Rule(way, []).elementCount }
    guard elementCount + elements <= Self.mostElements else {
      refused[active.rule] = "its lists are too long: all rules together may have \(Self.mostElements) ranges of values"
      return
    }
    elementCount += elements
    let name = Self.name(active.rule)
    let comment = "\(name) \(active.rule)"
    // Each rule of nftables has a bucket of its own: several ways to match share that of a chain.
    guard ways.count == 1 || steps.count == 1 else {
      for way in ways { rules.append(Nftables.Rule(way, [.counter, .jump(name)], comment: comment)) }
      chains.append(Chain(name, rules: steps.map { Nftables.Rule([], $0) }))
      return
    }
    for way in ways {
      for (place, step) in steps.enumerated() {
        rules.append(Nftables.Rule(way, (place == 0 ? [.counter] : []) + step, comment: comment))
      }
    }
  }

  /// The addresses that rules redirect to: what `mark` is asked for.
  static func redirects(_ active: [ActiveFlowRule]) -> Set<IPAddress> {
    Set(
      active.compactMap {
        if case .address(let address, copies: false)? = $0.actions.redirect, !$0.actions.drops { address } else { nil }
      })
  }

  /// Stable as long as the rule is the same, whatever comes and goes around it: 64 bits of FNV-1a over its octets.
  static func name(_ rule: FlowRule) -> String {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for octet in [rule.family == .ipv4 ? 4 : 6] + rule.octets { hash = (hash ^ UInt64(octet)) &* 0x100_0000_01B3 }
    let digits = String(hash, radix: 16)
    return namePrefix + String(repeating: "0", count: 16 - digits.count) + digits
  }

  static let namePrefix = "flow-"

  /// Whose rule of nftables it is.
  static func name(_ comment: String) -> String { String(comment.prefix { $0 != " " }) }

  /// What the rule has counted, from the rules that stand in the kernel.
  static func counter(of rule: FlowRule, in standing: some Sequence<Nftables.Rule>) -> Nftables.Expression.Counter {
    let name = name(rule)
    return standing.filter { Self.name($0.comment) == name }.compactMap(\.counter).reduce(
      into: Nftables.Expression.Counter()
    ) {
      $0.packets += $1.packets
      $0.bytes += $1.bytes
    }
  }
}

extension Nftables.Rule {
  /// Of the sets that it brings along.
  fileprivate var elementCount: Int {
    expressions.reduce(0) { sum, expression in
      guard case .lookup(let lookup) = expression, case .inline(let contents) = lookup.set else { return sum }
      return sum + contents.elements.count
    }
  }
}

/// What is done with the packets of one rule: one list of actions a rule of nftables.
private enum FlowSpecActions {
  case steps([[Action]])
  case refused(String)

  /// Faster than any link: no limit. (The kernel counts nanoseconds per second's worth in 64 bits.)
  private static let unlimited: Float = 1e10
  /// A bucket has to hold one aggregated packet, or its flow starves. It holds one second's worth besides.
  private static let smallestBucket: UInt64 = 65536

  init(_ actions: FlowActions, _ family: AddressFamily, _ mark: (IPAddress) -> UInt32?) {
    if actions.drops || (actions.rateBytes ?? 1) < 1 || (actions.ratePackets ?? 1) < 1 {
      self = .steps([[.drop]])
      return
    }
    var steps: [[Action]] = []
    if let rate = actions.rateBytes, rate < Self.unlimited { steps.append(Self.limit(UInt64(rate), .bytes)) }
    if let rate = actions.ratePackets, rate < Self.unlimited { steps.append(Self.limit(UInt64(rate), .packets)) }
    var last: [Action] = []
    if let dscp = actions.dscp { last.append(.setDSCP(dscp, family)) }
    switch actions.redirect {
    case .routeTarget(let target)?:
      self = .refused("redirect to route target \(target): there are no VRFs here")
      return
    case .address(let address, copies: true)?:
      self = .refused("copies to \(address) are not made here")
      return
    case .address(let address, copies: false)?:
      guard address.family == family else {
        self = .refused("redirect to \(address), which is of the other address family")
        return
      }
      guard let mark = mark(address) else {
        self = .refused("redirect to \(address): no route leads there")
        return
      }
      last.append(.setMark(mark))
    case nil: break
    }
    // RFC 8955 section 7.3: later rules are asked only where the T bit is set.
    if !actions.continues { last.append(.accept) }
    if !last.isEmpty || steps.isEmpty { steps.append(last) }
    self = .steps(steps)
  }

  private static func limit(_ rate: UInt64, _ measure: Nftables.Expression.Limit.Measure) -> [Action] {
    let burst = measure == .bytes ? smallestBucket - min(rate, smallestBucket) : max(rate / 10, 5)
    let limit = Nftables.Expression.Limit(rate, measure, burst: UInt32(clamping: burst), isOver: true)
    return [.only(if: .limit(limit)), .drop]
  }
}
