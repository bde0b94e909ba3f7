import BGPWire
import NetTypes
import Testing

@testable import BGPCore

@Suite("Policies")
struct PolicyTests {
  private static func match(_ body: (inout Match) -> Void) -> Match {
    var match = Match()
    body(&match)
    return match
  }

  private static func pattern(_ text: String) -> ASPathPattern {
    guard let pattern = ASPathPattern(text) else { preconditionFailure("\(text) is no pattern") }
    return pattern
  }

  /// The views of three routes after import by these statements.
  private func imported(_ statements: [Statement]) -> [String: RouteView] {
    var harness = TableHarness { $0.policies = [Policy(name: "p", statements: statements)] }
    let a = harness.peer(1, asn: 65001) { $0.importPolicy = .named("p") }
    harness.announce(["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24"], from: a, path: [65001, 65002]) {
      $0.communities = [Community(65001, 100), Community(65001, 200)]
      $0.largeCommunities = [LargeCommunity(65001, 1, 2)]
    }
    harness.settle()
    let routes = harness.table.routes(RouteQuery()).routes
    return Dictionary(uniqueKeysWithValues: routes.map { ($0.prefix.description, $0) })
  }

  @Test("prefix ranges with ge and le, and the routes that they split from one attribute set")
  func prefixes() {
    let result = imported([
      Statement(
        match: Self.match { $0.prefixes = [PrefixRange(prefix: prefix("10.0.0.0/8"), ge: 9, le: 16)] },
        set: DecisionTests.set { $0.localPref = 200 }, then: .next),
      Statement(
        match: Self.match { $0.prefixes = [PrefixRange(prefix: prefix("10.1.2.0/24"), ge: 24, le: 24)] }, then: .reject),
    ])
    #expect(result["10.0.0.0/8"]?.attributes.localPref == 100)
    #expect(result["10.1.0.0/16"]?.attributes.localPref == 200)
    #expect(result["10.1.2.0/24"]?.isRejected == true)
  }

  @Test("a statement sees what those before it set, and reject ends")
  func sequence() {
    let added = Community(65001, 300)
    let result = imported([
      Statement(set: DecisionTests.set { $0.addCommunities = [added] }, then: .next),
      Statement(
        match: Self.match { $0.communities = [CommunityPattern(high: nil, low: 300)] },
        set: DecisionTests.set {
          $0.med = 5; $0.weight = 7; $0.nextHop = address("10.9.9.9")
        }, then: .accept),
      Statement(then: .reject),
    ])
    let route = result["10.0.0.0/8"]
    #expect(route?.isBest == true)
    #expect(route?.attributes.med == 5)
    #expect(route?.weight == 7)
    #expect(route?.nextHop == address("10.9.9.9"))
    #expect(route?.attributes.communities == [Community(65001, 100), Community(65001, 200), added])
  }

  @Test("communities are replaced, removed by wildcard and added, in this order")
  func communities() {
    let result = imported([
      Statement(
        set: DecisionTests.set {
          $0.removeCommunities = [CommunityPattern(high: 65001, low: nil)]
          $0.addCommunities = [.noExport]
          $0.replaceLargeCommunities = [LargeCommunity(9, 9, 9), LargeCommunity(8, 8, 8)]
          $0.removeLargeCommunities = [LargeCommunityPattern(global: 8, data1: nil, data2: nil)]
        }, then: .next)
    ])
    #expect(result["10.0.0.0/8"]?.attributes.communities == [.noExport])
    #expect(result["10.0.0.0/8"]?.attributes.largeCommunities == [LargeCommunity(9, 9, 9)])
  }

