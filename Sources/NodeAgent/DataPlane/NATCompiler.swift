internal import ControlProtocol
internal import NetTypes
internal import Nftables

extension RuleBook {
  /// Only packets that open a connection are put into the zone: their tuple may be the same as elsewhere. Answers, once
  /// translated, arrive under a tuple that is nobody else's, in the zone of all.
  mutating func add(_ zone: NLZone, _ interfaces: Set<String>) throws(Refusal) {
    let context = ConditionContext(origin: zone.origin, interfaces: interfaces)
    guard let id = UInt16(exactly: zone.id), id > 0 else { throw context.refusal("a zone is 1 to 65535") }
    let names = try context.interfaceNames(zone.in)
    guard !names.isEmpty else { throw context.refusal("a zone needs an interface") }
    let match: Match = names.count == 1 ? .interfaceIn(names[0]) : .interfaceIn(anyOf: names)
    add([match], [.counter, .setZone(id, .original)], to: .zones, zone.origin)
  }

  mutating func add(_ rule: NLNATRule, _ interfaces: Set<String>) throws(Refusal) {
    let context = ConditionContext(origin: rule.origin, interfaces: interfaces)
    switch rule.translation {
    case .masquerade(let masquerade): try add(masquerade, rule, context)
    case .snat(let snat): try add(snat, rule, context)
    case .dnat(let dnat): try add(dnat, rule, context)
    case .map(let map): try add(map, rule, context)
    case nil: throw context.refusal("no translation")
    }
  }

  private mutating func add(
    _ masquerade: NLMasquerade, _ rule: NLNATRule, _ context: ConditionContext
  ) throws(Refusal) {
    let ports = masquerade.hasPorts ? try context.ports(masquerade.ports) : nil
    for one in try CheckedMatch(rule.match, context).alternatives {
      add(
        one.matches, [.counter, .masquerade(ports: ports, masquerade.random ? .fullyRandom : [])], to: .srcnat,
        rule.origin)
    }
  }

  private mutating func add(
    _ snat: NLSourceTranslation, _ rule: NLNATRule, _ context: ConditionContext
  ) throws(Refusal) {
    let addresses = try context.addresses(snat.addresses)
    let ports = snat.hasPorts ? try context.ports(snat.ports) : nil
    var flags: TranslationFlags = []
    if snat.persistent { flags.insert(.persistent) }
    if snat.random { flags.insert(.fullyRandom) }
    var context = context
    context.family = addresses.lowerBound.family
    for one in try CheckedMatch(rule.match, context).alternatives {
      add(one.matches, [.counter, .sourceNAT(to: addresses, ports: ports, flags)], to: .srcnat, rule.origin)
    }
  }

  private mutating func add(
    _ dnat: NLDestinationTranslation, _ rule: NLNATRule, _ context: ConditionContext
  ) throws(Refusal) {
    let addresses = try context.addresses(dnat.addresses)
    var context = context
    context.family = addresses.lowerBound.family
    guard !rule.match.to.isEmpty else { throw context.refusal("which addresses it translates is not said") }
    var match = rule.match
    if dnat.hairpin { match.in = [] }
    let checked = try CheckedMatch(match, context)
    let target = dnat.hasPorts ? try context.ports(dnat.ports) : nil
    let action = Self.destination(addresses, checked.ports, target)
    for one in checked.alternatives {
      add(one.matches, [.counter, action], to: .dstnat, rule.origin)
      // The node's own packets come in by no interface.
      if match.in.isEmpty { add(one.matches, [.counter, action], to: .localDstnat, rule.origin) }
    }
    guard dnat.hairpin else { return }
    try addHairpin(rule, checked, inside: context.prefixes(dnat.inside), addresses, target, context)
  }

  /// As many ports as are asked for: each to its own. Otherwise any free one of the range.
  private static func destination(
    _ addresses: ClosedRange<IPAddress>, _ ports: [ClosedRange<UInt16>], _ target: ClosedRange<UInt16>?
  ) -> Action {
    guard let target, target.count > 1 else { return .destinationNAT(to: addresses, ports: target) }
    if ports == [target] { return .destinationNAT(to: addresses) }
    let asked = ports.flatMap { Array($0) }
    guard asked.count == target.count else { return .destinationNAT(to: addresses, ports: target) }
    return .destinationNAT(to: addresses, mapping: Array(zip(asked, target)).map { (from: $0, to: $1) })
  }

  /// A client on the server's own side gets the answers through this node only if the server sees this node's address.
  private mutating func addHairpin(
    _ rule: NLNATRule, _ checked: CheckedMatch, inside: [IPPrefix], _ addresses: ClosedRange<IPAddress>,
    _ target: ClosedRange<UInt16>?, _ context: ConditionContext
  ) throws(Refusal) {
    let family = addresses.lowerBound.family
    let sources = inside.filter { $0.family == family }
    guard !sources.isEmpty else { throw context.refusal("hairpin: no subnet of the server's side") }
    var matches: [Match] = [sources.count == 1 ? .source(sources[0]) : .source(anyOf: sources)]
    matches.append(.destination(addresses))
    if let transport = checked.transport { matches.append(.transportProtocol(TransportProtocol(rawValue: transport))) }
    let ports = target.map { [$0] } ?? checked.ports
    if !ports.isEmpty { matches.append(.destinationPort(anyOf: ports)) }
    matches.append(.connectionStatus(.destinationTranslated))
    add(matches, [.counter, .masquerade()], to: .srcnat, rule.origin)
  }

  private mutating func add(
    _ map: NLPrefixTranslation, _ rule: NLNATRule, _ context: ConditionContext
  ) throws(Refusal) {
    guard let inside = IPPrefix(map.inside), let outside = IPPrefix(map.outside), inside.family == outside.family,
      inside.length == outside.length
    else { throw context.refusal("a map needs two prefixes of one family and length") }
    var context = context
    context.family = inside.family
    // Both ways by the same interfaces, whichever way the file names them.
    let interfaces = rule.match.out.isEmpty ? rule.match.in : rule.match.out
    var leaving = rule.match
    (leaving.in, leaving.out, leaving.from) = ([], interfaces, [map.inside])
    for one in try CheckedMatch(leaving, context).alternatives {
      add(one.matches, [.counter, Self.translation(.source, inside, outside)], to: .srcnat, rule.origin)
    }
    var arriving = rule.match
    (arriving.in, arriving.out) = (interfaces, [])
    (arriving.from, arriving.to) = (rule.match.to, [map.outside])
    (arriving.ports, arriving.sourcePorts) = (rule.match.sourcePorts, rule.match.ports)
    for one in try CheckedMatch(arriving, context).alternatives {
      let action = Self.translation(.destination, outside, inside)
      add(one.matches, [.counter, action], to: .dstnat, rule.origin)
      if interfaces.isEmpty { add(one.matches, [.counter, action], to: .localDstnat, rule.origin) }
    }
  }

  private static func translation(
    _ side: Expression.AddressTranslation.Side, _ from: IPPrefix, _ to: IPPrefix
  ) -> Action {
    guard Int(from.length) == from.family.bits else { return .prefixNAT(side, [(from: from, to: to)]) }
    return side == .source ? .sourceNAT(to: to.address) : .destinationNAT(to: to.address)
  }
}
