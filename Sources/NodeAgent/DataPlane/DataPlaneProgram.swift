// The message `DataPlane` → what the kernel is to hold: one nftables table, a traffic plan per interface, policy rules
// with tables of their own, sysctls. Pure: nothing here asks or changes the kernel. What a message can say wrongly is
// refused here, with the rule at fault and its place in the user's file.

internal import ControlProtocol
internal import NetTypes
internal import Netlink
internal import Nftables

struct DataPlaneProgram {
  private(set) var ruleset: Ruleset
  /// By interface, in the order of the message.
  private(set) var shapers: [InterfaceShaper] = []
  private(set) var paths = PolicyPaths()
  private(set) var sysctls: [String: String] = [:]
  private var sysctlOrigins: [String: NLOrigin] = [:]
  private(set) var addresses: [NLInterfaceAddresses] = []
  /// Whose rule it is: by chain and the comment under which it stands.
  private(set) var origins: [RuleBook.Key: NLOrigin] = [:]

  /// The base table, and nothing in it.
  static let empty = DataPlaneProgram()

  private init() { ruleset = Ruleset([RuleBook().table]) }

  /// - Parameter flowSpecs: what stands in the chain `flowspec`, compiled elsewhere.
  init(
    _ message: NLDataPlane, links: some Collection<Link>, flowSpecs: FlowSpecContents = FlowSpecContents()
  ) throws(Refusal) {
    let interfaces = Set(links.map(\.name))
    var book = RuleBook()
    for rule in flowSpecs.rules { book.add(rule, to: .flowspec) }
    let zoned = try ZonedInterface.all(message.zones, interfaces)
    for zone in message.zones { try book.add(zone, interfaces) }
    for one in zoned { book.addReturn(one) }
    for rule in message.nat { try book.add(rule, interfaces) }
    for (place, rule) in message.filter.enumerated() { try book.add(rule, at: place, interfaces) }
    var counts: [String: Int] = [:]
    for policer in message.policers {
      try book.add(policer, at: counts[policer.interface, default: 0], interfaces)
      counts[policer.interface, default: 0] += 1
    }
    for marking in message.markings { try book.add(marking, interfaces) }
    for impairment in message.impairments { try book.add(impairment, interfaces) }
    if message.hasInterception { try book.add(message.interception) }
    for shaper in message.shapers + message.impairments.compactMap(\.shaper) {
      let lowered = try InterfaceShaper(shaper, links: links)
      guard !shapers.contains(where: { $0.link == lowered.link }) else {
        throw Refusal(
          shaper.origin.text, "\(shaper.interface) is shaped already: one rate to an interface",
          place: shaper.origin.place)
      }
      shapers.append(lowered)
      try book.add(classesOf: shaper, interfaces)
    }
    for chain in flowSpecs.chains { book.addBranch(chain.name, chain.rules, nil) }
    ruleset = Ruleset([book.table])
    origins = book.origins
    paths = try PolicyPaths(message.paths, links: links)
    for one in zoned { try paths.add(one, links) }
    for redirect in flowSpecs.redirects { paths.add(redirect) }
    if message.hasInterception { try paths.add(message.interception, links) }
    sysctls = message.sysctls
    sysctlOrigins = message.sysctlOrigins
    for name in sysctls.keys where !name.hasPrefix("net.") {
      throw Refusal("sysctl \(name)", "not a parameter of the network")
    }
    for entry in message.addresses {
      for prefix in entry.addresses
      where IPAddress(prefix.address).flatMap({ InterfaceAddress($0, length: Int(prefix.length)) }) == nil {
        throw Refusal("addresses of \(entry.interface)", "not an address")
      }
    }
    addresses = message.addresses
  }

  func refusal(ofSysctl name: String, _ error: KernelError) -> Refusal {
    let origin = sysctlOrigins[name]
    return Refusal(origin?.text ?? "sysctl \(name)", error.description, place: origin?.place ?? "")
  }

  func origin(ofRule comment: String, in chain: String) -> NLOrigin? {
    origins[RuleBook.Key(chain: chain, comment: comment)]
  }
}

/// The chain `flowspec`, the chains that its rules lead to, and where its marks lead.
struct FlowSpecContents: Equatable {
  var rules: [Nftables.Rule] = []
  var chains: [Chain] = []
  var redirects: Set<FlowRedirect> = []
}

/// Rules on their way into the table.
struct RuleBook {
  struct Key: Hashable {
    var chain: String
    var comment: String
  }

  private var rules: [BaseChainName: [Nftables.Rule]] = [:]
  /// Chains that rules of the others lead to, in the order of their making.
  private var branches: [Chain] = []
  private var sets: [NamedSet] = []
  private(set) var origins: [Key: NLOrigin] = [:]

  var table: Table {
    let chains = BaseChainName.allCases.map {
      Chain($0.rawValue, $0.base, rules: $0.fixedRules + (rules[$0] ?? []))
    }
    return Table(BaseTable.id, sets: sets, chains: chains + branches)
  }

  mutating func add(_ rule: Nftables.Rule, to chain: BaseChainName) { rules[chain, default: []].append(rule) }

  mutating func add(_ matches: [Match], _ actions: [Action], to chain: BaseChainName, _ origin: NLOrigin) {
    let rule = Nftables.Rule(matches, actions, comment: origin.text)
    add(rule, to: chain)
    note(origin, rule, chain.rawValue)
  }

  /// A chain of its own for what several rules share: a limit counts once.
  mutating func addBranch(_ name: String, _ rules: [Nftables.Rule], _ origin: NLOrigin?) {
    branches.append(Chain(name, rules: rules))
    guard let origin else { return }
    for rule in rules { note(origin, rule, name) }
  }

  mutating func add(_ set: NamedSet) { sets.append(set) }

  /// The first of equal texts: what two rules of one text say of themselves differs in the place only.
  private mutating func note(_ origin: NLOrigin, _ rule: Nftables.Rule, _ chain: String) {
    let key = Key(chain: chain, comment: rule.comment)
    if origins[key] == nil { origins[key] = origin }
  }
}