  @Test("any of a list, all of the keys")
  func combination() {
    let wanted = Self.match {
      $0.asPaths = [Self.pattern("^1_"), Self.pattern("_65002$")]
      $0.neighbors = ["x", "n1"]
      $0.origins = [.ebgp]
      $0.largeCommunities = [LargeCommunityPattern(global: 65001, data1: 1, data2: nil)]
    }
    #expect(imported([Statement(match: wanted, then: .reject)])["10.0.0.0/8"]?.isRejected == true)
    var other = wanted
    other.origins = [.ibgp, .local]
    #expect(imported([Statement(match: other, then: .reject)])["10.0.0.0/8"]?.isRejected == false)
    other = wanted
    other.neighbors = ["n2"]
    #expect(imported([Statement(match: other, then: .reject)])["10.0.0.0/8"]?.isRejected == false)
  }

  @Test("export: own-only, prepending and MED for one neighbor")
  func exporting() {
    let ownOnly = Policy(
      name: "own-only",
      statements: [
        Statement(
          match: Self.match { $0.origins = [.local] },
          set: DecisionTests.set {
            $0.prependTimes = 2; $0.med = 30; $0.addCommunities = [.noExport]
          }, then: .accept),
        Statement(then: .reject),
      ])
    let oneNeighbor = Policy(
      name: "one",
      statements: [
        Statement(
          match: Self.match {
            $0.neighbors = ["n3"]
            $0.prefixes = [PrefixRange(prefix: prefix("203.0.113.0/24"), ge: 24, le: 24)]
          }, then: .reject)
      ])
    var harness = TableHarness {
      $0.networks = [prefix("203.0.113.0/24")]
      $0.policies = [ownOnly, oneNeighbor]
    }
    let a = harness.peer(1, asn: 64501)
    let b = harness.peer(2, asn: 64502) { $0.exportPolicy = .named("own-only") }
    let c = harness.peer(3, asn: 64503) { $0.exportPolicy = .named("one") }
    let d = harness.peer(4, asn: 64504) { $0.exportPolicy = .named("one") }
    let lost = harness.peer(5, asn: 64505) { $0.exportPolicy = .named("nowhere") }
    harness.announce(["192.0.2.0/24"], from: a, path: [64501])
    harness.settle()
    #expect(harness.told[b]?.keys.map(\.description) == ["203.0.113.0/24"])
    let own = harness.told[b]?[prefix("203.0.113.0/24")]
    #expect(own?.asPath.description == "64500 64500 64500")
    #expect(own?.med == 30)
    #expect(own?.communities == [.noExport], "said to the neighbor, not obeyed by us")
    #expect(harness.told[c]?.keys.map(\.description) == ["192.0.2.0/24"])
    #expect(harness.told[d]?.count == 2)
    #expect(harness.told[lost]?.isEmpty == true)
  }

  @Test("a changed import policy works on what is held, without a refresh, and back")
  func reload() {
    var harness = TableHarness { $0.policies = [Policy(name: "p", statements: [])] }
    let a = harness.peer(1, asn: 64501) { $0.importPolicy = .named("p") }
    let b = harness.peer(2, asn: 64502)
    harness.announce(["10.1.0.0/16", "10.2.0.0/16"], from: a, path: [64501])
    harness.settle()
    #expect(harness.told[b]?.count == 2)
    var settings = harness.table.settings
    let reject = Statement(
      match: Self.match { $0.prefixes = [PrefixRange(prefix: prefix("10.1.0.0/16"), ge: 16, le: 16)] }, then: .reject)
    settings.policies = [Policy(name: "p", statements: [reject])]
    harness.table.reconfigure(settings)
    harness.settle()
    #expect(harness.told[b]?.keys.map(\.description) == ["10.2.0.0/16"])
    #expect(harness.messages[b]?.count == 2, "the route that stayed as it was is not sent again")
    settings.policies = [Policy(name: "p", statements: [])]
    harness.table.reconfigure(settings)
    harness.settle()
    #expect(harness.told[b]?.count == 2)
  }

  @Test("a changed export policy withdraws and announces the difference")
  func exportReload() {
    var harness = TableHarness()
    let a = harness.peer(1, asn: 64501), b = harness.peer(2, asn: 64502)
    harness.announce(["10.1.0.0/16"], from: a, path: [64501])
    harness.settle()
    var settings = harness.table.peers[Int(b.rawValue)].settings
    settings.exportPolicy = .reject
    harness.table.updatePeer(b, settings)
    harness.settle()
    #expect(harness.told[b]?.isEmpty == true)
    settings.exportPolicy = .accept
    harness.table.updatePeer(b, settings)
    harness.settle()
    #expect(harness.told[b]?.count == 1)
  }

