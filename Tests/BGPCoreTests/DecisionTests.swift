import BGPWire
import NetTypes
import Testing

@testable import BGPCore

@Suite("Decision")
struct DecisionTests {
  @Test("weight, then local-pref, then path length, then origin, then MED, and the reason is told")
  func order() {
    // Each later candidate is better by an earlier rule although worse by every later one.
    var harness = TableHarness {
      $0.policies = [
        Policy(
          name: "heavy",
          statements: [
            Statement(set: Self.set { $0.weight = 5 }, then: .accept)
          ])
      ]
    }
    let peers = [
      harness.peer(1, asn: 64501), harness.peer(2, asn: 64501), harness.peer(3, asn: 64501),
      harness.peer(4, asn: 64500), harness.peer(5, asn: 64502) { $0.importPolicy = .named("heavy") },
    ]
    let p = ["192.0.2.0/24"]
    harness.announce(p, from: peers[0], path: [64501, 1]) {
      $0.med = 20; $0.origin = .incomplete
    }
    harness.settle()
    #expect(harness.best(p[0])?.because == .onlyPath)
    harness.announce(p, from: peers[1], path: [64501, 1], nextHop: "10.0.0.2") {
      $0.med = 10; $0.origin = .incomplete
    }
    harness.settle()
    #expect(harness.best(p[0])?.neighbor == "n2")
    #expect(harness.best(p[0])?.because == .med)
    harness.announce(p, from: peers[2], path: [64501, 1], nextHop: "10.0.0.3") {
      $0.med = 30; $0.origin = .egp
    }
    harness.settle()
    #expect(harness.best(p[0])?.neighbor == "n3")
    #expect(harness.best(p[0])?.because == .origin)
    harness.announce(p, from: peers[3], path: [9, 8, 7], nextHop: "10.0.0.4") { $0.localPref = 150 }
    harness.settle()
    #expect(harness.best(p[0])?.neighbor == "n4")
    #expect(harness.best(p[0])?.because == .localPref)
    harness.announce(p, from: peers[4], path: [64502, 1, 2, 3, 4], nextHop: "10.0.0.5")
    harness.settle()
    #expect(harness.best(p[0])?.neighbor == "n5")
    #expect(harness.best(p[0])?.because == .weight)
    let explanation = harness.table.explain(prefix("192.0.2.7/32"))
    #expect(explanation?.prefix == prefix("192.0.2.0/24"))
    #expect(explanation?.candidates.map(\.neighbor) == ["n5", "n4", "n3", "n2", "n1"])
    #expect(explanation?.comparisons.map(\.because) == [.weight, .weight, .weight, .weight])
  }

  static func set(_ body: (inout SetActions) -> Void) -> SetActions {
    var actions = SetActions()
    body(&actions)
    return actions
  }

  @Test("eBGP over iBGP, then igp-cost, then router id, then the neighbor's address")
  func lateRules() {
    var harness = TableHarness()
    harness.table.setUnderlay(
      [
        UnderlayRoute(prefix: prefix("10.0.0.0/24"), cost: 5, onLink: false),
        UnderlayRoute(prefix: prefix("10.0.1.0/24"), cost: 3, onLink: false),
      ], ownAddresses: [])
    let a = harness.peer(1, asn: 64500, id: 100)
    let b = harness.peer(2, asn: 64500, id: 90)
    let p = ["192.0.2.0/24"]
    harness.announce(p, from: a, path: [1], nextHop: "10.0.0.1")
    harness.announce(p, from: b, path: [2], nextHop: "10.0.0.2")
    harness.settle()
    #expect(harness.best(p[0])?.neighbor == "n2")
    #expect(harness.best(p[0])?.because == .routerID)
    harness.announce(p, from: a, path: [1], nextHop: "10.0.1.1")
    harness.settle()
    #expect(harness.best(p[0])?.neighbor == "n1")
    #expect(harness.best(p[0])?.because == .igpCost)
    #expect(harness.table.explain(prefix("192.0.2.0/24"))?.comparisons.first?.detail == "3 over 5")
    let c = harness.peer(3, asn: 64510, id: 200)
    harness.announce(p, from: c, path: [64510], nextHop: "10.0.0.3")
    harness.settle()
    #expect(harness.best(p[0])?.neighbor == "n3")
    #expect(harness.best(p[0])?.because == .ebgpOverIbgp)
    let d = harness.peer(4, asn: 64511, id: 200)
    harness.announce(p, from: d, path: [64511], nextHop: "10.0.0.4")
    harness.settle()
    #expect(harness.best(p[0])?.neighbor == "n3")
    #expect(harness.best(p[0])?.because == .neighborAddress)
  }

  @Test("our own network wins over a learned one by local-origin")
  func localOrigin() {
    var harness = TableHarness { $0.networks = [prefix("192.0.2.0/24")] }
    let a = harness.peer(1, asn: 64501)
    harness.announce(["192.0.2.0/24"], from: a, path: [])
    harness.settle()
    #expect(harness.best("192.0.2.0/24")?.peer == .local)
    #expect(harness.best("192.0.2.0/24")?.because == .localOrigin)
    #expect(harness.forwarding.isEmpty, "nothing to forward to")
  }

