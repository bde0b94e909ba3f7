internal import ControlProtocol
internal import NetTypes
internal import Netlink

/// `path:` of this node in the kernel's terms: for the n-th a table (5000 + n) with a default route per family over the
/// next hops that are up, and rules that lead there.
///
/// Rules of the n-th have priority 10001 + 2n: lists are products, any of them may take the packet, so their order among
/// themselves says nothing. The same rules for packets that come from the next hop stand before them (10000 + 2n) and
/// lead to table main, so that nothing goes round in circles. Where no next hop is up the table is empty, the lookup finds
/// nothing, and the next rule is asked: in the end table main.
///
/// Before them stand rules that ask for a mark: 7000 with table 9500 for what a pod's sidecar and its program say to each
/// other under a client's address (`InterceptionCompiler.swift`), 8000 + n with table 8500 + n for what flow rules
/// redirect, 9000 + n with table 7500 + n for answers to zoned interfaces (`ReturnPaths.swift`).
struct PolicyPaths {
  struct Path {
    var table: RouteTable
    var origin: NLOrigin
    var hops: [AddressFamily: [Route.Hop]]
    var kind = RouteKind.unicast
  }

  private(set) var rules: Set<Netlink.Rule> = []
  private(set) var paths: [Path] = []
  private var origins: [Netlink.Rule: NLOrigin] = [:]

  private static let firstTable: UInt32 = 5000
  private static let firstPriority: UInt32 = 10_000
  private static let mostPaths: UInt32 = 2500
  private static let mostRules = 20_000

  init() {}

  /// Paths that a mark leads to.
  enum Marked {
    case returns, redirects, local

    var firstTable: UInt32 {
      switch self {
      case .returns: 7500
      case .redirects: 8500
      case .local: 9500
      }
    }
    var firstPriority: UInt32 {
      switch self {
      case .returns: 9000
      case .redirects: 8000
      case .local: 7000
      }
    }
    static let most: UInt32 = 1000
  }
  static var mostReturns: Int { Int(Marked.most) }
  static var mostRedirects: Int { Int(Marked.most) }

  static func isOurs(_ table: RouteTable) -> Bool {
    (firstTable..<Marked.local.firstTable + Marked.most).contains(table.rawValue)
  }
  static func isOurs(_ rule: Netlink.Rule) -> Bool {
    (Marked.local.firstPriority..<firstPriority + 2 * mostPaths).contains(rule.priority)
  }

  /// nil: no rule for what flow rules redirect.
  static func redirectNumber(_ rule: Netlink.Rule) -> UInt32? {
    let first = Marked.redirects.firstPriority
    return (first..<first + Marked.most).contains(rule.priority) ? rule.priority - first : nil
  }

  mutating func addMarked(
    _ marked: Marked, _ number: UInt32, _ mark: UInt32, _ hops: [AddressFamily: [Route.Hop]], _ origin: NLOrigin,
    kind: RouteKind = .unicast
  ) {
    let table = RouteTable(rawValue: marked.firstTable + number)
    for family in AddressFamily.allCases where hops[family] != nil {
      let rule = Netlink.Rule(family, priority: marked.firstPriority + number, table: table, mark: mark)
      rules.insert(rule)
      origins[rule] = origin
    }
    paths.append(Path(table: table, origin: origin, hops: hops, kind: kind))
  }

  init(_ messages: [NLPolicyRoute], links: some Collection<Link>) throws(Refusal) {
    for (place, message) in messages.enumerated() {
      guard place < Self.mostPaths else { throw Refusal("path", "more than \(Self.mostPaths)") }
      try add(message, UInt32(place), links)
    }
  }

  private mutating func add(
    _ message: NLPolicyRoute, _ place: UInt32, _ links: some Collection<Link>
  ) throws(Refusal) {
    let context = ConditionContext(origin: message.origin, interfaces: Set(links.map(\.name)))
    var path = Path(table: RouteTable(rawValue: Self.firstTable + place), origin: message.origin, hops: [:])
    for hop in message.nextHops {
      guard let gateway = IPAddress(hop.gateway) else { throw context.refusal("a next hop of a path needs an address") }
      guard let link = links.first(where: { $0.name == hop.interface }) else {
        throw context.refusal("no interface \(hop.interface)")
      }
      path.hops[gateway.family, default: []].append(
        Route.Hop(gateway, link: link.index, weight: max(1, hop.weight)))
    }
    guard !path.hops.isEmpty else { throw context.refusal("no next hop") }
    let match = try CheckedMatch(message.match, context)
    guard match.interfacesOut.isEmpty, match.states.isEmpty, message.match.connectionsOver == 0 else {
      throw context.refusal(
        "a path cannot ask for out, state or connections-over: it is looked up before they are known")
    }
    for range in match.ports + match.sourcePorts where range.lowerBound == .max || range.upperBound == 0 {
      throw context.refusal("a path cannot ask for port \(range.lowerBound) alone")
    }
    let exceptions = try context.interfaceNames(message.exceptIn)
    try checkCount(match, exceptions.count, context)
    let priority = Self.firstPriority + 2 * place
    for family in match.families where path.hops[family] != nil {
      let plain = Self.rules(match, family, priority: priority + 1, path.table)
      var added = Set(plain)
      for interface in exceptions {
        for var rule in plain where rule.inputInterface == nil || rule.inputInterface == interface {
          (rule.inputInterface, rule.priority, rule.table) = (interface, priority, .main)
          added.insert(rule)
        }
      }
      rules.formUnion(added)
      for rule in added { origins[rule] = message.origin }
    }
    paths.append(path)
  }

