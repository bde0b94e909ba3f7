import NetTypes
import Netlink
import Testing

@testable import Nftables

@Suite(.enabled(if: Kernel.isAllowed)) struct MonitorTests {
  private let table = TableID(.inet, "t")

  @Test func `each change is told with its place, its commit, and who made it`() throws {
    let bench = try Bench()
    let monitor = try NftablesMonitor(in: bench.namespace)
    let elsewhere = try NftablesMonitor(in: Namespace.create())
    let chain = ChainID(table, "c")
    try bench.apply(
      Ruleset([
        Table(
          table, sets: [NamedSet("s", SetShape([.port]), [SetElement(SetKey([0, 80]))])],
          chains: [Chain("c", rules: [Rule([], [.accept], comment: "one")])])
      ]))
    let own = try monitor.read()
    let handle = try #require(try bench.read(table).table(table)?.chain("c")?.rules.first?.handle)
    let commit = try bench.socket.lastCommit()
    #expect(
      own.events.map(\.object) == [
        .table(table), .chain(chain), .set(table, "s"), .elements(table, "s"), .rule(chain, handle, comment: "one"),
        .commit(commit),
      ])
    #expect(own.events.allSatisfy { !$0.isRemoved && $0.portID == bench.socket.portID })
    #expect(!own.hasChanges(notBy: [bench.socket.portID]))
    #expect(try elsewhere.read().events == [])

    _ = try Kernel.output(of: "nft delete rule inet t c handle \(handle.rawValue)", in: bench.namespace)
    let foreign = try monitor.read()
    #expect(foreign.hasChanges(notBy: [bench.socket.portID]))
    #expect(foreign.events.first?.object == .rule(chain, handle, comment: "one"))
    #expect(foreign.events.first?.isRemoved == true)
    guard case .commit(let theirs)? = foreign.events.last?.object else {
      Issue.record("no commit in \(foreign.events)")
      return
    }
    #expect(theirs.processName == "nft")
    #expect(theirs.generation.rawValue == commit.generation.rawValue + 1)
    #expect(try bench.socket.generation() == theirs.generation)
  }

  @Test func `a refused transaction is told to nobody`() throws {
    let bench = try Bench()
    let monitor = try NftablesMonitor(in: bench.namespace)
    var transaction = Transaction()
    transaction.add(table)
    transaction.append(Rule([], [.accept]), to: ChainID(table, "nowhere"))
    do throws(KernelError) {
      try bench.socket.commit(&transaction)
      Issue.record("it was taken")
    } catch {
      #expect(error.message == 1)
    }
    #expect(try monitor.read().events == [])
  }

  @Test func `a burst beyond the buffer is reported as missed`() throws {
    let bench = try Bench()
    let monitor = try NftablesMonitor(in: bench.namespace, receiveBuffer: 4096)
    let rules = (0..<2000).map { Rule([], [.accept], comment: "\($0)") }
    try bench.apply(Ruleset([Table(table, chains: [Chain("c", rules: rules)])]))
    var missed = false
    while case let reading = try monitor.read(), !reading.events.isEmpty || reading.missedSome {
      missed = missed || reading.missedSome
    }
    #expect(missed)
  }
}