  @Test("neighbors that share an export group all see a changed policy")
  func sharedGroup() {
    var harness = TableHarness { $0.policies = [Policy(name: "p", statements: [])] }
    let a = harness.peer(1, asn: 64501)
    let inner = [harness.peer(2, asn: 64500), harness.peer(3, asn: 64500)]
    for peer in inner {
      var settings = harness.table.peers[Int(peer.rawValue)].settings
      settings.name = "same"
      settings.exportPolicy = .named("p")
      harness.table.updatePeer(peer, settings)
    }
    harness.announce(["10.1.0.0/16"], from: a, path: [64501])
    harness.settle()
    #expect(harness.table.peers[2].group == harness.table.peers[3].group)
    var settings = harness.table.settings
    settings.policies = [Policy(name: "p", statements: [Statement(then: .reject)])]
    harness.table.reconfigure(settings)
    harness.settle()
    for peer in inner { #expect(harness.told[peer]?.isEmpty == true) }
  }

  @Test("networks come and go")
  func networks() {
    var harness = TableHarness { $0.networks = [prefix("203.0.113.0/24"), prefix("2001:db8::/32")] }
    let a = harness.peer(1, asn: 64501)
    harness.settle()
    #expect(harness.told[a]?.count == 2)
    var settings = harness.table.settings
    settings.networks = [prefix("198.51.100.0/24"), prefix("2001:db8::/32")]
    harness.table.reconfigure(settings)
    harness.settle()
    #expect(Set((harness.told[a] ?? [:]).keys.map(\.description)) == ["198.51.100.0/24", "2001:db8::/32"])
  }
}

@Suite("AS path patterns")
struct ASPathPatternTests {
  @Test(
    "match as FRR's do",
    arguments: [
      ("^65001_", "65001 65002", true), ("^65001_", "650011", false), ("^65001_", "65001", true),
      ("_65002$", "65001 65002", true), ("_65002$", "165002", false), ("_65002_", "1 65002 3", true),
      ("_65002_", "1 {65002,3}", true), ("^$", "", true), ("^$", "1", false), ("_", "", true), ("5", "1 25 3", true),
      ("^[0-9]+$", "65001", true), ("^[0-9]+$", "65001 2", false), ("^(1|2)( 3)*$", "1 3 3 3", true),
      ("^(1|2)( 3)*$", "1 3 4", false), ("^1 .*9$", "1 5 6 9", true), ("^([0-9]+)( [0-9]+){2}$", "1 2 3", true),
      ("^([0-9]+)( [0-9]+){2}$", "1 2", false), ("^1( 2)?$", "1", true), ("[^0-9 ]", "1 2", false),
      ("[^0-9 ]", "{1}", true), ("^(64500|64501)_(1|2)_3$", "64501 2 3", true), ("a", "", false), ("6.5", "625", true),
      ("^1{2,}$", "111", true), ("^1{2,3}$", "1111", false), ("1$|^2", "2 5", true),
    ])
  func matches(pattern: String, path: String, expected: Bool) throws {
    #expect(try #require(ASPathPattern(pattern)).matches(Array(path.utf8)) == expected)
  }

  @Test("what is no expression is refused", arguments: ["(", "1)", "[1", "*", "+1", "(((1)", "\\", "1{5,2}x{99999}"])
  func invalid(pattern: String) {
    #expect(ASPathPattern(pattern) == nil)
  }

  @Test("an expression made to make others backtrack is answered at once")
  func noBacktracking() throws {
    let pattern = try #require(ASPathPattern("^(([0-9]+)+ ?)+x$"))
    let path = String(repeating: "1234567890 ", count: 300)
    #expect(!pattern.matches(Array(path.utf8)))
  }
}
