internal import ControlProtocol
internal import NetTypes
internal import Nftables

/// One way in which a `PacketMatch` can hold, as conditions of a rule. Lists are sets where nftables has sets, and
/// alternatives where it has not: the address families, and code points.
struct PacketConditions {
  /// nil: of either.
  var family: AddressFamily?
  var matches: [Match]
}

/// What can be asked of a packet where the rule stands, and what is known of it already.
struct ConditionContext {
  /// For messages.
  var origin: NLOrigin
  /// That the node has.
  var interfaces: Set<String>
  /// Only packets of this family are meant.
  var family: AddressFamily?
  /// The rule treats families differently: an alternative for each.
  var splitsFamilies = false

  func refusal(_ reason: String) -> Refusal { Refusal(origin.text, reason, place: origin.place) }

  func interfaceNames(_ names: [String]) throws(Refusal) -> [InterfaceName] {
    var found: [InterfaceName] = []
    for name in names {
      guard interfaces.contains(name), let valid = InterfaceName(name) else { throw refusal("no interface \(name)") }
      if !found.contains(valid) { found.append(valid) }
    }
    return found
  }

  func prefixes(_ messages: [NLPrefix]) throws(Refusal) -> [IPPrefix] {
    var found: [IPPrefix] = []
    for message in messages {
      guard let prefix = IPPrefix(message) else { throw refusal("not a prefix") }
      found.append(prefix)
    }
    return found.withoutCovered
  }

  func ports(_ messages: [NLPortRange]) throws(Refusal) -> [ClosedRange<UInt16>] {
    var found: [ClosedRange<UInt16>] = []
    for message in messages { found.append(try ports(message)) }
    return found.merged
  }

  func ports(_ message: NLPortRange) throws(Refusal) -> ClosedRange<UInt16> {
    guard let first = UInt16(exactly: message.first), let last = UInt16(exactly: message.last), first <= last
    else { throw refusal("not a range of ports: \(message.first)-\(message.last)") }
    return first...last
  }

  func addresses(_ message: NLAddressRange) throws(Refusal) -> ClosedRange<IPAddress> {
    guard let first = IPAddress(message.first), let last = IPAddress(message.last), first.family == last.family,
      first <= last
    else { throw refusal("not a range of addresses") }
    return first...last
  }
}

/// A `PacketMatch` whose values were checked.
struct CheckedMatch {
  var interfacesIn: [InterfaceName]
  var interfacesOut: [InterfaceName]
  var from: [IPPrefix]
  var to: [IPPrefix]
  /// As IPv4 numbers it: 1 is ICMP of either family.
  var transport: UInt8?
  var ports: [ClosedRange<UInt16>]
  var sourcePorts: [ClosedRange<UInt16>]
  var states: ConnectionState
  var codePoints: [UInt8]
  var families: [AddressFamily]
  /// Whether something in it, or around it, is of one family only.
  var namesFamily: Bool

  /// TCP, UDP, DCCP, SCTP, UDP-Lite: have ports at the beginning of their headers.
  private static let withPorts: Set<UInt8> = [6, 17, 33, 132, 136]

  init(_ message: NLPacketMatch, _ context: ConditionContext) throws(Refusal) {
    interfacesIn = try context.interfaceNames(message.in)
    interfacesOut = try context.interfaceNames(message.out)
    from = try context.prefixes(message.from)
    to = try context.prefixes(message.to)
    guard let number = UInt8(exactly: message.protocol) else { throw context.refusal("no such protocol") }
    transport = number == 0 ? nil : number
    ports = try context.ports(message.ports)
    sourcePorts = try context.ports(message.sourcePorts)
    if let transport, !(ports.isEmpty && sourcePorts.isEmpty), !Self.withPorts.contains(transport) {
      throw context.refusal("protocol \(transport) has no ports")
    }
    states = []
    for state in message.states { states.formUnion(try ConnectionState(state, context)) }
    codePoints = []
    for codePoint in message.dscp {
      guard let value = UInt8(exactly: codePoint), value < 64 else {
        throw context.refusal("no such DSCP: \(codePoint)")
      }
      codePoints.append(value)
    }
    var families = Set(AddressFamily.allCases)
    if !from.isEmpty { families.formIntersection(from.map(\.family)) }
    if !to.isEmpty { families.formIntersection(to.map(\.family)) }
    if let family = context.family { families.formIntersection([family]) }
    guard !families.isEmpty else {
      throw context.refusal("its addresses are of different families: it can never match")
    }
    self.families = AddressFamily.allCases.filter(families.contains)
    namesFamily =
      !from.isEmpty || !to.isEmpty || context.family != nil || context.splitsFamilies || !codePoints.isEmpty
  }

