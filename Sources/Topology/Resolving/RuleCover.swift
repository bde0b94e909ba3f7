import NetTypes

extension PacketMatch {
  /// Every packet that `other` matches, this matches too.
  func covers(_ other: PacketMatch) -> Bool {
    func holds<Value: Equatable>(_ mine: [Value], _ theirs: [Value]) -> Bool {
      mine.isEmpty || !theirs.isEmpty && theirs.allSatisfy(mine.contains)
    }
    guard holds(incoming, other.incoming), holds(outgoing, other.outgoing) else { return false }
    guard transport == nil || transport == other.transport else { return false }
    guard Self.hold(from, other.from), Self.hold(to, other.to) else { return false }
    guard Self.hold(ports, other.ports), Self.hold(sourcePorts, other.sourcePorts) else { return false }
    guard holds(states, other.states), holds(dscp, other.dscp) else { return false }
    guard let limit = connectionsOver else { return true }
    // What is counted is what matches: only the same rule with a higher limit counts the same.
    guard let theirs = other.connectionsOver, theirs >= limit else { return false }
    var same = other
    same.connectionsOver = limit
    return same == self
  }

  private static func hold(_ mine: [IPPrefix], _ theirs: [IPPrefix]) -> Bool {
    mine.isEmpty || !theirs.isEmpty && theirs.allSatisfy { prefix in mine.contains { $0.contains(prefix) } }
  }

  private static func hold(_ mine: [ClosedRange<UInt16>], _ theirs: [ClosedRange<UInt16>]) -> Bool {
    if mine.isEmpty { return true }
    return !theirs.isEmpty
      && theirs.allSatisfy { range in
        mine.contains { $0.lowerBound <= range.lowerBound && range.upperBound <= $0.upperBound }
      }
  }

  /// Families of the packets it can match.
  var families: Set<AddressFamily> {
    var families: Set<AddressFamily> = [.ipv4, .ipv6]
    for prefixes in [from, to] where !prefixes.isEmpty { families.formIntersection(prefixes.map(\.family)) }
    return families
  }
}

/// Warns of rules that can never match, since one before has taken every packet of theirs.
struct ShadowCheck {
  struct Rule {
    var origin: RuleOrigin
    var match: PacketMatch
    /// Of the packets that the rule does something to.
    var families: Set<AddressFamily>
    /// false: hides others only.
    var canBeHidden = true

    init(_ origin: RuleOrigin, _ match: PacketMatch) {
      self.origin = origin
      self.match = match
      families = match.families
    }
  }

  /// Pairs that are looked at for one list: all of 2,000 rules. What stands behind them in a longer list is not looked
  /// at, so that reading a file takes linear time.
  private static let pairLimit = 2_000_000

  /// The smallest ranges that hold a match: one that covers another has the wider ones. Cheap, and for most pairs the
  /// end of it.
  private struct Hull {
    var from: ClosedRange<UInt128>
    var to: ClosedRange<UInt128>
    var ports: ClosedRange<UInt16>

    init(_ match: PacketMatch) {
      from = Self.hull(match.from.map(\.range)) ?? 0...UInt128.max
      to = Self.hull(match.to.map(\.range)) ?? 0...UInt128.max
      ports = Self.hull(match.ports) ?? 0...UInt16.max
    }

    private static func hull<Bound>(_ ranges: [ClosedRange<Bound>]) -> ClosedRange<Bound>? {
      guard let low = ranges.map(\.lowerBound).min(), let high = ranges.map(\.upperBound).max() else { return nil }
      return low...high
    }

    func holds(_ other: Hull) -> Bool {
      ports.lowerBound <= other.ports.lowerBound && ports.upperBound >= other.ports.upperBound
        && from.lowerBound <= other.from.lowerBound && from.upperBound >= other.from.upperBound
        && to.lowerBound <= other.to.lowerBound && to.upperBound >= other.to.upperBound
    }
  }

  /// `noun` names the list.
  static func run(_ rules: [Rule], _ noun: String, _ reporter: Reporter) {
    var budget = pairLimit
    let hulls = rules.map { Hull($0.match) }
    for (index, rule) in rules.enumerated() where rule.canBeHidden {
      budget -= index
      guard budget > 0 else { return }
      let hull = hulls[index]
      let hiding = (0..<index).first { position in
        guard hulls[position].holds(hull) else { return false }
        let one = rules[position]
        return one.families.isSuperset(of: rule.families) && one.match.covers(rule.match)
      }
      guard let earlier = hiding.map({ rules[$0] }) else { continue }
      reporter.warning(
        rule.origin.place,
        "this \(noun) can never match: `\(earlier.origin.text)` in line \(earlier.origin.place.line) takes all of it")
    }
  }
}