  @Test("a path beaten by MED inside its AS does not come back through a third AS")
  func medIsNotTransitive() {
    // RFC 3345's shape: pair by pair a > b > c > a; grouped by AS the answer is one.
    var winners: Set<String> = []
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1], [2, 0, 1], [1, 0, 2]] {
      var harness = TableHarness()
      let peers = [
        harness.peer(1, asn: 64501, id: 1), harness.peer(2, asn: 64502, id: 2), harness.peer(3, asn: 64501, id: 3),
      ]
      for index in order {
        harness.announce(
          ["192.0.2.0/24"], from: peers[index], path: [index == 1 ? 64502 : 64501, 7], nextHop: "10.0.0.\(index + 1)"
        ) { $0.med = index == 0 ? 10 : 5 }
        harness.settle()
      }
      winners.insert(harness.best("192.0.2.0/24")?.neighbor ?? "none")
    }
    // n3 beats n1 by MED; of the winners n2 and n3 the lower router id is n2.
    #expect(winners == ["n2"])
  }

  @Test("the comparison is a strict total order in both stages, over random paths")
  func laws() {
    var generator = SplitMix(seed: 4271)
    for _ in 0..<300 {
      var harness = TableHarness()
      var paths: [UInt32] = []
      for number in 1...5 {
        let internalPeer = generator.next(3) == 0
        let asn: UInt32 = internalPeer ? 64500 : 64501 + generator.next(2)
        let peer = harness.peer(UInt8(number), asn: asn, id: generator.next(2) + 1)
        let length = generator.next(2)
        let path = (internalPeer ? [] : [asn]) + (0..<length).map { 100 + $0 }
        let med = generator.next(3), localPref = 100 + generator.next(2)
        let origin = PathAttributes.Origin(rawValue: UInt8(generator.next(2))) ?? .igp
        harness.announce(["192.0.2.0/24"], from: peer, path: path, nextHop: "10.0.0.\(number)") {
          $0.med = med
          $0.origin = origin
          if internalPeer { $0.localPref = localPref }
        }
      }
      harness.settle()
      let id = harness.table.tables[.ipv4Unicast].find(PrefixKey(prefix("192.0.2.0/24")))
      paths = harness.table.usablePaths(id, .ipv4Unicast)
      #expect(paths.count == 5)
      for withMED in [false, true] {
        for a in paths {
          for b in paths where a != b {
            let ab = harness.table.compare(a, b, withMED: withMED).aIsBetter
            let ba = harness.table.compare(b, a, withMED: withMED).aIsBetter
            #expect(ab != ba, "antisymmetric")
            for c in paths where c != a && c != b && ab {
              if harness.table.compare(b, c, withMED: withMED).aIsBetter {
                #expect(harness.table.compare(a, c, withMED: withMED).aIsBetter, "transitive")
              }
            }
          }
        }
      }
      let winner = harness.table.bestPath(among: paths)
      #expect(winner == harness.table.tables[.ipv4Unicast][id].best)
      for _ in 0..<3 {
        paths.shuffle(using: &generator)
        #expect(harness.table.bestPath(among: paths) == winner, "whatever the order of arrival")
      }
    }
  }

  @Test("multipath: equal through MED and igp-cost, path contents may differ, in no more than the limit")
  func multipath() {
    var harness = TableHarness { $0.multipath = 2 }
    let a = harness.peer(1, asn: 64501), b = harness.peer(2, asn: 64502), c = harness.peer(3, asn: 64503)
    let p = ["192.0.2.0/24"]
    harness.announce(p, from: a, path: [64501, 1])
    harness.announce(p, from: b, path: [64502, 2], nextHop: "10.0.0.2")
    harness.settle()
    #expect(harness.forwarding[prefix(p[0])] == [address("10.0.0.1"), address("10.0.0.2")])
    harness.announce(p, from: c, path: [64503, 3], nextHop: "10.0.0.3")
    harness.settle()
    #expect(harness.forwarding[prefix(p[0])]?.count == 2)
    #expect(harness.table.explain(prefix(p[0]))?.candidates.map(\.isMultipath) == [false, true, false])
    harness.withdraw(p, from: b)
    harness.settle()
    #expect(harness.forwarding[prefix(p[0])] == [address("10.0.0.1"), address("10.0.0.3")])
    harness.announce(p, from: c, path: [64503, 3, 3], nextHop: "10.0.0.3")
    harness.settle()
    #expect(harness.forwarding[prefix(p[0])] == [address("10.0.0.1")])
  }

  @Test("a next hop that loses its route takes its paths out, and back when it returns")
  func nextHopLoss() {
    var harness = TableHarness()
    let a = harness.peer(1, asn: 64500), b = harness.peer(2, asn: 64500)
    let c = harness.peer(3, asn: 64503)
    let both = [
      UnderlayRoute(prefix: prefix("10.0.0.1/32"), cost: 1, onLink: false),
      UnderlayRoute(prefix: prefix("10.0.0.2/32"), cost: 2, onLink: false),
      UnderlayRoute(prefix: prefix("0.0.0.0/0"), cost: 0, onLink: false),
    ]
    harness.table.setUnderlay(both, ownAddresses: [])
    harness.announce(["192.0.2.0/24"], from: a, path: [7])
    harness.announce(["192.0.2.0/24"], from: b, path: [8], nextHop: "10.0.0.2")
    harness.settle()
    #expect(harness.path("192.0.2.0/24", at: c) == [64500, 7])
    harness.table.setUnderlay(Array(both.dropFirst()), ownAddresses: [])
    harness.settle()
    #expect(harness.path("192.0.2.0/24", at: c) == [64500, 8], "a default route resolves nothing")
    #expect(harness.table.explain(prefix("192.0.2.0/24"))?.candidates.last?.unusableBecause == "next hop unreachable")
    harness.table.setUnderlay([], ownAddresses: [])
    harness.settle()
    #expect(harness.told[c]?.isEmpty == true)
    harness.table.setUnderlay(both, ownAddresses: [])
    harness.settle()
    #expect(harness.path("192.0.2.0/24", at: c) == [64500, 7])
  }
}

/// A generator with a seed, so that a failure comes again.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func next(_ bound: UInt32) -> UInt32 { UInt32(truncatingIfNeeded: next() % UInt64(bound)) }
}
