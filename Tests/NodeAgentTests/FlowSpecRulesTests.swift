import BGPCore
import BGPWire
import CLinux
import ControlProtocol
import Glibc
import NetTypes
import Netlink
import Nftables
import Testing

@testable import NodeAgent

/// Flow rules as nft shows them, and what becomes of packets that are sent to a namespace which holds them.
@Suite(.enabled(if: FlowSpecBench.isAllowed))
struct FlowSpecRulesTests {
  private func rule(_ octets: [UInt8], _ family: AddressFamily = .ipv4) throws -> FlowRule {
    try FlowRule(decoding: octets, family)
  }

  private func actions(_ adjust: (inout FlowActions) -> Void) -> FlowActions {
    var actions = FlowActions()
    adjust(&actions)
    return actions
  }

  private var drop: FlowActions { actions { $0.rateBytes = 0 } }

  @Test("Rules as nft writes them, in order of precedence, with a counter and an end each")
  func listing() throws {
    let bench = try FlowSpecBench()
    let active = [
      ActiveFlowRule(
        try rule([1, 24, 203, 0, 113, 2, 8, 10, 3, 0x81, 17, 5, 0x91, 1, 187]), drop),
      ActiveFlowRule(
        try rule([1, 24, 203, 0, 113, 3, 0x01, 6, 0x81, 17, 5, 0x03, 100, 0x45, 200, 0x91, 0x1F, 0x90]),
        actions { $0.dscp = 46 }),
      ActiveFlowRule(try rule([3, 0x81, 1, 7, 0x81, 8, 8, 0x81, 0, 10, 0xD2, 4, 0]), actions { $0.continues = true }),
      ActiveFlowRule(try rule([9, 0x00, 2, 0xC3, 16, 11, 0x81, 46]), drop),
      ActiveFlowRule(try rule([12, 0x81, 2]), drop),
    ]
    let compiled = FlowSpecRules(active)
    #expect(compiled.refused == [:])
    try bench.install(compiled)
    let text = try bench.rules()
    #expect(
      text.map(FlowSpecBench.withoutComment) == [
        "ip frag-off & 8191 == 0 ip daddr 203.0.113.0/24 ip saddr 10.0.0.0/8 udp dport 443 counter drop",
        "meta l4proto { tcp, udp } ip frag-off & 8191 == 0 ip daddr 203.0.113.0/24 th dport { 100-200, 8080 } counter ip dscp set ef accept",
        "ip frag-off & 8191 == 0 icmp type echo-request icmp code net-unreachable ip length >= 1025 counter",
        "ip frag-off & 8191 == 0 tcp flags syn tcp flags & ack != ack ip dscp ef counter drop",
        "ip frag-off & 32767 == { 1-8191, 8193-16383, 16385-24575, 24577-32767 } counter drop",
      ])
    #expect(text[0].contains("comment \"\(FlowSpecRules.name(active[0].rule)) destination 203.0.113.0/24 source"))
    #expect(
      try bench.read().map(\.canonical) == compiled.rules.map(\.canonical), "what the kernel has is what was meant")
  }
}

/// What a neighbor can ask of the agent and its kernel.
@Suite(.enabled(if: FlowSpecBench.isAllowed))
struct FlowSpecLimitTests {
  /// `port` with every second number from `first` on: as many as a message holds.
  private func longest(_ first: Int) throws -> ActiveFlowRule {
    let ports = (0..<1330).map { first + 2 * $0 }
    let octets = ports.flatMap { port in
      [port == ports.last ? 0x91 : 0x11, UInt8(port >> 8), UInt8(port & 255)] as [UInt8]
    }
    var drop = FlowActions()
    drop.rateBytes = 0
    return ActiveFlowRule(try FlowRule(decoding: [4] + octets, .ipv4), drop)
  }

  private func elements(_ compiled: FlowSpecRules) -> Int {
    compiled.rules.flatMap(\.expressions).reduce(0) { sum, expression in
      guard case .lookup(let lookup) = expression, case .inline(let contents) = lookup.set else { return sum }
      return sum + contents.elements.count
    }
  }

