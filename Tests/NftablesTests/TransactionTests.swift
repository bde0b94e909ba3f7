import CLinux
import NetTypes
import Netlink
import Testing

@testable import Nftables

@Suite(.enabled(if: Kernel.isAllowed)) struct TransactionTests {
  private let table = TableID(.inet, "t")
  private var chain: ChainID { ChainID(table, "c") }

  private func refusal(_ socket: NftablesSocket, _ transaction: inout Transaction) -> KernelError? {
    do throws(KernelError) {
      try socket.commit(&transaction)
      return nil
    } catch {
      return error
    }
  }

  @Test func `a refused rule is named by chain, place, comment and expression, and nothing is done`() throws {
    let bench = try Bench()
    var transaction = Transaction()
    transaction.add(table)
    transaction.add(Chain("c", BaseChain(.filter, .input, .filter)), to: table)
    transaction.append(Rule([], [.accept]), to: chain)
    transaction.append(Rule([.destinationPort(5)], [.counter, .jump("nowhere")], comment: "line 7"), to: chain)
    transaction.append(Rule([], [.accept]), to: chain)
    let error = try #require(refusal(bench.socket, &transaction))
    #expect(error.number == ENOENT)
    #expect(error.message.map { transaction.subjects[$0] } == .rule(chain, index: 1, comment: "line 7"))
    #expect(
      "\(error)".hasPrefix(
        "NFT_MSG_NEWRULE rule 1 of chain inet t c \"line 7\", expression 5 (immediate) (request 5)"), "\(error)")
    #expect(try bench.listing() == "")
  }

  @Test func `a masquerade outside of postrouting is refused as a whole, after everything else was accepted`() throws {
    let bench = try Bench()
    try bench.load("table inet other { }")
    var transaction = Transaction()
    transaction.delete(TableID(.inet, "other"))
    transaction.add(Table(table, chains: [Chain("c", BaseChain(.nat, .prerouting, .destinationNAT))]))
    transaction.append(Rule([], [.masquerade()]), to: chain)
    let error = try #require(refusal(bench.socket, &transaction))
    #expect(error.number == EOPNOTSUPP)
    #expect(error.message == 3)
    #expect(try bench.listing() == "table inet other {\n}\n")
  }

  @Test func `of more refusals than the receive buffer holds the first is told`() throws {
    let bench = try Bench()
    var transaction = Transaction()
    transaction.add(table)
    for index in 0..<6000 { transaction.append(Rule([], [.accept], comment: "\(index)"), to: chain) }
    let error = try #require(refusal(bench.socket, &transaction))
    #expect(error.number == ENOENT && error.message == 1)
    var good = Transaction()
    good.add(table)
    #expect(refusal(bench.socket, &good) == nil, "nothing of the old answers is taken for the new one's")
  }

  @Test func `a loop of jumps is refused and nothing is done`() throws {
    let bench = try Bench()
    let desired = Ruleset([
      Table(
        table,
        chains: [
          Chain("c", BaseChain(.filter, .input, .filter), rules: [Rule([], [.jump("a")])]),
          Chain("a", rules: [Rule([], [.jump("b")])]), Chain("b", rules: [Rule([], [.jump("a")])]),
        ])
    ])
    var transaction = Transaction(from: try bench.read(table), to: desired)
    let error = try #require(refusal(bench.socket, &transaction))
    #expect(error.number == ELOOP || error.number == EMLINK, "\(error)")
    #expect(try bench.listing() == "")
  }

  @Test func `a transaction made for an older content is refused`() throws {
    let bench = try Bench()
    let standing = try bench.read(table)
    try bench.load("table inet other { }")
    var transaction = Transaction(from: standing, to: Ruleset([Table(table)]))
    let error = try #require(refusal(bench.socket, &transaction))
    #expect(error.isOutdated)
    #expect(try bench.listing() == "table inet other {\n}\n")
    var again = Transaction(from: try bench.read(table), to: Ruleset([Table(table)]))
    #expect(refusal(bench.socket, &again) == nil)
  }

  @Test func `a transaction larger than the socket takes is refused before it is sent, with the limit`() throws {
    let bench = try Bench()
    let small = try NftablesSocket(in: bench.namespace, sendLimit: 8 << 10)
    #expect(small.largestTransaction == (32 << 10) - 32)
    var transaction = Transaction()
    transaction.add(Table(table, chains: [Chain("c")]))
    while transaction.size <= small.largestTransaction { transaction.append(Rule([], [.counter, .accept]), to: chain) }
    let error = try #require(refusal(small, &transaction))
    #expect(error.number == EMSGSIZE && error.kernelText.contains("\(small.largestTransaction) bytes"))
    #expect(try bench.listing() == "")
    try bench.socket.commit(&transaction)
    #expect(try bench.read(table).chainRules("c") == transaction.count - 2)
  }

  @Test func `the largest transaction that a socket says it takes is taken, and one more byte is not`() throws {
    let bench = try Bench()
    let small = try NftablesSocket(in: bench.namespace, sendLimit: 8 << 10)
    var transaction = Transaction()
    transaction.add(table)
    for _ in 0..<1000 where transaction.size < small.largestTransaction - 256 {
      transaction.add(Chain("chain \(transaction.count)"), to: table)
    }
    while transaction.size < small.largestTransaction {
      let room = small.largestTransaction - transaction.size
      // A chain's request: 20 bytes of headers, the table's name in 8, the name of length n in 4 + n + 1 rounded up.
      let length = room - 20 - 8 - 4 - 1
      guard length > 0 else { break }
      transaction.add(Chain(String(repeating: "x", count: min(length, 200))), to: table)
    }
    let spare = small.largestTransaction - transaction.size
    #expect((0..<64).contains(spare), "\(spare)")
    try small.commit(&transaction)
  }

  @Test(arguments: [2_000, 10_000]) func `thousands of rules are one transaction`(count: Int) throws {
    let bench = try Bench()
    let rules = (0..<count).map { index in
      Rule(
        [
          .source(.v4(IPv4Address(rawValue: 0x0A00_0000 + UInt32(index)))), .transportProtocol(.tcp),
          .destinationPort(80),
        ],
        [.counter, .accept], comment: "rule \(index)")
    }
    let desired = Ruleset([Table(table, chains: [Chain("c", BaseChain(.filter, .forward, .filter), rules: rules)])])
    try bench.apply(desired)
    let shown = try bench.rules(of: "inet t c")
    #expect(shown.count == count)
    #expect(
      shown.last
        == "ip saddr 10.0.\((count - 1) / 256).\((count - 1) % 256) tcp dport 80 counter accept comment \"rule \(count - 1)\""
    )
    #expect(try bench.read(table).content == desired)
  }

  @Test func `a set of many elements is one transaction, and comes back whole`() throws {
    let bench = try Bench()
    let elements = (0..<20_000 as Range<UInt32>).map { index -> SetElement in
      SetElement(SetKey(Datum.number(index << 8), through: Datum.number(index << 8 | 127)), .verdict(.jump("x")))
    }
    let set = NamedSet("m", SetShape([.ipv4Address], to: .verdict, isInterval: true), elements)
    let desired = Ruleset([Table(table, sets: [set], chains: [Chain("x")])])
    try bench.apply(desired)
    #expect(try bench.read(table).content == desired)
    #expect(try Kernel.output(of: "nft list map inet t m | grep -o jump | wc -l", in: bench.namespace) == "20000\n")
  }

  @Test func `packets count in rules and in elements, and both are read`() throws {
    let bench = try Bench()
    let shape = SetShape([.ipv4Address], isDynamic: true, timeout: 60_000, size: 100)
    let counter = Expression.counter(Expression.Counter())
    let desired = Ruleset([
      Table(
        table, sets: [NamedSet("seen", shape)],
        chains: [
          Chain(
            "c", BaseChain(.filter, .input, .filter),
            rules: [
              Rule([.icmpType(8)], [.counter]),
              Rule([.icmpType(8)], [.update("seen", withSourceOf: .ipv4, [counter]), .accept]),
            ])
        ])
    ])
    try bench.apply(desired)
    _ = try Kernel.output(of: "ip link set lo up; ping -c 3 -i 0.01 -q 127.0.0.1", in: bench.namespace)
    let standing = try bench.read(table)
    #expect(standing.table(table)?.chain("c")?.rules.first?.rule.counter == Expression.Counter(packets: 3, bytes: 252))
    let element = try #require(try bench.socket.elements(of: "seen", in: table).first)
    #expect(element.key == SetKey([127, 0, 0, 1]))
    #expect(element.counter == Expression.Counter(packets: 3, bytes: 252))
    #expect((1...60_000).contains(element.expires ?? 0))
    #expect(standing.content == desired, "counts and what packets added are not content")
    #expect(try bench.apply(desired) == 0)
  }
}

