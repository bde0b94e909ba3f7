// The table that stands in every node from the agent's first second, and that every data plane fills.
//
//   prerouting    loss (-460) ─ flowspec (-450) ─ [defragmentation -400] ─ police (-310) ─ zones (-300)
//                 ─ [conntrack -200] ─ returns (-150) ─ dstnat (-100)
//   input         input (0) ──► filter
//   forward       forward (0) ─► filter
//   output        [conntrack] ─ returns-local (-150) ─ dstnat-local (-100) ─ output (0) ─► filter-out
//   postrouting   marking (-150) ─ classify (-140) ─ srcnat (100)
//
// Its hooks are registered and connections are tracked before the first rule comes: loading the first NAT rule of a
// namespace later, or flushing a ruleset, resets established connections. Chains of the kind `nat` see the first packet
// of a connection; where that is not a SYN, the connection was there before conntrack knew of it, and stays as it is.
//
// Input and forward share one list, so each rule stands once, counts once, and protects the node itself as well. Packets
// that the node sends itself are filtered only by rules that name the interface they leave by (`out` without `in`).

internal import NetTypes
internal import Netlink
internal import Nftables

/// A chain of the base table, in the order of their making.
enum BaseChainName: String, CaseIterable {
  case loss, flowspec, police, zones, returns
  case localReturns = "returns-local"
  case dstnat
  case localDstnat = "dstnat-local"
  case input, forward, output
  // `mark` is a word of nft's own language: nobody could name the chain there.
  case mark = "marking"
  case classify, srcnat, filter
  case filterOut = "filter-out"

  var base: BaseChain? {
    switch self {
    // As if it had never arrived.
    case .loss: BaseChain(.filter, .prerouting, -460)
    // Before conntrack puts fragments together, which a flow rule may ask for.
    case .flowspec: BaseChain(.filter, .prerouting, -450)
    // Before conntrack: what is over the rate costs no entry.
    case .police: BaseChain(.filter, .prerouting, -310)
    case .zones: BaseChain(.filter, .prerouting, .raw)
    case .returns: BaseChain(.filter, .prerouting, .mangle)
    // Of the kind that asks for the route again where it marked.
    case .localReturns: BaseChain(.route, .output, .mangle)
    case .dstnat: BaseChain(.nat, .prerouting, .destinationNAT)
    case .localDstnat: BaseChain(.nat, .output, .destinationNAT)
    case .input: BaseChain(.filter, .input, .filter)
    case .forward: BaseChain(.filter, .forward, .filter)
    case .output: BaseChain(.filter, .output, .filter)
    // Before addresses are translated: classes and markings are about the packets that the file speaks of. Marks come
    // first, so that a class can ask for one.
    case .mark: BaseChain(.filter, .postrouting, .mangle)
    case .classify: BaseChain(.filter, .postrouting, -140)
    case .srcnat: BaseChain(.nat, .postrouting, .sourceNAT)
    case .filter, .filterOut: nil
    }
  }

  /// What stands at its beginning whatever is desired.
  var fixedRules: [Nftables.Rule] {
    switch self {
    case .dstnat, .localDstnat, .srcnat: [BaseTable.pickedUp]
    case .loss, .police: [BaseTable.neighbourDiscovery]
    case .input:
      [
        BaseTable.answers, BaseTable.loopback { .interfaceIn($0) }, BaseTable.neighbourDiscovery,
        BaseTable.jump(.filter),
      ]
    case .forward: [BaseTable.answers, BaseTable.jump(.filter)]
    case .output:
      [
        BaseTable.answers, BaseTable.loopback { .interfaceOut($0) }, BaseTable.neighbourDiscovery,
        BaseTable.jump(.filterOut),
      ]
    default: []
    }
  }
}

enum BaseTable {
  static let id = TableID(.inet, "netloom")
  /// Tables with this prefix are ours.
  static let prefix = "netloom"

  static func isOurs(_ table: TableID) -> Bool { table.name.hasPrefix(prefix) }

  fileprivate static let pickedUp = Nftables.Rule(
    [!.tcpFlags(.syn, of: [.fin, .syn, .reset, .acknowledge])], [.accept], comment: "begun before it was tracked")
  fileprivate static let answers = Nftables.Rule([.connectionState([.established, .related])], [.accept])
  /// RFC 4861: without it no neighbour is found, whatever a filter or policer says. Only packets that no router has passed
  /// on have this hop limit (section 6.1).
  fileprivate static let neighbourDiscovery = Nftables.Rule(
    [
      .timeToLive(255, .ipv6), .transportProtocol(.icmpv6),
      .expressions([
        .payload(Expression.Payload(.transportHeader, at: 0, 1)),
        .compare(Expression.Compare(.greaterOrEqual, [133])), .compare(Expression.Compare(.lessOrEqual, [136])),
      ]),
    ], [.accept])

  fileprivate static func loopback(_ side: (InterfaceName) -> Match) -> Nftables.Rule {
    guard let name = InterfaceName("lo") else { return Nftables.Rule([]) }
    return Nftables.Rule([side(name)], [.accept])
  }

  fileprivate static func jump(_ chain: BaseChainName) -> Nftables.Rule {
    Nftables.Rule([], [.jump(chain.rawValue)])
  }
}
