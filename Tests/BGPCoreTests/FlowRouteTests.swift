import BGPWire
import NetTypes
import Testing

@testable import BGPCore

/// The whole way of flow rules through a table that has no sockets.
///
///     customer 65001 ──► ┌───────┐ ──► other 65002
///     inside   64500 ──► │ table │ ──► …
@Suite("The way of a flow rule")
struct FlowRouteTests {
  static let families: FamilySet = .all
  static let drop: [UInt8] = [0x80, 6, 0, 0, 0, 0, 0, 0]

  static func rule(to destination: String?, protocol number: UInt64 = 17) -> FlowRule {
    var values: [(FlowComponentType, FlowComponent.Value)] = [
      (.protocol, .operations([FlowOperation(.equal, number)]))
    ]
    if let destination { values.append((.destination, .prefix(FlowPrefix(prefix(destination))))) }
    let family: AddressFamily = destination?.contains(":") == true ? .ipv6 : .ipv4
    guard let rule = try? FlowRule(family, values) else { preconditionFailure("no rule") }
    return rule
  }

  static func message(
    _ rules: [FlowRule], path: [UInt32], communities: [UInt8] = drop,
    _ adjust: (inout PathAttributes) -> Void = { _ in }
  ) -> [UInt8] {
    var attributes = PathAttributes()
    attributes.asPath = ASPath(sequence: path.map(ASNumber.init))
    if !communities.isEmpty {
      attributes.others = [
        PathAttributes.Opaque(flags: [.optional, .transitive], type: .extendedCommunities, value: communities)
      ]
    }
    adjust(&attributes)
    var message = UpdateMessage(attributes: attributes)
    message.announcedRules = rules
    return message.encode()
  }

  static func withdrawal(_ rules: [FlowRule]) -> [UInt8] {
    var message = UpdateMessage()
    message.withdrawnRules = rules
    return message.encode()
  }

  private static func reasons(_ harness: inout TableHarness) -> [String?] {
    harness.table.flowRules().map(\.inactiveBecause)
  }

  @Test("A customer's rule for its own prefix is obeyed, and told on with our AS in front and no next hop")
  func relay() {
    var harness = TableHarness()
    let customer = harness.peer(1, asn: 65001, families: Self.families)
    let other = harness.peer(2, asn: 65002, families: Self.families)
    let rule = Self.rule(to: "203.0.113.0/25")
    harness.announce(["203.0.113.0/24"], from: customer, path: [65001])
    #expect(harness.receive(Self.message([rule], path: [65001]), from: customer) == .accepted)
    harness.settle()
    #expect(harness.table.activeFlowRules().map(\.rule) == [rule])
    #expect(harness.table.activeFlowRules().first?.actions.drops == true)
    let told = harness.toldRules[other]?[rule]
    #expect(told?.asPath.asns.map(\.rawValue) == [64500, 65001])
    #expect(told?.nextHop == nil && told?.others.first?.value == Self.drop)
    #expect(harness.toldRules[customer] == [:], "never back to where it came from")
    #expect(harness.endOfRIBs[other]?.contains(.ipv4FlowSpec) == true)
    #expect(harness.table.counters(customer, .ipv4FlowSpec).received == 1)
    #expect(harness.table.counters(other, .ipv4FlowSpec).sent == 1)

    harness.receive(Self.withdrawal([rule]), from: customer)
    harness.settle()
    #expect(harness.toldRules[other] == [:])
    #expect(harness.table.activeFlowRules().isEmpty && harness.table.flows.isEmpty)
    #expect(harness.table.counters(other, .ipv4FlowSpec).sent == 0)
  }

  @Test("A peer without the family is told nothing of rules, and what it says of them is not read")
  func notNegotiated() {
    var harness = TableHarness()
    let customer = harness.peer(1, asn: 65001, families: Self.families)
    let unicast = harness.peer(2, asn: 65002)
    harness.announce(["203.0.113.0/24"], from: customer, path: [65001])
    harness.receive(Self.message([Self.rule(to: "203.0.113.0/24")], path: [65001]), from: customer)
    harness.receive(Self.message([Self.rule(to: "198.51.100.0/24")], path: [65002]), from: unicast)
    harness.settle()
    #expect(harness.toldRules[unicast] == [:] && harness.told[unicast]?.count == 1)
    #expect(harness.table.flowRules().count == 1)
    #expect(harness.endOfRIBs[unicast]?.contains(.ipv4FlowSpec) == false)
  }

