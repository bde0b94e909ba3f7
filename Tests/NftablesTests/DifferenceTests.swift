import NetTypes
import Netlink
import Testing

@testable import Nftables

@Suite(.enabled(if: Kernel.isAllowed)) struct DifferenceTests {
  private let table = TableID(.inet, "t")
  private let input = BaseChain(.filter, .input, .filter)

  private func rule(_ port: UInt16) -> Rule {
    Rule([.transportProtocol(.tcp), .destinationPort(port)], [.counter, .accept])
  }

  private func ruleset(_ ports: [UInt16]) -> Ruleset {
    Ruleset([Table(table, chains: [Chain("c", input, rules: ports.map(rule))])])
  }

  private func handles(_ bench: Bench) throws -> [UInt64] {
    try bench.read(table).table(table)?.chain("c")?.rules.map(\.handle.rawValue) ?? []
  }

  @Test func `rules that stay keep their handles, new ones stand in their places`() throws {
    let bench = try Bench()
    try bench.apply(ruleset([1, 2, 3, 4, 5]))
    let before = try handles(bench)
    let requests = try bench.apply(ruleset([9, 1, 7, 8, 3, 5, 6]))
    let after = try handles(bench)
    #expect(requests == 6, "two out, four in")
    #expect([after[1], after[4], after[5]] == [before[0], before[2], before[4]])
    #expect(
      try bench.rules(of: "inet t c") == [9, 1, 7, 8, 3, 5, 6].map { "tcp dport \($0) counter accept" })
  }

  @Test func `a change and its inverse leave the listing as it was`() throws {
    let bench = try Bench()
    let vmap = { (ports: [UInt16], chain: String) in
      NamedSet(
        "vm", SetShape([.port], to: .verdict),
        ports.map { SetElement(SetKey(Datum.port($0)), .verdict(.jump(chain))) })
    }
    let nets = { (prefixes: [String]) throws -> NamedSet in
      NamedSet(
        "nets", SetShape([.ipv4Address], isInterval: true),
        try prefixes.map { text in
          let prefix = try net(text)
          return SetElement(SetKey(prefix.address.bytes, through: prefix.last.bytes))
        })
    }
    let ask = Rule(
      [.transportProtocol(.tcp)],
      [
        .expressions([
          .payload(Expression.Payload(.transportHeader, at: 2, 2)),
          .lookup(Expression.Lookup(.named("vm"), answer: .verdict)),
        ])
      ])
    let first = Ruleset([
      Table(
        table, sets: [try nets(["10.0.0.0/8", "192.168.0.0/16"]), vmap([80, 443], "x")],
        chains: [
          Chain("c", input, rules: [rule(1), ask, rule(2)]), Chain("x", rules: [rule(3)]),
          Chain("n", BaseChain(.nat, .postrouting, .sourceNAT), rules: [Rule([], [.masquerade()])]),
        ]), Table(.ipv4, "second", chains: [Chain("c")]),
    ])
    var second = first
    second.tables[0].chains[0].base?.policy = .drop
    second.tables[0].chains[0].rules = [rule(2), Rule([.source(in: "nets", .ipv4)], [.drop]), ask, rule(7)]
    second.tables[0].chains[1].rules = [rule(4), rule(3), rule(5)]
    second.tables[0].chains[2].rules.insert(
      Rule([.source(try net("10.0.0.0/8"))], [.sourceNAT(to: try ip("192.0.2.1"))]), at: 0)
    second.tables[0].chains.append(Chain("y", rules: [Rule([], [.return])]))
    second.tables[0].sets = [try nets(["10.0.0.0/9", "192.168.0.0/16", "172.16.0.0/12"]), vmap([80, 8080], "y")]
    second.tables.append(Table(.ipv6, "third"))

    try bench.apply(first)
    let before = try bench.listing()
    let standing = try bench.socket.read(second.tables.map(\.id))
    var change = Transaction(from: standing, to: second)
    try bench.socket.commit(&change)
    let middle = try bench.listing()
    #expect(middle != before)
    let changed = try bench.socket.read(second.tables.map(\.id))
    #expect(changed.content == Ruleset(second.tables))
    var inverse = Transaction(from: changed, to: standing.content)
    try bench.socket.commit(&inverse)
    #expect(try bench.listing() == before)
  }

  @Test func `any order of rules becomes any other, with as few requests as rules differ`() throws {
    let bench = try Bench()
    var generator = SplitMix(state: 20)
    for _ in 0..<40 {
      let ports = (0..<Int.random(in: 0...12, using: &generator)).map { _ in UInt16.random(in: 1...9, using: &generator)
      }
      try bench.apply(ruleset(ports))
      #expect(try bench.rules(of: "inet t c") == ports.map { "tcp dport \($0) counter accept" })
    }
  }

  @Test func `a chain of another priority and a set of another shape are made anew with what refers to them`() throws {
    let bench = try Bench()
    let jump = Rule([.transportProtocol(.udp)], [.jump("x")])
    let asks = Rule([.source(in: "s", .ipv4)], [.drop])
    let small = NamedSet("s", SetShape([.ipv4Address]), [SetElement(SetKey([10, 0, 0, 1]))])
    let ranges = NamedSet(
      "s", SetShape([.ipv4Address], isInterval: true), [SetElement(SetKey([10, 0, 0, 1], through: [10, 0, 0, 9]))])
    try bench.apply(
      Ruleset([
        Table(
          table, sets: [small],
          chains: [
            Chain("c", input, rules: [jump, rule(1), asks]), Chain("x"), Chain("o", BaseChain(.filter, .output, 6)),
          ])
      ]))
    let kept = try handles(bench)
    let changed = Ruleset([
      Table(
        table, sets: [ranges],
        chains: [
          Chain("c", input, rules: [rule(1), asks]), Chain("x", BaseChain(.filter, .forward, 0)),
          Chain("o", BaseChain(.filter, .output, 7), rules: [rule(2)]),
        ])
    ])
    try bench.apply(changed)
    #expect(try bench.read(table).content == changed)
    #expect(try handles(bench)[0] == kept[1], "the rule between them stayed")
    #expect(try bench.listing().contains("10.0.0.1-10.0.0.9"))
    #expect(try bench.listing().contains("type filter hook output priority filter + 7;"))
  }

  @Test func `where order is kept, the listing depends on nothing but what is desired`() throws {
    let bench = try Bench()
    func desired(_ names: [String]) -> Ruleset {
      let base = Chain("c", input, rules: names.map { Rule([], [.jump($0)]) })
      let shape = SetShape([.ipv4Address])
      return Ruleset([
        Table(
          table, sets: names.map { NamedSet("set-" + $0, shape) },
          chains: [base] + names.map { Chain($0, rules: [Rule([], [.counter], comment: $0)]) })
      ])
    }
    func listing(after steps: [[String]]) throws -> String {
      for names in steps {
        var transaction = Transaction(from: try bench.read(table), to: desired(names), keepingOrder: true)
        try bench.socket.commit(&transaction)
      }
      return try bench.listing()
    }
    let direct = try listing(after: [["x", "y", "z"]])
    #expect(try listing(after: [["x", "z"], ["z", "y"], ["x", "y", "z"]]) == direct)
    var nothing = Transaction(from: try bench.read(table), to: desired(["x", "y", "z"]), keepingOrder: true)
    let requests = nothing.count
    #expect(requests == 0)
    try bench.socket.check(&nothing)
  }

  @Test func `tables that are not asked for are told and left alone`() throws {
    let bench = try Bench()
    try bench.load("table ip theirs { chain c { counter accept; } ; }")
    try bench.apply(ruleset([1]))
    let standing = try bench.read(table)
    #expect(standing.foreign == [TableID(.ipv4, "theirs")])
    var removal = Transaction(from: standing, to: Ruleset())
    try bench.socket.commit(&removal)
    #expect(try bench.socket.tables() == [TableID(.ipv4, "theirs")])
  }
}

/// The same numbers each time (Steele, Lea and Flood 2014).
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
