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

  /// As `numgen random mod 1000000 < N`; every packet needs no number.
  private static func chance(_ partsPerMillion: UInt32) -> [Match] {
    guard partsPerMillion < 1_000_000 else { return [] }
    let bound = withUnsafeBytes(of: partsPerMillion.bigEndian) { Array($0) }
    return [
      .expressions([
        .numberGenerator(Expression.NumberGenerator(.random, modulus: 1_000_000)),
        .byteOrder(Expression.ByteOrder(toNetwork: true, length: 4, size: 4)),
        .compare(Expression.Compare(.less, bound)),
      ])
    ]
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