  /// Every way in which it can hold, in a fixed order.
  var alternatives: [PacketConditions] {
    guard namesFamily else { return [PacketConditions(family: nil, matches: conditions(nil, nil))] }
    return families.flatMap { family in
      (codePoints.isEmpty ? [nil] : codePoints.map(Optional.some)).map { codePoint in
        PacketConditions(family: family, matches: conditions(family, codePoint))
      }
    }
  }

  private func conditions(_ family: AddressFamily?, _ codePoint: UInt8?) -> [Match] {
    var matches: [Match] = []
    if interfacesIn.count == 1 { matches.append(.interfaceIn(interfacesIn[0])) }
    if interfacesIn.count > 1 { matches.append(.interfaceIn(anyOf: interfacesIn)) }
    if interfacesOut.count == 1 { matches.append(.interfaceOut(interfacesOut[0])) }
    if interfacesOut.count > 1 { matches.append(.interfaceOut(anyOf: interfacesOut)) }
    if let family {
      let sources = from.filter { $0.family == family }
      let destinations = to.filter { $0.family == family }
      if sources.isEmpty && destinations.isEmpty { matches.append(.family(family)) }
      if sources.count == 1 { matches.append(.source(sources[0])) }
      if sources.count > 1 { matches.append(.source(anyOf: sources)) }
      if destinations.count == 1 { matches.append(.destination(destinations[0])) }
      if destinations.count > 1 { matches.append(.destination(anyOf: destinations)) }
      // An address match of length 0 asks nothing but the family.
      if sources.count + destinations.count == 1, (sources + destinations)[0].length == 0 {
        matches.append(.family(family))
      }
    }
    if let transport { matches.append(Self.transport(transport, family)) }
    if !sourcePorts.isEmpty { matches.append(.sourcePort(anyOf: sourcePorts)) }
    if !ports.isEmpty { matches.append(.destinationPort(anyOf: ports)) }
    if !states.isEmpty { matches.append(.connectionState(states)) }
    if let family, let codePoint { matches.append(.dscp(codePoint, family)) }
    return matches
  }

  private static func transport(_ number: UInt8, _ family: AddressFamily?) -> Match {
    let wanted = TransportProtocol(rawValue: number)
    guard wanted == .icmp || wanted == .icmpv6 else { return .transportProtocol(wanted) }
    switch family {
    case .ipv4: return .transportProtocol(.icmp)
    case .ipv6: return .transportProtocol(.icmpv6)
    case nil: return .transportProtocol(anyOf: [.icmp, .icmpv6])
    }
  }
}

extension ConnectionState {
  fileprivate init(_ message: NLConnectionState, _ context: ConditionContext) throws(Refusal) {
    switch message {
    case .new: self = .new
    case .connectionEstablished: self = .established
    case .related: self = .related
    case .invalid: self = .invalid
    case .untracked: self = .untracked
    case .stateNone, .UNRECOGNIZED: throw context.refusal("no such state of a connection")
    }
  }
}

extension [IPPrefix] {
  /// nftables refuses sets whose elements overlap: each prefix inside another is left out. In order.
  var withoutCovered: [IPPrefix] {
    let sorted = self.sorted()
    var kept: [IPPrefix] = []
    for prefix in sorted where kept.last?.contains(prefix) != true { kept.append(prefix) }
    return kept
  }
}

extension [ClosedRange<UInt16>] {
  /// In order, with what overlaps or touches made one.
  var merged: [ClosedRange<UInt16>] {
    var kept: [ClosedRange<UInt16>] = []
    for range in sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = kept.last, UInt32(last.upperBound) + 1 >= UInt32(range.lowerBound) {
        kept[kept.count - 1] = last.lowerBound...Swift.max(last.upperBound, range.upperBound)
      } else {
        kept.append(range)
      }
    }
    return kept
  }
}