  /// Before they are made: two lists of thousands are a product of millions.
  private func checkCount(_ match: CheckedMatch, _ exceptions: Int, _ context: ConditionContext) throws(Refusal) {
    let lists = [
      match.interfacesIn.count, match.from.count, match.to.count, match.ports.count, match.sourcePorts.count,
      match.codePoints.count, exceptions + 1,
    ]
    var product = match.transport == nil && !(match.ports.isEmpty && match.sourcePorts.isEmpty) ? 2 : 1
    for count in lists where product <= Self.mostRules { product *= max(1, min(count, Self.mostRules + 1)) }
    guard rules.count + product <= Self.mostRules else {
      throw context.refusal("more than \(Self.mostRules) rules of routing: its lists are multiplied with each other")
    }
  }

  /// The product of everything that is a list.
  private static func rules(
    _ match: CheckedMatch, _ family: AddressFamily, priority: UInt32, _ table: RouteTable
  ) -> [Netlink.Rule] {
    func any<Value>(_ values: [Value]) -> [Value?] { values.isEmpty ? [nil] : values }
    // Prefixes of length 0 are everything of the family, which the rule says by itself.
    func prefixes(_ all: [IPPrefix]) -> [IPPrefix] {
      let own = all.filter { $0.family == family }
      return own.contains { $0.length == 0 } ? [] : own
    }
    var transports = any(match.transport.map { [$0] } ?? [])
    if match.transport == nil, !(match.ports.isEmpty && match.sourcePorts.isEmpty) { transports = [6, 17] }
    if match.transport == 1, family == .ipv6 { transports = [58] }
    var rules = [Netlink.Rule(family, priority: priority, table: table)]
    func widen<Value>(_ values: [Value?], _ set: (inout Netlink.Rule, Value?) -> Void) {
      rules = rules.flatMap { rule in
        values.map { value in
          var rule = rule
          set(&rule, value)
          return rule
        }
      }
    }
    widen(any(match.interfacesIn)) { $0.inputInterface = $1 }
    widen(any(prefixes(match.from))) { $0.source = $1 }
    widen(any(prefixes(match.to))) { $0.destination = $1 }
    widen(transports) { $0.transport = $1 }
    widen(any(routable(match.ports))) { $0.destinationPorts = $1 }
    widen(any(routable(match.sourcePorts))) { $0.sourcePorts = $1 }
    widen(any(match.codePoints)) { $0.codePoint = $1 }
    return rules
  }

  /// Rules of routing take ports 1 to 65534 (fib_rule_port_range_valid of the kernel's net/fib_rules.h): a range that
  /// begins before or ends behind is cut, and all ports are the same as none written.
  private static func routable(_ ranges: [ClosedRange<UInt16>]) -> [ClosedRange<UInt16>] {
    let most: ClosedRange<UInt16> = 1...65_534
    guard !ranges.contains(where: { $0.lowerBound <= 1 && $0.upperBound >= most.upperBound }) else { return [] }
    return ranges.filter { $0.overlaps(most) }.map { $0.clamped(to: most) }
  }

  func origin(of rule: Netlink.Rule) -> NLOrigin? { origins[rule] }
  func origin(of table: RouteTable) -> NLOrigin? { paths.first { $0.table == table }?.origin }

  /// One default route for each table and family that has a next hop which is up.
  func routes(_ links: [InterfaceIndex: Link]) -> [Route] {
    var routes: [Route] = []
    for path in paths {
      for family in AddressFamily.allCases {
        var hops = (path.hops[family] ?? []).filter { hop in hop.link.flatMap { links[$0] }?.canCarry == true }
        // A single way has no weight in the kernel.
        if hops.count == 1 { hops[0].weight = 1 }
        guard !hops.isEmpty, let everything = IPPrefix(family == .ipv4 ? "0.0.0.0/0" : "::/0") else { continue }
        routes.append(
          Route(
            everything, hops: hops, kind: path.kind, protocol: .static, metric: Self.metric, table: path.table))
      }
    }
    return routes
  }

  /// Written, so that it reads back the same in both families.
  private static let metric: UInt32 = 1024
}

extension Netlink.Rule {
  /// As `ip rule` writes it.
  var text: String {
    var words = ["\(priority): from \(source.map { "\($0)" } ?? "all")"]
    if let destination { words.append("to \(destination)") }
    if let inputInterface { words.append("iif \(inputInterface.text)") }
    if let mark { words.append("fwmark 0x\(String(mark, radix: 16))") }
    if let codePoint { words.append("dscp \(codePoint)") }
    if let transport { words.append("ipproto \(transport)") }
    if let sourcePorts { words.append("sport \(sourcePorts.lowerBound)-\(sourcePorts.upperBound)") }
    if let destinationPorts { words.append("dport \(destinationPorts.lowerBound)-\(destinationPorts.upperBound)") }
    return words.joined(separator: " ") + " lookup \(table == .main ? "main" : String(table.rawValue))"
  }
}