  @Test("A port list as long as a message takes a few elements for each port, and counts either end")
  func length() throws {
    let rule = try longest(1001)
    let compiled = FlowSpecRules([rule])
    #expect(compiled.refused == [:])
    #expect(elements(compiled) < 4 * 1330 + 10)
    let bench = try FlowSpecBench()
    try bench.install(compiled)
    #expect(try bench.read().map(\.canonical) == compiled.rules.map(\.canonical))
    var packet = FlowPacket()
    for ports in [(1001, 1000), (1000, 3659), (1003, 1005), (1000, 1002), (3661, 3663)] {
      packet.head = [ports.0, ports.1].flatMap { [UInt8($0 >> 8), UInt8($0 & 255)] }
      try bench.send([packet])
    }
    #expect(FlowSpecRules.counter(of: rule.rule, in: try bench.read()).packets == 3)
  }

  @Test("All rules together have a limit, and those beyond it are refused by name")
  func sum() throws {
    let rules = try (0..<20).map { try longest(1001 + 2 * $0) }
    let compiled = FlowSpecRules(rules)
    #expect(elements(compiled) <= FlowSpecRules.mostElements)
    #expect((1..<20).contains(compiled.refused.count))
    #expect(compiled.refused.values.allSatisfy { $0.contains("too long") })
    let more = ActiveFlowRule(try FlowRule(decoding: [3, 0x81, 6], .ipv4), FlowActions())
    #expect(FlowSpecRules(rules + [more]).refused[more.rule] == nil, "a short rule finds its place behind them")
  }

  private struct Kernel {
    /// What it refuses, by name, and whether it says which.
    var bad: Set<String>
    var names = true
    var tries = 0
    var held: [Nftables.Rule] = []

    mutating func set(_ rules: FlowSpecRules) throws(Refusal) {
      tries += 1
      if let rule = rules.rules.first(where: { bad.contains(FlowSpecRules.name($0.comment)) }) {
        throw Refusal(names ? FlowSpecRules.name(rule.comment) : "table inet netloom", "no")
      }
      held = rules.rules
    }
  }

  private func some(_ protocols: ClosedRange<UInt8>) throws -> [ActiveFlowRule] {
    try protocols.map { ActiveFlowRule(try FlowRule(decoding: [3, 0x81, $0], .ipv4), FlowActions()) }
  }

  @Test("A rule that the kernel refuses is said to be inactive, and keeps no other out")
  func culprit() throws {
    let active = try some(1...40)
    let bad = [active[3], active[30]].map(\.rule)
    var kernel = Kernel(bad: Set(bad.map(FlowSpecRules.name)))
    let outcome = FlowSpecOutcome(active, FlowSpecContents(), { FlowSpecRules($0) }) { (rules) throws(Refusal) in
      try kernel.set(rules)
    }
    #expect(Set(outcome.refused.keys) == Set(bad) && outcome.isFinal)
    #expect(kernel.held.count == 38 && kernel.tries == 3)
    #expect(outcome.events.count == 2)
  }

  @Test("Where the kernel names no rule, or ever more, what is in force stays and what is new is inactive")
  func nameless() throws {
    let standing = FlowSpecRules(try some(1...20))
    for names in [false, true] {
      let active = try some(10...60)
      var kernel = Kernel(bad: Set(try some(21...60).map { FlowSpecRules.name($0.rule) }), names: names)
      let contents = FlowSpecContents(standing, [])
      let outcome = FlowSpecOutcome(active, contents, { FlowSpecRules($0) }) { (rules) throws(Refusal) in
        try kernel.set(rules)
      }
      #expect(Set(outcome.refused.keys) == Set(try some(21...60).map(\.rule)))
      #expect(kernel.held == FlowSpecRules(try some(10...20)).rules && kernel.tries < 20)
    }
  }