  @Test("Validation follows unicast: no route, the right route, another's, a more specific one of another AS")
  func validation() {
    var harness = TableHarness()
    let customer = harness.peer(1, asn: 65001, families: Self.families)
    let other = harness.peer(2, asn: 65002, families: Self.families)
    harness.receive(Self.message([Self.rule(to: "203.0.113.0/24")], path: [65001]), from: customer)
    harness.settle()
    #expect(Self.reasons(&harness) == ["validation: there is no route to the destination"])
    harness.announce(["203.0.0.0/16"], from: customer, path: [65001])
    harness.settle()
    #expect(Self.reasons(&harness) == [nil])
    harness.announce(["203.0.113.0/24"], from: other, path: [65002])
    harness.settle()
    #expect(Self.reasons(&harness) == ["validation: the originator of the best route to the destination is another"])
    harness.announce(["203.0.113.0/24"], from: customer, path: [65001])
    harness.announce(["203.0.113.0/24"], from: other, path: [65002, 65009])
    harness.settle()
    #expect(Self.reasons(&harness) == [nil])
    harness.announce(["203.0.113.64/26"], from: customer, path: [65001, 65005])
    harness.settle()
    #expect(Self.reasons(&harness) == [nil], "a part of it from the same neighboring AS")
    harness.announce(["203.0.113.128/25"], from: other, path: [65002])
    harness.settle()
    #expect(Self.reasons(&harness) == ["validation: another AS announces a part of the destination"])
    // A second rule of the same destination is counted with what was counted before.
    harness.receive(Self.message([Self.rule(to: "203.0.113.0/24", protocol: 6)], path: [65001]), from: customer)
    harness.settle()
    #expect(Set(Self.reasons(&harness)) == ["validation: another AS announces a part of the destination"])
    harness.withdraw(["203.0.113.128/25"], from: other)
    harness.settle()
    #expect(Self.reasons(&harness) == [nil, nil])
    harness.table.sessionDown(customer)
    harness.settle()
    #expect(harness.table.flows.isEmpty)
  }

