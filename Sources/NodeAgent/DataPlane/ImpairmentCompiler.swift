// What links do to packets, as far as a node can do it: what arrives is lost in the chain `loss`, in front of all others,
// so that whoever sent it is not told; what leaves waits in a TBF, as under a shaper without classes. Neighbour discovery
// is spared, and ARP does not come by: a lossy link is one that loses packets, not one whose ends cannot find each other.

internal import ControlProtocol
internal import NetTypes
internal import Netlink
internal import Nftables

extension RuleBook {
  mutating func add(_ impairment: NLImpairment, _ interfaces: Set<String>) throws(Refusal) {
    let origin = impairment.origin
    guard interfaces.contains(impairment.interface), let name = InterfaceName(impairment.interface) else {
      throw Refusal(origin.text, "no interface \(impairment.interface)", place: origin.place)
    }
    guard impairment.lossPpm > 0 else { return }
    add([.interfaceIn(name)] + Self.chance(impairment.lossPpm), [.counter, .drop], to: .loss, origin)
  }

  /// As `counter numgen random mod 1000000 < N`, the counter for how many were offered to chance. Every packet needs no
  /// number: then all that are offered are lost.
  private static func chance(_ partsPerMillion: UInt32) -> [Match] {
    guard partsPerMillion < 1_000_000 else { return [] }
    let bound = withUnsafeBytes(of: partsPerMillion.bigEndian) { Array($0) }
    return [
      .expressions([
        .counter(Expression.Counter()),
        .numberGenerator(Expression.NumberGenerator(.random, modulus: 1_000_000)),
        .byteOrder(Expression.ByteOrder(toNetwork: true, length: 4, size: 4)),
        .compare(Expression.Compare(.less, bound)),
      ])
    ]
  }
}

extension DataPlane {
  /// What was lost of what arrived, by interface; where nothing is to be lost there is no entry.
  func losses() throws(KernelError) -> [String: NLLossCounters] {
    var losses: [String: NLLossCounters] = [:]
    let chain = try readTables().table(BaseTable.id)?.chain(BaseChainName.loss.rawValue)
    let rules = (chain?.rules ?? []).map(\.rule).filter { !$0.counters.isEmpty }
    guard !rules.isEmpty else { return [:] }
    for link in view.links.values {
      guard let name = InterfaceName(link.name) else { continue }
      let arrives = Nftables.Rule([.interfaceIn(name)], []).expressions
      let rule = rules.first { Array($0.expressions.prefix(arrives.count)) == arrives }
      guard let counters = rule?.counters, let offered = counters.first, let lost = counters.last else { continue }
      var loss = NLLossCounters()
      (loss.offered, loss.lost) = (offered.packets, lost.packets)
      losses[link.name] = loss
    }
    return losses
  }

  /// Packets that found the queue of an interface's rate full.
  func rateDrops() throws(KernelError) -> [InterfaceIndex: UInt64] {
    guard !program.shapers.isEmpty else { return [:] }
    var drops: [InterfaceIndex: UInt64] = [:]
    for qdisc in try view.socket.qdiscs() where qdisc.subject.parent == .root {
      drops[qdisc.subject.link] = UInt64(qdisc.statistics.drops)
    }
    return drops
  }
}

extension NLImpairment {
  /// Its rate, as a shaper that has no classes; nil: it has none.
  var shaper: NLShaper? {
    guard rate > 0 else { return nil }
    var shaper = NLShaper()
    shaper.interface = interface
    shaper.rate = rate
    shaper.origin = origin
    return shaper
  }
}
