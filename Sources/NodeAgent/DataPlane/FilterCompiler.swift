internal import ControlProtocol
internal import NetTypes
internal import Nftables

extension RuleBook {
  /// - Parameter place: among the filter rules.
  mutating func add(_ rule: NLFilterRule, at place: Int, _ interfaces: Set<String>) throws(Refusal) {
    let context = ConditionContext(origin: rule.origin, interfaces: interfaces)
    let checked = try CheckedMatch(rule.match, context)
    let endings = try Self.endings(rule.then, checked.transport, context)
    let alternatives = checked.alternatives
    let chains: [BaseChainName] =
      !rule.match.out.isEmpty && rule.match.in.isEmpty ? [.filter, .filterOut] : [.filter]
    let limit = rule.match.connectionsOver
    guard limit > 0 else {
      for chain in chains {
        for one in alternatives {
          for (matches, action) in endings {
            add(one.matches + matches, [.counter, action], to: chain, rule.origin)
          }
        }
      }
      return
    }
    // What counts connections keeps its list of them: one for all that lead here.
    let branch = "filter-\(place)"
    let over = Match.connections(over: limit)
    let under = Nftables.Rule([!over], [.return])
    let ends = endings.map { matches, action in
      Nftables.Rule(matches, [.counter, action], comment: rule.origin.text)
    }
    addBranch(branch, [under] + ends, rule.origin)
    for chain in chains {
      for one in alternatives { add(one.matches, [.jump(branch)], to: chain, rule.origin) }
    }
  }

  /// What is done, and for which packets: TCP is refused by a reset, everything else by ICMP.
  private static func endings(
    _ verdict: NLFilterRule.Verdict, _ transport: UInt8?, _ context: ConditionContext
  ) throws(Refusal) -> [([Match], Action)] {
    switch verdict {
    case .accept: return [([], .accept)]
    case .drop: return [([], .drop)]
    case .reject:
      let isTCP = transport == TransportProtocol.tcp.rawValue
      let reset: [([Match], Action)] = [([.transportProtocol(.tcp)], .rejectByReset)]
      if isTCP { return [([], .rejectByReset)] }
      return transport == nil ? reset + [([], .reject(.port))] : [([], .reject(.port))]
    case .UNRECOGNIZED: throw context.refusal("no such verdict")
    }
  }
}