  @Test("The kernel's refusal of one flow rule carries its name, and what stood before stands")
  func name() throws {
    let bench = try EdgeBench()
    let node = try Node(loop: bench.node.loop, log: Log(), namespace: bench.node.namespace, dataPlane: true)
    try node.apply(NLDataPlane())
    let good = FlowSpecRules(try some(1...3))
    try node.setFlowSpecs(FlowSpecContents(good, []))
    let before = try bench.listing()
    var contents = FlowSpecContents(FlowSpecRules(try some(1...5)), [])
    let name = FlowSpecRules.name(try some(4...4)[0].rule)
    contents.rules[3] = Nftables.Rule([.source(in: "nobody", .ipv4)], [.drop], comment: "\(name) protocol 4")
    #expect {
      try node.setFlowSpecs(contents)
    } throws: { ($0 as? Refusal)?.offender == name }
    let after = try bench.listing()
    #expect(after == before)
  }
}

/// Random rules and random packets: the kernel counts what the RFCs mean.
@Suite(.enabled(if: FlowSpecBench.isAllowed))
struct FlowSpecMeaningTests {
  @Test("The kernel and the RFCs agree on which packets a rule means", arguments: [AddressFamily.ipv4, .ipv6])
  func meaning(family: AddressFamily) throws {
    var generator = SeededGenerator(seed: family == .ipv4 ? 4 : 6)
    var rules: Set<FlowRule> = []
    while rules.count < 120 { if let rule = Self.rule(&generator, family) { rules.insert(rule) } }
    let packets = (0..<400).map { _ in Self.packet(&generator, family) }
    // Each goes on, so that every rule is asked of every packet.
    var goOn = FlowActions()
    goOn.continues = true
    let bench = try FlowSpecBench()
    let active = rules.sorted().map { ActiveFlowRule($0, goOn) }
    let compiled = FlowSpecRules(active)
    try bench.install(compiled)
    try bench.send(packets)
    let standing = try bench.read()
    var meant = 0
    for rule in active.map(\.rule) {
      let expected = packets.count { $0.isMeant(by: rule) }
      meant += expected
      let counted = FlowSpecRules.counter(of: rule, in: standing).packets
      #expect(
        counted == UInt64(expected), "\(rule)\n\(standing.filter { $0.comment.contains(FlowSpecRules.name(rule)) })")
    }
    #expect(meant > 1000, "rules that mean nothing prove nothing")
  }

  @Test("The first rule that holds ends the chain; one that asks to go on does not; a rate drops what is over it")
  func order() throws {
    let bench = try FlowSpecBench()
    func rule(_ octets: [UInt8]) throws -> FlowRule { try FlowRule(decoding: octets, .ipv4) }
    var (drop, goOn, rate) = (FlowActions(), FlowActions(), FlowActions())
    drop.rateBytes = 0
    goOn.continues = true
    rate.ratePackets = 1
    let list = [
      ActiveFlowRule(try rule([1, 32, 127, 0, 0, 9, 3, 0x81, 17]), goOn),
      ActiveFlowRule(try rule([1, 32, 127, 0, 0, 9, 5, 0x81, 53]), rate),
      ActiveFlowRule(try rule([1, 24, 127, 0, 0]), FlowActions()), ActiveFlowRule(try rule([1, 8, 127]), drop),
    ]
    #expect(list.map(\.rule).sorted() == list.map(\.rule))
    try bench.install(FlowSpecRules(list))
    var packet = FlowPacket()
    packet.destination = 9
    packet.head = [0, 9, 0, 53]
    try bench.send(Array(repeating: packet, count: 50))
    packet.head = [0, 9, 0, 54]
    try bench.send([packet])
    let standing = try bench.read()
    let counts = list.map { FlowSpecRules.counter(of: $0.rule, in: standing).packets }
    #expect(counts == [51, 50, 1, 0])
    let accepted = try bench.output(of: "nft list chain inet netloom flowspec").contains("limit rate over 1/second")
    #expect(accepted)
  }

  @Test("What cannot be done is refused by name, and the other rules stand")
  func refusals() throws {
    func rule(_ octets: [UInt8]) throws -> FlowRule { try FlowRule(decoding: octets, .ipv4) }
    var (target, copy, redirect) = (FlowActions(), FlowActions(), FlowActions())
    target.redirect = .routeTarget("64500:1")
    let address = try #require(IPAddress("192.0.2.1"))
    copy.redirect = .address(address, copies: true)
    redirect.redirect = .address(address, copies: false)
    let none = ActiveFlowRule(try rule([3, 0x81, 6, 7, 0x81, 8]), FlowActions())
    let list = [
      ActiveFlowRule(try rule([3, 0x81, 1]), target), ActiveFlowRule(try rule([3, 0x81, 2]), copy),
      ActiveFlowRule(try rule([3, 0x81, 3]), redirect), none, ActiveFlowRule(try rule([3, 0x81, 9]), FlowActions()),
    ]
    #expect(
      FlowSpecRules(list).refused.values.sorted() == [
        "copies to 192.0.2.1 are not made here", "no packet matches it",
        "redirect to 192.0.2.1: no route leads there", "redirect to route target 64500:1: there are no VRFs here",
      ])
    #expect(FlowSpecRules.redirects(list) == [address])
    let bench = try FlowSpecBench()
    let compiled = FlowSpecRules(list) { $0 == address ? 0x77 : nil }
    try bench.install(compiled)
    #expect(
      try bench.rules().map(FlowSpecBench.withoutComment) == [
        "meta nfproto ipv4 meta l4proto ggp counter meta mark set 0x00000077 accept",
        "meta nfproto ipv4 meta l4proto igp counter accept",
      ])
  }

  private static func rule(_ generator: inout SeededGenerator, _ family: AddressFamily) -> FlowRule? {
    var values: [(FlowComponentType, FlowComponent.Value)] = []
    for type in FlowComponentType.allCases where Int.random(in: 0..<6, using: &generator) == 0 {
      switch type.form {
      case .prefix:
        let text = family == .ipv4 ? "127.0.0.\(Bool.random(using: &generator) ? 1 : 129)" : "2001:db8::81"
        let length = Int.random(in: family == .ipv4 ? 0...32 : 100...128, using: &generator)
        guard let address = IPAddress(text), let prefix = IPPrefix(address, length: length) else { return nil }
        let offset = family == .ipv6 && Bool.random(using: &generator) ? UInt8.random(in: 1...99, using: &generator) : 0
        guard let value = FlowPrefix(prefix, offset: offset) else { return nil }
        values.append((type, .prefix(value)))
      default:
        values.append((type, .operations(operations(&generator, type))))
      }
    }
    return try? FlowRule(family, values)
  }

  private static func operations(_ generator: inout SeededGenerator, _ type: FlowComponentType) -> [FlowOperation] {
    (0..<Int.random(in: 1...3, using: &generator)).map { _ in
      let largest = type.form == .bitmask ? (type == .fragment ? 15 : 0x1FF) : number(type)
      return FlowOperation(
        FlowOperation.Comparison(rawValue: .random(in: 0...(type.form == .bitmask ? 3 : 7), using: &generator)),
        .random(in: 0...largest, using: &generator), isAnd: .random(using: &generator))
    }
  }

  /// Values that packets hold.
  private static func number(_ type: FlowComponentType) -> UInt64 {
    switch type {
    case .protocol: 60
    case .length: 120
    case .dscp: 63
    default: 9
    }
  }

  private static func packet(_ generator: inout SeededGenerator, _ family: AddressFamily) -> FlowPacket {
    var packet = FlowPacket(family: family)
    packet.source = Bool.random(using: &generator) ? 1 : 0x81
    packet.destination = Bool.random(using: &generator) ? 1 : 0x81
    packet.transport = [6, 6, 17, 17, family == .ipv4 ? 1 : 58, 47].randomElement(using: &generator) ?? 6
    packet.head = [0, .random(in: 0...9, using: &generator), 0, .random(in: 0...9, using: &generator)]
    packet.flags = .random(in: 0...0x1FF, using: &generator)
    packet.dscp = .random(in: 0...63, using: &generator)
    packet.payload = .random(in: 0...12, using: &generator) * 8
    packet.label = .random(in: 0...9, using: &generator)
    switch Int.random(in: 0..<8, using: &generator) {
    case 0: packet.more = true
    case 1: packet.offset = .random(in: 1...3, using: &generator)
    case 2: (packet.more, packet.offset) = (true, .random(in: 1...3, using: &generator))
    default: packet.dont = family == .ipv4 && Bool.random(using: &generator)
    }
    return packet
  }
}

private struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