extension StandingRuleset {
  func chainRules(_ name: String) -> Int? { tables.first?.chain(name)?.rules.count }
}

@Suite(.enabled(if: Kernel.isAllowed)) struct DryRunTests {
  private let table = TableID(.inet, "t")

  @Test func `a dry run finds what a commit would, and changes nothing`() throws {
    let bench = try Bench()
    let before = try bench.socket.generation()
    let good = Ruleset([
      Table(table, chains: [Chain("c", BaseChain(.nat, .postrouting, .sourceNAT), rules: [Rule([], [.masquerade()])])])
    ])
    var transaction = Transaction(from: try bench.read(table), to: good)
    try bench.socket.check(&transaction)
    #expect(try bench.listing() == "")
    #expect(try bench.socket.generation() == before)
    try bench.socket.commit(&transaction)
    #expect(try bench.rules(of: "inet t c") == ["masquerade"])
  }

  @Test func `a dry run names the rule that is refused, also one that only validation of the whole chain finds`() throws
  {
    let bench = try Bench()
    try bench.load("table inet t { }")
    let wrong: [(Hook, [Action], Int32)] = [
      (.postrouting, [.jump("nowhere")], ENOENT), (.prerouting, [.masquerade()], EOPNOTSUPP),
      (.postrouting, [.jump("c")], EOPNOTSUPP),
    ]
    for (hook, actions, number) in wrong {
      let bad = Ruleset([
        Table(
          table,
          chains: [
            Chain("c", BaseChain(.nat, hook, 0), rules: [Rule([], [.accept]), Rule([], actions, comment: "line 7")])
          ])
      ])
      var transaction = Transaction(from: try bench.read(table), to: bad)
      do throws(KernelError) {
        try bench.socket.check(&transaction)
        Issue.record("\(actions) was taken")
      } catch {
        #expect(error.number == number, "\(error)")
        #expect(error.subject.contains("line 7"), "\(error)")
      }
      #expect(try bench.listing() == "table inet t {\n}\n")
    }
  }
}
