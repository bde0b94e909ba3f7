import NetTypes

/// How many rules of routing paths become. The kernel's rules know no lists, so a path is the product of all that are
/// written in its match, on each node that it passes; counted, not made.
struct PathCounts {
  /// Rules of routing on one node; a lookup walks through them for every packet.
  static let mostRules = 20_000
  /// A table of routes for each path.
  static let mostPaths = 2500

  let lab: LabResolver

  /// Whether there is room for all of them; says which path is the first for which there is none.
  func check() -> Bool {
    var rules: [String: Int] = [:]
    var paths: [String: Int] = [:]
    var full: Set<String> = []
    for node in lab.nodes {
      for rule in node.functions.paths {
        var place = node.name
        var arrivals: [String]?
        for hop in rule.via {
          let count = Self.rules(of: rule.match, arrivals: arrivals, hop)
          let (sum, isMore) = rules[place, default: 0].addingReportingOverflow(count)
          rules[place] = isMore ? .max : sum
          paths[place, default: 0] += 1
          if let reason = reason(sum, isMore, paths[place, default: 0]), full.insert(place).inserted {
            lab.reporter.error(
              rule.origin.place, "`\(rule.origin.short)` and the paths before it become \(reason) on `\(place)`")
          }
          place = hop.node
          arrivals = hop.links.map(\.farInterface)
        }
      }
    }
    return full.isEmpty
  }

  private func reason(_ rules: Int, _ isMore: Bool, _ paths: Int) -> String? {
    if isMore || rules > Self.mostRules {
      let count = isMore || rules == .max ? "far more than \(Self.mostRules)" : "\(rules)"
      return "\(count) rules of routing (every list of a match multiplies); expected at most \(Self.mostRules)"
    }
    return paths > Self.mostPaths ? "\(paths) tables of routes; expected at most \(Self.mostPaths)" : nil
  }

  /// - Parameter arrivals: the interfaces that it comes in by from the hop before; nil: the path begins here.
  static func rules(of match: PacketMatch, arrivals: [String]?, _ hop: PathRule.Hop) -> Int {
    let incoming = Set(arrivals ?? match.incoming)
    let gateways = Set(hop.links.flatMap(\.gateways).map(\.family))
    // What comes from the next hop itself is left to table main, by a rule for each link.
    let exceptions = Set(hop.links.map(\.interface))
    let interfaces = incoming.isEmpty ? 1 + exceptions.count : incoming.count + incoming.intersection(exceptions).count
    var transports = 1
    if match.transport == nil, !(match.ports.isEmpty && match.sourcePorts.isEmpty) { transports = 2 }
    let common = product([
      interfaces, transports, several(match.ports), several(match.sourcePorts), max(1, Set(match.dscp).count),
    ])
    var sum = 0
    for family in match.families where gateways.contains(family) {
      let own = product([common, several(match.from, family), several(match.to, family)])
      let (next, isMore) = sum.addingReportingOverflow(own)
      sum = isMore ? .max : next
    }
    return sum
  }

  private static func product(_ factors: [Int]) -> Int {
    factors.reduce(1) { product, factor in
      let (next, isMore) = product.multipliedReportingOverflow(by: factor)
      return isMore ? .max : next
    }
  }

  /// A prefix of length 0 is all of its family, for which one rule is enough.
  private static func several(_ prefixes: [IPPrefix], _ family: AddressFamily) -> Int {
    let own = Set(prefixes.filter { $0.family == family })
    return own.isEmpty || own.contains { $0.length == 0 } ? 1 : own.count
  }

  /// All ports are the same as none written.
  private static func several(_ ranges: [ClosedRange<UInt16>]) -> Int {
    ranges.contains { $0.lowerBound <= 1 && $0.upperBound >= .max - 1 } ? 1 : max(1, Set(ranges).count)
  }
}

extension RuleOrigin {
  /// Long lists do not fit a message.
  fileprivate var short: String { text.count > 80 ? "\(text.prefix(79))…" : text }
}