  @Test("A rule without a destination, or of a path that another AS begins, is not obeyed over eBGP")
  func invalid() {
    var harness = TableHarness()
    let customer = harness.peer(1, asn: 65001, families: Self.families)
    harness.announce(["203.0.113.0/24"], from: customer, path: [65001])
    harness.receive(Self.message([Self.rule(to: nil)], path: [65001]), from: customer)
    harness.receive(Self.message([Self.rule(to: "203.0.113.0/24")], path: [65007]), from: customer)
    harness.receive(Self.message([Self.rule(to: "203.0.113.0/24", protocol: 1)], path: []), from: customer)
    harness.settle()
    let elsewhere = "validation: the best route to the destination comes from another neighboring AS"
    #expect(
      Self.reasons(&harness) == [elsewhere, elsewhere, "validation: the rule names no destination prefix"])
    #expect(harness.table.activeFlowRules().isEmpty)
  }

  @Test("From inside the AS a rule needs no originator's route (RFC 9117), and a reflector passes it on")
  func insideTheAS() {
    var harness = TableHarness { $0.routeReflector = true }
    let controller = harness.peer(1, asn: 64500, families: Self.families) { $0.routeReflectorClient = true }
    let client = harness.peer(2, asn: 64500, families: Self.families) { $0.routeReflectorClient = true }
    let transit = harness.peer(3, asn: 65003, families: Self.families)
    let rule = Self.rule(to: "198.51.100.0/24")
    harness.announce(["198.51.100.0/24"], from: transit, path: [65003])
    harness.receive(Self.message([rule], path: []) { $0.localPref = 100 }, from: controller)
    harness.settle()
    #expect(harness.table.activeFlowRules().map(\.rule) == [rule])
    #expect(harness.toldRules[client]?[rule]?.originatorID == 1)
    #expect(harness.toldRules[client]?[rule]?.localPref == 100)
    #expect(harness.toldRules[transit]?[rule]?.asPath.asns.map(\.rawValue) == [64500])
  }

  @Test("Of two routes of one rule the decision process chooses, and the next one takes its place")
  func decision() {
    var harness = TableHarness()
    let a = harness.peer(1, asn: 64500, families: Self.families)
    let b = harness.peer(2, asn: 64500, families: Self.families)
    let rule = Self.rule(to: "198.51.100.0/24")
    harness.receive(Self.message([rule], path: []) { $0.localPref = 100 }, from: a)
    harness.receive(
      Self.message([rule], path: [], communities: [0x80, 9, 0, 0, 0, 0, 0, 8]) { $0.localPref = 200 }, from: b)
    harness.settle()
    #expect(harness.table.activeFlowRules().first?.actions.dscp == 8)
    #expect(Self.reasons(&harness) == [nil, "another route of the rule is better: local-pref"])
    let version = harness.table.flowVersion
    harness.receive(Self.withdrawal([rule]), from: b)
    harness.settle()
    #expect(harness.table.activeFlowRules().first?.actions.drops == true)
    #expect(harness.table.flowVersion > version)
  }

  @Test("Relations filter rules as they filter prefixes: a provider's go to customers only; RFC 8212 holds")
  func relations() {
    var harness = TableHarness()
    let relation = { (relation: Relation) -> (inout PeerSettings) -> Void in
      {
        $0.importPolicy = .byRelation
        $0.exportPolicy = .byRelation
        $0.relation = relation
        $0.roles = true
      }
    }
    let provider = harness.peer(1, asn: 65001, families: Self.families, relation(.customer))
    let customer = harness.peer(2, asn: 65002, families: Self.families, relation(.provider))
    let peer = harness.peer(3, asn: 65003, families: Self.families, relation(.peer))
    let nobody = harness.peer(4, asn: 65004, families: Self.families, relation(.none))
    harness.announce(["198.51.100.0/24"], from: provider, path: [65001])
    let rule = Self.rule(to: "198.51.100.0/24")
    harness.receive(Self.message([rule], path: [65001]), from: provider)
    harness.receive(Self.message([Self.rule(to: "192.0.2.0/24")], path: [65004]), from: nobody)
    harness.settle()
    #expect(harness.toldRules[customer]?.keys.map(\.self) == [rule])
    #expect(harness.toldRules[customer]?[rule]?.otc == nil, "OTC is for unicast (RFC 9234 section 5)")
    #expect(harness.toldRules[peer] == [:] && harness.toldRules[nobody] == [:])
    #expect(Self.reasons(&harness).contains("rejected by policy"))
  }

  @Test("A policy that asks for prefixes is answered with the destination")
  func policies() {
    var match = Match()
    match.prefixes = [PrefixRange(prefix: prefix("203.0.113.0/24"), ge: 24, le: 32)]
    let policy = Policy(
      name: "own", statements: [Statement(match: match, then: .accept), Statement(then: .reject)])
    var harness = TableHarness { $0.policies = [policy] }
    let customer = harness.peer(1, asn: 65001, families: Self.families) { $0.importPolicy = .named("own") }
    harness.announce(["203.0.113.0/24", "192.0.2.0/24"], from: customer, path: [65001])
    let rules = [Self.rule(to: "192.0.2.0/24"), Self.rule(to: "203.0.113.7/32")]
    harness.receive(Self.message(rules, path: [65001]), from: customer)
    harness.settle()
    #expect(harness.table.activeFlowRules().map(\.rule) == [rules[1]])
    var settings = harness.table.peers[1].settings
    settings.importPolicy = .accept
    harness.table.updatePeer(customer, settings)
    harness.settle()
    #expect(harness.table.activeFlowRules().map(\.rule) == rules)
  }

  @Test("Rules of our own are obeyed at once and announced; a changed action is announced again")
  func originated() {
    var actions = FlowActions()
    actions.rateBytes = 0
    let rule = Self.rule(to: "2001:db8::/32")
    var harness = TableHarness { $0.flowRules = [OriginatedFlowRule(rule, actions)] }
    let other = harness.peer(2, asn: 65002, families: Self.families) { $0.sendCommunities = false }
    harness.settle()
    #expect(harness.table.activeFlowRules() == [ActiveFlowRule(rule, actions)])
    #expect(harness.toldRules[other]?[rule]?.others.first?.value == [0x80, 6, 0xFB, 0xF4, 0, 0, 0, 0])
    var settings = harness.table.settings
    actions.dscp = 10
    settings.flowRules = [OriginatedFlowRule(rule, actions)]
    harness.table.reconfigure(settings)
    harness.settle()
    #expect(harness.toldRules[other]?[rule]?.others.first?.value.count == 16)
    settings.flowRules = []
    harness.table.reconfigure(settings)
    harness.settle()
    #expect(harness.toldRules[other] == [:] && harness.table.flows.isEmpty)
  }

  @Test("A malformed rule takes the family away until the session ends, and nothing else (RFC 4760 section 7)")
  func malformed() {
    var harness = TableHarness()
    let customer = harness.peer(1, asn: 65001, families: Self.families)
    harness.announce(["203.0.113.0/24"], from: customer, path: [65001])
    let rule = Self.rule(to: "203.0.113.0/24")
    harness.receive(Self.message([rule], path: [65001]), from: customer)
    harness.settle()
    var bad = Self.message([Self.rule(to: "203.0.113.7/32")], path: [65001])
    bad[33] = 99  // the type of the first component
    #expect(harness.receive(bad, from: customer) == .familyDisabled(.ipv4FlowSpec, .unknownType(99)))
    harness.receive(Self.message([rule], path: [65001]), from: customer)
    harness.settle()
    #expect(harness.table.flowRules().isEmpty)
    #expect(harness.best("203.0.113.0/24") != nil)
    harness.table.sessionDown(customer)
    harness.up(customer, id: 1, families: Self.families)
    harness.receive(Self.message([rule], path: [65001]), from: customer)
    harness.settle()
    #expect(harness.table.flowRules().count == 1)
  }

  @Test("An action that does not decode withdraws the rule (RFC 7606 section 7.14)")
  func malformedAction() {
    var harness = TableHarness()
    let inside = harness.peer(1, asn: 64500, families: Self.families)
    let rule = Self.rule(to: "203.0.113.0/24")
    harness.receive(Self.message([rule], path: []), from: inside)
    harness.settle()
    #expect(harness.table.activeFlowRules().count == 1)
    let outcome = harness.receive(
      Self.message([rule], path: [], communities: [0x80, 6, 0, 0, 0x7F, 0xC0, 0, 0]), from: inside)
    #expect(
      outcome
        == .treatedAsWithdraw(UpdateFault(.treatAsWithdraw, .value, .extendedCommunities, code: .optionalAttribute)))
    harness.settle()
    #expect(harness.table.flowRules().isEmpty)
  }

  @Test("Stale rules stay until End-of-RIB, ROUTE-REFRESH announces again, and a new session hears everything")
  func restartAndRefresh() {
    var harness = TableHarness()
    let inside = harness.peer(1, asn: 64500, families: Self.families)
    let other = harness.peer(2, asn: 65002, families: Self.families)
    let rules = [Self.rule(to: "203.0.113.0/24"), Self.rule(to: "203.0.114.0/24")]
    harness.receive(Self.message(rules, path: []), from: inside)
    harness.settle()
    harness.table.sessionDown(inside, retainingStale: .flowSpec)
    harness.settle()
    #expect(harness.table.counters(inside, .ipv4FlowSpec).stale == 2)
    #expect(harness.table.activeFlowRules().count == 2)
    harness.up(inside, id: 1, families: Self.families)
    harness.receive(Self.message([rules[0]], path: []), from: inside)
    #expect(harness.receive(UpdateMessage.endOfRIB(.ipv4FlowSpec), from: inside) == .endOfRIB(.ipv4FlowSpec))
    harness.table.sweepStale(inside, .ipv4FlowSpec)
    harness.settle()
    #expect(harness.table.activeFlowRules().map(\.rule) == [rules[0]])
    #expect(harness.toldRules[other]?.count == 1)

    let count = harness.messages[other]?.count ?? 0
    harness.table.sendAgain(other, .ipv4FlowSpec)
    harness.settle()
    #expect(harness.messages[other]?.count == count + 1)
    harness.table.sessionDown(other)
    harness.up(other, id: 2, families: Self.families)
    harness.settle()
    #expect(harness.toldRules[other]?.keys.map(\.self) == [rules[0]])
  }

  @Test("Thousands of rules: whole messages, everything told, everything forgotten")
  func many() {
    var harness = TableHarness()
    let inside = harness.peer(1, asn: 64500, families: Self.families)
    let other = harness.peer(2, asn: 65002, families: Self.families)
    let rules = (0..<3000).map { Self.rule(to: "10.\($0 / 250).\($0 % 250).0/24") }
    for start in stride(from: 0, to: rules.count, by: 100) {
      harness.receive(Self.message(Array(rules[start..<start + 100]), path: []), from: inside)
    }
    harness.settle(limit: 8192)
    #expect(harness.toldRules[other]?.count == 3000)
    #expect((harness.messages[other]?.count ?? 0) < 20, "rules of one set share messages")
    harness.table.sessionDown(inside)
    harness.settle(limit: 8192)
    #expect(harness.toldRules[other] == [:] && harness.table.flows.isEmpty)
    #expect(harness.table.paths.count == 0)
  }

  @Test("The limit of prefixes counts rules of a family on their own")
  func limit() {
    var harness = TableHarness()
    let customer = harness.peer(1, asn: 65001, families: Self.families) { $0.maxPrefix = 2 }
    let rules = ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"].map { Self.rule(to: $0) }
    guard
      case .maxPrefixesExceeded(let notification) = harness.receive(Self.message(rules, path: [65001]), from: customer)
    else {
      Issue.record("three rules, and two allowed")
      return
    }
    #expect(notification.data == [0, 1, 133, 0, 0, 0, 2])
  }
}
